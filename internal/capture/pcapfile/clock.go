// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"math/bits"

	"github.com/dnsluice/dnsluice/internal/packet"
)

const second = 1_000_000_000 // nanoseconds

// clock turns the time stamps of a pcapng interface into nanoseconds since the Unix epoch:
// units*mul >> shift / div + offset, in 128 bits, and only the sum is held to packet.MaxTime.
type clock struct {
	mul, div uint64
	shift    uint
	offset   int64 // seconds, held to far
}

// far is more seconds than any time has, and so few that two of them can be added.
const far = 1 << 62

// newClock reads if_tsresol (the upper bit clear: a negative power of 10; set: of 2) and
// if_tsoffset, in seconds (draft-ietf-opsawg-pcapng, section 4.2).
func newClock(resol uint8, offset int64) clock {
	c := clock{mul: 1, div: 1, offset: min(max(offset, -far), far)}
	power := resol & 0x7f
	switch {
	case resol&0x80 != 0:
		c.mul, c.shift = second, uint(power)
	case power <= 9:
		c.mul = pow10(9 - power)
	case power <= 28:
		c.div = pow10(power - 9)
	default: // 2^64 units are less than a nanosecond
		c.mul = 0
	}
	return c
}

// pow10 returns 10 to the n, for n up to 19.
func pow10(n uint8) uint64 {
	v := uint64(1)
	for range n {
		v *= 10
	}
	return v
}

func (c *clock) nanoseconds(units uint64) int64 {
	hi, lo := bits.Mul64(units, c.mul)
	if c.shift != 0 {
		// Go defines a shift by 64 or more as 0, so each half comes out right by itself.
		lo = lo>>c.shift | hi<<(64-c.shift) | hi>>(c.shift-64)
		hi >>= c.shift
	}
	if c.div != 1 {
		lo /= c.div // mul is 1, so hi is 0
	}
	if hi == 0 && lo <= packet.MaxTime && c.offset == 0 {
		return int64(lo) // nearly always
	}
	return c.shifted(hi, lo)
}

// shifted adds the offset to hi<<64 + lo nanoseconds. From an epoch of long ago, such as the year
// 1601 of Windows, either of them may be more than packet.MaxTime and the sum a time of now.
func (c *clock) shifted(hi, lo uint64) int64 {
	const most = packet.MaxTime / second
	s, rest := bits.Div64(hi, lo, second) // mul is no more than second, so hi is less
	switch at := int64(min(s, far)) + c.offset; {
	case at > most || s > far:
		return packet.MaxTime
	case at < -most-1:
		return -packet.MaxTime
	default:
		return min(max(at*second+int64(rest), -packet.MaxTime), packet.MaxTime)
	}
}
