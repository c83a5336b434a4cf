// SPDX-License-Identifier: Apache-2.0

// Package link takes the link layer off a frame: Ethernet with its tags, Linux cooked captures,
// BSD loopback, raw IP, radio and a few others. It is the outermost layer of stage 2, and is asked
// again for the frames that tunnels carry. It owns nothing, and refuses what its Verdict names.
package link

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// Verdict says what became of a frame.
type Verdict uint8

// The verdicts.
const (
	OK          Verdict = iota
	Truncated           // the bytes end inside the link header
	Unknown             // a link type that this package does not read
	TooManyTags         // more VLAN tags than MaxTags
	NotIP               // whole, but it carries none of the types that Frame.Type names
	NumVerdicts         // how many there are; not a verdict
)

// MaxTags is how many VLAN tags of one frame are followed. Carriers stack two, rarely three; the
// bound is there because a frame made of nothing but tags costs the attacker nothing.
const MaxTags = 4

// Frame is what the link layer hands over.
type Frame struct {
	Payload []byte // what follows the link layer and what pads that, borrowed from the frame
	Size    int    // length of Payload on the wire; more than it holds when the capture cut it
	Type    uint16 // of Payload: IPv4, IPv6, MPLS, MPLSMulticast, PPPoE or PPP

	// Ids of the outermost and of the innermost tag, 0 for none, of all that Strip and Inner have
	// seen in the packet. With one tag there is no innermost. A tag with id 0 carries a priority
	// and no VLAN (IEEE 802.1Q, section 9.6); it is passed over.
	VLAN, InnerVLAN uint16
}

// EtherTypes, by the IEEE registration authority, that a frame is followed to.
const (
	IPv4          = 0x0800
	IPv6          = 0x86dd
	MPLS          = 0x8847
	MPLSMulticast = 0x8848
	PPP           = 0x880b // as GRE names it; here it stands for the link types of PPP
	PPPoE         = 0x8864 // its session stage

	Ethernet = 0x6558 // a frame in a tunnel: Transparent Ethernet Bridging (RFC 1701)
)

// EtherTypes of what is part of the link layer. Below minEtherType the field is the length of an
// 802.3 frame (IEEE 802.3, section 3.2.6).
const (
	type8021Q    = 0x8100
	type8021ad   = 0x88a8
	typeQinQ     = 0x9100 // double tagging from before 802.1ad, still sent
	minEtherType = 0x0600
)

// Strip reads the link layer of p into f, which a caller reuses for all packets. f is meaningful
// when the Verdict is OK.
func (f *Frame) Strip(p *packet.Packet) Verdict {
	f.VLAN, f.InnerVLAN = 0, 0
	if p.Tag.TPID != 0 {
		f.tag(p.Tag.TCI)
	}
	v := OK
	if b := p.Data; p.Link == packet.LinkEthernet && len(b) >= 14 && isIP(b[12], b[13]) {
		f.Payload, f.Type = b[14:], binary.BigEndian.Uint16(b[12:]) // nearly every frame
	} else {
		v = f.header(p.Link, b)
	}
	f.Size = len(f.Payload) + max(0, p.Length-len(p.Data))
	return v
}

func isIP(high, low byte) bool {
	return high == IPv4>>8 && low == IPv4&0xff || high == IPv6>>8 && low == IPv6&0xff
}

// Inner reads the Ethernet frame b that a tunnel carries and that was size bytes long on the wire.
// Its tags add to those that were seen before.
func (f *Frame) Inner(b []byte, size int) Verdict {
	v := f.header(packet.LinkEthernet, b)
	f.Size = len(f.Payload) + max(0, size-len(b))
	return v
}

