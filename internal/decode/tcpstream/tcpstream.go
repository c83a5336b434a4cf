// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"encoding/binary"
	"math"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Verdict says what became of a packet.
type Verdict uint8

// The verdicts.
const (
	OK          Verdict = iota // a byte of it is in a message emitted
	Held                       // its bytes waited, perhaps only for the same call to go on; see Stats
	Empty                      // no data: a handshake, an acknowledgement, a reset
	Partial                    // where in it a message begins cannot be told
	Duplicate                  // all its bytes were seen before, or came in another packet
	Rest                       // the rest of a message that was emitted cut, or given up
	Gap                        // a segment before it was not captured
	Cut                        // the snapshot length cut it where a message begins
	Overflow                   // its stream may hold no more bytes
	Evicted                    // other streams needed the memory
	Expired                    // the message did not become whole in time
	Closed                     // the connection, or the capture, ended before the message did
	NumVerdicts                // how many there are; not a verdict
)

// Bits of the flags of a TCP header (RFC 9293, section 3.1).
const (
	FlagFIN = 0x01
	FlagSYN = 0x02
	FlagRST = 0x04
)

const (
	prefix     = 2                  // the length before each message
	maxMessage = prefix + 1<<16 - 1 // with its prefix

	// window is how far from the expected byte a segment may begin and still belong to the stream.
	// It is the scaled window of a fast path; beyond it lie other connections with the same ports.
	window = 1 << 20
)

// Segment is one TCP segment without its header.
type Segment struct {
	Seq     uint32 // sequence number of the SYN when Flags has one, else of the first byte
	Flags   uint8  // the low eight control bits: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN
	Payload []byte // borrowed from the frame
	Size    int    // length of Payload on the wire; more than it holds when the capture cut it
	Packets uint32 // how many packets it came in: fragments that were put together are several
}

// Emit takes one message: its bytes without the prefix, borrowed until it returns, and the length
// that it had, which is more than they are when the capture cut it. path is nil when the segment
// being given completed the message. Else the message had to wait for bytes that never came: path
// is how it travelled, with the time of its last packet, and all but that is to be ignored.
type Emit func(path *dnsmsg.Message, wire []byte, size int)

// Stats is the account of the packets that were Held, and of what happened to streams. Held
// verdicts given = Held + Carried + the sum of Dropped.
type Stats struct {
	Held    uint64              // packets whose bytes wait now
	Carried uint64              // packets that had been held, of which a byte was emitted
	Dropped [NumVerdicts]uint64 // packets that had been held and were given up

	Overlaps uint64 // segments of which some bytes were seen before: the first were kept
	Gaps     uint64 // holes that were given up
	GapBytes uint64 // their sizes
	Resyncs  uint64 // messages found where the edge was not known, the first of a stream included
	Streams  uint64 // streams remembered now
	Forgot   uint64 // streams forgotten to make room
}

// Streams finds messages in the segments of all flows of a lane.
type Streams struct {
	out   Emit
	times [numWaits]int64 // how long a hold may wait in each list
	idle  int64
	max   struct{ streams, holds, cells, streamCells int }
	stats Stats

	now     int64
	due     int64           // when something may have waited too long; not later than that
	path    *dnsmsg.Message // of the current segment
	packets uint32          // that it came in
	late    *dnsmsg.Message // nil, or &lateBuf while bytes are given up
	key     key

	secret  secret
	table   table
	holding holding

	lateBuf dnsmsg.Message
	whole   []byte // a message whose bytes lie in cells, and what completes it
	piece   []byte // a segment that waited
}

// New returns Streams that call emit for each message. cfg must be valid. No memory for streams
// is taken before the first one is seen.
func New(cfg Config, emit Emit) *Streams {
	cfg = cfg.withDefaults()
	x := &Streams{out: emit, idle: int64(cfg.Idle), due: math.MaxInt64, secret: newSecret()}
	x.times = [numWaits]int64{waitMessage: int64(cfg.Message), waitGap: int64(cfg.Gap)}
	x.max.streams = cfg.Streams
	x.max.holds = cfg.holds()
	x.max.cells = x.max.holds * cellsPerHold
	x.max.streamCells = cfg.StreamBytes / cellBytes
	return x
}

