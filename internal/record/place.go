// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"sync/atomic"
)

// Place is which partition the records of a batch belong to. The zero Place is none: it is not
// known yet.
type Place struct {
	Partition int32 // or Anywhere
	Of        int32 // of how many partitions there were
}

// Anywhere is the partition of records without a key.
const Anywhere int32 = -1

// Place returns where the current part of b belongs.
func (b *Batch) Place() Place { return b.place }

// SetPlace says where the current part of b belongs, when its records do not.
func (b *Batch) SetPlace(p Place) { b.place = p }

// Partition returns which of so many partitions a record with that key belongs to. It is where the
// Java client, and every other with its default partitioner, puts it: murmur2 of the key, without
// its sign bit, modulo partitions (Kafka's BuiltInPartitioner.partitionForKey).
func Partition(key []byte, partitions int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is the hash of that name by Austin Appleby, 32 bits wide, with the seed that Kafka's
// Utils.murmur2 has.
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := seed ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		h = h*m ^ (k^k>>24)*m
	}
	for i := len(b) - 1; i >= 0; i-- {
		h ^= uint32(b[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

// shared is an arena that several batches are in.
type shared struct {
	arena []byte
	left  atomic.Int32 // batches that are not put back
}

// Detach takes the parts of b after the current one out of it, each as a batch of its own, which
// one goroutine may own while others own the others. They share an arena, which goes back to the
// pool with the last of them. b must not share its arena yet.
func (b *Batch) Detach() []*Batch {
	if len(b.rest) == 0 {
		return nil
	}
	b.shared = &shared{arena: b.arena}
	b.shared.left.Store(int32(1 + len(b.rest)))
	own := make([]Batch, len(b.rest)) // one allocation, not hundreds; they share an arena anyway
	others := make([]*Batch, len(b.rest))
	for i, p := range b.rest {
		o := &own[i]
		o.limit, o.arena, o.shared = b.limit, b.arena, b.shared
		o.show(p)
		o.buf, o.arena = o.buf[:len(o.buf):len(o.buf)], nil
		others[i] = o
	}
	b.buf, b.arena, b.rest = b.buf[:len(b.buf):len(b.buf)], nil, nil
	return others
}

// rejoin tells whether nobody else is in the arena of b any more. It is all of b's then.
func (b *Batch) rejoin() bool {
	s := b.shared
	if s == nil {
		return true
	}
	if s.left.Add(-1) > 0 {
		return false
	}
	b.buf, b.arena, b.shared = s.arena[:HeaderLen], s.arena, nil
	return true
}
