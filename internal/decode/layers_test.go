// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// The ends of tunnels.
var (
	near4 = netip.MustParseAddr("203.0.113.7")
	far4  = netip.MustParseAddr("203.0.113.9")
	near6 = netip.MustParseAddr("2001:db8:ffff::7")
	far6  = netip.MustParseAddr("2001:db8:ffff::9")
)

// between puts an IP header with the ends of a tunnel around payload.
func between(proto uint8, payload []byte) []byte {
	b := ipv4(proto, payload)
	copy(b[12:], near4.AsSlice())
	copy(b[16:], far4.AsSlice())
	return b
}

func between6(proto uint8, payload []byte) []byte {
	b := ipv6(proto, payload)
	copy(b[8:], near6.AsSlice())
	copy(b[24:], far6.AsSlice())
	return b
}

// behind puts a header before payload.
func behind(header string, payload []byte) []byte { return append([]byte(header), payload...) }

// overUDP puts a tunnel's header before payload and sends it to a port.
func overUDP(port uint16, header string, payload []byte) []byte {
	return between(17, udp(49152, port, string(behind(header, payload))))
}

// session wraps payload for PPPoE, which has a length.
func session(payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x11, 0, 0, 3}, uint16(len(payload)))
	return append(b, payload...)
}

// gpdu wraps payload for GTP-U, which has a length.
func gpdu(payload []byte) string {
	b := binary.BigEndian.AppendUint16([]byte{0x30, 0xff}, uint16(len(payload)))
	return string(append(append(b, 0, 0, 0, 42), payload...))
}

// tunnelCase is one query in one packet.
type tunnelCase struct {
	name string
	data []byte
	want func(*dnsmsg.Message)
}

