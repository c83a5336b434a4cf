// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
)

const (
	// maxName is the longest name on the wire with the byte of its root (RFC 1035, section 2.3.4).
	maxName = 255

	// MaxPointers is how many compression pointers one name may follow. A name has at most 127
	// labels and so 126 places between them; one that needs more has pointers to pointers, which
	// no encoder writes and which would let an attacker make each of the thousands of records of
	// a 64 KiB message cost thousands of hops. A name that decode/wire lets pass has a text.
	MaxPointers = 126
)

// AppendName appends the name at off in wire in presentation format, as dig prints it: case
// kept, a dot after each label, "." for the root, and every byte that is not printable ASCII or
// has a meaning in zone files escaped (RFC 1035, section 5.1; RFC 4343, section 2.1). It follows
// compression pointers (RFC 1035, section 4.1.4), each of which must point before the labels
// already read. next is the offset after the name in its place.
//
// A malformed name gives next -1 and dst as it was; any bytes and any off are safe.
func AppendName(dst, wire []byte, off int) (text []byte, next int) {
	return appendName(dst, wire, off, &exact)
}

// AppendQName is AppendName in the form that records use for names to look up: ASCII
// lower-cased, and no final dot but for the root.
func AppendQName(dst, wire []byte, off int) (text []byte, next int) {
	text, next = appendName(dst, wire, off, &lower)
	if len(text)-len(dst) > 1 {
		text = text[:len(text)-1]
	}
	return text, next
}

func appendName(dst, wire []byte, off int, table *[256]byte) (text []byte, next int) {
	have := len(dst)
	if cap(dst)-have >= room {
		out := (*[room]byte)(dst[have : have+room])
		if length, next := putName(out, wire, uint(off)); length > 0 {
			return dst[:have+int(length)], next
		}
	}
	return appendAnyName(dst, wire, off, table)
}

const (
	// room is what a name needs that putName writes, and a word: whole words are written.
	room = 256 + 8

	// shortLabel is the length below which labels are for putName: it has the bit alone that
	// shorter ones lack.
	shortLabel = 0x20
)

// putName writes a name that no table changes: one of lower-case letters, digits and hyphens in
// short labels, as nearly all are. For everything else, malformed names too, it returns length 0.
// It walks over the labels up to the root or a pointer, then writes them all at once: a loop for
// each label would end where no branch predictor expects it. Exactly as many bytes must become
// dots as there are lengths between the labels. The first word has what is more than whole ones,
// and what it writes behind that is overwritten.
//
//go:noinline
func putName(out *[room]byte, wire []byte, off uint) (length uint, next int) {
	next = -1
	for at, hops := off, 0; at < uint(len(wire)); hops++ {
		floor, n, labels := at, uint(wire[at]), uint64(0)
		part := wire[:min(uint(len(wire)), floor+maxName)] // else many names could walk 64 KiB each
		for n-1 < shortLabel-1 {
			at += n + 1
			labels++
			if at >= uint(len(part)) {
				return 0, -1
			}
			n = uint(part[at])
		}
		if labels > 0 {
			i := floor + 1
			if i+8 > uint(len(wire)) || length+at-i >= maxName-1 {
				return 0, -1
			}
			to := length - i
			text, dots, odd := plainWord([8]byte(wire[i : i+8]))
			binary.LittleEndian.PutUint64(out[uint8(to+i):], text)
			extra := (i - at) & 7 * 8
			dots, odd = dots<<(extra&63), odd<<(extra&63)
			for i += 8 - extra/8; i < at; i += 8 {
				text, d, o := plainWord([8]byte(wire[i : i+8]))
				binary.LittleEndian.PutUint64(out[uint8(to+i):], text)
				dots, odd = dots+d, odd|o
			}
			length = to + at
			out[uint8(length)] = '.'
			length++
			if dots*each>>56 != labels-1 || odd&high != 0 {
				return 0, -1
			}
		}
		if n == 0 {
			if length == 0 {
				out[0], length = '.', 1
			}
			if next < 0 {
				next = int(at) + 1
			}
			return length, next
		}
		target := pointer(n, wire[at+1:])
		if uint(target) >= floor || hops == MaxPointers {
			break
		}
		if next < 0 {
			next = int(at) + 2
		}
		at = uint(target)
	}
	return 0, -1
}

