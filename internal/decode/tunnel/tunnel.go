// SPDX-License-Identifier: Apache-2.0

// Package tunnel takes one layer of encapsulation off: MPLS, PPPoE, GRE with what it carries,
// the tunnels over UDP, IP in IP. It is a layer of stage 2, owns nothing, and refuses what its
// Verdict names.
//
// A tunnel over UDP is known by its port and by a header that makes sense; what has the port alone
// is no tunnel, so that the datagram of a client that was given the port by chance is not
// misread. What the layer carries is named by its EtherType, the one number that all of them know.
package tunnel

import (
	"bytes"
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Verdict says what became of a layer.
type Verdict uint8

// The verdicts.
const (
	OK          Verdict = iota
	NotTunnel           // nothing that this package knows
	Truncated           // the bytes end inside the header
	Header              // a header that contradicts itself, or has what is not followed
	NotIP               // whole, but it carries neither IP nor what may carry it
	NumVerdicts         // how many there are; not a verdict
)

// EtherTypes, by the IEEE registration authority, of what tunnels carry.
const (
	IPv4          = 0x0800
	IPv6          = 0x86dd
	Ethernet      = 0x6558 // Transparent Ethernet Bridging (RFC 1701)
	mpls          = 0x8847
	mplsMulticast = 0x8848
	ppp           = 0x880b
	pppoe         = 0x8864 // its session stage
	erspan        = 0x88be // type I or II
	erspan3       = 0x22eb
	wccp          = 0x883e // packets that a router redirects
)

// Layer is what one encapsulation hands over. A caller reuses one for all packets.
type Layer struct {
	Payload []byte // what follows the header, borrowed from the frame
	Size    int    // length of Payload on the wire; more than it holds when the capture cut it
	Type    uint16 // EtherType of Payload; Ethernet is a frame with its addresses

	Kind  dnsmsg.Tunnel // NoTunnel for PPP, which is part of what carries it
	Inner dnsmsg.Tunnel // a second kind, without a header of its own, or NoTunnel

	// The ids, from the outside inwards: IDs says how many there are. Only a stack of labels has
	// two, the first and the last.
	ID  [2]uint32
	IDs int
}

// begin makes l a layer of the given kind that has given nothing yet.
func (l *Layer) begin(kind dnsmsg.Tunnel, b []byte, size int) {
	l.Kind, l.Inner, l.IDs = kind, dnsmsg.NoTunnel, 0
	l.Payload, l.Size, l.Type = b, size, 0
}

// skip takes n bytes off the front. The caller has made sure that they are there.
func (l *Layer) skip(n int) { l.Payload, l.Size = l.Payload[n:], l.Size-n }

// trim cuts off what is behind the n bytes that a length field allows.
func (l *Layer) trim(n int) {
	l.Size = min(l.Size, n)
	l.Payload = l.Payload[:min(len(l.Payload), l.Size)]
}

func (l *Layer) id(v uint32) { l.ID[0], l.IDs = v, 1 }

// version names the IP packet in Payload by its first four bits.
func (l *Layer) version() Verdict {
	if len(l.Payload) == 0 {
		return Truncated
	}
	switch l.Payload[0] >> 4 {
	case 4:
		l.Type = IPv4
	case 6:
		l.Type = IPv6
	default:
		return NotIP
	}
	return OK
}

// EtherType reads a layer that is named by an EtherType: of a link layer or of a tunnel. b was size
// bytes long on the wire. l is meaningful when the Verdict is OK, and its Kind also else, unless
// that is NotTunnel.
func (l *Layer) EtherType(etherType uint16, b []byte, size int) Verdict {
	switch etherType {
	case mpls, mplsMulticast:
		return l.mpls(b, size)
	case pppoe:
		return l.pppoe(b, size)
	case ppp:
		l.begin(dnsmsg.NoTunnel, b, size)
		return l.ppp()
	case erspan:
		return l.erspan2(b, size)
	case erspan3:
		return l.erspan3(b, size)
	}
	return NotTunnel
}

// Protocol numbers of tunnels (IANA registry "Assigned Internet Protocol Numbers").
const (
	protoIPv4    = 4
	protoIPv6    = 41
	protoGRE     = 47
	protoEtherIP = 97
	protoMPLS    = 137
)

// ByProto returns which kind of tunnel a packet with the protocol number given can be in an IP
// header of version 4 or 6, or NoTunnel.
func ByProto(version, proto uint8) dnsmsg.Tunnel {
	switch proto {
	case protoIPv4:
		if version == 6 {
			return dnsmsg.FourInSix
		}
		return dnsmsg.IPIP
	case protoIPv6:
		if version == 6 {
			return dnsmsg.SixInSix
		}
		return dnsmsg.SixInFour
	case protoGRE:
		return dnsmsg.GRE
	case protoEtherIP:
		return dnsmsg.EtherIP
	case protoMPLS:
		return dnsmsg.MPLS
	}
	return dnsmsg.NoTunnel
}

// IP reads a layer that is named by the protocol number of an IP header of version 4 or 6. The rest
// is as for EtherType.
func (l *Layer) IP(version, proto uint8, b []byte, size int) Verdict {
	switch proto {
	case protoIPv4, protoIPv6:
		l.begin(ByProto(version, proto), b, size)
		l.Type = IPv4
		if proto == protoIPv6 {
			l.Type = IPv6
		}
		return OK
	case protoGRE:
		return l.gre(b, size)
	case protoEtherIP:
		return l.etherIP(b, size)
	case protoMPLS:
		return l.mpls(b, size)
	}
	return NotTunnel
}

// etherIP reads version 3 and 12 bits of zero (RFC 3378, section 3).
func (l *Layer) etherIP(b []byte, size int) Verdict {
	l.begin(dnsmsg.EtherIP, b, size)
	if len(b) < 2 {
		return Truncated
	}
	if b[0] != 0x30 || b[1] != 0 {
		return Header
	}
	l.skip(2)
	l.Type = Ethernet
	return OK
}

// mpls reads a stack of labels, each a word of label (20 bits), class (3), bottom (1), time to live
// (8). What follows the last one is not named: IP begins with its version, and a pseudowire of
// Ethernet with a control word, whose first four bits are zero, or with the frame.
func (l *Layer) mpls(b []byte, size int) Verdict {
	const maxLabels = 16
	l.begin(dnsmsg.MPLS, b, size)
	for n := 0; ; n++ {
		if len(l.Payload) < 4 {
			return Truncated
		}
		if n == maxLabels {
			return Header
		}
		word := binary.BigEndian.Uint32(l.Payload)
		l.skip(4)
		l.ID[min(n, 1)], l.IDs = word>>12, min(n+1, 2)
		if word>>8&1 != 0 {
			return l.belowLabels()
		}
	}
}

func (l *Layer) belowLabels() Verdict {
	b := l.Payload
	switch {
	case len(b) == 0:
		return Truncated
	case b[0]>>4 == 4 && plausible4(b, l.Size):
		l.Type = IPv4
	case b[0]>>4 == 6 && plausible6(b, l.Size):
		l.Type = IPv6
	case plausibleFrame(b):
		l.Type = Ethernet
	case b[0]>>4 == 0 && len(b) >= 4: // RFC 4448, section 4.6
		l.Type = Ethernet
		l.skip(4)
	case b[0]>>4 == 4:
		l.Type = IPv4 // which will say what is wrong with it
	case b[0]>>4 == 6:
		l.Type = IPv6
	default:
		return NotIP // among others the associated channel, which begins with 1 (RFC 5586)
	}
	return OK
}

// plausible4 tells whether b, size bytes on the wire, can be IPv4, and not the address of a frame
// that begins like it.
func plausible4(b []byte, size int) bool {
	if len(b) < 20 || b[0]&0x0f < 5 {
		return false
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	return total >= 20 && total <= size
}

func plausible6(b []byte, size int) bool {
	return len(b) >= 40 && int(binary.BigEndian.Uint16(b[4:]))+40 <= size
}

// plausibleFrame tells whether b begins with an Ethernet frame that this program follows.
func plausibleFrame(b []byte) bool {
	if len(b) < 15 {
		return false
	}
	switch t := binary.BigEndian.Uint16(b[12:]); t {
	case IPv4:
		return b[14]>>4 == 4
	case IPv6:
		return b[14]>>4 == 6
	case 0x8100, 0x88a8, 0x9100, mpls, mplsMulticast, pppoe: // tags are those of package link
		return true
	default: // the length of an 802.3 frame, and LLC with SNAP
		return t < 0x0600 && bytes.HasPrefix(b[14:], []byte("\xaa\xaa\x03"))
	}
}

// pppoe reads the session stage (RFC 2516, section 4): version and type of 4 bits each, code,
// session, length; then PPP.
func (l *Layer) pppoe(b []byte, size int) Verdict {
	l.begin(dnsmsg.PPPoE, b, size)
	if len(b) < 6 {
		return Truncated
	}
	if b[0] != 0x11 || b[1] != 0 {
		return Header
	}
	l.id(uint32(binary.BigEndian.Uint16(b[2:])))
	l.skip(6)
	l.trim(int(binary.BigEndian.Uint16(b[4:])))
	return l.ppp()
}

// ppp reads the protocol number and, where they are there, the address and control that stand
// before it (RFC 1662, section 3.1). The number has two bytes, of which a zero first one may be
// left away: the last is odd and all others are even (RFC 1661, section 2).
func (l *Layer) ppp() Verdict {
	const (
		inIPv4, inIPv6, inMPLS, inMPLSMulticast = 0x21, 0x57, 0x281, 0x283 // IANA registry
	)
	b := l.Payload
	if len(b) >= 2 && b[0] == 0xff && b[1] == 0x03 {
		l.skip(2)
		b = l.Payload
	}
	if len(b) == 0 {
		return Truncated
	}
	proto := uint16(b[0])
	if proto&1 == 0 {
		if len(b) < 2 {
			return Truncated
		}
		proto = binary.BigEndian.Uint16(b)
		l.skip(1)
	}
	l.skip(1)
	switch proto {
	case inIPv4:
		l.Type = IPv4
	case inIPv6:
		l.Type = IPv6
	case inMPLS:
		l.Type = mpls
	case inMPLSMulticast:
		l.Type = mplsMulticast
	default:
		return NotIP
	}
	return OK
}
