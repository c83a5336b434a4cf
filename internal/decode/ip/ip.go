// SPDX-License-Identifier: Apache-2.0

// Package ip takes IPv4 and IPv6 off a packet, extension headers included, and hands over the
// transport payload. It is a layer of stage 2, owns nothing, and refuses what its Verdict names.
//
// A fragment is no reason to refuse: it is handed over and says that it is one. Reassembly stands
// between this package and the transport: it puts the whole payload into the Packet and has the
// headers in it read by Continue.
package ip

import (
	"encoding/binary"
	"net/netip"
)

// Verdict says what became of a packet.
type Verdict uint8

// The verdicts.
const (
	OK          Verdict = iota
	Truncated           // the bytes end inside the IP header
	Header              // a version or length that no IP header has
	Extension           // an extension header runs past the packet, or there are too many
	NumVerdicts         // how many there are; not a verdict
)

// MaxExtensions is how many extension headers of one packet are followed. RFC 8200, section 4.1,
// knows seven in its recommended order, and that each but one occurs once.
const MaxExtensions = 8

// Protocol numbers of the transports and of the extension headers that lead to them (IANA
// registry "Assigned Internet Protocol Numbers").
const (
	TCP = 6
	UDP = 17

	hopByHop    = 0  // RFC 8200, section 4.3
	routing     = 43 // section 4.4
	fragment    = 44 // section 4.5
	auth        = 51 // RFC 4302; the only one that IPv4 has as well
	destOptions = 60 // RFC 8200, section 4.6
)

// Packet is what the IP layer hands over. A caller reuses one for all packets.
type Packet struct {
	Src, Dst netip.Addr
	Payload  []byte // what follows the headers that were read, borrowed from the frame
	Size     int    // length of Payload on the wire; more than it holds when the capture cut it
	Proto    uint8  // of Payload; anything but an extension header that this package follows
	Fragment bool   // Payload is a part of a datagram that was sent in several; then:
	More     bool   // others come after it
	Offset   int    // of it in the datagram's payload, in bytes, a multiple of 8
	ID       uint32 // of the datagram: 16 bits in IPv4, 32 in IPv6
}

// Parse4 reads the packet in b, which was size bytes long on the wire, link padding included, and
// which the link layer calls IPv4 (RFC 791, section 3.1). p is meaningful when the Verdict is OK.
//
// Header and payload checksums are not looked at: what a machine sends is captured before its
// network card computes them.
func (p *Packet) Parse4(b []byte, size int) Verdict {
	if len(b) < 20 {
		return Truncated
	}
	header := int(b[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = size // segmentation was left to the card, which fills in the length
	}
	if b[0]>>4 != 4 || header < 20 || total < header {
		return Header
	}
	if len(b) < header {
		return Truncated
	}
	p.Src = netip.AddrFrom4([4]byte(b[12:16]))
	p.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	if part := binary.BigEndian.Uint16(b[6:]); part&0x3fff == 0 { // no more fragments, no offset
		p.Fragment = false
	} else {
		p.Fragment, p.More, p.Offset = true, part&0x2000 != 0, int(part&0x1fff)*8
		p.ID = uint32(binary.BigEndian.Uint16(b[4:]))
	}
	// The length of the header cuts the padding off; where it claims more than the link carried,
	// what is there has to do.
	p.Size = min(total, size) - header
	p.Payload = b[header:min(len(b), header+p.Size)]
	p.Proto = b[9]
	if p.Proto == auth && !p.Fragment {
		return p.extensions()
	}
	return OK
}

// Parse6 is Parse4 for IPv6 (RFC 8200, section 3). A payload length of 0 is what a jumbogram has (RFC
// 2675) and what a card that segments is given: all that follows is the payload.
func (p *Packet) Parse6(b []byte, size int) Verdict {
	if len(b) < 40 {
		return Truncated
	}
	if b[0]>>4 != 6 {
		return Header
	}
	p.Src = netip.AddrFrom16([16]byte(b[8:24]))
	p.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	p.Fragment = false
	p.Size = size - 40
	if length := int(binary.BigEndian.Uint16(b[4:])); length != 0 {
		p.Size = min(length, p.Size)
	}
	p.Payload = b[40:min(len(b), 40+p.Size)]
	p.Proto = b[6]
	if p.Proto == UDP || p.Proto == TCP {
		return OK
	}
	return p.extensions()
}

// Continue reads the headers that a payload begins with which was put together of fragments: the
// caller has set Payload, Size and the Proto of the first fragment. It can turn out to be a
// fragment itself, for nothing forbids a sender to fragment twice.
func (p *Packet) Continue() Verdict {
	p.Fragment = false
	if !p.Extended() {
		return OK
	}
	return p.extensions()
}

// Version returns 4 or 6.
func (p *Packet) Version() uint8 {
	if p.Src.Is4() {
		return 4
	}
	return 6
}

// Extended tells whether Proto is an extension header, which in a fragment has not been read.
func (p *Packet) Extended() bool {
	if p.Version() == 4 {
		return p.Proto == auth
	}
	return isExtension(p.Proto)
}

// extensions steps over extension headers until Proto is none of them, or the packet turns out
// to be a fragment: what follows in the later ones is not a header.
func (p *Packet) extensions() Verdict {
	for seen := 0; isExtension(p.Proto); seen++ {
		b := p.Payload
		if len(b) < 8 || seen == MaxExtensions { // none is shorter than 8 bytes
			return Extension
		}
		n := 8
		switch p.Proto {
		case fragment:
			// The 13 bits of the offset and the more-fragments bit. With neither the fragment is
			// atomic (RFC 6946): a whole datagram that carries the header all the same.
			part := binary.BigEndian.Uint16(b[2:])
			if p.Fragment = part&0xfff9 != 0; p.Fragment {
				p.More, p.Offset = part&1 != 0, int(part&0xfff8)
				p.ID = binary.BigEndian.Uint32(b[4:])
			}
		case auth:
			n = (int(b[1]) + 2) * 4 // in units of 4 bytes, minus 2 (RFC 4302, section 2.2)
		default:
			n = (int(b[1]) + 1) * 8 // in units of 8 bytes, not counting the first
		}
		if len(b) < n {
			return Extension
		}
		p.Proto, p.Payload, p.Size = b[0], b[n:], p.Size-n
		if p.Fragment {
			return OK
		}
	}
	return OK
}

// isExtension tells the headers that can stand before UDP and TCP from all other protocols.
func isExtension(proto uint8) bool {
	switch proto {
	case hopByHop, routing, fragment, auth, destOptions:
		return true
	}
	return false
}
