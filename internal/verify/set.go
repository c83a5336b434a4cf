// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"math/bits"
	"slices"
)

// blockBits is the logarithm of how many numbers a block is for.
const blockBits = 16

const (
	blockSize = 1 << blockBits
	// maxRuns is how many runs a block keeps before it becomes a bitmap, which is twice the size
	// then and never grows.
	maxRuns     = 1024
	runBytes    = 4
	bitmapBytes = blockSize / 8
	// blockBytes is what a block costs besides: the struct and its place in the map.
	blockBytes = 96
)

// Range is the numbers from First to Last, both included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// count returns how many numbers there are. No range here is all of the 64 bits.
func (r Range) count() uint64 { return r.Last - r.First + 1 }

// set is a set of numbers that mostly follow one another, though they may come in any order: the
// partitions of a topic are read beside each other. A block of 65,536 numbers costs 96 bytes when
// it is full, 4 more for each run of numbers while it is not, and 8 KiB at most: one bit a number.
type set struct {
	blocks map[uint64]*block
	at     uint64 // key of current
	cur    *block // the block of the last number
	bytes  int    // of memory
}

// block is the numbers of one key: as runs, as a bitmap, or, when neither is there and n is
// blockSize, all of them.
type block struct {
	n    int
	runs []span // in order, none touching the next
	bits *[blockSize / 64]uint64
}

type span struct{ first, last uint16 }

// add puts n into the set. It returns false when it was there already.
func (s *set) add(n uint64) bool {
	key, low := n>>blockBits, uint16(n)
	if s.cur == nil || s.at != key {
		s.turnTo(key)
	}
	b := s.cur
	if b.n == blockSize {
		return false
	}
	before := cap(b.runs)
	if b.bits == nil {
		if !b.addRun(low) {
			return false
		}
		s.bytes += (cap(b.runs) - before) * runBytes
		if len(b.runs) > maxRuns {
			s.bytes += bitmapBytes - cap(b.runs)*runBytes
			b.toBitmap()
		}
	} else if !b.addBit(low) {
		return false
	}
	if b.n++; b.n == blockSize {
		s.bytes -= cap(b.runs) * runBytes
		if b.bits != nil {
			s.bytes -= bitmapBytes
		}
		b.runs, b.bits = nil, nil
	}
	return true
}

// turnTo makes the block with the key the current one.
func (s *set) turnTo(key uint64) {
	b := s.blocks[key]
	if b == nil {
		if s.blocks == nil {
			s.blocks = map[uint64]*block{}
		}
		b = &block{}
		s.blocks[key] = b
		s.bytes += blockBytes
	}
	s.at, s.cur = key, b
}

// addRun puts v into the runs, and tells whether it was new.
func (b *block) addRun(v uint16) bool {
	// Mostly v follows the last number: then the search is spared.
	i := len(b.runs)
	if i > 0 && v <= b.runs[i-1].last {
		i, _ = slices.BinarySearchFunc(b.runs, v, func(r span, v uint16) int {
			return int(r.last) - int(v)
		}) // the first run that ends at v or after it
		if b.runs[i].first <= v {
			return false
		}
	}
	joinsBefore := i > 0 && b.runs[i-1].last+1 == v // which is less than v, so there is no overflow
	joinsAfter := i < len(b.runs) && v+1 == b.runs[i].first
	switch {
	case joinsBefore && joinsAfter:
		b.runs[i-1].last = b.runs[i].last
		b.runs = slices.Delete(b.runs, i, i+1)
	case joinsBefore:
		b.runs[i-1].last = v
	case joinsAfter:
		b.runs[i].first = v
	default:
		b.runs = slices.Insert(b.runs, i, span{v, v})
	}
	return true
}

func (b *block) addBit(v uint16) bool {
	word, bit := &b.bits[v/64], uint64(1)<<(v%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

func (b *block) toBitmap() {
	b.bits = new([blockSize / 64]uint64)
	for _, r := range b.runs {
		for v := int(r.first); v <= int(r.last); v++ {
			b.bits[v/64] |= 1 << (v % 64)
		}
	}
	b.runs = nil
}

// each calls yield with the runs of the block in order, until it returns false. Runs of a bitmap
// that touch may come as several.
func (b *block) each(yield func(span) bool) bool {
	switch {
	case b.n == blockSize:
		return yield(span{0, blockSize - 1})
	case b.bits == nil:
		for _, r := range b.runs {
			if !yield(r) {
				return false
			}
		}
		return true
	}
	for i, word := range b.bits {
		for at := 0; word>>at != 0; {
			at += bits.TrailingZeros64(word >> at)
			n := bits.TrailingZeros64(^(word >> at))
			if !yield(span{uint16(i*64 + at), uint16(i*64 + at + n - 1)}) {
				return false
			}
			at += n
		}
	}
	return true
}

// keys returns the keys of the blocks in order.
func (s *set) keys() []uint64 {
	keys := make([]uint64, 0, len(s.blocks))
	for k := range s.blocks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// bounds returns the lowest and the highest number; both are 0 when there is none.
func (s *set) bounds() (low, high uint64) {
	keys := s.keys()
	if len(keys) == 0 {
		return 0, 0
	}
	s.blocks[keys[0]].each(func(r span) bool {
		low = keys[0]<<blockBits | uint64(r.first)
		return false
	})
	top := keys[len(keys)-1]
	s.blocks[top].each(func(r span) bool {
		high = top<<blockBits | uint64(r.last)
		return true
	})
	return low, high
}

// gaps calls yield with each range within from to to that the set lacks, in order.
func (s *set) gaps(from, to uint64, yield func(Range)) {
	next := from // the lowest number that was not looked at
	done := from > to
	for _, key := range s.keys() {
		if done {
			return
		}
		s.blocks[key].each(func(r span) bool {
			first, last := key<<blockBits|uint64(r.first), key<<blockBits|uint64(r.last)
			if last < next {
				return true
			}
			if first > to {
				return false
			}
			if first > next {
				yield(Range{next, first - 1})
			}
			if last >= to {
				done = true
				return false
			}
			next = last + 1
			return true
		})
	}
	if !done {
		yield(Range{next, to})
	}
}
