// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// The address byte of Cisco HDLC. No address family of IP is 15.
const (
	hdlcUnicast   = 0x0f
	hdlcBroadcast = 0x80 // set in 0x8f
)

// rare reads the link types of files that a mirror port does not make.
func (f *Frame) rare(link packet.LinkType, b []byte) Verdict {
	switch link {
	case packet.LinkPPP, packet.LinkPPPSerial, packet.LinkHDLC:
		return f.serial(b)
	case packet.LinkPPPWithDir: // one byte tells the direction
		if len(b) == 0 {
			return Truncated
		}
		return f.serial(b[1:])
	case packet.LinkPPPEther:
		f.Payload, f.Type = b, PPPoE
		return OK
	case packet.LinkMPLS:
		f.Payload, f.Type = b, MPLS
		return OK
	case packet.LinkFDDI: // frame control: 1 byte; two addresses of 6
		if len(b) < 13 {
			return Truncated
		}
		return f.llc(b[13:])
	case packet.LinkARCNETLinux:
		return f.arcnet(b)
	case packet.LinkNFLOG:
		return f.nflog(b)
	case packet.LinkPPI, packet.LinkPKTAP, packet.LinkUser2:
		return f.wrapped(link, b)
	case packet.Link80211:
		return f.radio(b, 0)
	case packet.LinkRadiotap:
		return f.radiotap(b)
	case packet.LinkPrism, packet.LinkAVS:
		return f.monitor(b)
	}
	return Unknown
}

// serial reads a line that runs PPP or Cisco HDLC: both begin with an address, and PPP may leave
// its own away (RFC 1662, section 3.2).
func (f *Frame) serial(b []byte) Verdict {
	if len(b) < 4 {
		return Truncated
	}
	if b[0]&^hdlcBroadcast == hdlcUnicast && b[1] == 0 {
		return f.open(binary.BigEndian.Uint16(b[2:]), b[4:])
	}
	f.Payload, f.Type = b, PPP
	return OK
}

// arcnet reads what Linux captures on ARCNET: source and destination of a byte each, an offset of
// two, the protocol, and behind the newer protocol numbers (RFC 1201) a flag that tells a fragment
// and a sequence number. Fragments are not put together: 253 bytes hold most questions.
func (f *Frame) arcnet(b []byte) Verdict {
	const ipv4RFC1051, ipv4RFC1201, ipv6RFC2497 = 240, 212, 196
	if len(b) < 5 {
		return Truncated
	}
	switch b[4] {
	case ipv4RFC1051:
		return f.open(IPv4, b[5:])
	case ipv4RFC1201, ipv6RFC2497:
		if len(b) < 8 {
			return Truncated
		}
		if b[5] != 0 {
			return NotIP
		}
		return f.raw(b[8:])
	}
	return NotIP
}

// nflog reads what Linux' netfilter logs: family, version, resource, and attributes of which one
// is the packet. Lengths and types are in the byte order of the machine that captured; as the types
// are small but for their two flags, the order shows itself.
func (f *Frame) nflog(b []byte) Verdict {
	const (
		attrPayload = 9      // NFULA_PAYLOAD of linux/netfilter/nfnetlink_log.h
		attrType    = 0x3fff // NLA_TYPE_MASK of linux/netlink.h: the tag of a bridge is flagged as nested
	)
	if len(b) < 4 {
		return Truncated
	}
	for b = b[4:]; len(b) >= 4; {
		length, kind := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		if kind&attrType > 0xff {
			length, kind = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
		if kind&attrType == attrPayload {
			return f.raw(b[4:])
		}
		padded := (int(length) + 3) &^ 3
		if length < 4 || padded > len(b) {
			return Truncated
		}
		b = b[padded:]
	}
	return Truncated
}

// wrapped reads the two headers that tell the link type of what they carry: Per-Packet Information
// and PKTAP of Darwin, which some tools wrote as the second private type. All is little-endian.
func (f *Frame) wrapped(link packet.LinkType, b []byte) Verdict {
	const recordPacket = 1 // PKTAP: the record is a packet
	var header, inner uint32
	if link == packet.LinkPPI {
		if len(b) < 8 { // version, flags: 1 byte each; length: 2; link type: 4
			return Truncated
		}
		header = uint32(binary.LittleEndian.Uint16(b[2:]))
		inner = binary.LittleEndian.Uint32(b[4:])
	} else {
		if len(b) < 12 { // length, record, link type: 4 bytes each
			return Truncated
		}
		if binary.LittleEndian.Uint32(b[4:]) != recordPacket {
			return NotIP
		}
		header, inner = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[8:])
	}
	switch {
	case header < 8 || inner > 0xffff:
		return NotIP
	case uint64(header) > uint64(len(b)):
		return Truncated
	}
	switch link = packet.LinkType(inner); link {
	case packet.LinkPPI, packet.LinkPKTAP, packet.LinkUser2:
		return Unknown // in itself: nobody writes it, and it could go on for ever
	}
	return f.header(link, b[header:])
}

