// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

var (
	client = netip.MustParseAddr("192.0.2.1")
	server = netip.MustParseAddr("2001:db8::53")
)

// message returns a response with the id given, n bytes long: 19 or at least 30.
func message(id uint16, n int) string {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, "\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x10\x00\x01"...)
	if n > len(b) {
		b[7] = 1
		b = append(b, "\x00\x00\x10\x00\x01\x00\x00\x0e\x10"...)
		b = binary.BigEndian.AppendUint16(b, uint16(n-len(b)-2))
		b = append(b, strings.Repeat(string([]byte{byte(id) | 0x80}), n-len(b))...)
	}
	return string(b)
}

// framed puts the length before each message.
func framed(messages ...string) string {
	var b []byte
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
	}
	return string(b)
}

// emitted is a message that came out.
type emitted struct {
	Wire string
	Size int // 0 is all of Wire
	At   time.Duration
	Port uint16 // of its sender
}

// whole returns what should come out of a stream from port 1000 at the time given.
func whole(at time.Duration, messages ...string) (out []emitted) {
	for _, m := range messages {
		out = append(out, emitted{Wire: m, At: at, Port: 1000})
	}
	return out
}

// step is one segment from the client. A step with wait alone lets time pass.
type step struct {
	seq    uint32 // from 1000, the first byte of data
	data   string
	flags  uint8
	beyond int           // bytes that the capture cut off
	at     time.Duration // since the beginning
	server bool          // it comes from the server
	want   Verdict
}

// world is a lane's Streams and what came out of them.
type world struct {
	*Streams
	t        testing.TB
	got      []emitted
	verdicts [NumVerdicts]uint64
	packets  uint64
	current  dnsmsg.Message
}

func newWorld(t testing.TB, cfg Config) *world {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.Streams = New(cfg, func(path *dnsmsg.Message, wire []byte, size int) {
		if path == nil {
			path = &w.current
		}
		e := emitted{Wire: string(wire), At: time.Duration(path.Time), Port: path.SrcPort}
		if size != len(wire) {
			e.Size = size
		}
		w.got = append(w.got, e)
	})
	return w
}

// from makes port the client's port of the segments to come.
func (w *world) segment(port uint16, s step) Verdict {
	w.t.Helper()
	w.current = dnsmsg.Message{
		Src: client, Dst: server, SrcPort: port, DstPort: 53, Time: int64(s.at),
	}
	if m := &w.current; s.server {
		m.Src, m.Dst, m.SrcPort, m.DstPort = m.Dst, m.Src, m.DstPort, m.SrcPort
	}
	data := []byte(s.data)
	v := w.Segment(&w.current, 0, &Segment{
		Seq: s.seq, Flags: s.flags, Payload: data[:len(data):len(data)],
		Size: len(data) + s.beyond, Packets: 1,
	})
	for i := range data { // what the source does with it
		data[i] = 0xaa
	}
	w.packets++
	w.verdicts[v]++
	w.balanced()
	return v
}

// balanced checks the law of the counters, and that all memory is where it should be.
func (w *world) balanced() {
	w.t.Helper()
	s := w.Stats()
	out := s.Held + s.Carried
	for _, n := range s.Dropped {
		out += n
	}
	if out != w.verdicts[Held] || s.Dropped[OK] != 0 || s.Dropped[Held] != 0 {
		w.t.Fatalf("%d packets held, %d accounted for: %+v", w.verdicts[Held], out, s)
	}
}

// settled checks that nothing waits and all memory is free.
func (w *world) settled() {
	w.t.Helper()
	w.Flush()
	w.balanced()
	if s := w.Stats(); s.Held != 0 || w.holding.idle != w.max.cells && w.holding.cells != nil {
		w.t.Fatalf("%d packets held, %d of %d cells free", s.Held, w.holding.idle, w.max.cells)
	}
	if n := w.oldest(unproven) + w.oldest(proven); n != 0 {
		w.t.Fatal("something waits still")
	}
}

// consistent walks all lists: it is for tests that are not about speed.
func (w *world) consistent() {
	w.t.Helper()
	streams := 0
	for a := range w.table.lists {
		l := w.table.lists[a]
		n, last := 0, uint32(0)
		for i := l.newest; i != 0; i = w.table.streams[i].older {
			s := &w.table.streams[i]
			if s.newer != last || s.age != age(a) || w.find(&s.key) != i {
				w.t.Fatalf("stream %d is not where it should be", i)
			}
			last = i
			n++
		}
		if n != l.n || last != l.oldest {
			w.t.Fatalf("list %d has %d streams, not %d", a, n, l.n)
		}
		streams += n
	}
	if uint64(streams) != w.stats.Streams || streams > w.max.streams {
		w.t.Fatalf("%d streams, %d counted", streams, w.stats.Streams)
	}
	cells, packets := 0, uint64(0)
	for r, lists := range w.holding.waits {
		load := 0
		for what, l := range lists {
			for n := l.head; n != 0; n = w.holding.holds[n].newer {
				h := &w.holding.holds[n]
				if int(h.wait) != what || int(h.rank) != r || w.table.streams[h.stream].hold != n {
					w.t.Fatalf("hold %d is not where it should be", n)
				}
				load += int(h.cells)
				packets += w.checkHold(h)
			}
		}
		if load != w.holding.load[r] {
			w.t.Fatalf("%d cells, %d counted", load, w.holding.load[r])
		}
		cells += load
	}
	if w.holding.cells != nil && cells+w.holding.idle != w.max.cells || packets != w.stats.Held {
		w.t.Fatalf("%d cells and %d free of %d; %d packets, %d counted",
			cells, w.holding.idle, w.max.cells, packets, w.stats.Held)
	}
}

// checkHold checks one hold and returns how many packets it holds.
func (w *world) checkHold(h *hold) uint64 {
	w.t.Helper()
	s := &w.table.streams[h.stream]
	packets, cells, islands := uint64(h.packets), 0, uint32(0)
	chain := func(n uint32) {
		for ; n != 0; n = w.holding.cells[n].next {
			cells++
		}
	}
	chain(h.first)
	edge := s.next
	for n := h.island; n != 0; n = w.holding.cells[n].follow {
		c := &w.holding.cells[n]
		if d := int32(c.seq - edge); d < 0 || islands == 0 && d == 0 {
			w.t.Fatalf("an island at %d, the one before ends at %d", c.seq, edge)
		}
		edge = c.end()
		packets += uint64(c.packets)
		islands++
		chain(n)
	}
	if cells != int(h.cells) || islands != h.islands || cells > w.max.streamCells {
		w.t.Fatalf("%d cells of %d, %d islands of %d", cells, h.cells, islands, h.islands)
	}
	return packets
}

// garbage returns n bytes that are no DNS.
func garbage(n int) string {
	return string(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), n/16+1)[:n])
}