// Stats returns a copy of the account.
func (x *Streams) Stats() Stats { return x.stats }

// Segment takes the next segment and calls emit, before it returns, for each message that it
// completes and for those that need wait no longer. m says how the segment travelled; context
// tells apart flows that have the same addresses and ports in different networks.
func (x *Streams) Segment(m *dnsmsg.Message, context uint64, g *Segment) Verdict {
	x.now, x.path, x.packets = m.Time, m, g.Packets
	if x.now > x.due {
		x.expire()
	}
	if g.Size == 0 && g.Flags&(FlagSYN|FlagFIN|FlagRST) == 0 {
		return Empty
	}
	x.key.set(m.Src, m.Dst, m.SrcPort, m.DstPort, context)
	i := x.find(&x.key)
	if g.Flags&FlagRST != 0 { // a reset may carry a text (RFC 9293, section 3.5.3)
		x.reset(i, g.Seq)
		return Empty
	}
	seq := g.Seq
	if g.Flags&FlagSYN != 0 {
		i = x.synchronize(i, seq)
		seq++ // data may come with it (RFC 7413)
	}
	v := Empty
	if g.Size > 0 {
		v, i = x.data(i, seq, g.Payload, g.Size)
	}
	if g.Flags&FlagFIN != 0 && i != 0 && x.table.streams[i].next == seq+uint32(g.Size) {
		x.close(i)
	}
	return v
}

// Flush gives up all that waits, as at the end of the input: messages behind a gap are emitted,
// the rest is dropped.
func (x *Streams) Flush() {
	for r := range numRanks {
		for h := x.oldest(r); h != 0; h = x.oldest(r) {
			x.release(h, Closed)
		}
	}
}

// synchronize makes seq the beginning of stream i, or of a new one when i is 0.
func (x *Streams) synchronize(i, seq uint32) uint32 {
	if i == 0 {
		i = x.add()
	} else {
		s := &x.table.streams[i]
		if ahead := int32(s.next - (seq + 1)); s.known && s.isn == seq ||
			!s.known && ahead >= 0 && ahead < window {
			s.isn, s.known = seq, true // sent again, or captured behind its data
			x.touch(i)
			return i
		}
		x.close(i) // the ports are used again
	}
	s := &x.table.streams[i]
	s.next, s.isn, s.known = seq+1, seq, true
	s.mode, s.skip = synced, 0
	x.touch(i)
	return i
}

// reset ends both directions of a connection, when a receiver would believe it at seq: that is at
// the byte that comes next. Anywhere else in the window it may be forged, and is but questioned (RFC
// 9293, section 3.10.7.4), so that the stream goes on; if not, what waits runs out of time.
func (x *Streams) reset(i, seq uint32) {
	if i != 0 {
		if !x.expects(i, seq) {
			return
		}
		x.close(i)
	}
	back := x.key.back()
	if i = x.find(&back); i != 0 {
		x.close(i)
	}
}

// expects tells whether the receiver of stream i may be at seq: at the next byte, behind all that
// waits, where a gap is one of the capture alone, or behind a FIN, which counts as a byte.
func (x *Streams) expects(i, seq uint32) bool {
	s := &x.table.streams[i]
	if s.hold != 0 {
		if last := x.holding.holds[s.hold].lastIsland; last != 0 && x.holding.cells[last].end() == seq {
			return true
		}
	}
	return seq == s.next || s.age == idle && seq == s.next+1
}

// close drops what waits in stream i. The stream is remembered, so that data sent again is not
// taken for new, but it is among the first to be forgotten.
func (x *Streams) close(i uint32) {
	if h := x.table.streams[i].hold; h != 0 {
		x.release(h, Closed)
	}
	x.move(i, idle)
}

func far(distance int32) bool { return distance > window || distance < -window }

