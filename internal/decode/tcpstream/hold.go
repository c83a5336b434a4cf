// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"unsafe"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

const (
	holdBytes = int(unsafe.Sizeof(hold{}))
	cellBytes = int(unsafe.Sizeof(cell{}))
	cellData  = 256 - 8 - 6*4 // what the other fields leave of 256

	// maxIslands bounds the search for the place of a segment that is out of order. As many full
	// segments fill the bytes that a stream may hold.
	maxIslands = 256
)

// wait is what holds wait for.
type wait uint8

const (
	waitMessage wait = iota // the rest of a message
	waitGap                 // bytes that come before others
	numWaits                // how many there are; not one
)

// rank is who makes room for whom.
type rank uint8

const (
	unproven rank = iota // no message came of the stream yet: all that a flood makes is this
	proven
	numRanks // how many there are; not a rank
)

// hold is what a stream makes wait: the beginning of a message, without a hole, and islands, the
// segments that came before their time, in order and without an overlap.
type hold struct {
	stream uint32
	newer  uint32 // in its list; next free
	older  uint32
	wait   wait // its list
	rank   rank // its list
	renew  bool // it waits for something else than when it entered its list
	since  int64

	first, last uint32 // cells of the message
	fill        uint32 // bytes in them; 0 is no message
	packets     uint32 // in them, those whose verdict is open: all of them have a byte of it

	island, lastIsland uint32 // first cells of the first and the last
	islands            uint32
	cells              uint32 // of all

	path dnsmsg.Message // how its last packet travelled
}

// cell is a piece of memory. The fields after next are those of an island, in its first cell.
type cell struct {
	time    int64  // of its packet
	next    uint32 // cell of the same bytes; next free
	follow  uint32 // first cell of the next island
	seq     uint32 // of its first byte
	size    uint32 // on the wire
	have    uint32 // captured
	packets uint32 // those whose verdict is open and rests on this island
	data    [cellData]byte
}

// holding is all the memory for what waits.
type holding struct {
	holds     []hold
	cells     []cell
	freeHold  uint32
	freeCell  uint32
	usedHolds int
	usedCells int
	idle      int                                             // free cells
	load      [numRanks]int                                   // cells in use
	waits     [numRanks][numWaits]struct{ head, tail uint32 } // by the time since when they wait
}

// need returns the hold of stream i, made when there is none, or nil.
func (x *Streams) need(i uint32) *hold {
	s, w := &x.table.streams[i], &x.holding
	if w.holds == nil {
		if x.max.holds == 0 {
			return nil
		}
		w.holds = make([]hold, 1+x.max.holds)
		w.cells = make([]cell, 1+x.max.cells)
		w.idle = x.max.cells
		x.whole, x.piece = make([]byte, maxMessage), make([]byte, maxMessage)
	}
	if s.hold != 0 {
		return &w.holds[s.hold]
	}
	if w.freeHold == 0 && w.usedHolds == x.max.holds {
		x.release(x.longest(), Evicted)
	}
	n := w.freeHold
	if n != 0 {
		w.freeHold = w.holds[n].newer
	} else {
		w.usedHolds++
		n = uint32(w.usedHolds)
	}
	s.hold = n
	h := &w.holds[n]
	*h = hold{stream: i, since: x.now, rank: s.rank}
	x.enter(n)
	return h
}

// queue puts a hold where it belongs after its stream went on, or frees it. It keeps its place
// while it waits for the same thing, whatever came meanwhile: so whoever sends byte by byte is the
// one that has waited longest.
func (x *Streams) queue(n uint32) {
	w := &x.holding
	h := &w.holds[n]
	if h.fill == 0 && h.islands == 0 {
		x.leave(n)
		x.table.streams[h.stream].hold = 0
		h.path = dnsmsg.Message{}
		h.newer, w.freeHold = w.freeHold, n
		return
	}
	what, rank := waitMessage, x.table.streams[h.stream].rank
	if h.islands > 0 {
		what = waitGap
		if x.late == nil {
			h.path = *x.path
			h.path.Wire, h.path.Questions, h.path.RRs = nil, nil, nil
		}
	}
	if what != h.wait || rank != h.rank || h.renew {
		x.leave(n)
		w.load[h.rank] -= int(h.cells)
		w.load[rank] += int(h.cells)
		h.wait, h.rank, h.since, h.renew = what, rank, x.now, false
		x.enter(n)
	}
}

