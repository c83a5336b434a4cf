// SPDX-License-Identifier: Apache-2.0

package json

import (
	stdjson "encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/schema"
)

// parsed returns the message of those bytes, from client to server or back.
func parsed(t *testing.T, at int64, bytes string) *dnsmsg.Message {
	t.Helper()
	m := &dnsmsg.Message{
		Time: at, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.53"),
		SrcPort: 4000, DstPort: 53, Wire: []byte(bytes), Size: len(bytes),
	}
	if m.Wire[2]&0x80 != 0 {
		m.Src, m.Dst, m.SrcPort, m.DstPort = m.Dst, m.Src, m.DstPort, m.SrcPort
	}
	wire.Parse(m)
	return m
}

const (
	question = "\x01a\x07Example\x00\x00\x01\x00\x01"
	opt      = "\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00" // 1232 bytes, DO
	aRecord  = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x09"

	queryEDNS = "\x00\x07\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01" + question + opt // RD, AD
	update    = "\x00\x07\x28\x00\x00\x01\x00\x01\x00\x01\x00\x00" + question + aRecord + aRecord
	answer    = "\x00\x07\x81\x90\x00\x01\x00\x01\x00\x00\x00\x00" + question + aRecord // RD, RA, CD
	bare      = "\x00\x07\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00"                      // FORMERR
)

func TestATransactionIsOneRecord(t *testing.T) {
	const (
		head = `{"v":1,"sensor":"s","run":"r","lane":2,"seq":9,"ts":"1970-01-01T00:00:00.`
		path = `,"client_ip":"192.0.2.1","client_port":4000,"server_ip":"192.0.2.53","server_port":53,"transport":"udp","id":7,`
		name = `,"qname":"a.example","qtype":"A","qclass":"IN"`
		rr   = `{"name":"a.example","type":"A","class":"IN","ttl":60,"data":"192.0.2.9"}`

		answerHeader = `"opcode":"QUERY","rcode":"NOERROR","aa":false,"tc":false,"rd":true,"ra":true,"ad":false,"cd":true,"size":43`
		queryHeader  = `"opcode":"QUERY","rcode":"NOERROR","aa":false,"tc":false,"rd":true,"ra":false,"ad":true,"cd":false,"size":38`
		bareHeader   = `"opcode":"QUERY","rcode":"FORMERR","aa":false,"tc":false,"rd":true,"ra":false,"ad":false,"cd":false,"size":12`
		ednsText     = `{"version":0,"udp_size":1232,"do":true}`
		onlyQuery    = `,"query_size":38,"query_rd":true,"query_ad":true,"query_cd":false,"query_edns":` + ednsText
	)
	q, r := parsed(t, 1_000, queryEDNS), parsed(t, 2_501_999, answer)
	tests := []struct {
		name string
		t    dnsmsg.Transaction
		want string
	}{
		{"a pair", dnsmsg.Transaction{Kind: dnsmsg.KindTransaction, Query: q, Response: r,
			Latency: 2_500_999, Retransmits: 2},
			head + `002501999Z","latency_us":2500,"kind":"transaction"` + path + answerHeader + name +
				`,"retransmits":2` + onlyQuery + `,"answers":[` + rr + `]}`},
		{"a pair over TCP that repeats one over UDP", dnsmsg.Transaction{Kind: dnsmsg.KindTransaction,
			Query: q, Response: r, Reversed: true, Retry: dnsmsg.Retry{ID: 5, Port: 6, After: 7_001}},
			head + `002501999Z","latency_us":0,"reversed":true,"kind":"transaction"` + path + answerHeader +
				name + `,"retransmits":0` + onlyQuery +
				`,"retry_of_id":5,"retry_of_port":6,"retry_after_us":7,"answers":[` + rr + `]}`},
		{"a query without response", dnsmsg.Transaction{Kind: dnsmsg.KindUnanswered, Query: q},
			head + `000001000Z","kind":"unanswered"` + path + queryHeader + name + `,"retransmits":0,"edns":` +
				ednsText + `}`},
		{"a query that had to leave", dnsmsg.Transaction{Kind: dnsmsg.KindQuery, Query: q,
			Unpaired: dnsmsg.Full},
			head + `000001000Z","kind":"query","unpaired":"full"` + path + queryHeader + name + `,"edns":` +
				ednsText + `}`},
		{"a response alone", dnsmsg.Transaction{Kind: dnsmsg.KindResponse, Response: r},
			head + `002501999Z","kind":"response"` + path + answerHeader + name + `,"answers":[` + rr + `]}`},
		{"a response without the question", dnsmsg.Transaction{Kind: dnsmsg.KindTransaction, Query: q,
			Response: parsed(t, 1_000, bare)},
			head + `000001000Z","latency_us":0,"kind":"transaction"` + path + bareHeader + name +
				`,"retransmits":0` + onlyQuery + `}`},
		{"an UPDATE keeps what the query holds", dnsmsg.Transaction{Kind: dnsmsg.KindTransaction,
			Query: parsed(t, 0, update), Response: r},
			head + `002501999Z","latency_us":0,"kind":"transaction"` + path + answerHeader + name +
				`,"retransmits":0,"query_size":59,"query_rd":false,"query_ad":false,"query_cd":false,` +
				`"query_answers":[` + rr + `],"query_authority":[` + rr + `],"answers":[` + rr + `]}`},
		{"a malformed response with its query", dnsmsg.Transaction{Kind: dnsmsg.KindMalformed, Query: q,
			Response: parsed(t, 1_000, answer[:len(answer)-16])},
			head + `000001000Z","latency_us":0,"kind":"malformed"` + path +
				strings.Replace(answerHeader, "43", "27", 1) + `,"qdcount":1,"ancount":1,"nscount":0,"arcount":0` +
				name + onlyQuery + `,"malformed":{"reason":"name_truncated","offset":27,"bytes":"` +
				`0007819000010001000000000161074578616d706c650000010001"}}`},
	}
	known := map[string]bool{}
	for _, f := range schema.Fields() {
		known[f.Name] = f.Presence != schema.Reserved
	}
	e := New(encode.Identity{Sensor: "s", Run: "r", Lane: 2})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := string(e.AppendTransaction([]byte("x"), 9, &test.t))
			if diff := cmp.Diff("x"+test.want, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			var fields map[string]any
			if err := stdjson.Unmarshal([]byte(got[1:]), &fields); err != nil {
				t.Fatal(err)
			}
			for f := range fields {
				if !known[f] {
					t.Errorf("the schema does not know %s", f)
				}
			}
		})
	}
}

// TestAMessageAloneReadsTheSameEitherWay compares the two ways to encode a message of which there
// is nothing to say but itself.
func TestAMessageAloneReadsTheSameEitherWay(t *testing.T) {
	e := New(encode.Identity{})
	r := parsed(t, 5, answer)
	want := string(e.Append(nil, 1, r))
	got := string(e.AppendTransaction(nil, 1, &dnsmsg.Transaction{Kind: dnsmsg.KindResponse, Response: r}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-message +transaction):\n%s", diff)
	}
}

func TestATransactionIsEncodedWithoutAllocation(t *testing.T) {
	e := New(encode.Identity{})
	x := dnsmsg.Transaction{Kind: dnsmsg.KindTransaction, Query: parsed(t, 0, queryEDNS),
		Response: parsed(t, 9, answer)}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { e.AppendTransaction(buf, 1, &x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
