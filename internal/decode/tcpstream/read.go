// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// read takes the next size bytes of stream i, of which b was captured, emits the messages that end
// in them, and keeps what is left. packets is how many packets they came in, or 0 when the verdict
// on those was given already.
func (x *Streams) read(i uint32, b []byte, size int, packets uint32) Verdict {
	s := &x.table.streams[i]
	s.next += uint32(size)
	v := Partial
	if n := min(size, int(s.skip)); n > 0 {
		s.skip -= uint16(n)
		b, size = after(b, size, n)
		v = Rest
	}
	if size > 0 && s.hold != 0 && x.holding.holds[s.hold].fill > 0 {
		var n int
		if n, v = x.complete(s, b, size, packets); n == 0 && s.mode != lost {
			return v
		}
		// What waited was none: a byte of a keep-alive, perhaps. Then this may be the beginning.
		b, size = after(b, size, n)
	}
	for size > 0 {
		if s.mode == lost {
			o, m := locate(b, size)
			if o < 0 {
				return better(v, s.why)
			}
			x.stats.Resyncs++
			s.mode = m
			b, size = after(b, size, o)
		}
		if len(b) < prefix {
			if len(b) == size {
				break // half of one
			}
			x.lose(s, Cut)
			return better(v, Cut)
		}
		n := int(binary.BigEndian.Uint16(b))
		end := prefix + n
		if n < dnsmsg.HeaderLen && s.mode != synced {
			x.lose(s, Partial)
			return better(v, Partial)
		}
		if end > size && len(b) == size {
			break // more is to come
		}
		m := b[prefix:min(end, len(b))]
		if !s.believes(m, n, end == size) {
			x.lose(s, Partial)
			return better(v, Partial)
		}
		v = better(v, x.found(s, m, n, end-size))
		b, size = after(b, size, min(end, size))
	}
	if size == 0 {
		return v
	}
	if v == OK {
		packets = 0
	}
	return better(v, x.keep(i, b, packets))
}

// found emits the message m of s, of which n bytes were sent and left are still to come where the
// capture cut it. Where the edges are known, a message too short for a header is what somebody
// sent, and so it is data; one of no bytes is nothing. But few send such, and servers close the
// connection then: what follows must show that it is a message.
func (x *Streams) found(s *stream, m []byte, n, left int) Verdict {
	v := Partial
	if n > 0 {
		s.rank = proven
		x.out(x.late, m, n)
		v = OK
	}
	s.skip = uint16(max(0, left))
	if n < dnsmsg.HeaderLen {
		x.lose(s, Partial)
	}
	return v
}

// better returns OK when a message was emitted already, else what became of the rest.
func better(v, rest Verdict) Verdict {
	if v == OK {
		return OK
	}
	return rest
}

// believes tells whether m, of which n bytes were sent, may be emitted: in a stream that is only
// tentative it must read to its very end or, where it is malformed, end with its segment. That
// settles it for the stream.
func (s *stream) believes(m []byte, n int, last bool) bool {
	if s.mode == synced {
		return true
	}
	if !sane(m, n) {
		return false
	}
	if _, ok := walk(m, n); !ok && !last {
		return false
	}
	if len(m) == n {
		s.mode = synced
	}
	return true
}

// complete takes what the message that s holds still needs. It returns how much that was, or 0 when
// there is no end to it here, and what became of the packet.
func (x *Streams) complete(s *stream, b []byte, size int, packets uint32) (int, Verdict) {
	h := &x.holding.holds[s.hold]
	var head [prefix]byte
	if n := copy(head[:], x.holding.cells[h.first].data[:min(prefix, h.fill)]); n < prefix {
		if len(b) == 0 {
			x.drop(h, Cut)
			x.lose(s, Cut)
			return 0, Cut
		}
		head[1] = b[0]
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	want := prefix + n - int(h.fill)
	if n < dnsmsg.HeaderLen && s.mode != synced {
		x.drop(h, Partial)
		x.lose(s, Partial)
		return 0, Partial
	}
	if size < want && len(b) == size {
		return 0, x.extend(s, h, b, n, packets)
	}
	taken := min(want, size)
	m := x.assemble(h, b[:min(taken, len(b))])[prefix:]
	if !s.believes(m, n, taken == size) {
		x.drop(h, Partial)
		x.lose(s, Partial)
		return 0, Partial
	}
	v := x.found(s, m, n, want-taken)
	x.drop(h, v)
	return taken, v
}

// extend adds b to the message of n bytes that s holds, which b does not complete.
func (x *Streams) extend(s *stream, h *hold, b []byte, n int, packets uint32) Verdict {
	before := int(h.fill)
	if !x.append(h, b) {
		x.abandon(s, h, Overflow)
		s.skip -= min(s.skip, uint16(len(b)))
		return Overflow
	}
	// What began with less than a header is looked at when the header is there.
	if header := prefix + dnsmsg.HeaderLen; s.mode == tentative && before < header {
		m := x.holding.cells[h.first].data[prefix:min(int(h.fill), header)]
		if !sane(m, n) {
			x.drop(h, Partial)
			x.lose(s, Partial)
			return Partial
		}
	}
	h.packets += packets
	return Held
}

// keep holds b, the beginning of a message, until the rest comes.
func (x *Streams) keep(i uint32, b []byte, packets uint32) Verdict {
	s := &x.table.streams[i]
	if h := x.need(i); h != nil && x.append(h, b) {
		h.packets += packets
		return Held
	}
	if len(b) < prefix || s.mode != synced {
		x.lose(s, Overflow)
	} else {
		s.skip = uint16(prefix + int(binary.BigEndian.Uint16(b)) - len(b))
	}
	return Overflow
}

// abandon drops the message that h holds for the stream s. Where its length can be believed, the
// end of it, and so the beginning of the next, is known all the same.
func (x *Streams) abandon(s *stream, h *hold, why Verdict) {
	var head [prefix]byte
	n := copy(head[:], x.holding.cells[h.first].data[:min(prefix, h.fill)])
	left := prefix + int(binary.BigEndian.Uint16(head[:])) - int(h.fill)
	x.drop(h, why)
	if n < prefix || s.mode != synced || left < 0 {
		x.lose(s, why)
		return
	}
	s.skip = uint16(left)
}

// lose forgets where the messages of s begin; why is for its packets until one is found again.
func (x *Streams) lose(s *stream, why Verdict) {
	s.mode, s.why, s.skip = lost, why, 0
}
