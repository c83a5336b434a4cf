// SPDX-License-Identifier: Apache-2.0

// Package defrag puts datagrams together that were sent in fragments, of IPv4 and of IPv6, in any
// order. It is a layer of stage 2: it copies the bytes of a fragment, and owns them until the
// datagram is whole or has to make room.
//
// Where fragments overlap, the bytes that came first stay: receivers differ in this, and no choice
// is right for all of them, so it is counted. What it drops is counted by an Eviction: a datagram
// that is too old, that must make room, or that contradicts itself.
package defrag

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"time"
	"unsafe"
)

// Config bounds what waits for its missing fragments. A field that is 0 has its default.
type Config struct {
	Bytes     int           // of memory, all of it
	Datagrams int           // that wait at one time
	Age       time.Duration // of packet time, from the first fragment of a datagram that came
}

// DefaultConfig returns the bounds of one lane: some thousand fragments of an Ethernet frame's
// size. The age is that of Linux (ipfrag_time) and of many others; RFC 8200, section 4.5, says 60
// seconds, which only lets more of what is lost wait.
func DefaultConfig() Config {
	return Config{Bytes: 2 << 20, Datagrams: 1024, Age: 30 * time.Second}
}

// withDefaults returns c with each 0 replaced.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	return Config{Bytes: cmp.Or(c.Bytes, d.Bytes), Datagrams: cmp.Or(c.Datagrams, d.Datagrams),
		Age: cmp.Or(c.Age, d.Age)}
}

// Memory returns the bytes that fragments may take with c, with the defaults in the place of zeros.
func (c Config) Memory() int { return c.withDefaults().Bytes }

// Validate returns an error that says which value cannot be used, or nil.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Datagrams < 1 || c.Datagrams > 1<<20:
		return fmt.Errorf("defrag: %d datagrams: must be 1 to %d", c.Datagrams, 1<<20)
	case c.Bytes < c.fixed()+2*largest/blockSize*blockBytes:
		return fmt.Errorf("defrag: %d bytes: two datagrams of %d bytes and a table of %d must fit, "+
			"which takes %d", c.Bytes, largest, c.Datagrams, c.fixed()+2*largest/blockSize*blockBytes)
	case c.Age <= 0:
		return errors.New("defrag: age: must be more than 0")
	}
	return nil
}

const (
	largest    = 1 << 16 // bytes of a datagram, one more than its length fields can say
	blockSize  = 512     // bytes of a datagram in a block: 64 units, one bit each
	unit       = 8       // bytes: what offsets of fragments count in (RFC 791, section 3.1)
	blockBytes = int(unsafe.Sizeof(block{}))
	refusals   = 512 // how many datagrams that are not wanted are remembered
)

// fixed is the memory of all but blocks.
func (c Config) fixed() int {
	return c.Datagrams*int(unsafe.Sizeof(datagram{})) + buckets(c.Datagrams)*4 + largest +
		refusals*int(unsafe.Sizeof(refusal{}))
}

// buckets is how many the table has for so many datagrams: a power of two, at least as many.
func buckets(datagrams int) int {
	n := 1
	for n < datagrams {
		n *= 2
	}
	return n
}

// Key tells the fragments of one datagram from all others (RFC 791, section 3.2; RFC 8200,
// section 4.5).
type Key struct {
	Src, Dst        [16]byte // IPv4 as in IPv6 (RFC 4291, section 2.5.5.2)
	Context         uint64   // of the tunnels around it: the same addresses may be in use in many
	VLAN, InnerVLAN uint16   // for the same reason
	ID              uint32
	Proto           uint8 // of IPv4; IPv6 has the number of the fragment header here
}

// Fragment is one of them.
type Fragment struct {
	Payload []byte // borrowed until Add returns
	Size    int    // length of Payload on the wire; more than it holds when the capture cut it
	Offset  int    // of it in the datagram's payload, in bytes
	More    bool   // it is not the last one
	Proto   uint8  // of the payload; that of the first fragment counts
	Time    int64  // when it was captured, nanoseconds since the Unix epoch
	Packets uint64 // how many packets it came in: more than one when those were fragments themselves
}