// Words of eight bytes of which each is 1, or has its highest bit alone.
const (
	each = 0x0101010101010101
	high = 0x80 * each
)

// plainWord makes dots of the bytes that lack the bit shortLabel: short lengths, but capital
// letters too. They are 1 in dots. The highest bit of a byte of odd says that it is one of the
// others that has an escape or shares the test: not ASCII, below ',', or one of ./;?{ and DEL.
func plainWord(bytes [8]byte) (text, dots, odd uint64) {
	word := binary.LittleEndian.Uint64(bytes[:])
	dots = ^word & (shortLabel * each) / shortLabel
	apart := word + dots*(2*shortLabel) // lengths are none of those
	odd = word | ((0x80+'-')*each - (apart ^ 3*each)) | ((apart | 0x44*each) + each)
	text = word ^ (word^'.'*each)&(dots*(2*shortLabel-1))
	return text, dots, odd
}

// pointer returns where a compression pointer points, of its first byte and what follows it, or
// -1 when that is not a pointer.
func pointer(first uint, rest []byte) int {
	if first < 0xc0 || len(rest) == 0 {
		return -1
	}
	return int(first&0x3f<<8 | uint(rest[0]))
}

// appendAnyName is appendName for any name and any dst.
func appendAnyName(dst, wire []byte, off int, table *[256]byte) ([]byte, int) {
	text, next := dst, -1
	// Bytes of the name so far with the root's, and the lowest offset read: a pointer must go
	// below it, so that no chain of them can come back.
	total, floor, hops := 1, off, 0
	for {
		if uint(off) >= uint(len(wire)) {
			return dst, -1
		}
		n := int(wire[off])
		off++
		switch {
		case n == 0:
			if total == 1 {
				text = append(text, '.')
			}
			if next < 0 {
				next = off
			}
			return text, next
		case n > 63:
			target := pointer(uint(n), wire[off:])
			hops++
			if target < 0 || target >= floor || hops > MaxPointers {
				return dst, -1
			}
			if next < 0 {
				next = off + 1
			}
			off, floor = target, target
		default:
			total += n + 1
			if total > maxName || n > len(wire)-off {
				return dst, -1
			}
			text = append(appendEscaped(text, wire[off:off+n], table), '.')
			off += n
		}
	}
}

// appendEscaped appends bytes through a table: what it maps them to, or an escape when that is
// 0: \DDD for what is not printable, a backslash before what is.
func appendEscaped(dst, s []byte, table *[256]byte) []byte {
	for _, b := range s {
		c := table[b]
		switch {
		case c != 0:
			dst = append(dst, c)
		case b <= ' ' || b > '~':
			dst = append(dst, '\\', '0'+b/100, '0'+b/10%10, '0'+b%10)
		default:
			dst = append(dst, '\\', b)
		}
	}
	return dst
}

// appendString appends a character-string in quotes (RFC 1035, section 5.1).
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s, &quoted)
	return append(dst, '"')
}

// AppendAddr appends an address as dig prints it: RFC 5952, where mapped and compatible IPv4
// addresses are ::ffff:192.0.2.1 and ::192.0.2.1 (RFC 4291, section 2.5.5). The zone is left
// out: no DNS message carries one. The zero Addr appends nothing.
func AppendAddr(dst []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		return appendIPv4(dst, a.As4())
	case a.IsValid():
		return appendIPv6(dst, a.As16())
	}
	return dst
}

