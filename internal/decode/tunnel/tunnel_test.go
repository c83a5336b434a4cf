// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// What tunnels carry, as far as they look into it.
var (
	packet4 = "\x45\x00\x00\x18" + strings.Repeat("\x00", 16) + "four"
	packet6 = "\x60\x00\x00\x00\x00\x04\x11\x40" + strings.Repeat("\x00", 32) + "six."
	macs    = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"
	frame   = macs + "\x08\x00" + packet4
)

// reader reads a layer that is named in one of three ways.
type reader func(l *Layer, b []byte, size int) Verdict

func named(etherType uint16) reader {
	return func(l *Layer, b []byte, size int) Verdict { return l.EtherType(etherType, b, size) }
}

func protocol(version, proto uint8) reader {
	return func(l *Layer, b []byte, size int) Verdict { return l.IP(version, proto, b, size) }
}

func port(dst uint16) reader {
	return func(l *Layer, b []byte, size int) Verdict { return l.UDP(ByPorts(40000, dst), b, size) }
}

func layer(kind dnsmsg.Tunnel, etherType uint16, ids ...uint32) Layer {
	l := Layer{Kind: kind, Type: etherType, IDs: len(ids)}
	copy(l.ID[:], ids)
	return l
}

func TestLayers(t *testing.T) {
	gre, gtp, l2tp, teredo := protocol(4, 47), port(2152), port(1701), port(3544)
	erspan1 := layer(dnsmsg.GRE, Ethernet)
	erspan1.Inner = dnsmsg.ERSPAN1
	none := "\x00\x00\x00\x00"
	teredo6 := "\x60\x00\x00\x00\x00\x04\x11\x40" + "\x20\x01\x00\x00" + strings.Repeat("\x00",
		28) + "six."
	link6 := "\x60\x00\x00\x00\x00\x04\x3a\x40" + strings.Repeat("\x00", 16) + "\xfe\x80" +
		strings.Repeat("\x00", 14) + "six."
	for _, test := range []struct {
		name    string
		read    reader
		header  string
		payload string
		want    Layer
	}{
		{"one label around IPv4", named(0x8847), "\x00\x01\x01\x40", packet4,
			layer(dnsmsg.MPLS, IPv4, 16)},
		{"three labels around IPv6, of which the first and the last are noted", named(0x8848),
			"\x00\x01\x00\x40\x00\x02\x00\x40\xff\xff\xf1\x40", packet6,
			layer(dnsmsg.MPLS, IPv6, 16, 0xfffff)},
		{"labels in IP", protocol(4, 137), "\x00\x01\x01\x40", packet4, layer(dnsmsg.MPLS, IPv4, 16)},
		{"a pseudowire with a control word", named(0x8847), "\x00\x01\x01\x40" + none, frame,
			layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire with a sequence number", named(0x8847), "\x00\x01\x01\x40\x00\x00\x12\x34", frame,
			layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire without a control word", named(0x8847), "\x00\x01\x01\x40", frame,
			layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire of IPv6 without a control word", named(0x8847), "\x00\x01\x01\x40",
			macs + "\x86\xdd" + packet6, layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire without a control word whose address begins like IPv4", named(0x8847),
			"\x00\x01\x01\x40", "\x45" + frame[1:], layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire without a control word whose address begins like IPv6", named(0x8847),
			"\x00\x01\x01\x40", "\x60\x01\x02\x03\xff\xff" + frame[6:], layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire of 802.3 frames without a control word", named(0x8847),
			"\x00\x01\x01\x40", macs + "\x00\x20\xaa\xaa\x03\x00\x00\x00\x08\x00" + packet4,
			layer(dnsmsg.MPLS, Ethernet, 16)},
		{"a pseudowire of tagged frames without a control word", named(0x8847),
			"\x00\x01\x01\x40", macs + "\x81\x00\x00\x05\x08\x00" + packet4,
			layer(dnsmsg.MPLS, Ethernet, 16)},

		{"PPPoE around IPv4", named(0x8864), "\x11\x00\x12\x34\x00\x1a\x00\x21", packet4,
			layer(dnsmsg.PPPoE, IPv4, 0x1234)},
		{"PPPoE around IPv6", named(0x8864), "\x11\x00\x12\x34\x00\x2e\x00\x57", packet6,
			layer(dnsmsg.PPPoE, IPv6, 0x1234)},
		{"PPPoE with the protocol in one byte", named(0x8864), "\x11\x00\x12\x34\x00\x19\x21", packet4,
			layer(dnsmsg.PPPoE, IPv4, 0x1234)},
		{"PPPoE around labels", named(0x8864), "\x11\x00\x00\x00\x00\x06\x02\x81", "\x00\x01\x01\x40",
			layer(dnsmsg.PPPoE, mpls, 0)},
		{"PPP with address and control", named(0x880b), "\xff\x03\x00\x21", packet4,
			layer(dnsmsg.NoTunnel, IPv4)},
		{"PPP without them", named(0x880b), "\x57", packet6, layer(dnsmsg.NoTunnel, IPv6)},

		{"GRE around IPv4", gre, none[:2] + "\x08\x00", packet4, layer(dnsmsg.GRE, IPv4)},
		{"GRE in IPv6", protocol(6, 47), none[:2] + "\x86\xdd", packet6, layer(dnsmsg.GRE, IPv6)},
		{"GRE with a key", gre, "\x20\x00\x08\x00\x00\x00\x00\x2a", packet4, layer(dnsmsg.GRE, IPv4, 42)},
		{"GRE with checksum, key and sequence number", gre,
			"\xb0\x00\x08\x00\xab\xcd\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x01", packet4,
			layer(dnsmsg.GRE, IPv4, 42)},
		{"GRE with a checksum", gre, "\x80\x00\x08\x00\xab\xcd\x00\x00", packet4,
			layer(dnsmsg.GRE, IPv4)},
		{"GRE with a source route and a key", gre, "\x60\x00\x08\x00" + none + "\x00\x00\x00\x2a" +
			"\x08\x00\x00\x04\xc0\x00\x02\x01" + none, packet4, layer(dnsmsg.GRE, IPv4, 42)},
		{"NVGRE", gre, "\x20\x00\x65\x58\x12\x34\x56\x01", frame, layer(dnsmsg.GRE, Ethernet,
			0x12345601)},
		{"GRE around labels", gre, none[:2] + "\x88\x47", "\x00\x01\x01\x40", layer(dnsmsg.GRE, mpls)},
		{"GRE around PPP", gre, none[:2] + "\x88\x0b", "\x21" + packet4, layer(dnsmsg.GRE, ppp)},
		{"WCCP without a header", gre, none[:2] + "\x88\x3e", packet4, layer(dnsmsg.GRE, IPv4)},
		{"WCCP with a header", gre, none[:2] + "\x88\x3e\x00\x05\x00\x00", packet6,
			layer(dnsmsg.GRE, IPv6)},
		{"ERSPAN type I", gre, none[:2] + "\x88\xbe", frame, erspan1},
		{"GRE around ERSPAN type II", gre, "\x10\x00\x88\xbe" + none, "\x10", layer(dnsmsg.GRE, erspan)},
		{"GRE around ERSPAN type III", gre, "\x10\x00\x22\xeb" + none, "\x20", layer(dnsmsg.GRE,
			erspan3)},
		{"ERSPAN type II", named(0x88be), "\x10\x05\xfc\x07" + none, frame,
			layer(dnsmsg.ERSPAN2, Ethernet, 7)},
		{"ERSPAN type III", named(0x22eb), "\x20\x05\x03\xff" + none + "\x00\x01\x00\x00", frame,
			layer(dnsmsg.ERSPAN3, Ethernet, 0x3ff)},
		{"ERSPAN type III with 8 bytes more", named(0x22eb),
			"\x20\x05\x00\x07" + none + "\x00\x01\x00\x01" + none + none, frame,
			layer(dnsmsg.ERSPAN3, Ethernet, 7)},
		{"ERSPAN type III around IP", named(0x22eb), "\x20\x05\x00\x07" + none +
			"\x00\x01\x08\x00", packet6,
			layer(dnsmsg.ERSPAN3, IPv6, 7)},
		{"PPTP", gre, "\x30\x01\x88\x0b\x00\x1c\x12\x34" + none + "\xff\x03\x00\x21", packet4,
			layer(dnsmsg.PPTP, IPv4, 0x1234)},
		{"PPTP with an acknowledgement", gre,
			"\x30\x81\x88\x0b\x00\x19\x12\x34" + none + none + "\x21", packet4,
			layer(dnsmsg.PPTP, IPv4, 0x1234)},

		{"IPv4 in IPv4", protocol(4, 4), "", packet4, layer(dnsmsg.IPIP, IPv4)},
		{"IPv6 in IPv4", protocol(4, 41), "", packet6, layer(dnsmsg.SixInFour, IPv6)},
		{"IPv4 in IPv6", protocol(6, 4), "", packet4, layer(dnsmsg.FourInSix, IPv4)},
		{"IPv6 in IPv6", protocol(6, 41), "", packet6, layer(dnsmsg.SixInSix, IPv6)},
		{"EtherIP", protocol(4, 97), "\x30\x00", frame, layer(dnsmsg.EtherIP, Ethernet)},

		{"VXLAN", port(4789), "\x08\x00\x00\x00\x12\x34\x56\x00", frame,
			layer(dnsmsg.VXLAN, Ethernet, 0x123456)},
		{"VXLAN on the port of Linux", port(8472), "\x08\x00\x00\x00\x00\x00\x00\x00", frame,
			layer(dnsmsg.VXLAN, Ethernet, 0)},
		{"VXLAN with a group policy", port(4789), "\x88\x08\x12\x34\x00\x00\x01\x00", frame,
			layer(dnsmsg.VXLAN, Ethernet, 1)},
		{"VXLAN-GPE around a frame", port(4790), "\x0c\x00\x00\x03\x00\x00\x01\x00", frame,
			layer(dnsmsg.VXLANGPE, Ethernet, 1)},
		{"VXLAN-GPE around IPv4", port(4790), "\x0c\x00\x00\x01\x00\x00\x01\x00", packet4,
			layer(dnsmsg.VXLANGPE, IPv4, 1)},
		{"VXLAN-GPE around IPv6, without its flag", port(4790),
			"\x08\x00\x00\x02\x00\x00\x01\x00", packet6,
			layer(dnsmsg.VXLANGPE, IPv6, 1)},
		{"VXLAN-GPE around labels", port(4790), "\x0c\x00\x00\x05\x00\x00\x01\x00", "\x00\x01\x01\x40",
			layer(dnsmsg.VXLANGPE, mpls, 1)},
		{"VXLAN on the port of VXLAN-GPE", port(4790), "\x08\x00\x00\x00\x00\x00\x01\x00", frame,
			layer(dnsmsg.VXLANGPE, Ethernet, 1)},
		{"GENEVE", port(6081), "\x00\x00\x65\x58\x00\x00\x2a\x00", frame,
			layer(dnsmsg.GENEVE, Ethernet, 42)},
		{"GENEVE around IPv4 with options", port(6081), "\x02\x40\x08\x00\x00\x00\x2a\x00" +
			none + none, packet4,
			layer(dnsmsg.GENEVE, IPv4, 42)},
		{"GTP-U", gtp, "\x30\xff\x00\x18\x00\x00\x00\x2a", packet4, layer(dnsmsg.GTP, IPv4, 42)},
		{"GTP-U with a sequence number", gtp, "\x32\xff\x00\x30\xff\xff\xff\xff\x00\x01\x00\x85", packet6,
			layer(dnsmsg.GTP, IPv6, 0xffffffff)},
		{"GTP-U with two extension headers", gtp,
			"\x34\xff\x00\x28\x00\x00\x00\x2a" + "\x00\x00\x00\x85" + "\x01\x10\x01\xc0" +
				"\x02\x00\x00\x00\x00\x00\x00\x00", packet4, layer(dnsmsg.GTP, IPv4, 42)},
		{"L2TP", l2tp, "\x00\x02\x00\x07\x00\x09\x00\x21", packet4, layer(dnsmsg.L2TP, IPv4, 7<<16|9)},
		{"L2TP with all that it can have", l2tp,
			"\x4a\x02\x00\x2e\x00\x07\x00\x09\x00\x01\x00\x02\x00\x04" + none + "\xff\x03\x00\x21", packet4,
			layer(dnsmsg.L2TP, IPv4, 7<<16|9)},
		{"TZSP", port(37008), "\x01\x00\x00\x01\x01", frame, layer(dnsmsg.TZSP, Ethernet)},
		{"TZSP to be sent, with fields", port(37008),
			"\x01\x01\x00\x01\x00\x0a\x02\xab\xcd\x28\x00\x01", frame,
			layer(dnsmsg.TZSP, Ethernet)},
		{"Teredo", teredo, "", teredo6, layer(dnsmsg.Teredo, IPv6)},
		{"Teredo to a link-local address", teredo, "", link6, layer(dnsmsg.Teredo, IPv6)},
		{"Teredo with an origin", teredo, none + none, teredo6, layer(dnsmsg.Teredo, IPv6)},
		{"Teredo with authentication and origin", teredo,
			"\x00\x01\x01\x02id!" + none + none + "\x00" + none + none, teredo6 + "",
			layer(dnsmsg.Teredo, IPv6)},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := []byte(test.header + test.payload)
			test.want.Payload, test.want.Size = []byte(test.payload), len(test.payload)
			got := Layer{Inner: 99, IDs: 2, ID: [2]uint32{8, 9}} // of the packet before
			if v := test.read(&got, data, len(data)); v != OK {
				t.Fatalf("verdict %d", v)
			}
			clear(got.ID[got.IDs:])
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Error(diff)
			}

			// No shorter one panics; each prefix has memory of its own. Inside the header it is
			// never read as whole, but where the payload begins with zeros as the header ends.
			for n := range data {
				short := bytes.Clone(data[:n])[:n:n]
				if v := test.read(&got, short, n); v == OK && n < len(test.header) {
					t.Errorf("%d bytes were taken for a whole header", n)
				}
				test.read(&got, short, len(data))
				if len(got.Payload) > n || got.Size > len(data) || got.Size < len(got.Payload) {
					t.Errorf("%d bytes of %d: %d bytes of payload, size %d",
						n, len(data), len(got.Payload), got.Size)
				}
			}
		})
	}
}

