// SPDX-License-Identifier: Apache-2.0

package link

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/packet"
)

const macs = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"

// Two payloads that the link layer does not look into, but for the version of raw IP.
const (
	four = "\x45four"
	six  = "\x60six"
)

func TestStrip(t *testing.T) {
	const (
		eth  = packet.LinkEthernet
		null = packet.LinkNull
		loop = packet.LinkLoop
		sll  = packet.LinkSLL
		sll2 = packet.LinkSLL2
	)
	cooked := "\x00\x00" + "\x00\x01" + "\x00\x06" + macs[:6] + "\x00\x00"
	cooked2 := "\x00\x00" + "\x00\x00\x00\x02" + "\x00\x01" + "\x00\x06" + macs[:6] + "\x00\x00"
	ip4 := Frame{Payload: []byte(four), Type: IPv4}
	ip6 := Frame{Payload: []byte(six), Type: IPv6}
	vlans := func(f Frame, outer, inner uint16) Frame {
		f.VLAN, f.InnerVLAN = outer, inner
		return f
	}
	for _, test := range []struct {
		name string
		link packet.LinkType
		tag  packet.Tag
		data string
		want Frame
	}{
		{name: "Ethernet carries IPv4", link: eth, data: macs + "\x08\x00" + four, want: ip4},
		{name: "Ethernet carries IPv6", link: eth, data: macs + "\x86\xdd" + six, want: ip6},
		{
			name: "an 802.1Q tag is the outermost and there is no innermost", link: eth,
			data: macs + "\x81\x00\x60\x64\x08\x00" + four,
			want: vlans(ip4, 100, 0),
		},
		{
			name: "802.1ad around 802.1Q", link: eth,
			data: macs + "\x88\xa8\x00\x64\x81\x00\x00\xc8\x86\xdd" + six,
			want: vlans(ip6, 100, 200),
		},
		{
			name: "three tags give the first and the last", link: eth,
			data: macs + "\x91\x00\x00\x01\x81\x00\x00\x02\x81\x00\x0f\xff\x08\x00" + four,
			want: vlans(ip4, 1, 0xfff),
		},
		{
			name: "the tag that the kernel took out is the outermost", link: eth,
			tag:  packet.Tag{TPID: 0x88a8, TCI: 0x2007},
			data: macs + "\x81\x00\x00\x08\x08\x00" + four,
			want: vlans(ip4, 7, 8),
		},
		{
			name: "a priority tag names no VLAN", link: eth,
			data: macs + "\x81\x00\xe0\x00\x81\x00\x00\x08\x08\x00" + four,
			want: vlans(ip4, 8, 0),
		},
		{
			name: "an innermost priority tag hides no VLAN", link: eth,
			data: macs + "\x88\xa8\x00\x07\x81\x00\x00\x08\x81\x00\xe0\x00\x08\x00" + four,
			want: vlans(ip4, 7, 8),
		},
		{
			name: "802.3 with LLC and SNAP", link: eth,
			data: macs + "\x00\x0d\xaa\xaa\x03\x00\x00\x00\x08\x00" + four,
			want: ip4,
		},
		{
			name: "a tag before 802.3 with LLC and SNAP", link: eth,
			data: macs + "\x81\x00\x00\x05\x00\x0c\xaa\xaa\x03\x00\x00\x00\x86\xdd" + six,
			want: vlans(ip6, 5, 0),
		},
		{
			name: "labels", link: eth, data: macs + "\x88\x47" + four,
			want: Frame{Payload: []byte(four), Type: MPLS},
		},
		{
			name: "PPPoE behind a tag", link: eth, data: macs + "\x81\x00\x00\x05\x88\x64" + four,
			want: vlans(Frame{Payload: []byte(four), Type: PPPoE}, 5, 0),
		},
		{name: "cooked version 1", link: sll, data: cooked + "\x08\x00" + four, want: ip4},
		{
			name: "a tag in cooked version 1", link: sll,
			data: cooked + "\x81\x00\x00\x05\x86\xdd" + six,
			want: vlans(ip6, 5, 0),
		},
		{
			name: "LLC in cooked version 1", link: sll,
			data: cooked + "\x00\x04\xaa\xaa\x03\x00\x00\x00\x08\x00" + four,
			want: ip4,
		},
		{name: "cooked version 2", link: sll2, data: "\x86\xdd" + cooked2 + six, want: ip6},
		{
			name: "a tag in cooked version 2", link: sll2,
			data: "\x81\x00" + cooked2 + "\x00\x05\x08\x00" + four,
			want: vlans(ip4, 5, 0),
		},
		{name: "null, little-endian", link: null, data: "\x02\x00\x00\x00" + four, want: ip4},
		{name: "null, big-endian", link: null, data: "\x00\x00\x00\x02" + four, want: ip4},
		{name: "null, IPv6 of Linux", link: null, data: "\x0a\x00\x00\x00" + six, want: ip6},
		{name: "null, IPv6 of Windows", link: null, data: "\x17\x00\x00\x00" + six, want: ip6},
		{name: "null, IPv6 of NetBSD", link: null, data: "\x00\x00\x00\x18" + six, want: ip6},
		{name: "null, IPv6 of FreeBSD", link: null, data: "\x1c\x00\x00\x00" + six, want: ip6},
		{name: "null, IPv6 of Darwin", link: null, data: "\x1e\x00\x00\x00" + six, want: ip6},
		{name: "null, Cisco HDLC", link: null, data: "\x0f\x00\x08\x00" + four, want: ip4},
		{name: "null, Cisco HDLC to all", link: null, data: "\x8f\x00\x86\xdd" + six, want: ip6},
		{name: "loop, IPv4", link: loop, data: "\x00\x00\x00\x02" + four, want: ip4},
		{name: "loop, IPv6", link: loop, data: "\x00\x00\x00\x18" + six, want: ip6},
		{name: "raw", link: packet.LinkRaw, data: four, want: ip4},
		{name: "raw of BSD", link: packet.LinkRawBSD, data: six, want: ip6},
		{name: "raw of OpenBSD", link: packet.LinkRawOBSD, data: four, want: ip4},
		{name: "raw IPv4", link: packet.LinkIPv4, data: four, want: ip4},
		{name: "raw IPv6", link: packet.LinkIPv6, data: six, want: ip6},
		{name: "IPv6 where the link type says IPv4", link: packet.LinkIPv4, data: six, want: ip6},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := packet.Packet{Data: []byte(test.data), Link: test.link, Tag: test.tag}
			test.want.Size = len(test.want.Payload)
			got := Frame{VLAN: 99, InnerVLAN: 99} // of the frame before
			if v := got.Strip(&p); v != OK {
				t.Fatalf("verdict %d", v)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Error(diff)
			}

			p.Length = len(test.data) + 1000 // the capture cut the frame
			test.want.Size += 1000
			if v := got.Strip(&p); v != OK {
				t.Fatalf("verdict %d of a cut frame", v)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Error("of a cut frame: " + diff)
			}

			// Cut inside the header it is Truncated, and nothing else.
			for n := range len(test.data) - len(test.want.Payload) {
				p.Data = []byte(test.data)[:n:n]
				if v := got.Strip(&p); v != Truncated {
					t.Errorf("verdict %d of %d bytes", v, n)
				}
			}
		})
	}
}

