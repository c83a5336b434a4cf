// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// travelled returns the message that carries wire from client to server over IPv4 and UDP.
func travelled(wire string) dnsmsg.Message {
	return dnsmsg.Message{
		Src: client4, Dst: server4, SrcPort: 40000, DstPort: 53, Wire: []byte(wire), Size: len(wire),
	}
}

// pathOnly compares how messages travelled and leaves their content to the tests of wire.
var pathOnly = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}),
	cmpopts.IgnoreFields(dnsmsg.Message{}, "ID", "Flags", "QD", "AN", "NS", "AR", "Questions",
		"RRs", "OPT"),
}

func TestDecode(t *testing.T) {
	over := func(change func(*dnsmsg.Message)) []dnsmsg.Message {
		m := travelled(query)
		change(&m)
		return []dnsmsg.Message{m}
	}
	on6 := func(m *dnsmsg.Message) { m.Src, m.Dst = client6, server6 }
	whole := over(func(*dnsmsg.Message) {})
	datagram := udp(40000, 53, query)
	frame := ethernet(typeIPv4, ipv4(17, datagram))
	of := func(link packet.LinkType, data []byte) packet.Packet {
		return packet.Packet{Data: data, Length: len(data), Link: link}
	}
	for _, test := range []struct {
		name   string
		packet packet.Packet
		want   []dnsmsg.Message
	}{
		{"Ethernet, IPv4, UDP", ether(frame), whole},
		{"IPv6", ether(ethernet(typeIPv6, ipv6(17, datagram))), over(on6)},
		{"padding after the datagram", ether(append(bytes.Clone(frame), "pad"...)), whole},
		{"raw IP", of(packet.LinkRaw, ipv4(17, datagram)), whole},
		{
			"time and interface are the packet's",
			packet.Packet{
				Data: frame, Length: len(frame), Link: packet.LinkEthernet,
				Time: 1e18, Interface: "eth2",
			},
			over(func(m *dnsmsg.Message) { m.Time, m.Interface = 1e18, "eth2" }),
		},
		{
			"the kernel's tag is the outermost",
			packet.Packet{
				Data: append(frame[:12:12], "\x81\x00\x00\x08\x08\x00"+string(frame[14:])...),
				Link: packet.LinkEthernet, Tag: packet.Tag{TPID: 0x88a8, TCI: 7},
			},
			over(func(m *dnsmsg.Message) { m.VLAN, m.InnerVLAN = 7, 8 }),
		},
		{
			"an extension header of IPv6",
			ether(ethernet(typeIPv6, ipv6(0, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, datagram...)))),
			over(on6),
		},
		{
			"an atomic fragment of IPv6",
			ether(ethernet(typeIPv6, ipv6(44, append([]byte{17, 0, 0, 0, 0, 0, 0, 9}, datagram...)))),
			over(on6),
		},
		{
			"the source has the port",
			ether(ethernet(typeIPv4, ipv4(17, udp(53, 40000, query)))),
			over(func(m *dnsmsg.Message) { m.SrcPort, m.DstPort = 53, 40000 }),
		},
		{
			"multicast DNS, on its port",
			ether(ethernet(typeIPv4, ipv4(17, udp(5353, 5353, query)))),
			over(func(m *dnsmsg.Message) { m.SrcPort, m.DstPort = 5353, 5353 }),
		},
		{
			"a UDP length that ends before IP does",
			ether(ethernet(typeIPv4, ipv4(17, append(bytes.Clone(datagram), "rest"...)))),
			whole,
		},
		{
			"a UDP length of 0 takes all that IPv6 carries",
			ether(ethernet(typeIPv6, ipv6(17, set(datagram, 4, 0, 0)))),
			over(on6),
		},
		{
			"a UDP length beyond IP, where the message is all there",
			ether(ethernet(typeIPv4, ipv4(17, set(datagram, 4, 0xff, 0xff)))),
			whole,
		},
		{
			"a UDP length beyond IP, where the message is not",
			ether(ethernet(typeIPv4, ipv4(17, datagram[:8+20]))),
			over(func(m *dnsmsg.Message) {
				m.Wire, m.Size = m.Wire[:20], 20
				m.Fault = dnsmsg.Fault{Reason: dnsmsg.NameTruncated, Offset: 20}
			}),
		},
		{
			"cut by the capture",
			packet.Packet{
				Data: frame[:14+20+8+20], Length: len(frame), Link: packet.LinkEthernet,
			},
			over(func(m *dnsmsg.Message) {
				m.Wire, m.Cut = m.Wire[:20], true
				m.Fault = dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: 20}
			}),
		},
		{
			"cut after the UDP header",
			packet.Packet{Data: frame[:14+20+8], Length: len(frame), Link: packet.LinkEthernet},
			over(func(m *dnsmsg.Message) {
				m.Wire, m.Cut = m.Wire[:0], true
				m.Fault = dnsmsg.Fault{Reason: dnsmsg.Cut}
			}),
		},
		{
			"too short for a header",
			ether(ethernet(typeIPv4, ipv4(17, udp(40000, 53, "x")))),
			over(func(m *dnsmsg.Message) {
				m.Wire, m.Size = []byte("x"), 1
				m.Fault = dnsmsg.Fault{Reason: dnsmsg.ShortHeader}
			}),
		},
		{
			"TCP, two messages in a segment",
			ether(ethernet(typeIPv4, ipv4(6, tcp(40000, 53, prefixed(query, query))))),
			append(over(func(m *dnsmsg.Message) { m.Transport = dnsmsg.TCP }),
				over(func(m *dnsmsg.Message) { m.Transport = dnsmsg.TCP })...),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []dnsmsg.Message
			d := newDecoder(t, func(m *dnsmsg.Message) {
				honest(t, &test.packet, m)
				c := *m
				c.Wire = bytes.Clone(m.Wire)
				got = append(got, c)
			})
			d.Decode(&test.packet)
			if diff := cmp.Diff(got, test.want, pathOnly); diff != "" {
				t.Error(diff)
			}
			if c := d.Counters(); c.Carried != 1 || c.Messages != uint64(len(test.want)) {
				t.Errorf("counters %+v", c)
			}
			balanced(t, d)
		})
	}
}

