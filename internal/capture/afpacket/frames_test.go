// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The frames that the tests send. Each function puts one header before what it is given.

var (
	client4, server4 = []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
	client6, server6 = address6(1), address6(2)
)

func address6(last byte) []byte {
	return append([]byte{0xfd, 0}, append(make([]byte, 13), last)...)
}

func be16(v ...int) []byte {
	var b []byte
	for _, v := range v {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func udp(src, dst int, payload ...byte) []byte {
	return append(be16(src, dst, 8+len(payload), 0), payload...)
}

func tcp(src, dst int) []byte {
	return slices.Concat(be16(src, dst), make([]byte, 8), []byte{0x50, 2, 1, 0, 0, 0, 0, 0})
}

// ipv4 has options when the caller gives some, a multiple of four bytes.
func ipv4(proto byte, src, dst, payload []byte, options ...byte) []byte {
	h := slices.Concat([]byte{0x45 + byte(len(options)/4), 0},
		be16(20+len(options)+len(payload), 7, 0), []byte{64, proto, 0, 0}, src, dst, options)
	return append(checksummed(h), payload...)
}

// fragment4 makes a fragment of payload[from:to] with the given identification.
func fragment4(id int, proto byte, src, dst, payload []byte, from, to int) []byte {
	f := ipv4(proto, src, dst, payload[from:to])
	offset := from / 8
	if to < len(payload) {
		offset |= 0x2000
	}
	copy(f[4:], be16(id, offset))
	checksummed(f[:20])
	return f
}

func checksummed(h []byte) []byte {
	h[10], h[11] = 0, 0
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	copy(h[10:], be16(int(^(sum + sum>>16))))
	return h
}

func ipv6(next byte, src, dst, payload []byte) []byte {
	return slices.Concat([]byte{0x60, 0, 0, 0}, be16(len(payload)), []byte{next, 64},
		src, dst, payload)
}

// fragment6 makes a fragment header with payload[from:to] behind it.
func fragment6(next byte, payload []byte, from, to int) []byte {
	offset := from
	if to < len(payload) {
		offset |= 1
	}
	return slices.Concat([]byte{next, 0}, be16(offset, 0, 9), payload[from:to])
}

func ether(etherType int, payload []byte) []byte {
	return slices.Concat(bytes.Repeat([]byte{0xff}, 6), []byte{2, 0, 0, 0, 0, 1},
		be16(etherType), payload)
}

// tagged makes the payload of an ether with a tag as its type.
func tagged(tci, etherType int, payload []byte) []byte {
	return append(be16(tci, etherType), payload...)
}

func query4(payload ...byte) []byte {
	return ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000, 53, payload...)))
}
