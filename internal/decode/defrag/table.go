// SPDX-License-Identifier: Apache-2.0

package defrag

import (
	"math"
	"math/bits"
)

// make allocates what is not blocks.
func (t *Table) make() {
	t.heads = make([]int32, buckets(t.cfg.Datagrams))
	for i := range t.heads {
		t.heads[i] = none
	}
	t.slots = make([]datagram, t.cfg.Datagrams)
	for i := range t.slots {
		t.slots[i].chain = int32(i) + 1
	}
	t.slots[len(t.slots)-1].chain = none
	t.oldest, t.newest = none, none
	t.refused = make([]refusal, refusals)
	t.blocks.max = (t.cfg.Bytes - t.cfg.fixed()) / blockBytes / perChunk * perChunk
	t.blocks.free = none
	t.buffer = make([]byte, largest)
}

func (t *Table) bucket(hash uint64) *int32 { return &t.heads[hash&uint64(len(t.heads)-1)] }

// find returns the datagram with the key, or none.
func (t *Table) find(hash uint64, key Key) int32 {
	s := *t.bucket(hash)
	for s != none && t.slots[s].key != key {
		s = t.slots[s].chain
	}
	return s
}

// open makes a datagram, the newest.
func (t *Table) open(hash uint64, key Key, time int64) int32 {
	if t.free == none {
		t.evict(t.oldest, Datagrams)
	}
	s := t.free
	d := &t.slots[s]
	t.free = d.chain
	head := t.bucket(hash)
	*d = datagram{
		key: key, hash: hash, first: time, chain: *head, older: t.newest, newer: none,
		blocks: none, total: none, cut: math.MaxInt32,
	}
	*head = s
	if t.newest == none {
		t.oldest = s
		t.schedule()
	} else {
		t.slots[t.newest].newer = s
	}
	t.newest = s
	return s
}

// close gives back the memory of datagram s.
func (t *Table) close(s int32) {
	d := &t.slots[s]
	t.blocks.put(d.blocks)
	p := t.bucket(d.hash)
	for *p != s {
		p = &t.slots[*p].chain
	}
	*p = d.chain
	if d.newer == none {
		t.newest = d.older
	} else {
		t.slots[d.newer].older = d.older
	}
	if d.older == none {
		t.oldest = d.newer
		t.schedule()
	} else {
		t.slots[d.older].newer = d.newer
	}
	d.chain, t.free = t.free, s
}

// schedule sets when the oldest datagram is too old. Datagrams are in the order in which they
// came, which is that of time but where a clock jumps.
func (t *Table) schedule() {
	t.due = math.MaxInt64
	if t.oldest != none {
		t.due = t.slots[t.oldest].first + int64(t.cfg.Age)
	}
}

// block is a part of a datagram: bytes from index*blockSize on, in any order.
type block struct {
	data  [blockSize]byte
	have  uint64 // a bit for each unit that is there
	next  int32  // of the same datagram, or free, or none
	index uint8
}

// fill copies what f has for the block from offset from of the datagram on. It returns how many
// units it added, and how many were there before.
func (b *block) fill(f Fragment, from int) (added, known int) {
	base := int(b.index) * blockSize
	end := min(f.Offset+f.Size, base+blockSize)
	units := (end - from + unit - 1) / unit
	mask := ^uint64(0) >> (64 - units) << ((from - base) / unit)
	known = bits.OnesCount64(b.have & mask)
	if known == 0 { // nearly always
		b.have |= mask
		b.write(f, from, end)
		return units, 0
	}
	for ; from < end; from += unit {
		if bit := uint64(1) << ((from - base) / unit); b.have&bit == 0 {
			b.have |= bit
			b.write(f, from, min(from+unit, end))
			added++
		}
	}
	return added, known
}

// write copies the bytes of f from offset from to to of the datagram, as far as they are there.
func (b *block) write(f Fragment, from, to int) {
	base := int(b.index) * blockSize
	copy(b.data[from-base:to-base], f.Payload[min(from-f.Offset, len(f.Payload)):])
}

// blocks is a slab: it grows to its bound chunk by chunk and never shrinks.
type blocks struct {
	chunks []*[perChunk]block
	max    int
	made   int
	used   int
	free   int32 // the first block that was given back, linked by next, or none
}

// perChunk fills 32 KiB, the largest size that the allocator does not round up to pages.
const perChunk = 32 << 10 / blockBytes

// left is how many can be had.
func (s *blocks) left() int { return s.max - s.used }

func (s *blocks) at(i int32) *block { return &s.chunks[int(i)/perChunk][int(i)%perChunk] }

// get returns an empty block. There is one left.
func (s *blocks) get() int32 {
	s.used++
	if i := s.free; i != none {
		s.free = s.at(i).next
		return i
	}
	if s.made%perChunk == 0 {
		s.chunks = append(s.chunks, new([perChunk]block))
	}
	s.made++
	return int32(s.made - 1)
}

// put takes a list of blocks back.
func (s *blocks) put(first int32) {
	for first != none {
		b := s.at(first)
		next := b.next
		b.next, s.free = s.free, first
		first = next
		s.used--
	}
}

// block returns the one with the given index in the datagram, made when it is not there.
func (t *Table) block(d *datagram, index int) *block {
	for i := d.blocks; i != none; {
		b := t.blocks.at(i)
		if int(b.index) == index {
			return b
		}
		i = b.next
	}
	i := t.blocks.get()
	b := t.blocks.at(i)
	b.have, b.index, b.next = 0, uint8(index), d.blocks
	d.blocks = i
	return b
}

// missing is how many blocks datagram d needs to hold the bytes from offset from to to.
func (t *Table) missing(d *datagram, from, to int) int {
	n := (to-1)/blockSize - from/blockSize + 1
	for i := d.blocks; i != none; {
		b := t.blocks.at(i)
		if index := int(b.index); index >= from/blockSize && index <= (to-1)/blockSize {
			n--
		}
		i = b.next
	}
	return n
}