func tunnelCases() []tunnelCase {
	datagram := udp(40000, 53, query)
	inner, inner6 := ipv4(17, datagram), ipv6(17, datagram)
	frame := ethernet(typeIPv4, inner)
	tagged := behind(string(frame[:12])+"\x81\x00\x00\x08\x08\x00", inner)
	on4 := func(payload []byte) []byte { return ethernet(typeIPv4, payload) }
	through := func(kinds ...dnsmsg.Tunnel) func(*dnsmsg.Message) {
		return func(m *dnsmsg.Message) {
			m.Tunnel.Count = uint8(copy(m.Tunnel.Kinds[:], kinds))
			m.TunnelSrc, m.TunnelDst = near4, far4
		}
	}
	with := func(changes ...func(*dnsmsg.Message)) func(*dnsmsg.Message) {
		return func(m *dnsmsg.Message) {
			for _, change := range changes {
				change(m)
			}
		}
	}
	id := func(outer uint32, inner ...uint32) func(*dnsmsg.Message) {
		return func(m *dnsmsg.Message) {
			m.TunnelID = dnsmsg.TunnelID{Value: outer, Known: true}
			for _, v := range inner {
				m.InnerTunnelID = dnsmsg.TunnelID{Value: v, Known: true}
			}
		}
	}
	ends6 := func(m *dnsmsg.Message) { m.TunnelSrc, m.TunnelDst = near6, far6 }
	noEnds := func(m *dnsmsg.Message) { m.TunnelSrc, m.TunnelDst = netip.Addr{}, netip.Addr{} }
	on6 := func(m *dnsmsg.Message) { m.Src, m.Dst = client6, server6 }
	vlans := func(outer, inner uint16) func(*dnsmsg.Message) {
		return func(m *dnsmsg.Message) { m.VLAN, m.InnerVLAN = outer, inner }
	}
	vxlan := "\x08\x00\x00\x00\x00\x00\x2a\x00"
	return []tunnelCase{
		{"MPLS", ethernet(0x8847, behind("\x00\x01\x00\x40\x00\x02\x01\x40", inner)),
			with(through(dnsmsg.MPLS), id(16, 32), noEnds)},
		{"a pseudowire of MPLS", ethernet(0x8847, behind("\x00\x01\x01\x40\x00\x00\x00\x00", tagged)),
			with(through(dnsmsg.MPLS), id(16), noEnds, vlans(8, 0))},
		{"PPPoE", ethernet(0x8864, session(behind("\x00\x57", inner6))),
			with(through(dnsmsg.PPPoE), id(3), noEnds, on6)},
		{"GRE with a key", on4(between(47, behind("\x20\x00\x08\x00\x00\x00\x00\x2a", inner))),
			with(through(dnsmsg.GRE), id(42))},
		{"GRE in IPv6", ethernet(typeIPv6, between6(47, behind("\x00\x00\x86\xdd", inner6))),
			with(through(dnsmsg.GRE), ends6, on6)},
		{"NVGRE", on4(between(47, behind("\x20\x00\x65\x58\x00\x00\x2a\x07", frame))),
			with(through(dnsmsg.GRE), id(0x2a07))},
		{"ERSPAN type I", on4(between(47, behind("\x00\x00\x88\xbe", frame))),
			through(dnsmsg.GRE, dnsmsg.ERSPAN1)},
		{"ERSPAN type II", on4(between(47, behind("\x10\x00\x88\xbe\x00\x00\x00\x01"+
			"\x10\x05\x00\x07\x00\x00\x00\x00", frame))), with(through(dnsmsg.GRE, dnsmsg.ERSPAN2), id(7))},
		{"ERSPAN type III", on4(between(47, behind("\x10\x00\x22\xeb\x00\x00\x00\x01"+
			"\x20\x05\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00", frame))),
			with(through(dnsmsg.GRE, dnsmsg.ERSPAN3), id(7))},
		{"PPTP", on4(between(47, behind("\x30\x01\x88\x0b\x00\x80\x00\x09\x00\x00\x00\x01\x21", inner))),
			with(through(dnsmsg.PPTP), id(9))},
		{"GRE around PPP around MPLS", on4(between(47,
			behind("\x00\x00\x88\x0b\x02\x81\x00\x01\x01\x40", inner))),
			with(through(dnsmsg.GRE, dnsmsg.MPLS), id(16))},
		{"VXLAN", on4(overUDP(4789, vxlan, frame)), with(through(dnsmsg.VXLAN), id(42))},
		{"VXLAN with tags outside and inside", ethernet(0x8100, behind("\x00\x07\x08\x00",
			overUDP(4789, vxlan, tagged))), with(through(dnsmsg.VXLAN), id(42), vlans(7, 8))},
		{"GENEVE with options", on4(overUDP(6081, "\x01\x00\x65\x58\x00\x00\x2a\x00opts", frame)),
			with(through(dnsmsg.GENEVE), id(42))},
		{"IPv4 in IPv4", on4(between(4, inner)), through(dnsmsg.IPIP)},
		{"IPv6 in IPv4", on4(between(41, inner6)), with(through(dnsmsg.SixInFour), on6)},
		{"IPv4 in IPv6", ethernet(typeIPv6, between6(4, inner)), with(through(dnsmsg.FourInSix), ends6)},
		{"IPv6 in IPv6", ethernet(typeIPv6, between6(41, inner6)),
			with(through(dnsmsg.SixInSix), ends6, on6)},
		{"an authentication header around a tunnel", on4(between(51, behind("\x04\x01"+
			strings.Repeat("a", 10), inner))), through(dnsmsg.IPIP)},
		{"EtherIP", on4(between(97, behind("\x30\x00", frame))), through(dnsmsg.EtherIP)},
		{"GTP-U", on4(overUDP(2152, gpdu(inner6), nil)), with(through(dnsmsg.GTP), id(42), on6)},
		{"L2TP", on4(overUDP(1701, "\x00\x02\x00\x07\x00\x09\x00\x21", inner)),
			with(through(dnsmsg.L2TP), id(7<<16|9))},
		{"TZSP", on4(overUDP(37008, "\x01\x00\x00\x01\x01", frame)), through(dnsmsg.TZSP)},
		{"the innermost of five tunnels", ethernet(0x8847, behind("\x00\x01\x01\x40",
			overUDP(4789, vxlan, ethernet(typeIPv4, between(47, behind("\x10\x00\x88\xbe\x00\x00\x00\x01"+
				"\x10\x05\x00\x07\x00\x00\x00\x00", ethernet(typeIPv4, ipv4(4, inner)))))))),
			with(through(dnsmsg.MPLS, dnsmsg.VXLAN, dnsmsg.GRE, dnsmsg.ERSPAN2, dnsmsg.IPIP), id(16, 7))},
	}
}

func TestDecodeLooksIntoTunnels(t *testing.T) {
	seen := make(map[dnsmsg.Tunnel]bool)
	for _, test := range tunnelCases() {
		t.Run(test.name, func(t *testing.T) {
			want := travelled(query)
			test.want(&want)
			p := ether(test.data)
			var got []dnsmsg.Message
			d := newDecoder(t, func(m *dnsmsg.Message) {
				honest(t, &p, m)
				c := *m
				c.Wire = bytes.Clone(m.Wire)
				got = append(got, c)
			})
			d.Decode(&p)
			if diff := cmp.Diff(got, []dnsmsg.Message{want}, pathOnly); diff != "" {
				t.Error(diff)
			}
			var layers [dnsmsg.NumTunnels]uint64
			for _, kind := range want.Tunnel.All() {
				layers[kind]++
				seen[kind] = true
			}
			if c := d.Counters(); c.Tunnels != layers || c.Carried != 1 {
				t.Errorf("counters %+v", c)
			}
			balanced(t, d)
		})
	}
	for kind := dnsmsg.NoTunnel + 1; kind < dnsmsg.NumTunnels; kind++ {
		// These two differ from others in their header alone, which package tunnel tests.
		if !seen[kind] && kind != dnsmsg.VXLANGPE && kind != dnsmsg.Teredo {
			t.Errorf("no case for %s", kind)
		}
	}
}