// Datagram is a whole one.
type Datagram struct {
	Payload []byte // borrowed until the next call of Add
	Size    int    // length of Payload on the wire; more than it holds when the capture cut some
	Proto   uint8  // of the payload
	Packets uint64 // how many packets it came in
}

// Verdict says what became of a fragment.
type Verdict uint8

// The verdicts.
const (
	Held        Verdict = iota // it waits for others
	Complete                   // it was the last one that was missing
	Invalid                    // it contradicts others or itself; they are evicted, it is not counted
	Refused                    // it belongs to a datagram that Refuse was told of
	NumVerdicts                // how many there are; not a verdict
)

// Eviction is why fragments were dropped that had been held.
type Eviction uint8

// The evictions.
const (
	Timeout      Eviction = iota // others did not come in time
	Bytes                        // there was no memory for newer ones
	Datagrams                    // there were too many datagrams
	Conflict                     // a fragment came that contradicts them
	End                          // nothing more comes
	NumEvictions                 // how many there are; not an eviction
)

// Counters counts since New, but for Held. Packets in = those of Complete datagrams + Evicted +
// Held + those of fragments that were Invalid or Refused.
type Counters struct {
	Held       uint64               // packets that wait now
	Evicted    [NumEvictions]uint64 // packets
	Completed  uint64               // datagrams
	Duplicated uint64               // fragments that brought nothing new
	Overlapped uint64               // fragments that brought something new and something known
}

// Table holds the datagrams that wait. One goroutine uses it.
type Table struct {
	cfg      Config
	seed     maphash.Seed // secret, so that nobody can choose keys that share a bucket
	counters Counters
	due      int64 // when the oldest datagram is too old; see Due

	// All memory is made when the first fragment comes, and kept.
	heads   []int32 // the first datagram of each bucket, or none
	slots   []datagram
	free    int32 // the first slot that is free, linked by chain, or none
	oldest  int32 // linked by newer, or none
	newest  int32
	refused []refusal // by the low bits of the hash; the newest wins
	blocks  blocks
	buffer  []byte // the datagram that Add has returned
}

// none is the end of a list of indexes.
const none = -1

// datagram is one that waits. A slot that is free uses chain alone.
type datagram struct {
	key          Key
	hash         uint64
	first        int64 // time of its first fragment
	packets      uint64
	chain        int32 // the next one in its bucket
	older, newer int32
	blocks       int32 // its first block, or none
	total        int32 // its length, known from its last fragment, or none
	high         int32 // the highest end of any fragment
	units        int32 // how many of its units are there
	cut          int32 // where the first byte is that the capture cut off
	proto        uint8
}

// refusal remembers a datagram that is not wanted.
type refusal struct {
	hash  uint64
	time  int64 // of its first fragment
	known bool
}

// New returns an empty table. cfg has passed Validate.
func New(cfg Config) *Table {
	return &Table{cfg: cfg.withDefaults(), seed: maphash.MakeSeed(), due: math.MaxInt64}
}

// Counters returns a copy of the counters.
func (t *Table) Counters() Counters { return t.counters }

// Due returns the packet time from which on Expire has something to do.
func (t *Table) Due() int64 { return t.due }

// Add takes a fragment. The Datagram is meaningful when the Verdict is Complete.
func (t *Table) Add(key Key, f Fragment) (Datagram, Verdict) {
	if t.slots == nil {
		t.make()
	}
	hash := maphash.Comparable(t.seed, key)
	if t.refuses(hash, f) {
		return Datagram{}, Refused
	}
	s := t.find(hash, key)
	if s != none && t.apart(t.slots[s].first, f.Time) {
		t.evict(s, Timeout) // the clock went back: another file, or a machine that was set right
		s = none
	}
	if f.More {
		f.Size &^= unit - 1 // what does not fill a unit has no place, as Linux sees it
		f.Payload = f.Payload[:min(len(f.Payload), f.Size)]
	}
	if !t.fits(s, f) {
		if s != none {
			t.evict(s, Conflict)
		}
		return Datagram{}, Invalid
	}
	if s == none {
		s = t.open(hash, key, f.Time)
	}
	t.store(s, f)
	if d := &t.slots[s]; d.total == none || d.units < (d.total+unit-1)/unit {
		return Datagram{}, Held
	}
	return t.complete(s), Complete
}

