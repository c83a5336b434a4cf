// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"encoding/binary"
	"net/netip"
)

const (
	etherLen, ip4Len, ip6Len, udpLen, tcpLen = 14, 20, 40, 8, 20
	protoTCP, protoUDP                       = 6, 17
	tcpFIN, tcpSYN, tcpPSH, tcpACK           = 0x01, 0x02, 0x08, 0x10
	hopLimit                                 = 61
)

// flow is one direction of a conversation.
type flow struct {
	from, to netip.AddrPort
}

func (f flow) reverse() flow { return flow{f.to, f.from} }

// segment is what a TCP header says beyond its ports.
type segment struct {
	flags    byte
	seq, ack uint32
}

// udp returns an Ethernet frame with the payload, with right checksums.
func (f flow) udp(payload []byte) []byte {
	frame, transport := f.headers(protoUDP, udpLen+len(payload))
	binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	copy(transport[udpLen:], payload)
	sum := f.checksum(protoUDP, transport)
	if sum == 0 {
		sum = 0xffff // RFC 768: zero means none
	}
	binary.BigEndian.PutUint16(transport[6:], sum)
	return frame
}

// tcp returns an Ethernet frame with one segment, with right checksums.
func (f flow) tcp(s segment, payload []byte) []byte {
	frame, transport := f.headers(protoTCP, tcpLen+len(payload))
	binary.BigEndian.PutUint32(transport[4:], s.seq)
	binary.BigEndian.PutUint32(transport[8:], s.ack)
	transport[12], transport[13] = tcpLen/4<<4, s.flags
	binary.BigEndian.PutUint16(transport[14:], 64_240)
	copy(transport[tcpLen:], payload)
	binary.BigEndian.PutUint16(transport[16:], f.checksum(protoTCP, transport))
	return frame
}

// headers returns a frame with everything below the transport written, and its transport with the
// ports written.
func (f flow) headers(proto byte, length int) (frame, transport []byte) {
	network, etherType := ip4Len, uint16(0x0800)
	if f.from.Addr().Is6() {
		network, etherType = ip6Len, 0x86dd
	}
	frame = make([]byte, etherLen+network+length)
	copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2})
	binary.BigEndian.PutUint16(frame[12:], etherType)
	ip := frame[etherLen:]
	if network == ip4Len {
		ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, hopLimit, proto
		binary.BigEndian.PutUint16(ip[2:], uint16(ip4Len+length))
		copy(ip[12:], f.from.Addr().AsSlice())
		copy(ip[16:], f.to.Addr().AsSlice())
		binary.BigEndian.PutUint16(ip[10:], fold(add(0, ip[:ip4Len])))
	} else {
		ip[0], ip[6], ip[7] = 0x60, proto, hopLimit
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
		copy(ip[8:], f.from.Addr().AsSlice())
		copy(ip[24:], f.to.Addr().AsSlice())
	}
	transport = ip[network:]
	binary.BigEndian.PutUint16(transport, f.from.Port())
	binary.BigEndian.PutUint16(transport[2:], f.to.Port())
	return frame, transport
}

// checksum is that of TCP and UDP, over their pseudo header too (RFC 768, RFC 8200 section 8.1).
func (f flow) checksum(proto byte, transport []byte) uint16 {
	sum := add(uint32(proto)+uint32(len(transport)), f.from.Addr().AsSlice())
	return fold(add(add(sum, f.to.Addr().AsSlice()), transport))
}

func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
