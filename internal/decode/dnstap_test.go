// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// field is a protobuf field: of bytes, or a number, or, below 0, a fixed32.
func field(number int, v any) []byte {
	tag := func(wire int) []byte { return binary.AppendUvarint(nil, uint64(number<<3|wire)) }
	switch v := v.(type) {
	case int:
		if v < 0 {
			return binary.LittleEndian.AppendUint32(tag(5), uint32(-v))
		}
		return binary.AppendUvarint(tag(0), uint64(v))
	case string:
		return append(binary.AppendUvarint(tag(2), uint64(len(v))), v...)
	}
	return nil
}

// reported is a packet that came by dnstap, of a Message with these fields.
func reported(fields ...[]byte) packet.Packet {
	b := append(field(1, "ns1"), field(14, string(bytes.Join(fields, nil)))...)
	return packet.Packet{Data: b, Length: len(b), Time: 9, Link: packet.LinkDNSTap}
}

// both is the exchange of query and answer, as told by the server.
func both() packet.Packet {
	return reported(field(1, 2), field(3, 3), field(4, string(client4.AsSlice())),
		field(5, string(server4.AsSlice())), field(6, 40000), field(7, 853),
		field(8, 1), field(9, -500), field(10, query),
		field(12, 2), field(13, -700), field(14, answer))
}

func TestDecodeDNSTap(t *testing.T) {
	none := netip.Addr{}
	for _, test := range []struct {
		name string
		in   packet.Packet
		want []string
	}{
		{"a query and its response", both(), []string{
			fmt.Sprint(1_000000500, " dot ", client4, 40000, " ", server4, 853, " query"),
			fmt.Sprint(2_000000700, " dot ", client4, 40000, " ", server4, 853, " response")}},
		{"a query, with the time of its arrival for want of another", reported(field(10, query)),
			[]string{fmt.Sprint(9, " unknown ", none, 0, " ", none, 0, " query")}},
		{"a response without a time of its own", reported(field(8, 1), field(14, answer)),
			[]string{fmt.Sprint(1_000000000, " unknown ", none, 0, " ", none, 0, " response")}},
		{"a query beside its response, without a time of its own",
			reported(field(10, query), field(12, 2)),
			[]string{fmt.Sprint(2_000000000, " unknown ", none, 0, " ", none, 0, " query")}},
		{"a response in the field of queries", reported(field(4, string(client4.AsSlice())),
			field(10, answer)),
			[]string{fmt.Sprint(9, " unknown ", client4, 0, " ", none, 0, " response")}},
		{"a message that is malformed", reported(field(4, string(client4.AsSlice())),
			field(14, answer[:5])),
			[]string{fmt.Sprint(9, " unknown ", client4, 0, " ", none, 0, " short_header")}},
		{"a response that ends before it says that it is one",
			reported(field(4, string(client4.AsSlice())), field(10, query[:3]), field(14, answer[:3])),
			[]string{fmt.Sprint(9, " unknown ", client4, 0, " ", none, 0, " short_header"),
				fmt.Sprint(9, " unknown ", client4, 0, " ", none, 0, " short_header")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			d := newDecoder(t, func(m *dnsmsg.Message) {
				honest(t, &test.in, m)
				client, clientPort := m.Client()
				server, serverPort := m.Server()
				kind := "query"
				if m.Response() {
					kind = "response"
				}
				if m.Fault.Reason != dnsmsg.OK {
					kind = m.Fault.Reason.String()
				}
				if m.DNSTap == nil || string(m.DNSTap.Identity) != "ns1" {
					t.Errorf("the server says %+v", m.DNSTap)
				}
				got = append(got, fmt.Sprint(m.Time, " ", m.Transport, " ", client, clientPort, " ",
					server, serverPort, " ", kind))
			})
			d.Decode(&test.in)
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Error(diff)
			}
			if c := d.Counters(); c.Carried != 1 || c.Messages != uint64(len(test.want)) {
				t.Errorf("counters %+v", c)
			}
			balanced(t, d)
		})
	}
}

func TestDecodeCountsDNSTapWithoutMessages(t *testing.T) {
	d := newDecoder(t, func(*dnsmsg.Message) { t.Error("a message") })
	broken := both()
	broken.Data = broken.Data[:len(broken.Data)-1]
	empty := reported(field(1, 2))
	d.Decode(&broken)
	d.Decode(&empty)
	c := d.Counters()
	if c.Dropped[DNSTapFrame] != 1 || c.Dropped[DNSTapEmpty] != 1 {
		t.Errorf("dropped %v", c.Dropped)
	}
	balanced(t, d)
}

// TestDNSTapAndCapturesLeaveNothingToEachOther decodes each kind after the other, and expects what
// a new decoder gives.
func TestDNSTapAndCapturesLeaveNothingToEachOther(t *testing.T) {
	type seen struct {
		Message dnsmsg.Message
		Told    bool
	}
	decode := func(packets ...packet.Packet) (last []seen) {
		d := newDecoder(t, func(m *dnsmsg.Message) {
			s := seen{*m, m.DNSTap != nil}
			s.Message.DNSTap = nil
			s.Message.Questions, s.Message.RRs = nil, nil
			last = append(last, s)
		})
		for i := range packets {
			last = nil
			d.Decode(&packets[i])
		}
		balanced(t, d)
		return last
	}
	same := cmp.Comparer(func(a, b seen) bool {
		return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
	})
	captured := ether(ethernet(0, nil)[:12])
	captured.Data = append(captured.Data, "\x81\x00\x00\x07\x08\x00"...)
	captured.Data = append(captured.Data, ipv4(17, udp(53, 40000, answer))...)
	captured.Length, captured.Interface = len(captured.Data), "eth0"
	for name, pair := range map[string][2]packet.Packet{
		"a capture after dnstap":      {both(), captured},
		"dnstap after a capture":      {captured, both()},
		"dnstap after more of dnstap": {both(), reported(field(10, query))},
	} {
		if diff := cmp.Diff(decode(pair[0], pair[1]), decode(pair[1]), same); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDecodeOfDNSTapDoesNotAllocate(t *testing.T) {
	d := newDecoder(t, func(*dnsmsg.Message) {})
	p := both()
	if allocs := testing.AllocsPerRun(100, func() { d.Decode(&p) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkDecodeDNSTap(b *testing.B) {
	d := newDecoder(b, func(*dnsmsg.Message) {})
	p := both()
	b.ReportAllocs()
	b.SetBytes(int64(len(p.Data)))
	for b.Loop() {
		d.Decode(&p)
	}
}