func TestStripRefuses(t *testing.T) {
	const (
		eth  = packet.LinkEthernet
		null = packet.LinkNull
	)
	tag := "\x81\x00\x00\x01"
	for _, test := range []struct {
		name string
		link packet.LinkType
		data string
		want Verdict
	}{
		{"ARP", eth, macs + "\x08\x06", NotIP},
		{"PPPoE discovery", eth, macs + "\x88\x63", NotIP},
		{"a tag around ARP", eth, macs + tag + "\x08\x06", NotIP},
		{"spanning tree over LLC", eth, macs + "\x00\x26\x42\x42\x03\x00\x00\x00\x00\x00", NotIP},
		{"ARP over SNAP", eth, macs + "\x00\x24\xaa\xaa\x03\x00\x00\x00\x08\x06", NotIP},
		{
			"an organization of its own over SNAP", eth,
			macs + "\x00\x24\xaa\xaa\x03\x00\x00\x0c\x08\x00", NotIP,
		},
		{"as many tags as are followed", eth, macs + strings.Repeat(tag, 4) + "\x08\x06", NotIP},
		{"one tag more", eth, macs + strings.Repeat(tag, 5) + "\x08\x00", TooManyTags},
		{"no byte of raw", packet.LinkRaw, "", Truncated},
		{"raw of an unknown version", packet.LinkRaw, "\x50", NotIP},
		{"null of another family", null, "\x07\x00\x00\x00", NotIP},
		{"null, neither a family nor Cisco HDLC", null, "\x0f\x01\x08\x00", NotIP},
		{"loop is never little-endian", packet.LinkLoop, "\x02\x00\x00\x00", NotIP},
		{"Bluetooth", packet.LinkType(187), macs + "\x08\x00" + four, Unknown},
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
