// SPDX-License-Identifier: Apache-2.0

package encodetest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Sample is a message and its name.
type Sample struct {
	Name   string
	Wire   []byte
	Change func(*dnsmsg.Message)
}

func Samples(t testing.TB) []Sample {
	whole := parts{flags: Query, questions: []string{"example.com. IN A"}}.wire(t)
	s := []Sample{
		{"a plain query", whole, nil},
		{"a plain query over IPv6 and TCP with everything known of its path", whole,
			func(m *dnsmsg.Message) {
				m.Src, m.Dst = netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::53")
				m.Transport, m.Interface, m.Fragmented = dnsmsg.TCP, "eth0", true
				m.VLAN, m.InnerVLAN = 100, 4094
			}},
		{"a plain query in tunnels", whole, func(m *dnsmsg.Message) {
			m.Tunnel.Count = uint8(copy(m.Tunnel.Kinds[:], []dnsmsg.Tunnel{dnsmsg.VXLAN, dnsmsg.GRE}))
			m.TunnelID = dnsmsg.TunnelID{Value: 42, Known: true}
			m.InnerTunnelID = dnsmsg.TunnelID{Value: 1<<32 - 1, Known: true}
			m.TunnelSrc = netip.MustParseAddr("2001:db8::1")
			m.TunnelDst = netip.MustParseAddr("2001:db8::2")
		}},
		{"a response that came by dnstap with all that can be told",
			Header(Response, 1, 0, 0, 0, ToExample),
			func(m *dnsmsg.Message) { m.Transport, m.DNSTap = dnsmsg.DoH, everythingTold() }},
		{"a query that came by dnstap with nothing told", whole, func(m *dnsmsg.Message) {
			m.Src, m.Dst, m.SrcPort, m.DstPort = netip.Addr{}, netip.Addr{}, 0, 0
			m.Transport, m.DNSTap = dnsmsg.NoTransport, &dnsmsg.DNSTap{Type: 15}
		}},
		{"an interface with a name to escape", whole,
			func(m *dnsmsg.Message) { m.Interface = "Ethernet \"µ\" \\ 𝄞 \x01 \xff" }},
		{"before the epoch", whole, func(m *dnsmsg.Message) { m.Time = -1 }},
		{"before the epoch on the second", whole, func(m *dnsmsg.Message) { m.Time = -2e9 }},
		{"at the epoch", whole, func(m *dnsmsg.Message) { m.Time = 0 }},
		{"as late as can be", whole, func(m *dnsmsg.Message) { m.Time = 1<<63 - 1 }},
		{"as early as can be", whole, func(m *dnsmsg.Message) { m.Time = -1 << 63 }},
		{"all flags and the last of everything", Header(0xffff, 0, 0, 0, 0), nil},
		{"no question", Header(Response|5, 0, 0, 0, 0), nil},
		{"several questions", parts{flags: Query, questions: []string{
			"example.com. IN A", "www.example.com. IN AAAA", "version.bind. CH TXT",
		}}.wire(t), nil},
		{"a chain of aliases", parts{flags: Response, questions: []string{"www.Example.com. IN A"},
			answer: []string{
				"www.Example.com. 300 IN CNAME Web.example.com.",
				"Web.example.com. 60 IN CNAME edge.example.net.",
				"edge.example.net. 20 IN A 203.0.113.1", "edge.example.net. 20 IN A 203.0.113.2",
			}}.wire(t), nil},
		{"no such name", parts{flags: 0x8583, questions: []string{"nope.example.com. IN AAAA"},
			authority: []string{
				"example.com. 3600 IN SOA ns1.example.com. hostmaster.example.com. 7 7200 3600 86400 300",
			}, edns: EDNSDO}.wire(t), nil},
		{"a referral", parts{flags: 0x8000, questions: []string{"a.example. IN MX"},
			authority:  []string{"example. 86400 IN NS ns1.example.", "example. 86400 IN NS ns2.example."},
			additional: []string{"ns1.example. 86400 IN A 192.0.2.1", "ns1.example. 86400 IN AAAA 2001:db8::1"},
			edns:       EDNS0}.wire(t), nil},
		{"an update", Header(0x2800, 1, 1, 2, 0, "\x07example\x03com\x00\x00\x06\x00\x01",
			Record("\x01a\xc0\x0c", 255, 255, ""), Record("\x01a\xc0\x0c", 1, 254, "\xc0\x00\x02\x01"),
			Record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x02")), nil},
		{"class CH", parts{flags: Response, questions: []string{"version.bind. CH TXT"},
			answer: []string{`version.bind. 0 CH TXT "so \"what\" \\o/ ; ö"`}}.wire(t), nil},
		{"unknown types, classes and codes", Header(0xb80c, 1, 2, 0, 0, "\x01a\x00\xff\x01\x12\x34",
			Record("\xc0\x0c", 65281, 1, "\x00\xff"), Record("\xc0\x0c", 1, 2, "\x01")), nil},
		{"types with numbers far away", Header(Response, 1, 2, 0, 0, "\x01a\x00\x80\x01\x00\x01",
			Record("\xc0\x0c", 32769, 1, "\x00\x01\x08\x02\xab"),
			Record("\xc0\x0c", 32768, 255, "\x00\x01\x08\x02\xab")), nil},
		{"names of every odd byte", Header(Response, 1, 1, 0, 0,
			"\x0f\"\\.\x00\xff ();@$A\n\x7f~\x01x\x00\x00\x05\x00\x01",
			Record("\xc0\x0c", 5, 1, "\x04\"\\.\x00\xc0\x0c")), nil},
		{"names of 255 bytes", Header(Response, 1, 1, 0, 0, Longest, "\x00\x02\x00\x01",
			Record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01")), nil},
		{"the root", Header(Query, 1, 0, 0, 0, "\x00\x00\x02\x00\x01"), nil},
	}
	return append(append(s, ednsSamples(t)...), malformedSamples(t)...)
}

func everythingTold() *dnsmsg.DNSTap {
	name := []byte("\x07Example\x00")
	return &dnsmsg.DNSTap{Type: 6, HTTP: 2, QueryTime: 1_000_000, ResponseTime: 3_500_999,
		Identity: []byte(`ns"1\`), Version: []byte("\x00\x01"), Extra: []byte("<>"), Zone: name,
		Policy: dnsmsg.Policy{Type: []byte("RPZ"), Rule: name, Value: []byte("\xc0\x00\x02\x01"),
			Action: 3, Match: dnsmsg.MatchClientIP}}
}

// Longest is a name of 255 bytes, none of which prints.
var Longest = strings.Repeat("\x3f"+strings.Repeat("\xff", 63), 3) +
	"\x3d" + strings.Repeat("\x00", 61) + "\x00"

func ednsSamples(t testing.TB) []Sample {
	with := func(name, edns string) Sample {
		return Sample{name, parts{flags: Response, questions: []string{"example.com. IN A"},
			edns: edns}.wire(t), nil}
	}
	return []Sample{
		with("EDNS with every option", EDNSDO+
			Option(15, "\x00\x12\"no\" \\ \xc3\xb6\x00")+Option(12, strings.Repeat("\x00", 31))+
			Option(3, "ns1.\"x\"\\")+Option(10, "12345678abcdefgh")+
			Option(8, "\x00\x01\x18\x10\xc0\x00\x02")+Option(15, "\x00\x16")+Option(15, "\xff\xffown")+
			Option(11, "\x00\x64")+Option(9, "\x00\x01\x51\x80")+Option(14, "\x4f\x66\x00\x01")+
			Option(18, "\x05agent\x07example\x00")+Option(5, "\x08\x0d")+Option(65001, "\x00\"")),
		with("EDNS with an extended error in UTF-8 that does not print everywhere", EDNS0+
			Option(15, "\x00\x0f\x00h\u00e9 \u65e5\u672c \U0001d11e\xff\xc3|\u202e\u0085\u00a0\x7f\n\\195\xed\xa0\x80")),
		with("EDNS with options that are empty", EDNS0+
			Option(3, "")+Option(10, "")+Option(12, "")+Option(65001, "")),
		with("EDNS with options that do not fit their format", EDNS0+
			Option(8, "\x00\x01\x18\x00\xc0\x00\x02\x01")+Option(15, "\x00")+Option(11, "\x00")+
			Option(10, "1234567")),
		with("EDNS with options twice", EDNS0+Option(10, "12345678")+Option(10, "87654321")+
			Option(3, "\x00\xff")+Option(3, "ns2")+Option(12, "\x00")+Option(12, "")+
			Option(8, "\x00\x02\x00\x00")+Option(8, "\x00\x00\x00\x00")),
		with("EDNS with a subnet that fits after one that does not", EDNS0+
			Option(8, "\x00\x01")+Option(8, "\x00\x01\x20\x00\xc0\x00\x02\x01")),
		with("EDNS with bytes left over", EDNS0+Option(3, "x")+"\x00\x0a\x00\x09\x01\x02"),
		with("EDNS with nothing but bytes left over", EDNS0+"\x00\x0a\x00"),
		with("EDNS with more options than are shown", EDNS0+
			strings.Repeat(Option(65001, "")+Option(3, "n"), 33)),
		with("EDNS of another version with an extended code", "\x02\x00\x01\x07\x00\x00"),
		with("EDNS with the flag for compact answers", "\x04\xd0\x00\x00\xc0\x00"),
		with("EDNS with a code beyond those that have names", "\x10\x00\xff\x00\x7f\xff"),
		{"EDNS twice", Header(Response, 0, 0, 0, 2, OPT(EDNS0), OPT(EDNSDO+Option(3, "x"))), nil},
	}
}

func malformedSamples(t testing.TB) []Sample {
	whole := parts{flags: Response, questions: []string{"example.com. IN A"},
		answer: []string{"example.com. 300 IN A 192.0.2.1", "example.com. 300 IN A 192.0.2.2"},
	}.wire(t)
	return []Sample{
		{"malformed: no bytes at all", nil, nil},
		{"malformed: a short header", whole[:11], nil},
		{"malformed: half a header", whole[:7], nil},
		{"malformed: no counts", whole[:4], nil},
		{"malformed: half of the flags", whole[:3], nil},
		{"malformed: an id alone, cut by the snapshot length", whole[:2],
			func(m *dnsmsg.Message) { m.Size, m.Cut = len(whole), true }},
		{"malformed: half an id", whole[:1], nil},
		{"malformed: a name that is truncated", whole[:20], nil},
		{"malformed: a name too long", Header(Query, 1, 0, 0, 0,
			strings.Repeat("\x3f"+strings.Repeat("a", 63), 4)+"\x00\x00\x01\x00\x01"), nil},
		{"malformed: a label type", Header(Query, 1, 0, 0, 0, "\x41a\x00\x00\x01\x00\x01"), nil},
		{"malformed: a pointer forward", Header(Query, 1, 0, 0, 0, "\xc0\x0e\x00\x00\x01\x00\x01"), nil},
		{"malformed: a short question", Header(Query, 2, 0, 0, 0, ToExample, "\x00\x00"), nil},
		{"malformed: a short record", whole[:len(whole)-5], nil},
		{"malformed: data that is truncated", whole[:len(whole)-1], nil},
		{"malformed: cut by the snapshot length", whole[:len(whole)-9],
			func(m *dnsmsg.Message) { m.Size, m.Cut = len(whole), true }},
		{"malformed: more bytes than are shown", Header(Query, 1, 2, 0, 0, ToExample,
			Record("\xc0\x0c", 16, 1, "\x7f"+strings.Repeat("a", 127))+"\xc0"), nil},
	}
}

// Pairs are transactions, by their names.
func Pairs() map[string]*dnsmsg.Transaction {
	rr := Record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01")
	query := Message(Header(Query, 1, 0, 0, 1, ToExample, OPT(EDNSDO)), nil)
	update := Message(Header(0x2800, 1, 1, 1, 2, ToExample, rr, rr, rr, OPT(EDNS0)), nil)
	response := Message(Header(Response, 1, 1, 0, 0, ToExample, rr), nil)
	return map[string]*dnsmsg.Transaction{
		"a query and its response over TCP after a truncated answer": {Kind: dnsmsg.KindTransaction,
			Query: query, Response: response, Latency: 2_500_999, Retransmits: 2,
			Retry: dnsmsg.Retry{ID: 7, Port: 4000, After: 1_000_000}},
		"an update and a response without a question that came before it": {
			Kind: dnsmsg.KindTransaction, Query: update, Reversed: true,
			Response: Message(Header(0xa800, 0, 0, 0, 0), nil)},
		"a query that found no memory to wait in": {Kind: dnsmsg.KindQuery, Query: query,
			Unpaired: dnsmsg.Full},
		"a query without a response": {Kind: dnsmsg.KindUnanswered, Query: query, Retransmits: 3},
	}
}