// appendIPv4 stores a whole word for each octet and its dot: the next word covers what is too long.
// It does so in the room that dst has; where that is short, in an array of its own.
func appendIPv4(dst []byte, a [4]byte) []byte {
	have := len(dst)
	if cap(dst)-have < 20 {
		var text [20]byte
		return append(dst, appendIPv4(text[:0], a)...)
	}
	text := (*[20]byte)(dst[have : have+20])
	n := 0
	for _, octet := range a {
		d := decimals[octet]
		binary.LittleEndian.PutUint32(text[n&15:], d.text)
		n += int(d.length)
	}
	return dst[:have+n-1]
}

// decimals are the numbers of a byte as text, each with a dot after it.
var decimals = func() (table [256]struct {
	text   uint32
	length uint8
}) {
	for i := range table {
		text := append(strconv.AppendUint(nil, uint64(i), 10), '.')
		table[i].length = uint8(len(text))
		table[i].text = binary.LittleEndian.Uint32(append(text, 0, 0, 0))
	}
	return table
}()

// appendIPv6 works as appendIPv4 does, with a word of up to four digits and a colon for each group.
func appendIPv6(dst []byte, a [16]byte) []byte {
	have := len(dst)
	if cap(dst)-have < 72 {
		dst = slices.Grow(dst, 72)
	}
	hi, lo := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	if hi == 0 && lo>>32 == 0xffff {
		return appendIPv4(append(dst, "::ffff:"...), [4]byte(a[12:]))
	}
	if hi == 0 && lo>>32 == 0 && lo>>16 != 0 {
		return appendIPv4(append(dst, "::"...), [4]byte(a[12:]))
	}
	text := (*[72]byte)(dst[have : have+72])
	run := zeroRuns[zeroGroups(hi)|zeroGroups(lo)<<4]
	n := 0
	for i := 0; i < 8; i++ {
		if i == int(run.from) {
			if i == 0 {
				text[0], n = ':', 1
			}
			text[n&63] = ':'
			n++
			i = int(run.to) - 1
			continue
		}
		groups := hi
		if i >= 4 {
			groups = lo
		}
		digits, zeros := hex16(uint16(bits.RotateLeft64(groups, 16*i+16)))
		binary.BigEndian.PutUint64(text[n&63:], (digits<<8|':')<<((24+8*zeros)&63))
		n += 5 - zeros
	}
	if run.to < 8 {
		n--
	}
	return dst[:have+n]
}

// zeroGroups returns a bit for each of the four groups that is zero, the lowest for the first.
func zeroGroups(groups uint64) uint8 {
	const each = 0x0001_0001_0001_0001
	zero := ^((groups&(0x7fff*each) + 0x7fff*each) | groups) & (0x8000 * each) >> 15
	return uint8(zero * (1 | 1<<17 | 1<<34 | 1<<51) >> 48)
}

// zeroRuns gives, for each set of groups that are zero, the first of the longest runs of two or
// more of them (RFC 5952, sections 4.2.2 and 4.2.3), or 8 and 0.
var zeroRuns = func() (table [256]struct{ from, to uint8 }) {
	for set := range table {
		table[set].from = 8
		longest := 1
		for from := range 8 {
			to := from
			for to < 8 && set>>to&1 != 0 {
				to++
			}
			if to-from > longest {
				longest = to - from
				table[set].from, table[set].to = uint8(from), uint8(to)
			}
		}
	}
	return table
}()

// hex16 returns a number as four hexadecimal digits, and how many of them are leading zeros. All
// are made at once: spread to a byte each, those above 9 moved on to the letters.
func hex16(v uint16) (digits uint64, zeros int) {
	x := uint64(v)
	x = (x<<8 | x) & 0x00ff00ff
	x = (x<<4 | x) & 0x0f0f0f0f
	letters := (x + 0x06060606) >> 4 & 0x01010101
	return x + 0x30303030 + letters*('a'-'9'-1), bits.LeadingZeros16(v|1) / 4
}

