// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// ByPorts returns which kind of tunnel a datagram between two ports can be, or NoTunnel. Only the
// destination has the port in most, for senders choose the other by the flow inside; but there are
// senders that answer from it.
func ByPorts(src, dst uint16) dnsmsg.Tunnel {
	if kind := byPort(dst); kind != dnsmsg.NoTunnel {
		return kind
	}
	return byPort(src)
}

// byPort is the table behind dnsmsg.Tunnel.Ports, turned round: a test compares the two.
func byPort(port uint16) dnsmsg.Tunnel {
	switch port {
	case 4789, 8472:
		return dnsmsg.VXLAN
	case 4790:
		return dnsmsg.VXLANGPE
	case 6081:
		return dnsmsg.GENEVE
	case 2152:
		return dnsmsg.GTP
	case 1701:
		return dnsmsg.L2TP
	case 37008:
		return dnsmsg.TZSP
	case 3544:
		return dnsmsg.Teredo
	}
	return dnsmsg.NoTunnel
}

// UDP reads the payload of a datagram that can be a tunnel of the given kind. The only other
// Verdict is NotTunnel. b was size bytes long on the wire.
func (l *Layer) UDP(kind dnsmsg.Tunnel, b []byte, size int) Verdict {
	switch kind {
	case dnsmsg.VXLAN:
		return l.vxlan(b, size)
	case dnsmsg.VXLANGPE:
		return l.vxlanGPE(b, size)
	case dnsmsg.GENEVE:
		return l.geneve(b, size)
	case dnsmsg.GTP:
		return l.gtp(b, size)
	case dnsmsg.L2TP:
		return l.l2tp(b, size)
	case dnsmsg.TZSP:
		return l.tzsp(b, size)
	case dnsmsg.Teredo:
		return l.teredo(b, size)
	}
	return NotTunnel
}

// vxlan reads RFC 7348, section 5: flags, of which I says that the identifier is valid; reserved
// bits, which the group policy extension uses; the identifier in 3 bytes; a reserved byte.
func (l *Layer) vxlan(b []byte, size int) Verdict {
	const valid = 0x08
	l.begin(dnsmsg.VXLAN, b, size)
	if len(b) < 8 || b[0]&valid == 0 {
		return NotTunnel
	}
	l.id(binary.BigEndian.Uint32(b[4:]) >> 8)
	l.skip(8)
	l.Type = Ethernet
	return OK
}

// vxlanGPE reads draft-ietf-nvo3-vxlan-gpe, section 3: as VXLAN, with the payload's protocol in the
// fourth byte. Flag P says that it is there; not all senders set it, and where it is not there the
// byte is zero.
func (l *Layer) vxlanGPE(b []byte, size int) Verdict {
	const versions = 0x30
	v := l.vxlan(b, size)
	if v != OK || b[0]&versions != 0 {
		return NotTunnel
	}
	l.Kind = dnsmsg.VXLANGPE
	switch b[3] {
	case 0:
	case 1:
		l.Type = IPv4
	case 2:
		l.Type = IPv6
	case 3:
		l.Type = Ethernet
	case 5:
		l.Type = mpls
	default:
		return NotTunnel
	}
	return OK
}

// geneve reads RFC 8926, section 3.4: version (2 bits) and length of the options in words (6);
// flags and reserved bits; EtherType; identifier in 3 bytes; a reserved byte; the options.
func (l *Layer) geneve(b []byte, size int) Verdict {
	l.begin(dnsmsg.GENEVE, b, size)
	if len(b) < 8 || b[0]>>6 != 0 {
		return NotTunnel
	}
	header := 8 + int(b[0]&0x3f)*4
	switch t := binary.BigEndian.Uint16(b[2:]); t {
	case IPv4, IPv6, Ethernet, mpls, mplsMulticast:
		l.Type = t
	default:
		return NotTunnel
	}
	if len(b) < header {
		return NotTunnel
	}
	l.id(binary.BigEndian.Uint32(b[4:]) >> 8)
	l.skip(header)
	return OK
}

