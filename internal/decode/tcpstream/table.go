// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"unsafe"
)

// streamBytes is the size of a stream, most of it key.
const streamBytes = int(unsafe.Sizeof(stream{}))

// mode is how well the edges of messages are known.
type mode uint8

const (
	lost      mode = iota // not at all
	tentative             // a message was found that looks like one, but is not whole yet
	synced                // from the SYN on, or from a message that was whole
)

// stream is one direction of a connection. Indices into the tables of this package count from 1;
// 0 is none.
type stream struct {
	key   key
	next  uint32  // sequence number of the byte that is to come
	isn   uint32  // of its SYN; if it is not known, of the first byte seen
	hold  uint32  // what waits
	link  uint32  // next of the same bucket, or next free
	newer uint32  // in its list
	older uint32  // in its list
	skip  uint16  // how many bytes from next on belong to a message that is done with
	mode  mode    //
	why   Verdict // of the packets of a stream that is lost
	last  int64   // time of its last packet
	age   age     // its list
	known bool    // isn is known
	rank  rank    // proven once a message was emitted
}

// age is a list of streams, by the time of their last packets.
type age uint8

const (
	live    age = iota
	idle        // half-open or closed: to forget it loses little
	numAges     // how many there are; not an age
)

// key is what tells streams apart. Addresses of both versions are 16 bytes (RFC 4291, section
// 2.5.5.2), here as words, which are quicker to hash and to compare.
type key struct {
	srcHi, srcLo, dstHi, dstLo uint64
	context                    uint64
	ports                      uint32
}

// set is given a pointer and writes word by word: a struct of this size that is returned is copied
// in pieces other than those it was written in, which stalls for longer than all the rest takes.
func (k *key) set(src, dst netip.Addr, srcPort, dstPort uint16, context uint64) {
	k.srcHi, k.srcLo = words(src)
	k.dstHi, k.dstLo = words(dst)
	k.context, k.ports = context, uint32(srcPort)<<16|uint32(dstPort)
}

func words(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// back returns the key of the other direction.
func (k *key) back() key {
	return key{k.dstHi, k.dstLo, k.srcHi, k.srcLo, k.context, bits.RotateLeft32(k.ports, 16)}
}

// secret is what nobody outside knows of a hash, so that nobody can choose keys that all meet in
// one bucket.
type secret [6]uint64

func newSecret() (s secret) {
	for i := range s {
		s[i] = rand.Uint64()
	}
	return s
}

// hash multiplies pairs of words, each with a secret in it, and folds the products.
func (s *secret) hash(k *key) uint64 {
	h := fold(k.srcHi^s[0], k.srcLo^s[1]) ^ fold(k.dstHi^s[2], k.dstLo^s[3])
	return fold(h^s[4], h^k.context^uint64(k.ports)<<32^uint64(k.ports)^s[5])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// table finds streams by their keys.
type table struct {
	streams []stream
	heads   []uint32 // of the buckets
	free    uint32
	used    int
	lists   [numAges]struct {
		newest, oldest uint32
		n              int
	}
}

func (x *Streams) bucket(k *key) *uint32 {
	return &x.table.heads[x.secret.hash(k)&uint64(len(x.table.heads)-1)]
}

// find returns the stream of k, or 0.
func (x *Streams) find(k *key) uint32 {
	t := &x.table
	if t.streams == nil {
		return 0
	}
	i := *x.bucket(k)
	for i != 0 && t.streams[i].key != *k {
		i = t.streams[i].link
	}
	return i
}

// add makes a stream of x.key, which has none.
func (x *Streams) add() uint32 {
	t := &x.table
	if t.streams == nil {
		t.streams = make([]stream, 1+x.max.streams)
		t.heads = make([]uint32, buckets(x.max.streams))
	}
	if t.free == 0 && t.used == x.max.streams {
		x.forget(x.victim(), Evicted)
		x.stats.Forgot++
	}
	i := t.free
	if i != 0 {
		t.free = t.streams[i].link
	} else {
		t.used++
		i = uint32(t.used)
	}
	head := x.bucket(&x.key)
	t.streams[i] = stream{key: x.key, link: *head, last: x.now, age: idle, why: Partial}
	*head = i
	x.push(i)
	x.due = min(x.due, x.now+x.idle)
	x.stats.Streams++
	return i
}

// victim returns the stream to forget: one that is half-open or closed while a quarter are, so
// that a flood of SYNs forgets its own and the handshakes under way have room all the same.
func (x *Streams) victim() uint32 {
	t := &x.table
	if l := &t.lists[idle]; l.n > x.max.streams/4 || t.lists[live].n == 0 {
		return l.oldest
	}
	return t.lists[live].oldest
}

// forget drops stream i and what waits in it; why is for its packets.
func (x *Streams) forget(i uint32, why Verdict) {
	t := &x.table
	s := &t.streams[i]
	if s.hold != 0 {
		x.release(s.hold, why)
	}
	x.pull(i)
	at := x.bucket(&s.key)
	for *at != i {
		at = &t.streams[*at].link
	}
	*at = s.link
	s.link, t.free = t.free, i
	x.stats.Streams--
}

// touch notes a packet of stream i.
func (x *Streams) touch(i uint32) {
	s := &x.table.streams[i]
	s.last = x.now
	if s.newer != 0 {
		x.pull(i)
		x.push(i)
	}
}

// move puts stream i into a list.
func (x *Streams) move(i uint32, to age) {
	if s := &x.table.streams[i]; s.age != to {
		x.pull(i)
		s.age = to
		x.push(i)
	}
}

// push makes stream i the newest of its list.
func (x *Streams) push(i uint32) {
	s := &x.table.streams[i]
	l := &x.table.lists[s.age]
	s.newer, s.older = 0, l.newest
	if l.newest != 0 {
		x.table.streams[l.newest].newer = i
	} else {
		l.oldest = i
	}
	l.newest = i
	l.n++
}

// pull takes stream i out of its list.
func (x *Streams) pull(i uint32) {
	s := &x.table.streams[i]
	l := &x.table.lists[s.age]
	if s.newer != 0 {
		x.table.streams[s.newer].older = s.older
	} else {
		l.newest = s.older
	}
	if s.older != 0 {
		x.table.streams[s.older].newer = s.newer
	} else {
		l.oldest = s.newer
	}
	l.n--
}