// TestTheClientOfAMessageWithoutItsFlags shortens a response, as snapshot lengths and senders do: the
// flags tell who asked and, without them, the port of DNS.
func TestTheClientOfAMessageWithoutItsFlags(t *testing.T) {
	for _, test := range []struct{ src, dst, client uint16 }{
		{53, 40000, 40000}, {40000, 53, 40000}, {53, 53, 53},
	} {
		for n := range 16 {
			for _, frame := range []packet.Packet{
				ether(ethernet(typeIPv4, ipv4(17, udp(test.src, test.dst, answer[:max(n, 1)])))),
				{Data: ethernet(typeIPv4, ipv4(17, udp(test.src, test.dst, answer)))[:14+20+8+n],
					Length: 14 + 20 + 8 + len(answer), Link: packet.LinkEthernet},
			} {
				asked, messages := test.client, 0
				d := newDecoder(t, func(m *dnsmsg.Message) {
					messages++
					if len(m.Wire) >= 4 {
						asked = test.dst // it is a response
					}
					client, port := m.Client()
					if port != asked || test.src != test.dst && (client == client4) != (port == test.src) {
						t.Errorf("%d to %d, %d bytes: %s, %d is the client", test.src, test.dst,
							len(m.Wire), client, port)
					}
				})
				d.Decode(&frame)
				if messages != 1 {
					t.Errorf("%d to %d, %d bytes: %d messages", test.src, test.dst, n, messages)
				}
			}
		}
	}
}

