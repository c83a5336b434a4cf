// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// The encoder below writes protobuf as the tests need it, right and wrong.

func number(tag, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, tag), v)
}

func fixed(tag uint64, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(nil, tag), v)
}

func text(tag uint64, b string) []byte { return append(number(tag, uint64(len(b))), b...) }

func join(fields ...[]byte) string { return string(bytes.Join(fields, nil)) }

const zone = "\x07example\x00"

// whole has every field of the schema.
func whole() string {
	return join(
		text(identity, "ns1"), text(version, "Unbound 1"), text(extra, "\x00\xff"),
		number(15<<3|wireVarint, 1),
		text(message, join(
			number(messageType, 6), number(2<<3|wireVarint, 1), number(socketProtocol, 4),
			text(queryAddress, "\xc0\x00\x02\x01"), text(responseAddress, "\xc6\x33\x64\x35"),
			number(queryPort, 40000), number(responsePort, 443),
			number(queryTimeSec, 1700000000), fixed(queryTimeNsec, 5),
			text(queryMessage, "the query"), text(queryZone, zone),
			number(responseTimeSec, 1700000001), fixed(responseTimeNs, 999_999_999),
			text(responseMessage, "the response"),
			text(policy, join(text(policyType, "RPZ"), text(policyRule, zone),
				number(policyAction, 3), number(policyMatch, 1), text(policyValue, zone))),
			number(httpProtocol, 2))))
}

func wholeWant() Frame {
	return Frame{
		Tap: dnsmsg.DNSTap{Type: 6, HTTP: 2,
			QueryTime: 1700000000_000000005, ResponseTime: 1700000001_999999999,
			Identity: []byte("ns1"), Version: []byte("Unbound 1"), Extra: []byte("\x00\xff"),
			Zone: []byte(zone),
			Policy: dnsmsg.Policy{Type: []byte("RPZ"), Rule: []byte(zone), Value: []byte(zone),
				Action: 3, Match: 1}},
		Transport: dnsmsg.DoH,
		Client:    netip.MustParseAddr("192.0.2.1"), ClientPort: 40000,
		Server: netip.MustParseAddr("198.51.100.53"), ServerPort: 443,
		Query: []byte("the query"), Response: []byte("the response"),
	}
}

