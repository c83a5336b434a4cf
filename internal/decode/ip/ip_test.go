// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	src4 = netip.MustParseAddr("192.0.2.1")
	dst4 = netip.MustParseAddr("198.51.100.53")
	src6 = netip.MustParseAddr("2001:db8::1")
	dst6 = netip.MustParseAddr("2001:db8::53")
)

// v4 returns an IPv4 packet with the options given, whose length field is right.
func v4(proto uint8, options, payload string) []byte {
	b := []byte{byte(4<<4 | (5 + len(options)/4)), 0}
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(options)+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, proto, 0, 0)
	b = append(b, src4.AsSlice()...)
	b = append(b, dst4.AsSlice()...)
	return append(append(b, options...), payload...)
}

// v6 returns an IPv6 packet whose length field is right.
func v6(next uint8, payload string) []byte {
	b := []byte{6 << 4, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, next, 64)
	b = append(b, src6.AsSlice()...)
	b = append(b, dst6.AsSlice()...)
	return append(b, payload...)
}

// set returns b with the bytes at offset o replaced.
func set(b []byte, o int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[o:], with)
	return b
}

func parse(p *Packet, version uint8, b []byte, size int) Verdict {
	if version == 4 {
		return p.Parse4(b, size)
	}
	return p.Parse6(b, size)
}