func TestTunnelsThatAreNotAskedForAreNotLookedInto(t *testing.T) {
	for _, test := range tunnelCases() {
		for _, known := range [][]string{nil, {"tzsp", "gre"}} {
			cfg := DefaultConfig()
			cfg.Tunnels = known
			want := travelled(query)
			test.want(&want)
			asked := true
			for _, kind := range want.Tunnel.All() {
				asked = asked && slices.Contains(known, kind.String())
			}
			messages := 0
			d, err := New(cfg, func(*dnsmsg.Message) { messages++ })
			if err != nil {
				t.Fatal(err)
			}
			p := ether(test.data)
			d.Decode(&p)
			c := d.Counters()
			unseen := c.Dropped[NotIP] + c.Dropped[NotUDPTCP] + c.Dropped[Port]
			if (messages == 1) != asked || (unseen == 1) == asked {
				t.Errorf("%s, %v known: %d messages, %+v", test.name, known, messages, c)
			}
			balanced(t, d)
		}
	}
}

func TestAPortOfDNSIsNoTunnel(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Ports = []uint16{4789}
	inner := ethernet(typeIPv4, ipv4(17, udp(40000, 4789, query)))
	p := ether(ethernet(typeIPv4, overUDP(4789, "\x08\x00\x00\x00\x00\x00\x2a\x00", inner)))
	var got []dnsmsg.Message
	d, err := New(cfg, func(m *dnsmsg.Message) { got = append(got, *m) })
	if err != nil {
		t.Fatal(err)
	}
	d.Decode(&p)
	if len(got) != 1 || got[0].Src != near4 || got[0].Tunnel.Count != 0 {
		t.Errorf("%+v", got)
	}
}

func TestADatagramWithThePortAloneIsNoTunnel(t *testing.T) {
	for _, port := range []uint16{4789, 6081, 2152, 1701, 37008, 3544} {
		d := newDecoder(t, func(*dnsmsg.Message) { t.Error("a message") })
		p := ether(ethernet(typeIPv4, ipv4(17, udp(port, 443,
			"\xc3 something else that is long enough"))))
		d.Decode(&p)
		if c := d.Counters(); c.Dropped[Port] != 1 {
			t.Errorf("port %d: %+v", port, c)
		}
	}
}

func TestTunnelsAreFollowedToADepth(t *testing.T) {
	inner := ipv4(17, udp(40000, 53, query))
	for n := 1; n <= dnsmsg.MaxTunnels+1; n++ {
		inner = between(4, inner)
		var depth uint8
		d := newDecoder(t, func(m *dnsmsg.Message) { depth = m.Tunnel.Count })
		p := packet.Packet{Data: inner, Link: packet.LinkRaw}
		d.Decode(&p)
		want := Counters{Packets: 1, Carried: 1, Messages: 1}
		want.Tunnels[dnsmsg.IPIP] = uint64(min(n, dnsmsg.MaxTunnels))
		if n > dnsmsg.MaxTunnels {
			want.Carried, want.Messages = 0, 0
			want.Dropped[TunnelDepth] = 1
		} else if int(depth) != n {
			t.Errorf("%d tunnels, %d noted", n, depth)
		}
		if diff := cmp.Diff(d.Counters(), want); diff != "" {
			t.Errorf("%d tunnels: %s", n, diff)
		}
	}
}

// TestAPacketThatFailsInATunnelHasTheReasonOfThatLayer takes what TestDropReasons has and puts it
// into a tunnel.
func TestAPacketThatFailsInATunnelHasTheReasonOfThatLayer(t *testing.T) {
	datagram := udp(40000, 53, query)
	frame := ethernet(typeIPv4, ipv4(17, datagram))
	for _, test := range []struct {
		name string
		data []byte
		want Reason
	}{
		{"half a frame", frame[:13], LinkTruncated},
		{"five tags", append(frame[:12:12], strings.Repeat("\x81\x00\x00\x01",
			5)+"\x08\x00"...), LinkTags},
		{"ARP", ethernet(0x0806, make([]byte, 28)), NotIP},
		{"half an IP header", frame[:14+19], IPTruncated},
		{"IPv4 in a frame of IPv6", ethernet(typeIPv6, ipv4(17, datagram)), IPHeader},
		{"an extension that is not there", ethernet(typeIPv6, ipv6(43, []byte{17})), IPExtension},
		{"ICMP", ethernet(typeIPv4, ipv4(1, datagram)), NotUDPTCP},
		{"half a UDP header", frame[:14+20+7], UDPHeader},
		{"other ports", ethernet(typeIPv4, ipv4(17, udp(40000, 54, query))), Port},
		{"a broken tunnel", ethernet(typeIPv4, ipv4(47, []byte{0, 2, 8, 0})), TunnelHeader},
	} {
		d := newDecoder(t, func(*dnsmsg.Message) { t.Error("a message") })
		p := ether(ethernet(typeIPv4, overUDP(4789, "\x08\x00\x00\x00\x00\x00\x2a\x00", test.data)))
		d.Decode(&p)
		want := Counters{Packets: 1}
		want.Dropped[test.want] = 1
		want.Tunnels[dnsmsg.VXLAN] = 1
		if diff := cmp.Diff(d.Counters(), want); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
