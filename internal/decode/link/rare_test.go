// SPDX-License-Identifier: Apache-2.0

package link

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/packet"
)

const snap = "\xaa\xaa\x03\x00\x00\x00"

// Parts of an 802.11 header: durations, addresses and sequence control do not matter.
const (
	wifi    = "\x00\x00" + macs + "\x02\x00\x00\x00\x00\x03" + "\x10\x00"
	wifiFor = snap + "\x08\x00" + four
)

func TestStripOfRareLinks(t *testing.T) {
	const (
		radiotap = packet.LinkRadiotap
		ppi      = packet.LinkPPI
		pktap    = packet.LinkPKTAP
	)
	ip4 := Frame{Payload: []byte(four), Type: IPv4}
	ip6 := Frame{Payload: []byte(six), Type: IPv6}
	ethernet := macs + "\x08\x00" + four
	for _, test := range []struct {
		name string
		link packet.LinkType
		data string
		want Frame
	}{
		{"PPP is left to who reads it", packet.LinkPPP, "\xff\x03\x00\x21" + four,
			Frame{Payload: []byte("\xff\x03\x00\x21" + four), Type: PPP}},
		{"Cisco HDLC where PPP may be", packet.LinkPPPSerial, "\x0f\x00\x08\x00" + four, ip4},
		{"Cisco HDLC", packet.LinkHDLC, "\x8f\x00\x86\xdd" + six, ip6},
		{"PPP with a direction", packet.LinkPPPWithDir, "\x01\x21" + four,
			Frame{Payload: []byte("\x21" + four), Type: PPP}},
		{"PPPoE without Ethernet", packet.LinkPPPEther, "\x11\x00" + four,
			Frame{Payload: []byte("\x11\x00" + four), Type: PPPoE}},
		{"MPLS without Ethernet", packet.LinkMPLS, four, Frame{Payload: []byte(four), Type: MPLS}},
		{"FDDI", packet.LinkFDDI, "\x50" + macs + snap + "\x86\xdd" + six, ip6},
		{"ARCNET of RFC 1051", packet.LinkARCNETLinux, "\x01\x02\x00\x00\xf0" + four, ip4},
		{"ARCNET of RFC 1201", packet.LinkARCNETLinux, "\x01\x02\x00\x00\xd4\x00\x00\x01" + four, ip4},
		{"netfilter's log", packet.LinkNFLOG,
			"\x02\x00\x00\x00" + "\x05\x00\x0a\x00x\x00\x00\x00" + "\x09\x00\x09\x00" + four, ip4},
		{"netfilter's log of a big-endian machine", packet.LinkNFLOG,
			"\x0a\x00\x00\x00" + "\x00\x08\x00\x01abcd" + "\x00\x08\x00\x09" + six, ip6},
		{"netfilter's log of a bridge, whose tag is nested", packet.LinkNFLOG,
			"\x07\x00\x00\x00" + "\x14\x00\x13\x80" + "\x06\x00\x01\x00\x81\x00pp" +
				"\x06\x00\x02\x00\x00\x07pp" + "\x09\x00\x09\x00" + four, ip4},
		{"the same of a big-endian machine", packet.LinkNFLOG,
			"\x07\x00\x00\x00" + "\x00\x14\x80\x13" + "\x00\x06\x00\x01\x81\x00pp" +
				"\x00\x06\x00\x02\x00\x07pp" + "\x00\x09\x00\x09" + four, ip4},
		{"PPI around Ethernet", ppi, "\x00\x00\x08\x00\x01\x00\x00\x00" + ethernet, ip4},
		{"PPI with fields around radio", ppi,
			"\x00\x00\x0c\x00\x69\x00\x00\x00abcd" + "\x08\x01" + wifi + wifiFor, ip4},
		{"PKTAP around raw IP", pktap,
			"\x10\x00\x00\x00\x01\x00\x00\x00\x65\x00\x00\x00name" + six, ip6},
		{"PKTAP in a private type", packet.LinkUser2,
			"\x0c\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00" + ethernet, ip4},
		{"802.11 to the access point", packet.Link80211, "\x08\x01" + wifi + wifiFor, ip4},
		{"802.11 with quality of service", packet.Link80211, "\x88\x02" + wifi + "\x00\x00" +
			wifiFor, ip4},
		{"802.11 between access points", packet.Link80211, "\x08\x03" + wifi + "123456" + wifiFor, ip4},
		{"802.11 with all that there is", packet.Link80211,
			"\x88\x83" + wifi + "123456" + "\x00\x00" + "htc." + wifiFor, ip4},
		{"802.11 with a tag", packet.Link80211,
			"\x08\x01" + wifi + snap + "\x81\x00\x00\x05\x86\xdd" + six,
			Frame{Payload: []byte(six), Type: IPv6, VLAN: 5}},
		{"radiotap", radiotap, "\x00\x00\x08\x00\x00\x00\x00\x00" + "\x08\x01" + wifi + wifiFor, ip4},
		{"radiotap that pads, with a time and two words of what is there", radiotap,
			"\x00\x00\x1a\x00\x03\x00\x00\x80\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "12345678" + "\x20" + "c" +
				"\x88\x02" + wifi + "\x00\x00" + "pp" + wifiFor, ip4},
		{"AVS", packet.LinkAVS, "\x80\x21\x10\x01\x00\x00\x00\x09a" + "\x08\x01" + wifi + wifiFor, ip4},
		{"Prism", packet.LinkPrism, "\x44\x00\x00\x00\x0a\x00\x00\x00ab" + "\x08\x01" + wifi +
			wifiFor, ip4},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := packet.Packet{Data: []byte(test.data), Length: len(test.data), Link: test.link}
			test.want.Size = len(test.want.Payload)
			got := Frame{VLAN: 99, InnerVLAN: 99} // of the frame before
			if v := got.Strip(&p); v != OK {
				t.Fatalf("verdict %d", v)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Error(diff)
			}
			for n := range len(test.data) - len(test.want.Payload) {
				p.Data = []byte(test.data)[:n:n]
				if v := got.Strip(&p); v != Truncated {
					t.Errorf("verdict %d of %d bytes", v, n)
				}
			}
		})
	}
}