func TestParse(t *testing.T) {
	pad := strings.Repeat("\x00", 6)
	for _, test := range []struct {
		name    string
		version uint8
		data    []byte
		beyond  int // bytes that the capture cut off the end
		want    Packet
	}{
		{
			name: "IPv4", version: 4, data: v4(UDP, "", "payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "IPv4 with options", version: 4, data: v4(TCP, "\x94\x04\x00\x00", "payload"),
			want: Packet{Proto: TCP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "the padding of Ethernet is cut off IPv4", version: 4,
			data: append(v4(UDP, "", "payload"), pad...),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "a total length of 0 takes the rest of the frame", version: 4,
			data: set(v4(TCP, "", "payload"), 2, 0, 0),
			want: Packet{Proto: TCP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "IPv4 that claims more than the link carried", version: 4,
			data: set(v4(UDP, "", "payload"), 2, 0xff, 0xff),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "IPv4 that the capture cut", version: 4, beyond: 500,
			data: set(v4(UDP, "", "payload"), 2, 0, 20+7+100),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 107},
		},
		{
			name: "IPv4 of which the capture cut the padding alone", version: 4, beyond: 6,
			data: v4(UDP, "", "payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "an authentication header in IPv4", version: 4,
			data: v4(auth, "", "\x11\x04"+strings.Repeat("a", 22)+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "the don't-fragment bit makes no fragment", version: 4,
			data: set(v4(UDP, "", "payload"), 6, 0x40, 0),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "the first fragment of IPv4", version: 4,
			data: set(v4(UDP, "", "payload"), 4, 0xab, 0xcd, 0x20, 0),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7, Fragment: true,
				More: true, ID: 0xabcd},
		},
		{
			name: "the last fragment of IPv4", version: 4,
			data: set(v4(UDP, "", "payload"), 6, 0x1f, 0xff),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7, Fragment: true,
				Offset: 65528},
		},
		{
			name: "a later fragment of IPv4 has no authentication header", version: 4,
			data: set(v4(auth, "", "payload"), 6, 0, 1),
			want: Packet{Proto: auth, Payload: []byte("payload"), Size: 7, Fragment: true,
				Offset: 8},
		},
		{
			name: "IPv6", version: 6, data: v6(UDP, "payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "padding is cut off IPv6", version: 6, data: append(v6(TCP, "payload"), pad...),
			want: Packet{Proto: TCP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "a payload length of 0 takes the rest of the frame", version: 6,
			data: set(v6(TCP, "payload"), 4, 0, 0),
			want: Packet{Proto: TCP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "IPv6 that the capture cut", version: 6, beyond: 500,
			data: set(v6(UDP, "payload"), 4, 0, 107),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 107},
		},
		{
			name: "IPv6 that claims more than the link carried", version: 6, beyond: 50,
			data: set(v6(UDP, "payload"), 4, 0xff, 0xff),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 57},
		},
		{
			name: "hop-by-hop options", version: 6,
			data: v6(hopByHop, "\x11\x00\x05\x02\x00\x00\x01\x00"+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "a routing header of three units", version: 6,
			data: v6(routing, "\x06\x02"+strings.Repeat("r", 22)+"payload"),
			want: Packet{Proto: TCP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "destination options", version: 6,
			data: v6(destOptions, "\x11\x00\x01\x04\x00\x00\x00\x00"+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "an authentication header, counted in units of 4", version: 6,
			data: v6(auth, "\x11\x05"+strings.Repeat("a", 26)+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "an atomic fragment goes through", version: 6,
			data: v6(fragment, "\x11\x00\x00\x00\x00\x00\x00\x09"+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "the reserved bits of the fragment header mean nothing", version: 6,
			data: v6(fragment, "\x11\xff\x00\x06\x00\x00\x00\x09"+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
		{
			name: "a first fragment is not read beyond its header", version: 6,
			data: v6(fragment, "\x3c\x00\x00\x01\x12\x34\x56\x78"+"payload"),
			want: Packet{Proto: destOptions, Payload: []byte("payload"), Size: 7, Fragment: true,
				More: true, ID: 0x12345678},
		},
		{
			name: "a later fragment", version: 6,
			data: v6(fragment, "\x11\x00\xff\xfe\x00\x00\x00\x09"+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7, Fragment: true,
				Offset: 65528, ID: 9},
		},
		{
			name: "several headers, cut by the capture", version: 6, beyond: 500,
			data: set(v6(hopByHop, "\x2c\x00"+pad+"\x3c\x00"+pad+"\x11\x00"+pad+"pay"), 4, 0, 28),
			want: Packet{Proto: UDP, Payload: []byte("pay"), Size: 4},
		},
		{
			name: "no next header", version: 6, data: v6(59, "rest"),
			want: Packet{Proto: 59, Payload: []byte("rest"), Size: 4},
		},
		{
			name: "as many headers as are followed", version: 6,
			data: v6(destOptions, strings.Repeat("\x3c\x00"+pad, MaxExtensions-1)+
				"\x11\x00"+pad+"payload"),
			want: Packet{Proto: UDP, Payload: []byte("payload"), Size: 7},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want.Src, test.want.Dst = src4, dst4
			if test.version == 6 {
				test.want.Src, test.want.Dst = src6, dst6
			}
			got := Packet{Fragment: true, Proto: 99} // of the packet before
			if v := parse(&got, test.version, test.data, len(test.data)+test.beyond); v != OK {
				t.Fatalf("verdict %d", v)
			}
			if diff := cmp.Diff(got, test.want, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	pad := strings.Repeat("\x00", 6)
	for _, test := range []struct {
		name    string
		version uint8
		data    []byte
		want    Verdict
	}{
		{"no byte of IPv4", 4, nil, Truncated},
		{"19 bytes of IPv4", 4, v4(UDP, "", "")[:19], Truncated},
		{"options that are not there", 4, v4(UDP, "\x94\x04\x00\x00", "")[:23], Truncated},
		{"IPv6 called IPv4", 4, v6(UDP, "payload"), Header},
		{"a header of less than 20 bytes", 4, set(v4(UDP, "", ""), 0, 0x44), Header},
		{"a total length inside the header", 4, set(v4(UDP, "", ""), 2, 0, 19), Header},
		{"an authentication header cut short in IPv4", 4, v4(auth, "", "\x11\x04"), Extension},
		{"no byte of IPv6", 6, nil, Truncated},
		{"39 bytes of IPv6", 6, v6(UDP, "")[:39], Truncated},
		{"IPv4 called IPv6", 6, v4(UDP, "", strings.Repeat("p", 40)), Header},
		{"an extension header that is not there", 6, v6(hopByHop, ""), Extension},
		{"seven bytes of an extension header", 6, v6(fragment, "\x11\x00"+pad[:5]), Extension},
		{"an extension header that claims too much", 6, v6(routing, "\x11\x01"+pad), Extension},
		{
			"an authentication header that claims too much", 6,
			v6(auth, "\x11\xff"+strings.Repeat("a", 1000)), Extension,
		},
		{
			"one extension header too many", 6,
			v6(destOptions, strings.Repeat("\x3c\x00"+pad, MaxExtensions)+"\x11\x00"+pad), Extension,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p Packet
			if got := parse(&p, test.version, test.data, len(test.data)); got != test.want {
				t.Errorf("verdict %d, want %d", got, test.want)
			}
		})
	}
}

func TestContinueReadsTheHeadersOfAReassembledPayload(t *testing.T) {
	options := "\x11\x00\x01\x04\x00\x00\x00\x00"
	for _, test := range []struct {
		name    string
		on      netip.Addr
		proto   uint8
		payload string
		want    Packet
		verdict Verdict
	}{
		{"UDP", src6, UDP, "payload", Packet{Proto: UDP, Payload: []byte("payload"), Size: 7}, OK},
		{"UDP of IPv4", src4, UDP, "payload",
			Packet{Proto: UDP, Payload: []byte("payload"), Size: 7}, OK},
		{"destination options", src6, destOptions, options + "payload",
			Packet{Proto: UDP, Payload: []byte("payload"), Size: 7}, OK},
		{"an authentication header of IPv4", src4, auth,
			"\x11\x01" + strings.Repeat("a", 10) + "payload",
			Packet{Proto: UDP, Payload: []byte("payload"), Size: 7}, OK},
		{"a number that is no extension header of IPv4", src4, destOptions, options,
			Packet{Proto: destOptions, Payload: []byte(options), Size: 8}, OK},
		{"a fragment in a fragment", src6, fragment, "\x11\x00\x00\x09\x00\x00\x00\x07" + "payload",
			Packet{Proto: UDP, Payload: []byte("payload"), Size: 7, Fragment: true, More: true,
				Offset: 8, ID: 7}, OK},
		{"a header that ends too early", src6, destOptions, options[:7], Packet{}, Extension},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Packet{Src: test.on, Payload: []byte(test.payload), Size: len(test.payload),
				Proto: test.proto, Fragment: true}
			if v := got.Continue(); v != test.verdict {
				t.Fatalf("verdict %d, want %d", v, test.verdict)
			}
			if test.verdict != OK {
				return
			}
			test.want.Src = test.on
			if diff := cmp.Diff(got, test.want, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