// data takes the bytes of a segment. It returns their stream with the verdict.
func (x *Streams) data(i, seq uint32, b []byte, size int) (Verdict, uint32) {
	if i == 0 {
		o, m := locate(b, size)
		if o < 0 {
			return Partial, 0 // and nothing is remembered of it
		}
		i = x.add()
		return x.restart(i, m, seq, o, b, size), i
	}
	x.touch(i)
	for {
		s := &x.table.streams[i]
		d := int32(seq - s.next)
		switch {
		case far(d):
			o, m := locate(b, size)
			if o < 0 {
				return Gap, i
			}
			if s.hold != 0 {
				x.release(s.hold, Gap)
			}
			return x.restart(i, m, seq, o, b, size), i
		case d+int32(size) <= 0:
			return x.before(s, seq, b, size), i
		case d < 0:
			x.stats.Overlaps++
			b, size = after(b, size, int(-d))
			return x.inOrder(i, b, size), i
		case d == 0:
			return x.inOrder(i, b, size), i
		case s.mode == lost && s.hold == 0: // what comes before would help no more
			s.next = seq
			return x.inOrder(i, b, size), i
		}
		if v := x.ahead(i, seq, b, size); v != OK {
			return v, i
		}
		// It would take too much memory to wait: there is one segment less to wait for now.
	}
}

// restart makes the byte at o of a segment the next of stream i, and reads on from there.
func (x *Streams) restart(i uint32, m mode, seq uint32, o int, b []byte, size int) Verdict {
	x.stats.Resyncs++
	s := &x.table.streams[i]
	s.next, s.mode, s.skip, s.known = seq+uint32(o), m, 0, false
	s.isn = s.next
	b, size = after(b, size, o)
	return x.inOrder(i, b, size)
}

// before takes a segment of which stream s had all bytes before, unless the capture began between the
// two that were swapped: a segment that ends where the first one seen began is new. It is read when it
// consists of whole messages; what is open cannot be put before what was read.
func (x *Streams) before(s *stream, seq uint32, b []byte, size int) Verdict {
	if s.known || seq+uint32(size) != s.isn || !chained(b, size) {
		return Duplicate
	}
	s.isn = seq
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint16(b))
		x.out(nil, b[prefix:min(len(b), prefix+n)], n)
		b = b[min(len(b), prefix+n):]
	}
	return OK
}

// after returns what is left of a segment behind its first n bytes.
func after(b []byte, size, n int) ([]byte, int) { return b[min(n, len(b)):], size - n }

// inOrder reads bytes that begin at the next of stream i, and those that waited for them.
func (x *Streams) inOrder(i uint32, b []byte, size int) Verdict {
	s := &x.table.streams[i]
	if s.hold == 0 {
		v := x.read(i, b, size, x.packets)
		if v == Held {
			x.stats.Held += uint64(x.packets)
		}
		if s.hold != 0 {
			x.queue(s.hold)
		}
		if s.age != live && (v == OK || v == Held) {
			x.move(i, live)
		}
		return v
	}
	return x.fill(i, b, size)
}

// fill is inOrder where something waits.
func (x *Streams) fill(i uint32, b []byte, size int) Verdict {
	s := &x.table.streams[i]
	v, undecided := Duplicate, x.packets
	for size > 0 {
		n := size
		if first := x.island(s); first != 0 { // the bytes that came first win
			n = min(n, int(x.holding.cells[first].seq-s.next))
		}
		w := x.read(i, b[:min(n, len(b))], n, undecided)
		if undecided > 0 {
			v = w
		}
		if w == Held {
			x.stats.Held += uint64(undecided)
		}
		if w == OK || w == Held {
			undecided = 0
		}
		edge := s.next
		x.drain(i)
		b, size = after(b, size, n)
		if covered := min(size, int(s.next-edge)); covered > 0 {
			x.stats.Overlaps++
			b, size = after(b, size, covered)
		}
	}
	if s.hold != 0 {
		x.queue(s.hold)
	}
	if v == OK || v == Held {
		x.move(i, live)
	}
	return v
}