func TestDropReasons(t *testing.T) {
	datagram := udp(40000, 53, query)
	frame := ethernet(typeIPv4, ipv4(17, datagram))
	segment := tcp(40000, 53, prefixed(query))
	tag := "\x81\x00\x00\x01"
	on4 := func(proto uint8, payload []byte) []byte {
		return ethernet(typeIPv4, ipv4(proto, payload))
	}
	seen := make(map[Reason]bool)
	for _, test := range []struct {
		name string
		data []byte
		want Reason
	}{
		{"an empty frame", nil, LinkTruncated},
		{"half an Ethernet header", frame[:13], LinkTruncated},
		{"five tags", append(frame[:12:12], strings.Repeat(tag, 5)+"\x08\x00"...), LinkTags},
		{"ARP", ethernet(0x0806, make([]byte, 28)), NotIP},
		{"half an IP header", frame[:14+19], IPTruncated},
		{"IPv4 in a frame of IPv6", ethernet(typeIPv6, ipv4(17, datagram)), IPHeader},
		{"an extension that is not there", ethernet(typeIPv6, ipv6(43, []byte{17})), IPExtension},
		{"a query quoted by ICMP", on4(1, append(make([]byte, 8), frame[14:]...)), NotUDPTCP},
		{"a fragment without bytes", set(on4(17, nil), 14+6, 0x20), FragmentInvalid},
		{"a fragment of ICMP", set(on4(1, datagram), 14+6, 0x20), NotUDPTCP},
		{"a first fragment of other ports", set(on4(17, udp(40000, 54, query)), 14+6, 0x20), Port},
		{"a tunnel of a version that there is not", on4(47, []byte{0, 2, 8, 0}), TunnelHeader},
		{"half a UDP header", frame[:14+20+7], UDPHeader},
		{"a UDP length of 7", on4(17, set(datagram, 4, 0, 7)), UDPHeader},
		{"a UDP length of 0 in IPv4", on4(17, set(datagram, 4, 0, 0)), UDPHeader},
		{"a datagram without payload", on4(17, udp(40000, 53, "")), UDPEmpty},
		{"a UDP length of 8 before a query", on4(17, set(datagram, 4, 0, 8)), UDPEmpty},
		{"half a TCP header", on4(6, segment[:19]), TCPHeader},
		{"a TCP header of 16 bytes", on4(6, set(segment, 12, 4<<4)), TCPHeader},
		{"TCP options that are not there", on4(6, segment[:31]), TCPHeader},
		{"an acknowledgement", on4(6, segment[:32]), TCPEmpty},
		{"a reset with a text", on4(6, set(segment, 13, 0x14)), TCPEmpty},
		{"the middle of a stream", on4(6, tcp(40000, 53, "no message begins here")), TCPPartial},
		{"other ports of UDP", on4(17, udp(40000, 54, query)), Port},
		{"other ports of TCP", on4(6, tcp(443, 40000, prefixed(query))), Port},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDecoder(t, func(*dnsmsg.Message) { t.Error("a message") })
			p := ether(test.data)
			d.Decode(&p)
			want := Counters{Packets: 1}
			want.Dropped[test.want] = 1
			if diff := cmp.Diff(d.Counters(), want); diff != "" {
				t.Error(diff)
			}
			balanced(t, d)
		})
		seen[test.want] = true
	}

	d := newDecoder(t, func(*dnsmsg.Message) { t.Error("a message") })
	d.Decode(&packet.Packet{Data: frame, Link: packet.LinkType(187)})
	seen[LinkUnknown] = d.Counters().Dropped[LinkUnknown] == 1
	balanced(t, d)

	for r := OK + 1; r < NumReasons; r++ {
		if r >= TCPDuplicate && r <= TCPClosed {
			continue // TestReasonsOfStreams has them
		}
		if r == DNSTapFrame || r == DNSTapEmpty {
			continue // TestDecodeCountsDNSTapWithoutMessages has them
		}
		if r == TunnelDepth || r >= FragmentTimeout && r <= FragmentEnd {
			continue // TestTunnelsAreFollowedToADepth, TestFragmentsThatAreGivenUp
		}
		if !seen[r] {
			t.Errorf("no case for %s", r)
		}
	}
}