var frames = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestParse(t *testing.T) {
	query := text(queryMessage, "q")
	for _, test := range []struct {
		name string
		in   string
		want Frame
		says Verdict
	}{
		{"every field", whole(), wholeWant(), OK},
		{"nothing but a query, as a server that hides its clients sends it",
			join(text(message, join(query))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q")}, OK},
		{"fields that are not known, of all wire types",
			join(number(99<<3, 1), append(number(100<<3|wireFixed64, 0)[:2], "12345678"...),
				text(101<<3|wireBytes, "x"), fixed(102<<3|wireFixed32, 9), text(message, join(query))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q")}, OK},
		{"a known field with another wire type", join(number(identity-wireBytes, 7),
			text(message, join(query, text(messageType+wireBytes, "6")))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q")}, OK},
		{"a field that comes twice", join(text(identity, "a"), text(identity, "b"),
			text(message, join(query, number(queryPort, 1), number(queryPort, 2)))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q"), ClientPort: 2,
				Tap: dnsmsg.DNSTap{Identity: []byte("b")}}, OK},
		{"values out of their range", join(text(message, join(query,
			number(socketProtocol, 8), number(queryPort, 65536), number(responsePort, 1<<63),
			text(queryAddress, "12345"), text(responseAddress, ""),
			number(queryTimeSec, 1<<40), fixed(queryTimeNsec, 1),
			number(responseTimeSec, 1), fixed(responseTimeNs, 1_000_000_000)))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q")}, OK},
		{"addresses of no host", join(text(message, join(query,
			text(queryAddress, "\x00\x00\x00\x00"), text(responseAddress, strings.Repeat("\x00", 16))))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q")}, OK},
		{"the last second that fits", join(text(message, join(query,
			number(queryTimeSec, 9223372035), fixed(queryTimeNsec, 999_999_999)))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q"),
				Tap: dnsmsg.DNSTap{QueryTime: 9223372035_999999999}}, OK},
		{"a number in ten bytes, as negative ones are",
			join(text(message, join(query, number(messageType, 1<<64-1)))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte("q"),
				Tap: dnsmsg.DNSTap{Type: 1<<32 - 1}}, OK},
		{"nothing", "", Frame{Transport: dnsmsg.NoTransport}, Empty},
		{"a message without a DNS message", join(text(message, join(number(messageType, 1)))),
			Frame{Transport: dnsmsg.NoTransport, Tap: dnsmsg.DNSTap{Type: 1}}, Empty},
		{"a DNS message of no bytes", join(text(message, join(text(queryMessage, "")))),
			Frame{Transport: dnsmsg.NoTransport, Query: []byte{}}, Empty},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := wholeWant() // which Parse is to forget
			if says := got.Parse([]byte(test.in)); says != test.says {
				t.Errorf("verdict %d, want %d", says, test.says)
			}
			if diff := cmp.Diff(got, test.want, frames); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNoProtobufIsMalformed(t *testing.T) {
	for name, in := range map[string]string{
		"a field number of 0":          "\x00\x01",
		"a field number beyond 29 bit": join(number(1<<32, 0)),
		"a group":                      join(number(1<<3|3, 0)),
		"a group's end":                join(number(1<<3|4, 0)),
		"wire type 6":                  join(number(1<<3|6, 0)),
		"wire type 7":                  join(number(1<<3|7, 0)),
		"a tag cut off":                "\x80",
		"a number of eleven bytes":     "\x08" + strings.Repeat("\x80", 10) + "\x01",
		"a number of 65 bits":          "\x08" + strings.Repeat("\xff", 9) + "\x02",
		"bytes that are not there":     "\x0a\x02x",
		"a length of 64 bits":          "\x0a" + strings.Repeat("\xff", 9) + "\x01",
		"a fixed32 cut off":            "\x0d123",
		"a fixed64 cut off":            "\x091234567",
		"a fault in the message":       join(text(message, "\x00")),
		"a fault in the policy":        join(text(message, join(text(policy, "\x0a\x01")))),
	} {
		t.Run(name, func(t *testing.T) {
			var f Frame
			if got := f.Parse([]byte(in)); got != Malformed {
				t.Errorf("verdict %d", got)
			}
		})
	}
}

// TestEveryPrefix parses what a sender that breaks off would send. Each prefix has memory of its
// own, so that a read past its end panics.
func TestEveryPrefix(t *testing.T) {
	in := []byte(whole())
	for n := range len(in) {
		var f Frame
		// Between two fields of the outer message nothing is wrong, but there is no DNS.
		if got := f.Parse(bytes.Clone(in[:n])[:n:n]); got == OK {
			t.Errorf("%d bytes of %d are whole", n, len(in))
		}
	}
}

func TestTransports(t *testing.T) {
	var got []string
	for v := range uint64(9) {
		var f Frame
		f.Parse([]byte(join(text(message, join(number(socketProtocol, v), text(queryMessage, "q"))))))
		got = append(got, f.Transport.String())
	}
	want := []string{"unknown", "udp", "tcp", "dot", "doh", "dnscrypt_udp", "dnscrypt_tcp", "doq",
		"unknown"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	in := []byte(whole())
	var f Frame
	if n := testing.AllocsPerRun(100, func() { f.Parse(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// encode writes f as its sender would have.
func encode(f *Frame) []byte {
	var m, p []byte
	bytesField := func(to *[]byte, tag uint64, b []byte) {
		if b != nil {
			*to = append(*to, text(tag, string(b))...)
		}
	}
	numberField := func(to *[]byte, tag, v uint64) { *to = append(*to, number(tag, v)...) }
	bytesField(&p, policyType, f.Tap.Policy.Type)
	bytesField(&p, policyRule, f.Tap.Policy.Rule)
	bytesField(&p, policyValue, f.Tap.Policy.Value)
	numberField(&p, policyAction, uint64(f.Tap.Policy.Action))
	numberField(&p, policyMatch, uint64(f.Tap.Policy.Match))

	numberField(&m, messageType, uint64(f.Tap.Type))
	for v, transport := range transports {
		if transport == f.Transport {
			numberField(&m, socketProtocol, uint64(v))
		}
	}
	bytesField(&m, queryAddress, f.Client.AsSlice())
	bytesField(&m, responseAddress, f.Server.AsSlice())
	numberField(&m, queryPort, uint64(f.ClientPort))
	numberField(&m, responsePort, uint64(f.ServerPort))
	numberField(&m, queryTimeSec, uint64(f.Tap.QueryTime/1e9))
	m = append(m, fixed(queryTimeNsec, uint32(f.Tap.QueryTime%1e9))...)
	numberField(&m, responseTimeSec, uint64(f.Tap.ResponseTime/1e9))
	m = append(m, fixed(responseTimeNs, uint32(f.Tap.ResponseTime%1e9))...)
	bytesField(&m, queryMessage, f.Query)
	bytesField(&m, queryZone, f.Tap.Zone)
	bytesField(&m, responseMessage, f.Response)
	bytesField(&m, policy, p)
	numberField(&m, httpProtocol, uint64(f.Tap.HTTP))

	var b []byte
	bytesField(&b, identity, f.Tap.Identity)
	bytesField(&b, version, f.Tap.Version)
	bytesField(&b, extra, f.Tap.Extra)
	bytesField(&b, message, m)
	return b
}

// FuzzMessage parses any bytes. What it takes, it takes again when it is written anew.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(whole()))
	f.Add([]byte(join(text(message, join(text(queryMessage, "q"))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		var first, again Frame
		if first.Parse(b[:len(b):len(b)]) != OK {
			return
		}
		if tap := &first.Tap; tap.QueryTime < 0 || tap.ResponseTime < 0 {
			t.Errorf("times %d and %d", tap.QueryTime, tap.ResponseTime)
		}
		if v := again.Parse(encode(&first)); v != OK {
			t.Fatalf("verdict %d for what was encoded anew", v)
		}
		if diff := cmp.Diff(first, again, frames); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	in := []byte(whole())
	var f Frame
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		f.Parse(in)
	}
}