// gtp reads a G-PDU of GTP-U (3GPP TS 29.281, section 5): version 1, protocol type 1 and three
// flags; message type 255; length behind the first 8 bytes; endpoint. With any of the flags, 4
// bytes more, of which the last names an extension header; each of those has its length in words
// first and the next one's name last.
func (l *Layer) gtp(b []byte, size int) Verdict {
	const (
		versionAndType = 0xf0 // and its value 0x30
		anyFlag        = 0x07 // extension, sequence, N-PDU
		extension      = 0x04
		gPDU           = 255
	)
	l.begin(dnsmsg.GTP, b, size)
	if len(b) < 8 || b[0]&versionAndType != 0x30 || b[1] != gPDU {
		return NotTunnel
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length > size-8 {
		return NotTunnel
	}
	l.id(binary.BigEndian.Uint32(b[4:]))
	l.trim(8 + length)
	l.skip(8)
	if b[0]&anyFlag != 0 {
		if len(l.Payload) < 4 {
			return NotTunnel
		}
		next := l.Payload[3]
		l.skip(4)
		for b[0]&extension != 0 && next != 0 { // it ends: each header is 4 bytes at least
			n := 0
			if len(l.Payload) > 0 {
				n = int(l.Payload[0]) * 4
			}
			if n == 0 || n > len(l.Payload) {
				return NotTunnel
			}
			next = l.Payload[n-1]
			l.skip(n)
		}
	}
	if l.version() != OK {
		return NotTunnel
	}
	return OK
}

// l2tp reads a data message of RFC 2661, section 3.1: flags and version 2; length, tunnel and
// session, sequence numbers, offset, of which the flags say which are there; PPP. The id is the
// session's, below the tunnel's in the upper half.
func (l *Layer) l2tp(b []byte, size int) Verdict {
	const (
		control, hasLength, hasSequence, hasOffset = 0x8000, 0x4000, 0x0800, 0x0200
		reserved, version                          = 0x34f0, 0x000f
	)
	l.begin(dnsmsg.L2TP, b, size)
	if len(b) < 6 {
		return NotTunnel
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&(control|reserved) != 0 || flags&version != 2 {
		return NotTunnel
	}
	header := 6
	ids := 2
	if flags&hasLength != 0 {
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < 8 || length > size {
			return NotTunnel
		}
		l.trim(length)
		header, ids = 8, 4
	}
	if flags&hasSequence != 0 {
		header += 4
	}
	if flags&hasOffset != 0 {
		if len(l.Payload) < header+2 {
			return NotTunnel
		}
		header += 2 + int(binary.BigEndian.Uint16(b[header:]))
	}
	if len(l.Payload) < header {
		return NotTunnel
	}
	l.id(binary.BigEndian.Uint32(b[ids:]))
	l.skip(header)
	if l.ppp() != OK {
		return NotTunnel
	}
	return OK
}

// tzsp reads version 1: version; type, 0 for a packet received and 1 for one to be sent; what is
// encapsulated; then fields with a tag, and a length unless the tag is 0 (padding) or 1 (the end).
func (l *Layer) tzsp(b []byte, size int) Verdict {
	const ethernet, tagPadding, tagEnd = 1, 0, 1
	l.begin(dnsmsg.TZSP, b, size)
	if len(b) < 4 || b[0] != 1 || b[1] > 1 || binary.BigEndian.Uint16(b[2:]) != ethernet {
		return NotTunnel
	}
	for l.skip(4); len(l.Payload) > 0; {
		switch l.Payload[0] {
		case tagEnd:
			l.skip(1)
			l.Type = Ethernet
			return OK
		case tagPadding:
			l.skip(1)
		default:
			if len(l.Payload) < 2 || len(l.Payload) < 2+int(l.Payload[1]) {
				return NotTunnel
			}
			l.skip(2 + int(l.Payload[1]))
		}
	}
	return NotTunnel
}

// teredo reads RFC 4380, section 5.1.1: IPv6, perhaps behind an authentication and an origin
// indication. There is nothing else to know it by, so the IPv6 packet must end where the datagram
// does and one of its addresses must be one that Teredo uses: its own prefix, or link-local.
func (l *Layer) teredo(b []byte, size int) Verdict {
	const origin, authentication = 0x0000, 0x0001
	l.begin(dnsmsg.Teredo, b, size)
	if len(b) >= 4 && binary.BigEndian.Uint16(b) == authentication {
		n := 13 + int(b[2]) + int(b[3]) // client id, authentication value; nonce, confirmation
		if len(b) < n {
			return NotTunnel
		}
		l.skip(n)
	}
	if b := l.Payload; len(b) >= 8 && binary.BigEndian.Uint16(b) == origin {
		l.skip(8)
	}
	p := l.Payload
	if len(p) < 40 || p[0]>>4 != 6 || int(binary.BigEndian.Uint16(p[4:]))+40 != l.Size ||
		!teredoAddress(p[8:]) && !teredoAddress(p[24:]) {
		return NotTunnel
	}
	l.Type = IPv6
	return OK
}

// teredoAddress tells 2001::/32 and fe80::/10 from all other prefixes.
func teredoAddress(b []byte) bool {
	return binary.BigEndian.Uint32(b) == 0x20010000 || binary.BigEndian.Uint16(b)&0xffc0 == 0xfe80
}