// monitor reads the two older headers of monitor mode. A number of four bytes, which is the
// length, stands behind another: AVS has it in network order, Prism in that of the machine.
func (f *Frame) monitor(b []byte) Verdict {
	if len(b) < 8 {
		return Truncated
	}
	header := min(binary.BigEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[4:]))
	if uint64(header) > uint64(len(b)) {
		return Truncated
	}
	return f.radio(b[header:], 0)
}

// radiotap reads the header of monitor mode: version and padding, 1 byte each; its length, 2; which
// fields are there, 4, more while the uppermost bit is set; the fields, each at a multiple of its
// size. All is little-endian (https://www.radiotap.org).
func (f *Frame) radiotap(b []byte) Verdict {
	const (
		hasTSFT, hasFlags = 1 << 0, 1 << 1
		dataPad           = 0x20 // of the flags: the header is padded to 4 bytes
	)
	if len(b) < 8 {
		return Truncated
	}
	header := int(binary.LittleEndian.Uint16(b[2:]))
	if header < 8 || header > len(b) {
		return Truncated
	}
	present, o := binary.LittleEndian.Uint32(b[4:]), 8
	for more := present; more>>31 != 0 && o+4 <= header; o += 4 {
		more = binary.LittleEndian.Uint32(b[o:])
	}
	if present&hasTSFT != 0 {
		o = (o+7)&^7 + 8
	}
	align := 0
	if present&hasFlags != 0 && o < header && b[o]&dataPad != 0 {
		align = 3
	}
	return f.radio(b[header:], align)
}

// radio reads an 802.11 frame (IEEE 802.11, section 9.3.2.1): frame control and duration of 2
// bytes each, three addresses of 6, sequence control of 2; then what the bits of frame control
// announce. The header is rounded up to a multiple of align+1 bytes. What is encrypted or several
// frames in one is not followed.
func (f *Frame) radio(b []byte, align int) Verdict {
	const (
		typeData  = 2
		nullBit   = 0x40 // of the first byte: no data
		qosBit    = 0x80
		toDS      = 0x01 // of the second byte
		fromDS    = 0x02
		protected = 0x40
		order     = 0x80
		aMSDU     = 0x80 // of the QoS control
	)
	if len(b) < 2 {
		return Truncated
	}
	if b[0]>>2&3 != typeData || b[0]&nullBit != 0 || b[1]&protected != 0 {
		return NotIP
	}
	header := 24
	if b[1]&(toDS|fromDS) == toDS|fromDS {
		header += 6 // a fourth address
	}
	if b[0]&qosBit != 0 {
		if len(b) < header+2 {
			return Truncated
		}
		if b[header]&aMSDU != 0 {
			return NotIP
		}
		header += 2
		if b[1]&order != 0 {
			header += 4 // HT control
		}
	}
	header = (header + align) &^ align
	if len(b) < header {
		return Truncated
	}
	return f.llc(b[header:])
}