func TestLengthFieldsCutThePadding(t *testing.T) {
	for name, test := range map[string]struct {
		read reader
		data string
	}{
		"PPPoE": {named(0x8864), "\x11\x00\x12\x34\x00\x1a\x00\x21"},
		"PPTP":  {protocol(4, 47), "\x30\x01\x88\x0b\x00\x1a\x12\x34\x00\x00\x00\x00\x00\x21"},
		"GTP-U": {port(2152), "\x30\xff\x00\x18\x00\x00\x00\x2a"},
		"L2TP":  {port(1701), "\x40\x02\x00\x22\x00\x07\x00\x09\x00\x21"},
	} {
		data := []byte(test.data + packet4 + "padding")
		var l Layer
		if v := test.read(&l, data, len(data)); v != OK || string(l.Payload) != packet4 || l.Size != 24 {
			t.Errorf("%s: verdict %d, %q, size %d", name, v, l.Payload, l.Size)
		}
	}
}

func TestWhatIsNoTunnelOrABrokenOne(t *testing.T) {
	gre := protocol(4, 47)
	for _, test := range []struct {
		name string
		read reader
		data string
		want Verdict
	}{
		{"an EtherType of none", named(0x0806), frame, NotTunnel},
		{"a protocol of none", protocol(4, 1), packet4, NotTunnel},
		{"a port of none", port(443), "\x08\x00\x00\x00\x00\x00\x01\x00" + frame, NotTunnel},
		{"labels without an end", named(0x8847), strings.Repeat("\x00\x01\x00\x40", 17), Header},
		{"labels that are cut", named(0x8847), "\x00\x01\x00\x40\x00", Truncated},
		{"labels around nothing", named(0x8847), "\x00\x01\x01\x40", Truncated},
		{"an associated channel", named(0x8847), "\x00\x00\xd1\x40\x10\x00\x00\x21", NotIP},
		{"half an IPv4 packet below labels", named(0x8847), "\x00\x01\x01\x40\x45\x00", OK},
		{"PPPoE of another version", named(0x8864), "\x12\x00\x12\x34\x00\x18\x00\x21" + packet4, Header},
		{"PPPoE that is not data", named(0x8864), "\x11\x09\x12\x34\x00\x18\x00\x21" + packet4, Header},
		{"PPPoE around nothing", named(0x8864), "\x11\x00\x12\x34\x00\x00\x00\x21", Truncated},
		{"PPP control", named(0x880b), "\xc0\x21\x01\x01\x00\x04", NotIP},
		{"GRE with a source route without its end", gre,
			"\x40\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x04\xc0\x00\x02\x01\x00\x00\x00", Truncated},
		{"GRE with a source route that is too short", gre,
			"\x40\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x04\xc0\x00\x02", Truncated},
		{"GRE of version 2", gre, "\x00\x02\x08\x00" + packet4, Header},
		{"GRE around CDP", gre, "\x00\x00\x20\x00" + packet4, NotIP},
		{"WCCP around neither", gre, "\x00\x00\x88\x3e\x00\x00\x00\x00\x10", NotIP},
		{"ERSPAN of type III where II should be", named(0x88be),
			"\x20\x05\x00\x07\x00\x00\x00\x00", Header},
		{"ERSPAN of type II where III should be", named(0x22eb),
			"\x10\x05\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00", Header},
		{"ERSPAN type III around neither", named(0x22eb),
			"\x20\x05\x00\x07\x00\x00\x00\x00\x00\x00\x04\x00" + frame, NotIP},
		{"PPTP without a key", gre, "\x10\x01\x88\x0b\x00\x1c\x12\x34\x00\x00\x00\x00\x21" +
			packet4, Header},
		{"PPTP of no PPP", gre, "\x30\x01\x08\x00\x00\x1c\x12\x34\x00\x00\x00\x00\x21" + packet4, Header},
		{"PPTP that only acknowledges", gre, "\x20\x81\x88\x0b\x00\x00\x12\x34\x00\x00\x00\x00", NotIP},
		{"PPTP that is encrypted", gre,
			"\x30\x01\x88\x0b\x00\x1c\x12\x34\x00\x00\x00\x00\xfd\x90", NotIP},
		{"EtherIP of another version", protocol(4, 97), "\x40\x00" + frame, Header},

		{"VXLAN without a valid id", port(4789), "\x00\x00\x00\x00\x00\x00\x01\x00" + frame, NotTunnel},
		{"VXLAN-GPE of another version", port(4790), "\x1c\x00\x00\x03\x00\x00\x01\x00" + frame,
			NotTunnel},
		{"VXLAN-GPE around a service header", port(4790), "\x0c\x00\x00\x04\x00\x00\x01\x00" +
			frame, NotTunnel},
		{"GENEVE of another version", port(6081), "\x40\x00\x65\x58\x00\x00\x2a\x00" + frame, NotTunnel},
		{"GENEVE around something else", port(6081), "\x00\x00\x08\x06\x00\x00\x2a\x00" + frame,
			NotTunnel},
		{"GENEVE whose options are not there", port(6081), "\x3f\x00\x65\x58\x00\x00\x2a\x00", NotTunnel},
		{"GTP of version 2", port(2152), "\x48\xff\x00\x18\x00\x00\x00\x2a" + packet4, NotTunnel},
		{"GTP' on the port", port(2152), "\x20\xff\x00\x18\x00\x00\x00\x2a" + packet4, NotTunnel},
		{"a GTP-U echo", port(2152), "\x32\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00", NotTunnel},
		{"GTP-U that is longer than the datagram", port(2152),
			"\x30\xff\x00\x19\x00\x00\x00\x2a" + packet4, NotTunnel},
		{"GTP-U with an extension header of no length", port(2152),
			"\x34\xff\x00\x20\x00\x00\x00\x2a\x00\x00\x00\x85\x00\x00\x00\x00" + packet4, NotTunnel},
		{"GTP-U around neither", port(2152), "\x30\xff\x00\x01\x00\x00\x00\x2a\x10", NotTunnel},
		{"L2TP control", port(1701), "\xc8\x02\x00\x0c\x00\x07\x00\x00\x00\x00\x00\x00", NotTunnel},
		{"L2TP of version 3", port(1701), "\x00\x03\x00\x00\x00\x00\x00\x09\x00\x21" + packet4,
			NotTunnel},
		{"L2TP with an impossible length", port(1701),
			"\x40\x02\xff\xff\x00\x07\x00\x09\x00\x21" + packet4, NotTunnel},
		{"L2TP with an offset beyond the end", port(1701),
			"\x02\x02\x00\x07\x00\x09\xff\xff\x00\x21" + packet4, NotTunnel},
		{"TZSP of version 2", port(37008), "\x02\x00\x00\x01\x01" + frame, NotTunnel},
		{"TZSP that keeps alive", port(37008), "\x01\x04\x00\x00\x01", NotTunnel},
		{"TZSP around radio", port(37008), "\x01\x00\x00\x12\x01" + frame, NotTunnel},
		{"TZSP without an end", port(37008), "\x01\x00\x00\x01\x00\x00", NotTunnel},
		{"TZSP with a field beyond the end", port(37008), "\x01\x00\x00\x01\x0a\xff\x01", NotTunnel},
		{"IPv6 on the port of Teredo between other addresses", port(3544), packet6, NotTunnel},
		{"Teredo that is longer than the datagram", port(3544),
			"\x60\x00\x00\x00\x00\x05\x11\x40\x20\x01\x00\x00" + strings.Repeat("\x00", 28) +
				"six.", NotTunnel},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l Layer
			data := []byte(test.data)
			if v := test.read(&l, data, len(data)); v != test.want {
				t.Errorf("verdict %d, want %d", v, test.want)
			}
		})
	}
}

