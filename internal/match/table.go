// SPDX-License-Identifier: Apache-2.0

package match

import (
	"math/bits"
	"unsafe"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// table holds copies of messages, which leave in the order in which they came or when they are
// found by their keys. All wait equally long, so that order is the order of their deadlines:
// there is no heap and no timer. All memory is made at the start.
//
//	index    open addressing, linear probing, at most half full
//	entries  the messages, linked from the oldest to the newest; freed ones are taken again
//	cells    their bytes
type table struct {
	wait int64 // nanoseconds

	index   []slot
	entries []entry
	cells   cells

	free           uint32 // the first entry that was used and freed
	used           uint32 // how many entries were ever used
	oldest, newest uint32
	count          int
}

// slot is a place of the index. Entries are numbered from 1 here, so that none is zero.
type slot struct {
	tag   uint32 // lower half of entry.flow, where its home is as well
	entry uint32
}

// entry is a message that waits.
type entry struct {
	flow, question uint64
	deadline       int64          // on the clock of the table's owner
	message        dnsmsg.Message // without what is borrowed: Wire, Questions, RRs, DNSTap
	first          uint32         // its first cell
	length         uint32         // of its bytes, without what stands behind them
	tap            uint32         // bytes behind them that appendTap wrote; 0 if there are none
	older, newer   uint32         // newer is the next free one when this is free
	retransmits    uint32
}

const (
	entrySize = int(unsafe.Sizeof(entry{}))
	slotSize  = int(unsafe.Sizeof(slot{}))

	// cellsPerEntry is what is reserved on average. Messages with more of them fill the table
	// before its entries are used up.
	cellsPerEntry = 2

	// maxCrowd is how many entries may have the same flow. Their bytes or questions differ, but
	// not their addresses, ports and id: no client does that, and a search has to pass them all.
	maxCrowd = 8
)

// newTable returns a table that takes no more than memory bytes, which must hold an entry.
func newTable(memory int, wait int64) table {
	const perEntry = entrySize + cellsPerEntry*(cellSize+4) + 4*slotSize
	n := memory / perEntry
	slots := 1 << bits.Len(uint(2*n-1)) // from 2n to 4n
	return table{
		wait: wait, index: make([]slot, slots), entries: make([]entry, n),
		cells: newCells(n * cellsPerEntry),
		free:  none, oldest: none, newest: none,
	}
}

// takes tells whether n bytes would fit if nothing else were there.
func (t *table) takes(n int) bool { return need(n) <= len(t.cells.next) }

// fits tells whether there is room for n bytes now.
func (t *table) fits(n int) bool { return t.count < len(t.entries) && need(n) <= t.cells.left }

// add stores a message that came at now, and b, its bytes and what appendTap wrote behind them.
// They must fit.
func (t *table) add(k key, m *dnsmsg.Message, b []byte, now int64) {
	i := t.free
	if i != none {
		t.free = t.entries[i].newer
	} else {
		i = t.used
		t.used++
	}
	e := &t.entries[i]
	e.flow, e.question, e.deadline = k.flow, k.question, now+t.wait
	e.message = *m
	e.message.Wire, e.message.Questions, e.message.RRs, e.message.DNSTap = nil, nil, nil, nil
	e.first = t.cells.put(b)
	e.length, e.tap = uint32(len(m.Wire)), uint32(len(b)-len(m.Wire))
	e.retransmits = 0
	e.older, e.newer = t.newest, none
	if t.newest != none {
		t.entries[t.newest].newer = i
	} else {
		t.oldest = i
	}
	t.newest = i
	t.count++
	t.place(uint32(k.flow), i)
}

// place puts an entry into the index, behind all that have the same flow.
func (t *table) place(tag, i uint32) {
	mask := uint32(len(t.index) - 1)
	at := tag & mask
	for t.index[at].entry != 0 {
		at = (at + 1) & mask
	}
	t.index[at] = slot{tag: tag, entry: i + 1}
}

// remove frees an entry and its cells. What was read from them is still there until add.
func (t *table) remove(i uint32) {
	e := &t.entries[i]
	t.displace(i)
	t.cells.drop(e.first)
	if e.older != none {
		t.entries[e.older].newer = e.newer
	} else {
		t.oldest = e.newer
	}
	if e.newer != none {
		t.entries[e.newer].older = e.older
	} else {
		t.newest = e.older
	}
	e.newer = t.free
	t.free = i
	t.count--
}

// displace takes an entry out of the index. The entries behind it move up, so that no search
// ends before it should; those with the same flow keep their order.
func (t *table) displace(i uint32) {
	mask := uint32(len(t.index) - 1)
	at := uint32(t.entries[i].flow) & mask
	for t.index[at].entry != i+1 {
		at = (at + 1) & mask
	}
	for j := (at + 1) & mask; t.index[j].entry != 0; j = (j + 1) & mask {
		if s := t.index[j]; (j-s.tag)&mask >= (j-at)&mask { // its home is not behind the gap
			t.index[at] = s
			at = j
		}
	}
	t.index[at] = slot{}
}

// next returns the next entry with that flow at the place at of the index or behind it, and the
// place behind that; or none. A search begins at the flow itself and finds the oldest first.
func (t *table) next(flow uint64, at uint32) (i, behind uint32) {
	mask := uint32(len(t.index) - 1)
	for ; ; at++ {
		s := t.index[at&mask]
		if s.entry == 0 {
			return none, at
		}
		if s.tag == uint32(flow) && t.entries[s.entry-1].flow == flow {
			return s.entry - 1, at + 1
		}
	}
}

// find returns the oldest entry with that key, or none.
func (t *table) find(k key) uint32 {
	i, at := t.next(k.flow, uint32(k.flow))
	for i != none && t.entries[i].question != k.question {
		i, at = t.next(k.flow, at)
	}
	return i
}

// only returns the entry with that flow if there is just one, or none.
func (t *table) only(flow uint64) uint32 {
	first, at := t.next(flow, uint32(flow))
	if first == none {
		return none
	}
	if second, _ := t.next(flow, at); second != none {
		return none
	}
	return first
}

// same returns the entry with that key and the bytes of m, or none. If it is none and there must be
// no more entries with that flow, crowd is the oldest of them.
func (t *table) same(k key, m *dnsmsg.Message) (same, crowd uint32) {
	first, at := t.next(k.flow, uint32(k.flow))
	n := 0
	for i := first; i != none; i, at = t.next(k.flow, at) {
		e := &t.entries[i]
		if e.question == k.question && int(e.length) == len(m.Wire) &&
			t.cells.holds(e.first, m.Wire) {
			return i, none
		}
		n++
	}
	if n < maxCrowd {
		first = none
	}
	return none, first
}

// crowd returns the oldest entry with that flow if there must be no more of them, or none.
func (t *table) crowd(flow uint64) uint32 {
	first, at := t.next(flow, uint32(flow))
	n := 0
	for i := first; i != none; i, at = t.next(flow, at) {
		n++
	}
	if n < maxCrowd {
		return none
	}
	return first
}

// due returns the oldest entry if its deadline has come, or none.
func (t *table) due(now int64) uint32 {
	if t.oldest != none && now-t.entries[t.oldest].deadline >= 0 {
		return t.oldest
	}
	return none
}
