// SPDX-License-Identifier: Apache-2.0

package tcpstream

import "math"

// island returns the first segment that waits in s for bytes before it, or 0.
func (x *Streams) island(s *stream) uint32 {
	if s.hold == 0 {
		return 0
	}
	return x.holding.holds[s.hold].island
}

// end returns the sequence number behind an island.
func (c *cell) end() uint32 { return c.seq + c.size }

// ahead holds a segment that begins behind the next byte of stream i, as far as no island has its
// bytes. It returns OK when it gave up a gap to make room instead: the segment is to be tried
// again.
func (x *Streams) ahead(i, seq uint32, b []byte, size int) Verdict {
	h := x.need(i)
	if h == nil {
		return Overflow
	}
	cells := x.holding.cells
	v, undecided, overlaps := Duplicate, x.packets, uint64(0)
	before, at := uint32(0), h.island
	if last := h.lastIsland; last != 0 && int32(seq-cells[last].end()) >= 0 {
		before, at = last, 0 // as nearly always
	}
	for size > 0 {
		for at != 0 && int32(seq-cells[at].end()) >= 0 {
			before, at = at, cells[at].follow
		}
		n := size
		if at != 0 {
			n = min(n, int(int32(cells[at].seq-seq)))
		}
		if n > 0 {
			island := x.insert(h, before, seq, b[:min(n, len(b))], n)
			if island == 0 {
				break
			}
			cells[island].packets = undecided
			x.stats.Held += uint64(undecided)
			v, undecided, before = Held, 0, island
		} else {
			n = min(size, int(cells[at].end()-seq))
			overlaps = 1
		}
		seq += uint32(n)
		b, size = after(b, size, n)
	}
	if v == Duplicate && size > 0 { // there was no room
		if h.islands == 0 {
			v = Overflow
		} else {
			v = OK
			x.yield(x.table.streams[i].hold)
		}
	}
	if v == Held {
		x.stats.Overlaps += overlaps
		x.move(i, live)
	}
	if n := x.table.streams[i].hold; n != 0 {
		x.queue(n)
	}
	return v
}

// insert makes an island of b behind the island before, or at the front when that is 0. It returns
// 0 when there is no room.
func (x *Streams) insert(h *hold, before, seq uint32, b []byte, size int) uint32 {
	if h.islands == maxIslands || !x.room(h, max(1, (len(b)+cellData-1)/cellData)) {
		return 0
	}
	cells := x.holding.cells
	first := x.take(h)
	c := &cells[first]
	c.time, c.seq, c.size, c.have = x.now, seq, uint32(size), uint32(len(b))
	for last := c; ; {
		b = b[copy(last.data[:], b):]
		if len(b) == 0 {
			break
		}
		last.next = x.take(h)
		last = &cells[last.next]
	}
	if before == 0 {
		c.follow, h.island = h.island, first
		h.renew = h.islands == 0
	} else {
		c.follow, cells[before].follow = cells[before].follow, first
	}
	if c.follow == 0 {
		h.lastIsland = first
	}
	h.islands++
	return first
}

// drain reads the islands that begin at the next byte of stream i.
func (x *Streams) drain(i uint32) {
	s := &x.table.streams[i]
	if s.hold == 0 {
		return
	}
	h := &x.holding.holds[s.hold]
	for h.island != 0 && x.holding.cells[h.island].seq == s.next {
		first := h.island
		c := &x.holding.cells[first]
		b := x.piece[:c.have]
		x.copy(b, first)
		size, packets := int(c.size), c.packets
		if x.late != nil {
			x.late.Time = max(x.late.Time, c.time)
		}
		h.island = c.follow
		h.islands--
		if h.island == 0 {
			h.lastIsland = 0
		}
		h.renew = true
		// The cells are free before the bytes are read, so what is left of them has room for
		// certain: nobody is evicted from here.
		x.give(h, first)
		x.settle(x.read(i, b, size, packets), packets)
	}
}

// expire gives up what has waited too long, and forgets streams that are idle. Each call does a
// bounded part, the oldest first.
func (x *Streams) expire() {
	const most = 16
	x.due = math.MaxInt64
	for r := range numRanks {
		for w := range numWaits {
			for left := most; ; left-- {
				n := x.holding.waits[r][w].head
				if n == 0 {
					break
				}
				since := x.holding.holds[n].since
				if left == 0 || x.now-since <= x.times[w] {
					x.due = min(x.due, since+x.times[w])
					break
				}
				if w == waitGap {
					x.yield(n)
				} else {
					x.release(n, Expired)
				}
			}
		}
	}
	for a := range x.table.lists {
		i := x.table.lists[a].oldest
		if i != 0 && x.now-x.table.streams[i].last > x.idle {
			x.forget(i, Expired)
			i = x.table.lists[a].oldest
		}
		if i != 0 {
			x.due = min(x.due, x.table.streams[i].last+x.idle)
		}
	}
}

// yield gives up the first gap of hold n.
func (x *Streams) yield(n uint32) {
	x.lateBuf = x.holding.holds[n].path
	x.late = &x.lateBuf
	x.skipGap(&x.holding.holds[n])
	x.queue(n)
	x.late = nil
}

// release gives up all that hold n holds; why is for the packets of a message without its end.
func (x *Streams) release(n uint32, why Verdict) {
	h := &x.holding.holds[n]
	if h.islands > 0 {
		x.lateBuf = h.path
		x.late = &x.lateBuf
		for h.islands > 0 {
			x.skipGap(h)
		}
	}
	if h.fill > 0 {
		x.abandon(&x.table.streams[h.stream], h, why)
	}
	x.queue(n)
	x.late = nil
}

// skipGap goes on at the first island of h. When the gap is all within one message, the beginning
// of the next is known; else one must be found that looks like it.
func (x *Streams) skipGap(h *hold) {
	s := &x.table.streams[h.stream]
	c := &x.holding.cells[h.island]
	x.late.Time = c.time
	size := c.seq - s.next
	x.stats.Gaps++
	x.stats.GapBytes += uint64(size)
	if h.fill > 0 {
		x.abandon(s, h, Gap)
	}
	if s.mode == synced && uint32(s.skip) >= size {
		s.skip -= uint16(size)
	} else {
		x.lose(s, Gap)
	}
	s.next = c.seq
	x.drain(h.stream)
}