func TestPortsAndKindsAgree(t *testing.T) {
	known := make(map[uint16]dnsmsg.Tunnel)
	for kind := range dnsmsg.NumTunnels {
		for _, p := range kind.Ports() {
			known[p] = kind
		}
	}
	for p := range 1 << 16 {
		p := uint16(p)
		if got := ByPorts(1, p); got != known[p] {
			t.Errorf("to port %d: %v, want %v", p, got, known[p])
		}
		if got := ByPorts(p, 1); got != known[p] {
			t.Errorf("from port %d: %v, want %v", p, got, known[p])
		}
	}
	if got := ByPorts(4789, 6081); got != dnsmsg.GENEVE {
		t.Errorf("the destination does not come first: %v", got)
	}
}

func TestByProtoAgreesWithIP(t *testing.T) {
	data := bytes.Repeat([]byte{0x45}, 64)
	for _, version := range []uint8{4, 6} {
		for proto := range 1 << 8 {
			var l Layer
			v := l.IP(version, uint8(proto), data, len(data))
			if got := ByProto(version, uint8(proto)); (got == dnsmsg.NoTunnel) != (v == NotTunnel) ||
				v == OK && got != l.Kind {
				t.Errorf("IPv%d, protocol %d: %v, but verdict %d and %v", version, proto, got, v, l.Kind)
			}
		}
	}
}