// enter puts a hold at the end of its list.
func (x *Streams) enter(n uint32) {
	h := &x.holding.holds[n]
	l := &x.holding.waits[h.rank][h.wait]
	x.due = min(x.due, h.since+x.times[h.wait])
	h.newer, h.older = 0, l.tail
	if l.tail != 0 {
		x.holding.holds[l.tail].newer = n
	} else {
		l.head = n
	}
	l.tail = n
}

// leave takes a hold out of its list.
func (x *Streams) leave(n uint32) {
	h := &x.holding.holds[n]
	l := &x.holding.waits[h.rank][h.wait]
	if h.newer != 0 {
		x.holding.holds[h.newer].older = h.older
	} else {
		l.tail = h.older
	}
	if h.older != 0 {
		x.holding.holds[h.older].newer = h.newer
	} else {
		l.head = h.newer
	}
}

// longest returns the hold that is to make room, or 0: the one that has waited longest, of an
// unproven stream while those have more than an eighth of the memory.
func (x *Streams) longest() uint32 {
	w := &x.holding
	first, other := proven, unproven
	if w.load[unproven] > x.max.cells/8 {
		first, other = unproven, proven
	}
	if n := x.oldest(first); n != 0 {
		return n
	}
	return x.oldest(other)
}

func (x *Streams) oldest(r rank) uint32 {
	w := &x.holding
	a, b := w.waits[r][waitMessage].head, w.waits[r][waitGap].head
	if a == 0 || b != 0 && w.holds[b].since < w.holds[a].since {
		return b
	}
	return a
}

// room makes n cells free for h, at the cost of those that have waited longer. It returns false
// when h may not have them.
func (x *Streams) room(h *hold, n int) bool {
	if int(h.cells)+n > x.max.streamCells {
		return false
	}
	own := x.table.streams[h.stream].hold
	for x.holding.idle < n {
		victim := x.longest()
		if victim == own || victim == 0 {
			return false
		}
		x.release(victim, Evicted)
	}
	return true
}

// take returns a free cell for h. Its caller has made room.
func (x *Streams) take(h *hold) uint32 {
	w := &x.holding
	n := w.freeCell
	if n != 0 {
		w.freeCell = w.cells[n].next
	} else {
		w.usedCells++
		n = uint32(w.usedCells)
	}
	w.cells[n].next = 0
	w.idle--
	w.load[h.rank]++
	h.cells++
	return n
}

// give frees a cell of h and those after it.
func (x *Streams) give(h *hold, n uint32) {
	w := &x.holding
	for n != 0 {
		c := &w.cells[n]
		next := c.next
		c.next, w.freeCell = w.freeCell, n
		w.idle++
		w.load[h.rank]--
		h.cells--
		n = next
	}
}

// append adds b to the message that h holds, or returns false and adds nothing.
func (x *Streams) append(h *hold, b []byte) bool {
	used := int(h.fill) % cellData // of the last cell; 0 is all of it, or none there
	if used == 0 {
		used = cellData
	}
	if !x.room(h, max(0, len(b)-(cellData-used)+cellData-1)/cellData) {
		return false
	}
	if h.fill == 0 {
		h.renew = true
	}
	for len(b) > 0 {
		if used == cellData {
			n := x.take(h)
			if h.fill == 0 {
				h.first = n
			} else {
				x.holding.cells[h.last].next = n
			}
			h.last, used = n, 0
		}
		n := copy(x.holding.cells[h.last].data[used:], b)
		h.fill += uint32(n)
		used += n
		b = b[n:]
	}
	return true
}

// assemble returns the bytes of the message that h holds and b, in memory that is valid until the
// next call.
func (x *Streams) assemble(h *hold, b []byte) []byte {
	o := x.copy(x.whole[:h.fill], h.first)
	return x.whole[:o+copy(x.whole[o:], b)]
}

// copy fills to with the data of cells and returns its length.
func (x *Streams) copy(to []byte, n uint32) (o int) {
	for o < len(to) {
		c := &x.holding.cells[n]
		o += copy(to[o:], c.data[:])
		n = c.next
	}
	return o
}

// drop frees the message that h holds; v is what became of its packets.
func (x *Streams) drop(h *hold, v Verdict) {
	x.give(h, h.first)
	x.settle(v, h.packets)
	h.first, h.last, h.fill, h.packets = 0, 0, 0, 0
}

// settle notes what became of packets that were held.
func (x *Streams) settle(v Verdict, packets uint32) {
	switch v {
	case Held:
		return
	case OK:
		x.stats.Carried += uint64(packets)
	default:
		x.stats.Dropped[v] += uint64(packets)
	}
	x.stats.Held -= uint64(packets)
}
