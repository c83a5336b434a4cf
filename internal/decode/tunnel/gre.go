// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// The bits of the first two bytes of GRE (RFC 2784 and 2890; RFC 1701 and 2637 for the rest).
const (
	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greAck      = 0x0080 // version 1 only
	greVersion  = 0x0007
)

// gre reads Generic Routing Encapsulation: flags, EtherType, and the fields that the flags
// announce, 4 bytes each.
func (l *Layer) gre(b []byte, size int) Verdict {
	l.begin(dnsmsg.GRE, b, size)
	if len(b) < 4 {
		return Truncated
	}
	flags, etherType := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&greVersion == 1 {
		return l.pptp(flags, etherType)
	}
	if flags&greVersion != 0 {
		return Header
	}
	header := 4
	if flags&(greChecksum|greRouting) != 0 { // the second half is of the routes
		header += 4
	}
	key := header
	if flags&greKey != 0 {
		header += 4
	}
	if flags&greSequence != 0 {
		header += 4
	}
	if len(b) < header {
		return Truncated
	}
	if flags&greKey != 0 {
		l.id(binary.BigEndian.Uint32(b[key:]))
	}
	l.skip(header)
	if flags&greRouting != 0 && !l.routes() {
		return Truncated
	}
	return l.greCarries(etherType, flags&greSequence != 0)
}

// routes steps over the source routes of RFC 1701, which RFC 2784 took out: each has an address
// family of 2 bytes, an offset, and the length of what follows; the last one is all zeros. It is
// false when there is no last one.
func (l *Layer) routes() bool {
	for len(l.Payload) >= 4 {
		word := binary.BigEndian.Uint32(l.Payload)
		n := 4 + int(word&0xff)
		if n > len(l.Payload) {
			return false
		}
		l.skip(n)
		if word == 0 {
			return true
		}
	}
	return false
}

// greCarries names the payload. sequenced tells the second type of ERSPAN, which has a header, from
// the first, which has none and no sequence number either.
func (l *Layer) greCarries(etherType uint16, sequenced bool) Verdict {
	switch etherType {
	case IPv4, IPv6, Ethernet, mpls, mplsMulticast, ppp, erspan3:
		l.Type = etherType
	case erspan:
		l.Type = erspan
		if !sequenced {
			l.Type, l.Inner = Ethernet, dnsmsg.ERSPAN1
		}
	case wccp:
		// Version 2 puts 4 bytes before the packet; the first half of the first one is no version
		// of IP (draft-wilson-wrec-wccp-v2, section 4.12.2).
		if b := l.Payload; len(b) >= 4 && b[0]>>4 != 4 && b[0]>>4 != 6 {
			l.skip(4)
		}
		return l.version()
	default:
		return NotIP
	}
	return OK
}

// pptp reads version 1: key, always there, of length and call; sequence and acknowledgement; PPP.
func (l *Layer) pptp(flags, etherType uint16) Verdict {
	l.Kind = dnsmsg.PPTP
	b := l.Payload
	if etherType != ppp || flags&(greChecksum|greRouting) != 0 || flags&greKey == 0 {
		return Header
	}
	header := 8
	if flags&greSequence != 0 {
		header += 4
	}
	if flags&greAck != 0 {
		header += 4
	}
	if len(b) < header {
		return Truncated
	}
	l.id(uint32(binary.BigEndian.Uint16(b[6:])))
	l.skip(header)
	if flags&greSequence == 0 {
		return NotIP // an acknowledgement alone carries nothing
	}
	l.trim(int(binary.BigEndian.Uint16(b[4:])))
	return l.ppp()
}

// erspan2 reads the second type: version 1 and VLAN; class, flags and session; index.
func (l *Layer) erspan2(b []byte, size int) Verdict {
	l.begin(dnsmsg.ERSPAN2, b, size)
	if len(b) < 8 {
		return Truncated
	}
	if b[0]>>4 != 1 {
		return Header
	}
	l.id(uint32(binary.BigEndian.Uint16(b[2:]) & 0x03ff))
	l.skip(8)
	l.Type = Ethernet
	return OK
}

// erspan3 reads the third type: version 2 and VLAN; class, flags and session; time stamp; group;
// then bits of which five say whether a frame or an IP packet follows and the last one whether 8
// more bytes of header do.
func (l *Layer) erspan3(b []byte, size int) Verdict {
	const frameEthernet, frameIP = 0, 2
	l.begin(dnsmsg.ERSPAN3, b, size)
	if len(b) < 12 {
		return Truncated
	}
	if b[0]>>4 != 2 {
		return Header
	}
	l.id(uint32(binary.BigEndian.Uint16(b[2:]) & 0x03ff))
	last := binary.BigEndian.Uint16(b[10:])
	header := 12
	if last&1 != 0 {
		header += 8
	}
	if len(b) < header {
		return Truncated
	}
	l.skip(header)
	switch last >> 10 & 0x1f {
	case frameEthernet:
		l.Type = Ethernet
	case frameIP:
		return l.version()
	default:
		return NotIP
	}
	return OK
}
