// SPDX-License-Identifier: Apache-2.0

package json

import (
	"encoding/binary"
	"slices"
	"unicode/utf16"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// piece is a constant text of up to 47 bytes. It is copied as a whole, in three moves, and cut to
// its length: the compiler calls memmove for texts of more than 16 bytes and for those whose
// length it does not know, which takes several times as long.
type piece struct {
	text [47]byte
	n    uint8 // 0 in tables with gaps
}

func pieceOf(text string) (p piece) {
	p.n = uint8(copy(p.text[:], text))
	return p
}

func (p *piece) append(dst []byte) []byte {
	n := len(dst)
	if cap(dst)-n < len(p.text) {
		return append(dst, p.text[:p.n]...)
	}
	*(*[len(p.text)]byte)(dst[n : n+len(p.text)]) = p.text
	return dst[:n+int(p.n)]
}

func appendUint(dst []byte, v uint64) []byte { return dnsmsg.AppendUint(dst, v) }

// escape makes the presentation text from the offset from on a JSON string's content: each quote
// and backslash gets a backslash. There are no other bytes in it that JSON minds.
func escape(dst []byte, from int) []byte {
	if plain(dst[from:]) {
		return dst
	}
	end, more := len(dst), 0
	for _, c := range dst[from:] {
		if c == '"' || c == '\\' {
			more++
		}
	}
	dst = slices.Grow(dst, more)[:end+more]
	// From the back, so that nothing is overwritten before it was moved.
	for i, to := end-1, len(dst)-1; i < to; i, to = i-1, to-1 {
		dst[to] = dst[i]
		if c := dst[i]; c == '"' || c == '\\' {
			to--
			dst[to] = '\\'
		}
	}
	return dst
}

// plain tells whether text has neither quotes nor backslashes. It looks at eight bytes at a
// time, the last eight perhaps twice; the texts are too short for the calls that bytes.IndexByte
// would be.
func plain(text []byte) bool {
	if len(text) < 8 {
		for _, c := range text {
			if c == '"' || c == '\\' {
				return false
			}
		}
		return true
	}
	const each = 0x0101010101010101
	found := uint64(0)
	for i := 0; ; i = min(i+8, len(text)-8) {
		word := binary.LittleEndian.Uint64(text[i:])
		// Subtracting 1 borrows into the highest bit of a byte only if that is 0: text is ASCII.
		found |= (word ^ '"'*each - each) | (word ^ '\\'*each - each)
		if i == len(text)-8 {
			return found&(0x80*each) == 0
		}
	}
}

// appendQuoted appends s as a JSON string of ASCII. It is for the few strings that are not made
// of DNS data; bytes that are not UTF-8 become U+FFFD, as encoding/json has it.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		default:
			dst = appendUnits(dst, r)
		}
	}
	return append(dst, '"')
}

// appendUnits appends a character as the escapes of its units in UTF-16 (RFC 8259, section 7).
func appendUnits(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	var units [2]uint16
	for _, u := range utf16.AppendRune(units[:0], r) {
		dst = append(dst, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	return dst
}