const (
	hexUpper = "0123456789ABCDEF"
	hexLower = "0123456789abcdef"
)

// appendHex16 appends a number in hexadecimal without leading zeros.
func appendHex16(dst []byte, v uint16) []byte {
	digits, zeros := hex16(v)
	return binary.BigEndian.AppendUint32(dst, uint32(digits)<<(8*zeros))[:len(dst)+4-zeros]
}

// appendHex appends bytes in hexadecimal with the digits given: four at a time, as hex16 makes
// digits, then what is left.
func appendHex(dst, s []byte, digits string) []byte {
	dst = slices.Grow(dst, 2*len(s))
	above := uint64(digits[10] - '9' - 1)
	for ; len(s) >= 4; s = s[4:] {
		x := uint64(binary.BigEndian.Uint32(s))
		x = (x<<16 | x) & 0x0000ffff_0000ffff
		x = (x<<8 | x) & 0x00ff00ff_00ff00ff
		x = (x<<4 | x) & 0x0f0f0f0f_0f0f0f0f
		letters := (x + 6*each) >> 4 & each
		dst = binary.BigEndian.AppendUint64(dst, x+'0'*each+letters*above)
	}
	for _, b := range s {
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}

func appendBase64(dst, s []byte) []byte {
	return base64.StdEncoding.AppendEncode(dst, s)
}

func appendU8(dst []byte, v uint8) []byte {
	switch {
	case v >= 100:
		return append(dst, '0'+v/100, '0'+v/10%10, '0'+v%10)
	case v >= 10:
		return append(dst, '0'+v/10, '0'+v%10)
	}
	return append(dst, '0'+v)
}

// digits returns the eight decimal digits of v, which is below 100,000,000, one in a byte, the
// first in the lowest: first the two numbers of four digits that v consists of, then the four of
// two in those, then the digits. The divisions by 100 and 10 are multiplications that are exact
// for numbers so small.
func digits(v uint64) uint64 {
	v = v/1e4 | v%1e4<<32
	q := v * 10486 >> 20 & 0x0000007f_0000007f
	v = q | (v-q*100)<<16
	q = v * 103 >> 10 & 0x000f_000f_000f_000f
	return q | (v-q*10)<<8
}

// AppendUint appends v in decimal. Eight characters are stored and those behind the number cut
// off, without a branch for how many digits there are: the numbers of DNS have one to five,
// unforeseeably.
func AppendUint(dst []byte, v uint64) []byte {
	if v >= 1e8 {
		return AppendDigits(strconv.AppendUint(dst, v/1e8, 10), v%1e8)
	}
	d := digits(v)
	zeros := bits.TrailingZeros64(d|1<<56) / 8 // of eight digits the last always stays
	return binary.LittleEndian.AppendUint64(dst, (d|'0'*each)>>(zeros*8))[:len(dst)+8-zeros]
}

// AppendDigits appends all eight digits of v, which is below 100,000,000.
func AppendDigits(dst []byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(dst, digits(v)|'0'*each)
}

// The tables say for each byte what it is written as; 0 is an escape.
var (
	exact  = escapes(" .\\\"();@$", 0)       // names, case kept
	lower  = escapes(" .\\\"();@$", 'a'-'A') // names, ASCII lower-cased
	loose  = escapes("\\", 0)                // text that nothing stands around
	quoted = escapes("\"\\", 0)              // character-strings between quotes
)

// escapes makes a table that escapes what is not printable ASCII and the bytes of special, and
// adds fold to capital letters.
func escapes(special string, fold byte) (table [256]byte) {
	for b := byte(' '); b <= '~'; b++ {
		table[b] = b
		if b >= 'A' && b <= 'Z' {
			table[b] = b + fold
		}
	}
	for i := range len(special) {
		table[special[i]] = 0
	}
	return table
}