func TestStripRefusesOfRareLinks(t *testing.T) {
	for _, test := range []struct {
		name string
		link packet.LinkType
		data string
		want Verdict
	}{
		{"ARCNET of another protocol", packet.LinkARCNETLinux, "\x01\x02\x00\x00\xd5\x00\x00\x01", NotIP},
		{"a fragment on ARCNET", packet.LinkARCNETLinux, "\x01\x02\x00\x00\xd4\x01\x00\x01" +
			four, NotIP},
		{"netfilter's log with an attribute of no length", packet.LinkNFLOG,
			"\x02\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00", Truncated},
		{"PPI around an unknown link", packet.LinkPPI, "\x00\x00\x08\x00\xbb\x00\x00\x00" +
			four, Unknown},
		{"PPI around itself", packet.LinkPPI, "\x00\x00\x08\x00\xc0\x00\x00\x00" + four, Unknown},
		{"PPI of no length", packet.LinkPPI, "\x00\x00\x00\x00\x01\x00\x00\x00" + four, NotIP},
		{"PKTAP that is no packet", packet.LinkPKTAP,
			"\x0c\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00" + four, NotIP},
		{"PKTAP around a link with a number that no link has", packet.LinkUser2,
			"\x0c\x00\x00\x00\x01\x00\x00\x00\x01\x00\x01\x00" + four, NotIP},
		{"a beacon", packet.Link80211, "\x80\x00" + wifi, NotIP},
		{"802.11 without data", packet.Link80211, "\x48\x01" + wifi, NotIP},
		{"802.11 that is encrypted", packet.Link80211, "\x08\x41" + wifi + wifiFor, NotIP},
		{"several frames in one of 802.11", packet.Link80211, "\x88\x02" + wifi + "\x80\x00" +
			wifiFor, NotIP},
		{"radiotap shorter than itself", packet.LinkRadiotap,
			"\x00\x00\x07\x00\x00\x00\x00\x00", Truncated},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f Frame
			p := packet.Packet{Data: []byte(test.data), Length: len(test.data), Link: test.link}
			if got := f.Strip(&p); got != test.want {
				t.Errorf("verdict %d, want %d", got, test.want)
			}
		})
	}
}

func TestInnerAddsToTheTags(t *testing.T) {
	outer := packet.Packet{
		Data: []byte(macs + "\x81\x00\x00\x05\x08\x00" + four), Link: packet.LinkEthernet,
	}
	for _, test := range []struct {
		name, inner string
		beyond      int
		want        Frame
	}{
		{"no tag", macs + "\x08\x00" + four, 0, Frame{Payload: []byte(four), Size: 5,
			Type: IPv4, VLAN: 5}},
		{"a tag", macs + "\x81\x00\x00\x06\x86\xdd" + six, 0,
			Frame{Payload: []byte(six), Size: 4, Type: IPv6, VLAN: 5, InnerVLAN: 6}},
		{"cut", macs + "\x88\x47" + four, 100, Frame{Payload: []byte(four), Size: 105,
			Type: MPLS, VLAN: 5}},
	} {
		var f Frame
		f.Strip(&outer)
		if v := f.Inner([]byte(test.inner), len(test.inner)+test.beyond); v != OK {
			t.Fatalf("%s: verdict %d", test.name, v)
		}
		if diff := cmp.Diff(f, test.want); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	var f Frame
	if v := f.Inner([]byte(macs), 100); v != Truncated {
		t.Errorf("verdict %d of half a frame", v)
	}
}
