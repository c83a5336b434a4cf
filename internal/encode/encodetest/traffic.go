// SPDX-License-Identifier: Apache-2.0

package encodetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Traffic is what a resolver sees: pairs of queries and responses, most of them addresses, some
// of those behind an alias, some names that do not exist; half of all with EDNS.
func Traffic(t testing.TB) []*dnsmsg.Message {
	const pairs = 1000
	random := rand.New(rand.NewPCG(1, 2))
	var all []*dnsmsg.Message
	for i := range pairs {
		edns := ""
		if random.IntN(2) == 0 {
			edns = EDNS0 + Option(10, "12345678")
		}
		name := fmt.Sprintf("host%d.zone%d.example.com.", random.IntN(1e6), random.IntN(100))
		response := parts{flags: Response, edns: edns, questions: []string{name + " IN A"}}
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
		query := parts{flags: Query, questions: response.questions, edns: edns}
		for _, p := range []parts{query, response} {
			all = append(all, Message(p.wire(t), func(m *dnsmsg.Message) {
				m.Interface, m.Time = "eth0", m.Time+int64(i)*1e6
			}))
		}
	}
	return all
}