// header reads the header that the link type says is there and all that follows it up to IP.
func (f *Frame) header(link packet.LinkType, b []byte) Verdict {
	switch link {
	case packet.LinkEthernet:
		if len(b) < 14 { // two addresses of 6 bytes, EtherType
			return Truncated
		}
		return f.open(binary.BigEndian.Uint16(b[12:]), b[14:])
	case packet.LinkRaw, packet.LinkRawBSD, packet.LinkRawOBSD, packet.LinkIPv4, packet.LinkIPv6:
		return f.raw(b)
	case packet.LinkSLL:
		// Packet type, ARPHRD_, address length: 2 bytes each; address: 8; protocol: 2.
		if len(b) < 16 {
			return Truncated
		}
		return f.open(binary.BigEndian.Uint16(b[14:]), b[16:])
	case packet.LinkSLL2:
		// Protocol: 2; zero: 2; interface index: 4; ARPHRD_: 2; packet type, address length: 1
		// each; address: 8.
		if len(b) < 20 {
			return Truncated
		}
		return f.open(binary.BigEndian.Uint16(b), b[20:])
	case packet.LinkNull, packet.LinkLoop:
		return f.loopback(link, b)
	}
	return f.rare(link, b)
}

// open follows an EtherType through VLAN tags and LLC to one that Type names. b is what comes after
// the header that had the EtherType.
func (f *Frame) open(etherType uint16, b []byte) Verdict {
	for tags := 0; ; tags++ {
		switch etherType {
		case IPv4, IPv6, MPLS, MPLSMulticast, PPPoE:
			f.Payload, f.Type = b, etherType
			return OK
		case type8021Q, type8021ad, typeQinQ:
			if tags == MaxTags {
				return TooManyTags
			}
			if len(b) < 4 { // TCI, EtherType
				return Truncated
			}
			f.tag(binary.BigEndian.Uint16(b))
			etherType = binary.BigEndian.Uint16(b[2:])
			b = b[4:]
		default:
			if etherType >= minEtherType {
				return NotIP
			}
			return f.llc(b)
		}
	}
}

// llc reads 802.2 LLC with a SNAP header (RFC 1042): SAPs AA AA, control 03, an organization of
// zeros, EtherType.
func (f *Frame) llc(b []byte) Verdict {
	const snap = "\xaa\xaa\x03\x00\x00\x00"
	if len(b) < 8 {
		return Truncated
	}
	etherType := binary.BigEndian.Uint16(b[6:])
	if string(b[:6]) != snap || etherType < minEtherType {
		return NotIP
	}
	return f.open(etherType, b[8:])
}

// raw reads a frame that begins with IP. The version field says which one, also where the link
// type does: writers of LINKTYPE_IPV4 have put IPv6 in it.
func (f *Frame) raw(b []byte) Verdict {
	if len(b) == 0 {
		return Truncated
	}
	switch b[0] >> 4 {
	case 4:
		f.Type = IPv4
	case 6:
		f.Type = IPv6
	default:
		return NotIP
	}
	f.Payload = b
	return OK
}

// loopback reads the 4-byte protocol family of BSD. In LINKTYPE_NULL its byte order is that of
// the machine which captured, and the file does not reliably say which; a family fits one byte, so
// the order shows itself. LINKTYPE_LOOP is always in network order. BSD/OS put Cisco HDLC in
// the same four bytes: address, control 0, EtherType.
func (f *Frame) loopback(link packet.LinkType, b []byte) Verdict {
	if len(b) < 4 {
		return Truncated
	}
	if b[0]&^hdlcBroadcast == hdlcUnicast && b[1] == 0 {
		return f.open(binary.BigEndian.Uint16(b[2:]), b[4:])
	}
	family := binary.BigEndian.Uint32(b)
	if little := binary.LittleEndian.Uint32(b); link == packet.LinkNull && little < family {
		family = little
	}
	switch family {
	case 2: // AF_INET is 2 everywhere
		f.Type = IPv4
	case 10, 23, 24, 28, 30: // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin
		f.Type = IPv6
	default:
		return NotIP
	}
	f.Payload = b[4:]
	return OK
}

// tag notes one tag, outermost first.
func (f *Frame) tag(tci uint16) {
	id := tci & 0x0fff
	switch {
	case id == 0:
	case f.VLAN == 0:
		f.VLAN = id
	default:
		f.InnerVLAN = id
	}
}
