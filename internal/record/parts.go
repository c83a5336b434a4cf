// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// A batch that was split is a row of sealed batches in one arena, its parts: one current, which
// the methods of Batch are about, and those after it. A batch that was never split has one.

// part says where a part stands in the arena, and what its batch knows of it.
type part struct {
	at, end   int
	count     int32
	base, max int64
	place     Place
}

// Total returns how many records the current part and those after it hold.
func (b *Batch) Total() int {
	n := int(b.count)
	for _, p := range b.rest {
		n += int(p.count)
	}
	return n
}

// TotalSize returns the bytes of the current part and those after it.
func (b *Batch) TotalSize() int {
	n := len(b.buf)
	for _, p := range b.rest {
		n += p.end - p.at
	}
	return n
}

// Places returns the places of the current part and those after it.
func (b *Batch) Places() []Place {
	all := []Place{b.place}
	for _, p := range b.rest {
		all = append(all, p.place)
	}
	return all
}

// Next makes the part after the current one the current one. It returns false, and changes
// nothing, when there is none.
func (b *Batch) Next() bool {
	if len(b.rest) == 0 {
		return false
	}
	next := b.rest[0]
	b.rest = b.rest[1:]
	b.show(next)
	return true
}

// Copy makes b, an empty batch or one of before, a copy of the sealed batch from, all of its
// parts and its stamps included. An arena of b that is smaller than they are is replaced.
func (b *Batch) Copy(from *Batch) {
	b.reset()
	b.Arena(from.TotalSize())
	b.buf = append(b.buf[:0], from.buf...)
	b.count, b.base, b.max, b.place = from.count, from.base, from.max, from.place
	if len(from.rest) == 0 {
		return
	}
	whole := from.whole()
	b.arena = b.buf[:cap(b.buf)]
	all := b.buf
	for _, p := range from.rest {
		at := len(all)
		all = append(all, whole[p.at:p.end]...)
		p.at, p.end = at, len(all)
		b.rest = append(b.rest, p)
	}
}

// show makes p the current part.
func (b *Batch) show(p part) {
	b.buf = b.arena[p.at:p.end]
	b.count, b.base, b.max, b.place = p.count, p.base, p.max, p.place
}

// whole returns the arena of b from its start, with its capacity as its length.
func (b *Batch) whole() []byte {
	if b.arena != nil {
		return b.arena
	}
	return b.buf[:cap(b.buf)]
}

// Stamped tells whether the sealed batch carries the identity of a producer: only then may a
// partition have it.
func (b *Batch) Stamped() bool { return int64(binary.BigEndian.Uint64(b.buf[offProducer:])) >= 0 }