func TestMalformedMessagesAreEmittedAndCounted(t *testing.T) {
	head := "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
	question := "\x00\x00\x01\x00\x01"
	for want, wire := range map[dnsmsg.Reason]string{
		dnsmsg.ShortHeader:   head[:11],
		dnsmsg.NameTruncated: head + "\x07exam",
		dnsmsg.NameTooLong:   head + strings.Repeat("\x01a", 128) + question,
		dnsmsg.NameLabel:     head + "\x40" + question,
		dnsmsg.NamePointer:   head + "\xc0\xff" + question,
		dnsmsg.QuestionShort: head + question[:4],
		dnsmsg.RecordShort:   head + question + "\x00\x00\x01",
		dnsmsg.DataTruncated: head + question + "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04abc",
		dnsmsg.Cut:           "",
	} {
		t.Run(want.String(), func(t *testing.T) {
			var got []dnsmsg.Reason
			d := newDecoder(t, func(m *dnsmsg.Message) { got = append(got, m.Fault.Reason) })
			p := ether(ethernet(typeIPv4, ipv4(17, udp(53, 40000, wire))))
			if want == dnsmsg.Cut {
				p = ether(ethernet(typeIPv4, ipv4(17, udp(53, 40000, answer))))
				p.Data = p.Data[:len(p.Data)-1]
			}
			d.Decode(&p)
			if diff := cmp.Diff(got, []dnsmsg.Reason{want}); diff != "" {
				t.Error(diff)
			}
			counters := Counters{Packets: 1, Carried: 1, Messages: 1}
			counters.Malformed[want] = 1
			if diff := cmp.Diff(d.Counters(), counters); diff != "" {
				t.Error(diff)
			}
			balanced(t, d)
		})
	}
}

// TestDecodeOfEveryPrefix takes frames of each shape and shortens them byte by byte, once as a
// capture's snapshot length does and once as a broken sender would. Each prefix has memory of its
// own, so that a read past its end panics.
func TestDecodeOfEveryPrefix(t *testing.T) {
	for i, p := range shapes() {
		for n := range len(p.Data) + 1 {
			for _, length := range []int{n, len(p.Data)} {
				short := p
				short.Data, short.Length = bytes.Clone(p.Data[:n])[:n:n], length
				d := newDecoder(t, func(m *dnsmsg.Message) { honest(t, &short, m) })
				d.Decode(&short)
				balanced(t, d)
				if t.Failed() {
					t.Fatalf("shape %d, %d bytes of %d", i, n, length)
				}
			}
		}
	}
}

// shapes returns one packet of each shape that this package reads to its end.
func shapes() []packet.Packet {
	datagram, segment := udp(53, 40000, answer), tcp(53, 40000, prefixed(answer, query))
	options := append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, datagram...)
	tags := "\x88\xa8\x00\x64\x81\x00\x00\xc8\x08\x00"
	all := []packet.Packet{
		ether(ethernet(typeIPv4, ipv4(17, datagram))),
		ether(ethernet(typeIPv6, ipv6(17, datagram))),
		ether(ethernet(typeIPv4, ipv4(6, segment))),
		ether(ethernet(typeIPv6, ipv6(6, segment))),
		ether(ethernet(typeIPv6, ipv6(60, options))),
		ether(append(ethernet(0, nil)[:12], tags+string(ipv4(17, datagram))...)),
		{Link: packet.LinkRaw, Data: ipv6(17, datagram)},
		{Link: packet.LinkNull, Data: append([]byte{2, 0, 0, 0}, ipv4(17, datagram)...)},
		{Link: packet.LinkSLL, Data: append(append(make([]byte, 14), 8, 0), ipv4(17, datagram)...)},
		{Link: packet.LinkSLL2, Data: append(append([]byte{0x86, 0xdd}, make([]byte, 18)...),
			ipv6(6, segment)...)},
	}
	for _, c := range tunnelCases() {
		all = append(all, ether(c.data))
	}
	return all
}

