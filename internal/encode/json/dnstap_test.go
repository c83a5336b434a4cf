// SPDX-License-Identifier: Apache-2.0

package json

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

const toldName = "\x07Example\x00"

// told is a response of nothing but a header, with what a server says of it.
func told(tap dnsmsg.DNSTap) *dnsmsg.Message {
	return &dnsmsg.Message{Time: 1, Transport: dnsmsg.NoTransport, Flags: dnsmsg.FlagQR, OPT: -1,
		Size: 12, Wire: make([]byte, 12), DNSTap: &tap}
}

// common are the fields of every record, which these tests do not look at.
var common = []string{"v", "sensor", "run", "lane", "seq", "ts", "kind", "id", "opcode", "rcode",
	"aa", "tc", "rd", "ra", "ad", "cd", "size"}

func encoded(t *testing.T, m *dnsmsg.Message) map[string]any {
	t.Helper()
	var got map[string]any
	text := New(encode.Identity{Sensor: "s", Run: "r"}).Append(nil, 1, m)
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for _, key := range common {
		if _, ok := got[key]; !ok {
			t.Errorf("no %s in %s", key, text)
		}
		delete(got, key)
	}
	return got
}

func TestARecordThatCameByDNSTap(t *testing.T) {
	whole := told(dnsmsg.DNSTap{Type: 6, HTTP: 2, QueryTime: 1_000_000, ResponseTime: 3_500_999,
		Identity: []byte(`ns"1\`), Version: []byte("\x00\x01"), Extra: []byte{},
		Zone: []byte(toldName), Policy: dnsmsg.Policy{Type: []byte("RPZ"), Rule: []byte(toldName),
			Value: []byte("\xc0\x00\x02\x01"), Action: 3, Match: dnsmsg.MatchClientIP}})
	whole.Transport = dnsmsg.DoH
	whole.Src, whole.SrcPort = netip.MustParseAddr("2001:db8::53"), 443
	whole.Dst, whole.DstPort = netip.MustParseAddr("192.0.2.1"), 40000
	for _, test := range []struct {
		name string
		in   *dnsmsg.Message
		want map[string]any
	}{
		{"everything that can be told", whole, map[string]any{
			"latency_us": 2500., "client_ip": "192.0.2.1", "client_port": 40000.,
			"server_ip": "2001:db8::53", "server_port": 443., "transport": "doh",
			"dnstap_type": "CLIENT_RESPONSE", "dnstap_identity": `ns"1\`, "dnstap_version": "0x0001",
			"dnstap_extra": "", "query_zone": "example", "http_protocol": "HTTP2",
			"policy": map[string]any{"type": "RPZ", "rule": "example", "action": "PASS",
				"match": "CLIENT_IP", "value": "192.0.2.1"}}},
		{"nothing that can be told", told(dnsmsg.DNSTap{}), map[string]any{"dnstap_type": "TYPE0"}},
		{"values of a later schema", told(dnsmsg.DNSTap{Type: 15, HTTP: 4,
			Policy: dnsmsg.Policy{Action: 7, Match: 6}}), map[string]any{"dnstap_type": "TYPE15",
			"http_protocol": "HTTP4",
			"policy":        map[string]any{"type": "", "action": "ACTION7", "match": "MATCH6"}}},
		{"a response before its query", told(dnsmsg.DNSTap{Type: 2, QueryTime: 5, ResponseTime: 4}),
			map[string]any{"dnstap_type": "AUTH_RESPONSE"}},
		{"a response in the same instant", told(dnsmsg.DNSTap{Type: 2, QueryTime: 5, ResponseTime: 5}),
			map[string]any{"dnstap_type": "AUTH_RESPONSE", "latency_us": 0.}},
		{"names that are text, cut off, or not of their length", told(dnsmsg.DNSTap{Type: 1,
			Zone: []byte("example"), Policy: dnsmsg.Policy{Rule: []byte(toldName[:3]),
				Value: []byte(toldName + "x"), Match: 1}}),
			map[string]any{"dnstap_type": "AUTH_QUERY", "query_zone": "example",
				"policy": map[string]any{"type": "", "rule": "0x074578", "match": "QNAME",
					"value": "0x074578616d706c650078"}}},
		{"an address of a wrong length", told(dnsmsg.DNSTap{Type: 1,
			Policy: dnsmsg.Policy{Value: []byte("\x01\x02\x03"), Match: dnsmsg.MatchNSIP}}),
			map[string]any{"dnstap_type": "AUTH_QUERY",
				"policy": map[string]any{"type": "", "match": "NS_IP", "value": "0x010203"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(encoded(t, test.in), test.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAQueryHasNoLatency(t *testing.T) {
	m := told(dnsmsg.DNSTap{Type: 2, QueryTime: 5, ResponseTime: 6})
	m.Flags = 0
	if diff := cmp.Diff(encoded(t, m), map[string]any{"dnstap_type": "AUTH_RESPONSE"}); diff != "" {
		t.Error(diff)
	}
}

// TestDNSTapTypes holds the names against dnstap.proto, by their numbers.
func TestDNSTapTypes(t *testing.T) {
	var got []string
	for v := range dnsmsg.DNSTapType(15) {
		got = append(got, string(v.Append(nil)))
	}
	want := []string{"TYPE0", "AUTH_QUERY", "AUTH_RESPONSE", "RESOLVER_QUERY", "RESOLVER_RESPONSE",
		"CLIENT_QUERY", "CLIENT_RESPONSE", "FORWARDER_QUERY", "FORWARDER_RESPONSE", "STUB_QUERY",
		"STUB_RESPONSE", "TOOL_QUERY", "TOOL_RESPONSE", "UPDATE_QUERY", "UPDATE_RESPONSE"}
	if !slices.Equal(got, want) {
		t.Error(cmp.Diff(got, want))
	}
}
