// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode/json"
)

// traffic is what a resolver sees: pairs of queries and responses, most of them addresses, some
// of those behind an alias, some names that do not exist; half of all with EDNS.
func traffic(t testing.TB) []*dnsmsg.Message {
	const pairs = 1000
	random := rand.New(rand.NewPCG(1, 2))
	var all []*dnsmsg.Message
	for i := range pairs {
		edns := ""
		if random.IntN(2) == 0 {
			edns = edns0 + option(10, "12345678")
		}
		name := fmt.Sprintf("host%d.zone%d.example.com.", random.IntN(1e6), random.IntN(100))
		response := parts{flags: aResponse, edns: edns, questions: []string{name + " IN A"}}
		switch kind := random.IntN(10); {
		case kind < 5:
			for n := range 1 + random.IntN(4) {
				response.answer = append(response.answer, fmt.Sprintf("%s 60 IN A 203.0.113.%d", name, n))
			}
		case kind < 7:
			response.questions[0] = name + " IN AAAA"
			response.answer = []string{name + " 300 IN AAAA 2001:db8:85a3::8a2e:370:7334"}
		case kind < 9:
			edge := fmt.Sprintf("edge%d.cdn.example.net.", random.IntN(1000))
			response.answer = []string{name + " 300 IN CNAME " + edge, edge + " 20 IN A 198.51.100.7"}
		default:
			response.flags |= 3
			response.authority = []string{
				"example.com. 3600 IN SOA ns1.example.com. admin.example.com. 2026010100 7200 3600 1209600 300",
			}
		}
		query := parts{flags: aQuery, questions: response.questions, edns: edns}
		for _, p := range []parts{query, response} {
			all = append(all, message(p.wire(t), func(m *dnsmsg.Message) {
				m.Interface, m.Time = "eth0", m.Time+int64(i)*1e6
			}))
		}
	}
	return all
}

// BenchmarkLine is a message from its bytes to its record: wire.Parse and Append.
func BenchmarkLine(b *testing.B) {
	all, enc, dst := traffic(b), json.New(lane3), make([]byte, 0, 1<<16)
	b.ReportAllocs()
	seq, size := uint64(0), 0
	for b.Loop() {
		m := all[seq%uint64(len(all))]
		seq++
		wire.Parse(m)
		size += len(enc.Append(dst, seq, m))
	}
	b.ReportMetric(float64(size)/float64(seq), "bytes/record")
}

// BenchmarkAppend is the second half of that.
func BenchmarkAppend(b *testing.B) {
	all, enc, dst := traffic(b), json.New(lane3), make([]byte, 0, 1<<16)
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		enc.Append(dst, seq+1, all[seq%uint64(len(all))])
		seq++
	}
}

// BenchmarkFlood is the largest records that a message of 64 KiB makes: what an attacker gets for
// one.
func BenchmarkFlood(b *testing.B) {
	for _, f := range floods() {
		b.Run(f.name, func(b *testing.B) {
			m, enc, dst := message(f.wire, nil), json.New(lane3), make([]byte, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				wire.Parse(m)
				enc.Append(dst, 1, m)
			}
		})
	}
}