func FuzzLayer(f *testing.F) {
	f.Add(uint8(0), uint16(0x8847), uint16(0), []byte("\x00\x01\x01\x40"+packet4))
	f.Add(uint8(1), uint16(47), uint16(0),
		[]byte("\x30\x00\x65\x58\x00\x00\x00\x01\x00\x00\x00\x01"+frame))
	f.Add(uint8(2), uint16(2152), uint16(9),
		[]byte("\x34\xff\x00\x20\x00\x00\x00\x2a\x00\x00\x00\x85\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, how uint8, what, beyond uint16, data []byte) {
		read := named(what)
		switch how % 4 {
		case 1:
			read = protocol(4, uint8(what))
		case 2:
			read = protocol(6, uint8(what))
		case 3:
			read = port(what)
		}
		var l Layer
		size := len(data) + int(beyond)
		if read(&l, data[:len(data):len(data)], size) != OK {
			return
		}
		if l.Size < len(l.Payload) || l.Size > size || l.Size > len(l.Payload) && beyond == 0 {
			t.Errorf("%d bytes, size %d of %d", len(l.Payload), l.Size, size)
		}
		if l.Kind >= dnsmsg.NumTunnels || l.IDs < 0 || l.IDs > len(l.ID) || l.Type == 0 {
			t.Errorf("%+v", l)
		}
	})
}
