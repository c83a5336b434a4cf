// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"unicode/utf8"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// yes is a boolean that is true, and empty the length of nothing, or of what is not yet there.
const (
	yes   = "\x01"
	empty = "\x00"
)

// piece is constant bytes, at most 23. They are copied as a whole, in two moves, and cut to their
// length: the compiler calls memmove for bytes whose number it does not know, which takes several
// times as long.
type piece struct {
	bytes [23]byte
	n     uint8 // 0 in tables with gaps
}

func pieceOf(bytes string) (p piece) {
	p.n = uint8(copy(p.bytes[:], bytes))
	return p
}

func (p *piece) append(dst []byte) []byte {
	n := len(dst)
	if cap(dst)-n < len(p.bytes) {
		return append(dst, p.bytes[:p.n]...)
	}
	*(*[len(p.bytes)]byte)(dst[n : n+len(p.bytes)]) = p.bytes
	return dst[:n+int(p.n)]
}

// appendUint appends v as a varint. Those of up to four bytes are put together at once, without a
// branch for how many there are: ports and ids have one to three, unforeseeably.
func appendUint(dst []byte, v uint64) []byte {
	if v >= 1<<28 {
		return binary.AppendUvarint(dst, v)
	}
	x := uint32(v)
	n := (bits.Len32(x|1)*9 + 64) / 64 // a seventh of the bits, rounded up
	x = x&0x7f | x&0x3f80<<1 | x&0x1fc000<<2 | x&0xfe00000<<3
	x |= 0x808080 >> ((4 - n) * 8 & 31)
	return binary.LittleEndian.AppendUint32(dst, x)[:len(dst)+n]
}

// appendSmall appends a tag of one byte and v, which is below 1<<21, in fewer instructions.
func appendSmall(dst []byte, tag string, v uint32) []byte {
	n := len(dst) + 2 + int((0x7f-v)>>31) + int((0x3fff-v)>>31)
	x := v&0x7f | v<<1&0x7f00 | v<<2&0x7f0000 | (0x7f-v)>>31<<7 | (0x3fff-v)>>31<<15
	return binary.LittleEndian.AppendUint32(dst, x<<8|uint32(tag[0]))[:n]
}

// open appends a tag and a byte for the length of what follows, at the offset that it returns.
func open(dst []byte, tag string) (opened []byte, at int) {
	dst = append(append(dst, tag...), empty...)
	return dst, len(dst) - 1
}

// seal writes the length of what follows the byte at the offset at into it. One byte is enough for
// nearly all there is; for what is longer, all of it is moved.
func seal(dst []byte, at int) []byte {
	if len(dst)-at > 0x80 {
		return sealLong(dst, at)
	}
	dst[at] = byte(len(dst) - at - 1)
	return dst
}

func sealLong(dst []byte, at int) []byte {
	n := len(dst) - at - 1
	var length [binary.MaxVarintLen64]byte
	width := binary.PutUvarint(length[:], uint64(n))
	end := len(dst)
	dst = append(dst, length[1:width]...) // as many bytes as are missing
	copy(dst[at+width:], dst[at+1:end])
	copy(dst[at:], length[:width])
	return dst
}

// appendAddr appends the length and the text of an address.
func appendAddr(dst []byte, a netip.Addr) []byte {
	at := len(dst)
	dst = dnsmsg.AppendAddr(append(dst, empty...), a)
	dst[at] = byte(len(dst) - at - 1)
	return dst
}

// appendText appends the length and the bytes of s. It is for the few strings that are not made of
// DNS data; bytes that are not UTF-8 become U+FFFD, for proto3 takes no others.
func appendText(dst []byte, s string) []byte {
	at := len(dst)
	dst = append(dst, empty...)
	for _, r := range s {
		dst = utf8.AppendRune(dst, r)
	}
	return seal(dst, at)
}
