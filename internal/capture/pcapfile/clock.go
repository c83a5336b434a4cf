// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"math/bits"

	"github.com/dnsluice/dnsluice/internal/packet"
)

const second = 1_000_000_000 // nanoseconds

// clock turns the time stamps of a pcapng interface into nanoseconds since the Unix epoch:
// units*mul >> shift / div + offset, each step in 128 bits and held to packet.MaxTime.
type clock struct {
	mul, div uint64
	shift    uint
	offset   int64
}

// newClock reads if_tsresol (the upper bit clear: a negative power of 10; set: of 2) and
// if_tsoffset, in seconds (draft-ietf-opsawg-pcapng, section 4.2).
func newClock(resol uint8, offset int64) clock {
	const most = packet.MaxTime / second
	c := clock{mul: 1, div: 1, offset: min(max(offset, -most), most) * second}
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
	if hi != 0 || lo > packet.MaxTime {
		lo = packet.MaxTime
	}
	return min(max(int64(lo)+c.offset, -packet.MaxTime), packet.MaxTime)
}