// Refuse is told of a first fragment that shows that its datagram is not wanted. The others are
// Refused as they come, so that they do not wait for one that was not kept. It returns how many
// packets of the datagram waited already; they are no longer held.
func (t *Table) Refuse(key Key, time int64) uint64 {
	if t.slots == nil {
		t.make()
	}
	hash := maphash.Comparable(t.seed, key)
	t.refused[hash%refusals] = refusal{hash: hash, time: time, known: true}
	s := t.find(hash, key)
	if s == none {
		return 0
	}
	packets := t.slots[s].packets
	t.counters.Held -= packets
	t.close(s)
	return packets
}

// Expire evicts the datagrams that are too old at the packet time now.
func (t *Table) Expire(now int64) {
	for t.slots != nil && t.oldest != none && t.due <= now {
		t.evict(t.oldest, Timeout)
	}
}

// Flush evicts all: no more fragments come.
func (t *Table) Flush() {
	for t.slots != nil && t.oldest != none {
		t.evict(t.oldest, End)
	}
}

// apart tells whether two times are too far from each other, whichever is the later one.
func (t *Table) apart(a, b int64) bool {
	return max(a, b)-min(a, b) >= int64(t.cfg.Age)
}

// refuses tells whether a fragment belongs to a datagram that is not wanted. A first fragment is
// the beginning of a new one, for the ids come round.
func (t *Table) refuses(hash uint64, f Fragment) bool {
	r := &t.refused[hash%refusals]
	if !r.known || r.hash != hash {
		return false
	}
	if f.Offset == 0 || t.apart(r.time, f.Time) {
		*r = refusal{}
		return false
	}
	return true
}

// fits tells whether f can be a part of datagram s, or of a new one when s is none.
func (t *Table) fits(s int32, f Fragment) bool {
	end := f.Offset + f.Size
	if f.Size <= 0 || end >= largest {
		return false
	}
	if s == none {
		return true
	}
	d := &t.slots[s]
	if f.More {
		return d.total == none || end <= int(d.total)
	}
	return (d.total == none || end == int(d.total)) && end >= int(d.high)
}

// store copies f into the blocks of datagram s.
func (t *Table) store(s int32, f Fragment) {
	d := &t.slots[s]
	end := f.Offset + f.Size
	for t.blocks.left() < t.missing(d, f.Offset, end) {
		victim := t.oldest
		if victim == s {
			victim = d.newer // there is one: a datagram alone fits, by Validate
		}
		t.evict(victim, Bytes)
	}
	d.packets += f.Packets
	t.counters.Held += f.Packets
	d.high = max(d.high, int32(end))
	if f.Offset == 0 {
		d.proto = f.Proto
	}
	if !f.More {
		d.total = int32(end)
	}
	added, known := 0, 0
	for at := f.Offset; at < end; at = (at/blockSize + 1) * blockSize {
		a, k := t.block(d, at/blockSize).fill(f, at)
		added, known = added+a, known+k
	}
	d.units += int32(added)
	switch {
	case added == 0:
		t.counters.Duplicated++
	case known > 0:
		t.counters.Overlapped++
	}
	if added > 0 && len(f.Payload) < f.Size {
		d.cut = min(d.cut, int32(f.Offset+len(f.Payload)))
	}
}

// complete takes datagram s out of the table.
func (t *Table) complete(s int32) Datagram {
	d := &t.slots[s]
	for b := d.blocks; b != none; {
		block := t.blocks.at(b)
		copy(t.buffer[int(block.index)*blockSize:], block.data[:])
		b = block.next
	}
	whole := Datagram{Payload: t.buffer[:min(d.total, d.cut)], Size: int(d.total),
		Proto: d.proto, Packets: d.packets}
	t.counters.Held -= d.packets
	t.counters.Completed++
	t.close(s)
	return whole
}

// evict drops datagram s.
func (t *Table) evict(s int32, why Eviction) {
	packets := t.slots[s].packets
	t.counters.Held -= packets
	t.counters.Evicted[why] += packets
	t.close(s)
}