// TestDecodeForgetsThePacketBefore decodes each shape after each other one and expects what a new
// decoder gives: all in a Message is of its own packet.
func TestDecodeForgetsThePacketBefore(t *testing.T) {
	show := func(d *Decoder, got *string, p packet.Packet) string {
		*got = ""
		p.Data = bytes.Clone(p.Data)
		d.Decode(&p)
		for i := range p.Data { // what the source does with it
			p.Data[i] = 0xaa
		}
		return *got
	}
	all := shapes()
	broken := ether(ethernet(typeIPv4, ipv4(17, udp(53, 40000, answer[:30]))))
	broken.Length += 100
	broken.Tag = packet.Tag{TPID: 0x8100, TCI: 9}
	all = append(all, broken)
	for i, first := range all {
		for j, second := range all {
			var got string
			emit := func(m *dnsmsg.Message) { got += fmt.Sprintf("%+v\n", *m) }
			d := newDecoder(t, emit)
			show(d, &got, first)
			d.streams = tcpstream.New(tcpstream.Config{}, d.fromTCP) // or it is a retransmission
			have := show(d, &got, second)
			want := show(newDecoder(t, emit), &got, second)
			if have != want {
				t.Fatalf("shape %d after %d: %s", j, i, cmp.Diff(have, want))
			}
			balanced(t, d)
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	d := newDecoder(t, func(*dnsmsg.Message) {})
	all := shapes()
	allocs := testing.AllocsPerRun(100, func() {
		for i := range all {
			d.Decode(&all[i])
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if c := d.Counters(); c.Carried+c.Dropped[TCPDuplicate] != c.Packets {
		t.Errorf("not all packets carried messages: %+v", c)
	}
	balanced(t, d)
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports []uint16
		want  string
	}{
		{"the default", DefaultConfig().Ports, ""},
		{"the highest port, twice", []uint16{65535, 65535}, ""},
		{"no port", nil, "decode: ports: none given; DNS servers listen on 53"},
		{"port 0", []uint16{53, 0}, "decode: ports: 0 is not a port; give 1 to 65535"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got string
			if _, err := New(Config{Ports: test.ports}, nil); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	cfg := DefaultConfig()
	cfg.Tunnels = []string{"vxlan", "vlan"}
	if _, err := New(cfg, nil); err == nil ||
		!strings.HasPrefix(err.Error(), `decode: tunnels: tunnel "vlan" is not known; known are all,`) {
		t.Errorf("an unknown tunnel: %v", err)
	}
	cfg = DefaultConfig()
	cfg.Defrag.Bytes = 1
	if _, err := New(cfg, nil); err == nil || !strings.HasPrefix(err.Error(), "decode: defrag: 1 bytes:") {
		t.Errorf("one byte for fragments: %v", err)
	}
}

func TestEachReasonHasItsOwnName(t *testing.T) {
	seen := make(map[string]bool)
	for r := range NumReasons {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d is called %q", r, name)
		} else {
			seen[name] = true
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bench := range []struct {
		name string
		data []byte
	}{
		{"udp4-query", ethernet(typeIPv4, ipv4(17, udp(40000, 53, query)))},
		{"udp4-answer", ethernet(typeIPv4, ipv4(17, udp(53, 40000, answer)))},
		{"udp6-answer", ethernet(typeIPv6, ipv6(17, udp(53, 40000, answer)))},
		{"tcp4-answer", ethernet(typeIPv4, ipv4(6, tcp(53, 40000, prefixed(answer))))},
		{"port", ethernet(typeIPv4, ipv4(6, tcp(443, 40000, answer)))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			d := newDecoder(b, func(*dnsmsg.Message) {})
			p := ether(bench.data)
			b.ReportAllocs()
			b.SetBytes(int64(len(p.Data)))
			const header = 14 + 20 + tcpHeader + 12
			for b.Loop() {
				d.Decode(&p)
				if bench.name == "tcp4-answer" { // the next of the stream, not the same again
					seq := p.Data[14+20+4:]
					next := binary.BigEndian.Uint32(seq) + uint32(len(p.Data)-header)
					binary.BigEndian.PutUint32(seq, next)
				}
			}
			balanced(b, d)
			if c := d.Counters(); c.Dropped[TCPDuplicate] > 0 {
				b.Error("segments were taken for retransmissions")
			}
		})
	}
}
