// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"flag"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/schema"
)

var update = flag.Bool("update", false, "write the golden records")

const (
	golden      = "testdata/records.jsonl"
	goldenPairs = "testdata/transactions.jsonl"
)

const (
	aQuery    = uint16(0x0100) // RD
	aResponse = uint16(0x8180) // QR, RD, RA
	toExample = "\x07example\x03com\x00\x00\x01\x00\x01"
)

// sample is a message and its name.
type sample struct {
	name   string
	wire   []byte
	change func(*dnsmsg.Message)
}

func samples(t testing.TB) []sample {
	whole := parts{flags: aQuery, questions: []string{"example.com. IN A"}}.wire(t)
	s := []sample{
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
			header(aResponse, 1, 0, 0, 0, toExample),
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
		{"all flags and the last of everything", header(0xffff, 0, 0, 0, 0), nil},
		{"no question", header(aResponse|5, 0, 0, 0, 0), nil},
		{"several questions", parts{flags: aQuery, questions: []string{
			"example.com. IN A", "www.example.com. IN AAAA", "version.bind. CH TXT",
		}}.wire(t), nil},
		{"a chain of aliases", parts{flags: aResponse, questions: []string{"www.Example.com. IN A"},
			answer: []string{
				"www.Example.com. 300 IN CNAME Web.example.com.",
				"Web.example.com. 60 IN CNAME edge.example.net.",
				"edge.example.net. 20 IN A 203.0.113.1", "edge.example.net. 20 IN A 203.0.113.2",
			}}.wire(t), nil},
		{"no such name", parts{flags: 0x8583, questions: []string{"nope.example.com. IN AAAA"},
			authority: []string{
				"example.com. 3600 IN SOA ns1.example.com. hostmaster.example.com. 7 7200 3600 86400 300",
			}, edns: ednsDO}.wire(t), nil},
		{"a referral", parts{flags: 0x8000, questions: []string{"a.example. IN MX"},
			authority:  []string{"example. 86400 IN NS ns1.example.", "example. 86400 IN NS ns2.example."},
			additional: []string{"ns1.example. 86400 IN A 192.0.2.1", "ns1.example. 86400 IN AAAA 2001:db8::1"},
			edns:       edns0}.wire(t), nil},
		{"an update", header(0x2800, 1, 1, 2, 0, "\x07example\x03com\x00\x00\x06\x00\x01",
			record("\x01a\xc0\x0c", 255, 255, ""), record("\x01a\xc0\x0c", 1, 254, "\xc0\x00\x02\x01"),
			record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x02")), nil},
		{"class CH", parts{flags: aResponse, questions: []string{"version.bind. CH TXT"},
			answer: []string{`version.bind. 0 CH TXT "so \"what\" \\o/ ; ö"`}}.wire(t), nil},
		{"unknown types, classes and codes", header(0xb80c, 1, 2, 0, 0, "\x01a\x00\xff\x01\x12\x34",
			record("\xc0\x0c", 65281, 1, "\x00\xff"), record("\xc0\x0c", 1, 2, "\x01")), nil},
		{"types with numbers far away", header(aResponse, 1, 2, 0, 0, "\x01a\x00\x80\x01\x00\x01",
			record("\xc0\x0c", 32769, 1, "\x00\x01\x08\x02\xab"),
			record("\xc0\x0c", 32768, 255, "\x00\x01\x08\x02\xab")), nil},
		{"names of every odd byte", header(aResponse, 1, 1, 0, 0,
			"\x0f\"\\.\x00\xff ();@$A\n\x7f~\x01x\x00\x00\x05\x00\x01",
			record("\xc0\x0c", 5, 1, "\x04\"\\.\x00\xc0\x0c")), nil},
		{"names of 255 bytes", header(aResponse, 1, 1, 0, 0, longest, "\x00\x02\x00\x01",
			record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01")), nil},
		{"the root", header(aQuery, 1, 0, 0, 0, "\x00\x00\x02\x00\x01"), nil},
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

// longest is a name of 255 bytes, none of which prints.
var longest = strings.Repeat("\x3f"+strings.Repeat("\xff", 63), 3) +
	"\x3d" + strings.Repeat("\x00", 61) + "\x00"

func ednsSamples(t testing.TB) []sample {
	with := func(name, edns string) sample {
		return sample{name, parts{flags: aResponse, questions: []string{"example.com. IN A"},
			edns: edns}.wire(t), nil}
	}
	return []sample{
		with("EDNS with every option", ednsDO+
			option(15, "\x00\x12\"no\" \\ \xc3\xb6\x00")+option(12, strings.Repeat("\x00", 31))+
			option(3, "ns1.\"x\"\\")+option(10, "12345678abcdefgh")+
			option(8, "\x00\x01\x18\x10\xc0\x00\x02")+option(15, "\x00\x16")+option(15, "\xff\xffown")+
			option(11, "\x00\x64")+option(9, "\x00\x01\x51\x80")+option(14, "\x4f\x66\x00\x01")+
			option(18, "\x05agent\x07example\x00")+option(5, "\x08\x0d")+option(65001, "\x00\"")),
		with("EDNS with options that are empty", edns0+
			option(3, "")+option(10, "")+option(12, "")+option(65001, "")),
		with("EDNS with options that do not fit their format", edns0+
			option(8, "\x00\x01\x18\x00\xc0\x00\x02\x01")+option(15, "\x00")+option(11, "\x00")),
		with("EDNS with options twice", edns0+option(10, "12345678")+option(10, "87654321")+
			option(3, "\x00\xff")+option(3, "ns2")+option(12, "\x00")+option(12, "")+
			option(8, "\x00\x02\x00\x00")+option(8, "\x00\x00\x00\x00")),
		with("EDNS with a subnet that fits after one that does not", edns0+
			option(8, "\x00\x01")+option(8, "\x00\x01\x20\x00\xc0\x00\x02\x01")),
		with("EDNS with bytes left over", edns0+option(3, "x")+"\x00\x0a\x00\x09\x01\x02"),
		with("EDNS with nothing but bytes left over", edns0+"\x00\x0a\x00"),
		with("EDNS with more options than are shown", edns0+
			strings.Repeat(option(65001, "")+option(3, "n"), 33)),
		with("EDNS of another version with an extended code", "\x02\x00\x01\x07\x00\x00"),
		with("EDNS with a code beyond those that have names", "\x10\x00\xff\x00\x7f\xff"),
		{"EDNS twice", header(aResponse, 0, 0, 0, 2, opt(edns0), opt(ednsDO+option(3, "x"))), nil},
	}
}

func malformedSamples(t testing.TB) []sample {
	whole := parts{flags: aResponse, questions: []string{"example.com. IN A"},
		answer: []string{"example.com. 300 IN A 192.0.2.1", "example.com. 300 IN A 192.0.2.2"},
	}.wire(t)
	return []sample{
		{"malformed: no bytes at all", nil, nil},
		{"malformed: a short header", whole[:11], nil},
		{"malformed: a name that is truncated", whole[:20], nil},
		{"malformed: a name too long", header(aQuery, 1, 0, 0, 0,
			strings.Repeat("\x3f"+strings.Repeat("a", 63), 4)+"\x00\x00\x01\x00\x01"), nil},
		{"malformed: a label type", header(aQuery, 1, 0, 0, 0, "\x41a\x00\x00\x01\x00\x01"), nil},
		{"malformed: a pointer forward", header(aQuery, 1, 0, 0, 0, "\xc0\x0e\x00\x00\x01\x00\x01"), nil},
		{"malformed: a short question", header(aQuery, 2, 0, 0, 0, toExample, "\x00\x00"), nil},
		{"malformed: a short record", whole[:len(whole)-5], nil},
		{"malformed: data that is truncated", whole[:len(whole)-1], nil},
		{"malformed: cut by the snapshot length", whole[:len(whole)-9],
			func(m *dnsmsg.Message) { m.Size, m.Cut = len(whole), true }},
		{"malformed: more bytes than are shown", header(aQuery, 1, 2, 0, 0, toExample,
			record("\xc0\x0c", 16, 1, "\x7f"+strings.Repeat("a", 127))+"\xc0"), nil},
	}
}

func TestRecordsAreTheGoldenOnes(t *testing.T) {
	var got bytes.Buffer
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			m := message(s.wire, s.change)
			v := value(m)
			sound(t, v, m)
			got.WriteString("# " + s.name + "\n" + string(v) + "\n")
		})
	}
	for _, h := range heartbeats() {
		v := json.New(lane3).AppendHeartbeat(nil, 42, &h.Heartbeat)
		if err := ordered(v, schema.OfHeartbeats); err != nil {
			t.Errorf("%s: %v", h.name, err)
		}
		got.WriteString("# " + h.name + "\n" + string(v) + "\n")
	}
	compareGolden(t, golden, got.Bytes())
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := func(b []byte) []string { return strings.Split(string(b), "\n") }
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("go test -update writes them anew (-want +got):\n%s", diff)
	}
}

// pairs are transactions, by their names.
func pairs() map[string]*dnsmsg.Transaction {
	rr := record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01")
	query := message(header(aQuery, 1, 0, 0, 1, toExample, opt(ednsDO)), nil)
	update := message(header(0x2800, 1, 1, 1, 2, toExample, rr, rr, rr, opt(edns0)), nil)
	response := message(header(aResponse, 1, 1, 0, 0, toExample, rr), nil)
	return map[string]*dnsmsg.Transaction{
		"a query and its response over TCP after a truncated answer": {Kind: dnsmsg.KindTransaction,
			Query: query, Response: response, Latency: 2_500_999, Retransmits: 2,
			Retry: dnsmsg.Retry{ID: 7, Port: 4000, After: 1_000_000}},
		"an update and a response without a question that came before it": {
			Kind: dnsmsg.KindTransaction, Query: update, Reversed: true,
			Response: message(header(0xa800, 0, 0, 0, 0), nil)},
		"a query that found no memory to wait in": {Kind: dnsmsg.KindQuery, Query: query,
			Unpaired: dnsmsg.Full},
		"a query without a response": {Kind: dnsmsg.KindUnanswered, Query: query, Retransmits: 3},
	}
}

func TestTransactionsAreTheGoldenOnes(t *testing.T) {
	var got bytes.Buffer
	all, r := pairs(), readSchema(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v := json.New(lane3).AppendTransaction(nil, 42, all[name])
		var object any
		if err := stdjson.Unmarshal(v, &object); err != nil {
			t.Fatalf("%s: %v: %s", name, err, v)
		}
		if err := r.check(object); err != nil {
			t.Errorf("%s: %v: %s", name, err, v)
		}
		got.WriteString("# " + name + "\n" + string(v) + "\n")
	}
	compareGolden(t, goldenPairs, got.Bytes())
}

func TestEveryReasonHasAGoldenRecord(t *testing.T) {
	seen := map[dnsmsg.Reason]bool{}
	for _, s := range samples(t) {
		seen[message(s.wire, s.change).Fault.Reason] = true
	}
	for r := range dnsmsg.NumReasons {
		if !seen[r] {
			t.Errorf("none for %v", r)
		}
	}
}

func TestASensorWithANameToEscape(t *testing.T) {
	id := encode.Identity{Sensor: "a \"b\" \\ é \x00 <&>", Run: "r\"un"}
	m := message(header(aQuery, 1, 0, 0, 0, toExample), nil)
	v := json.New(id).Append(nil, 1<<64-1, m)
	sound(t, v, m)
	const want = `{"v":1,"sensor":"a \"b\" \\ \u00e9 \u0000 <&>","run":"r\"un","lane":0,` +
		`"seq":18446744073709551615,"ts":`
	if !bytes.HasPrefix(v, []byte(want)) {
		t.Errorf("got  %.150s\nwant %s", v, want)
	}
}
