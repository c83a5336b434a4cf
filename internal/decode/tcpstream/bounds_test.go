// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

func TestAStreamThatWaitsForNothingCostsLittle(t *testing.T) {
	if streamBytes >= 100 || cellBytes != 256 {
		t.Errorf("a stream has %d bytes, a cell %d", streamBytes, cellBytes)
	}
}

// size returns the bytes of all that x has made.
func (x *Streams) size() int {
	return len(x.table.streams)*streamBytes + len(x.table.heads)*4 +
		len(x.holding.holds)*holdBytes + len(x.holding.cells)*cellBytes +
		len(x.whole) + len(x.piece)
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""},
		{DefaultConfig(), ""},
		{Config{Bytes: 1 << 20, Streams: 10}, ""},
		{Config{Streams: -1}, "tcpstream: streams: -1 is not from 1 to 16777216"},
		{Config{Streams: 1 << 16}, "tcpstream: bytes: 4194304 cannot hold 65536 streams and twice " +
			"the bytes of one; give at least 7209666"},
		{Config{StreamBytes: 1000}, "tcpstream: stream bytes: 1000 cannot hold one message; give at " +
			"least 150016"},
		{Config{Gap: -1}, "tcpstream: a time below 0: gap -1ns, message 30s, idle 5m0s"},
	} {
		got := ""
		if err := test.cfg.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.cfg, got, test.want)
		}
	}
}

// TestFloods sends a million segments of each kind, each of another stream, and expects that
// memory stays what it is configured to be, that none of it leaks, and that a zone transfer which
// is under way comes through: one message of it came before the flood.
func TestFloods(t *testing.T) {
	const million = 1_000_000
	start := framed(message(7, 500))[:40]
	for _, test := range []struct {
		name string
		data string
		step step
	}{
		{"SYN", "", step{flags: FlagSYN}},
		{"SYN with the beginning of a message", start, step{flags: FlagSYN}},
		{"the beginning of a message", start, step{}},
		{"the first byte of a message", "\x00", step{}},
		{"a whole message", framed(message(7, 30)), step{}},
		{"no DNS", garbage(64), step{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := million
			if testing.Short() {
				n /= 10
			}
			w := newWorld(t, Config{})
			w.segment(1, step{seq: 0, flags: FlagSYN})
			transfer := framed(message(1, 30000))
			next, want := uint32(1), 1
			w.segment(1, step{seq: next, data: transfer})
			next += uint32(len(transfer))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i := range n {
				m := dnsmsg.Message{
					Src: client, Dst: server, SrcPort: uint16(i) | 2, DstPort: uint16(i >> 16),
					Time: int64(i) * 1000,
				}
				w.current = m
				w.verdicts[w.Segment(&m, uint64(i), &Segment{
					Seq: uint32(i), Flags: test.step.flags, Payload: []byte(test.data),
					Size: len(test.data), Packets: 1,
				})]++
				if i%1000 == 0 { // a segment of the transfer each millisecond
					o := int(next-1) % len(transfer)
					end := min(len(transfer), o+1400)
					w.segment(1, step{
						seq: next, data: transfer[o:end], at: time.Duration(i) * 1000,
					})
					next += uint32(end - o)
					if end == len(transfer) {
						want++
					}
				}
			}
			runtime.ReadMemStats(&after)
			got := 0
			for _, e := range w.got {
				if e.Port == 1 {
					got++
				}
			}
			if got != want || want == 1 {
				t.Errorf("%d messages of the transfer, want %d", got, want)
			}
			cfg := DefaultConfig()
			if size := w.size(); size > cfg.Bytes || size < cfg.Bytes/4 && w.Stats().Streams > 1 {
				t.Errorf("%d bytes, more than %d", size, cfg.Bytes)
			}
			w.balanced()
			w.consistent()
			w.settled()
		})
	}
}

// TestFloodOfSYNsDoesNotDisplaceConnections opens as many connections as a quarter of the table
// and then floods it: each of them knows its place in the stream afterwards.
func TestFloodOfSYNsDoesNotDisplaceConnections(t *testing.T) {
	w := newWorld(t, Config{Streams: 400})
	one := framed(message(1, 30))
	for port := range uint16(100) {
		w.segment(port, step{seq: 0, flags: FlagSYN})
		w.segment(port, step{seq: 1, data: one[:1]})
	}
	for port := range uint16(10000) {
		w.segment(1000+port, step{seq: 0, flags: FlagSYN})
	}
	for port := range uint16(100) {
		if v := w.segment(port, step{seq: 2, data: one[1:]}); v != OK {
			t.Fatalf("port %d: verdict %d", port, v)
		}
	}
	if s := w.Stats(); s.Streams != 400 || s.Forgot != 9700 {
		t.Errorf("%d streams, %d forgotten", s.Streams, s.Forgot)
	}
	w.consistent()
	w.settled()
}

// TestSlowLoris sends messages byte by byte, a byte of each stream a second, on as many streams as
// there are, and beside it honest messages in two segments.
func TestSlowLoris(t *testing.T) {
	t.Run("on half of the memory", func(t *testing.T) { slowLoris(t, 2, Expired) })
	t.Run("on more than all", func(t *testing.T) { slowLoris(t, 5, Evicted) })
}

func slowLoris(t *testing.T, share int, why Verdict) {
	w := newWorld(t, Config{})
	lorises := w.max.holds * share / 4
	slow := framed(message(1, 600))
	honest := framed(message(2, 600))
	sent := 0
	for second := range 90 {
		at := time.Duration(second) * time.Second
		for i := range lorises {
			w.segment(uint16(i), step{seq: uint32(second), data: slow[second : second+1], at: at})
			if i%100 == 0 {
				port := uint16(20000 + i)
				seq := uint32(second * len(honest))
				w.segment(port, step{seq: seq, data: honest[:300], at: at})
				w.segment(port, step{seq: seq + 300, data: honest[300:], at: at})
				sent++
			}
		}
	}
	if len(w.got) != sent {
		t.Errorf("%d messages, want %d", len(w.got), sent)
	}
	if s := w.Stats(); s.Dropped[why] < uint64(lorises) {
		t.Errorf("%d lorises: %+v", lorises, s)
	}
	w.consistent()
	w.settled()
}

func TestLimitsOfAStream(t *testing.T) {
	big := message(1, 60000)
	t.Run("what waits behind a gap is given up in time to make room", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.segment(1, step{seq: 0, flags: FlagSYN})
		data := framed(big, big, big, big, big, big)
		for o := 1000; o < len(data); o += 1000 {
			w.segment(1, step{seq: 1 + uint32(o), data: data[o:min(len(data), o+1000)]})
			if h := w.table.streams[1].hold; h != 0 &&
				int(w.holding.holds[h].cells)*cellBytes > DefaultConfig().StreamBytes {
				t.Fatalf("%d cells", w.holding.holds[h].cells)
			}
		}
		if len(w.got) != 5 || w.Stats().Gaps != 1 {
			t.Errorf("%d messages, %d gaps", len(w.got), w.Stats().Gaps)
		}
		w.consistent()
		w.settled()
	})
	t.Run("many small segments behind a gap", func(t *testing.T) {
		w := newWorld(t, Config{})
		w.segment(1, step{seq: 0, flags: FlagSYN})
		data := framed(message(1, 600), message(2, 600))
		for o := len(framed(message(1, 600))); o < len(data); o++ {
			w.segment(1, step{seq: 1 + uint32(o), data: data[o : o+1]})
		}
		if len(w.got) != 1 || w.Stats().Gaps != 1 {
			t.Errorf("%d messages, %d gaps", len(w.got), w.Stats().Gaps)
		}
		w.consistent()
		w.settled()
	})
	t.Run("a gap and a message before it that cannot wait both", func(t *testing.T) {
		w := newWorld(t, Config{StreamBytes: minStreamBytes})
		w.segment(1, step{seq: 0, flags: FlagSYN})
		data := framed(big, big, big, big)
		w.segment(1, step{seq: 1, data: data[:50000]})
		for o := 51000; o < len(data); o += 1000 {
			w.segment(1, step{seq: 1 + uint32(o), data: data[o:min(len(data), o+1000)]})
			w.consistent()
		}
		if len(w.got) != 3 || w.Stats().Gaps != 1 {
			t.Errorf("%d messages, %+v", len(w.got), w.Stats())
		}
		w.settled()
	})
}

func TestIdleStreamsAreForgotten(t *testing.T) {
	w := newWorld(t, Config{Idle: time.Minute, Message: time.Hour})
	for port := range uint16(10) {
		w.segment(port, step{data: framed(a)[:10]})
	}
	for i := range 20 {
		w.segment(99, step{seq: uint32(i * 21), data: framed(a), at: time.Minute + time.Duration(1+i)})
	}
	if s := w.Stats(); s.Streams != 1 || s.Dropped[Expired] != 10 {
		t.Errorf("%d streams, %d packets expired", s.Streams, s.Dropped[Expired])
	}
	w.settled()
}

func TestTimeMayGoBackwards(t *testing.T) {
	w := newWorld(t, Config{})
	w.segment(1, step{seq: 0, flags: FlagSYN, at: time.Hour})
	w.segment(1, step{seq: 1, data: framed(a)[:10], at: -time.Hour})
	w.segment(1, step{seq: 11, data: framed(a)[10:], at: -2 * time.Hour})
	if len(w.got) != 1 {
		t.Errorf("%d messages", len(w.got))
	}
	w.settled()
}

// TestZoneTransferIsNotHeld sends a long transfer in order: at no time does more wait than the
// message that is not complete.
func TestZoneTransferIsNotHeld(t *testing.T) {
	w := newWorld(t, Config{})
	w.segment(1, step{seq: 0, flags: FlagSYN})
	one := framed(message(1, 16000))
	data := strings.Repeat(one, 8)
	seq := uint32(1)
	for range 50 {
		for o := 0; o < len(data); o += 1448 {
			piece := data[o:min(len(data), o+1448)]
			w.segment(1, step{seq: seq, data: piece})
			seq += uint32(len(piece))
			if n := (w.max.cells - w.holding.idle) * cellData; n > len(one)+cellData {
				t.Fatalf("%d bytes wait", n)
			}
		}
	}
	if len(w.got) != 400 || w.Stats().Held != 0 {
		t.Errorf("%d messages, %d packets held", len(w.got), w.Stats().Held)
	}
	w.settled()
}

// traffic returns a function that sends one round of all that streams do.
func traffic(t testing.TB) func() {
	x := New(Config{Streams: 64, Bytes: 1 << 20}, func(*dnsmsg.Message, []byte, int) {})
	m := dnsmsg.Message{Src: client, Dst: server, DstPort: 53}
	abc, seq := []byte(abc), uint32(0)
	send := func(o, end int, flags uint8) {
		x.Segment(&m, 0, &Segment{
			Seq: seq + uint32(o), Flags: flags, Payload: abc[o:end], Size: end - o, Packets: 1,
		})
	}
	return func() {
		m.SrcPort++
		seq = binary.BigEndian.Uint32(abc[m.SrcPort%16:])
		send(0, 0, FlagSYN)
		seq++
		send(0, 100, 0)
		send(200, len(abc), 0)
		send(90, 150, 0)
		send(150, 200, 0)
		send(0, 100, 0)
		seq += uint32(len(abc))
		send(0, 100, FlagFIN)
		send(300, 500, 0)
		m.Time += int64(time.Second)
		if s := x.Stats(); s.Held > 500 {
			t.Fatalf("%+v", s)
		}
	}
}

func TestSegmentDoesNotAllocate(t *testing.T) {
	round := traffic(t)
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWorkIsBoundedByTheBytes makes a segment in which a message may begin every 11 bytes, of each
// of which 255 records must be read to see that it is none, and holds the time against that for a
// segment that is plainly no DNS. To read them all would take a hundred times as long.
func TestWorkIsBoundedByTheBytes(t *testing.T) {
	evil := strings.Repeat("\x00\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00", 5800)
	long := 0
	for o := 1; o+3000 < len(evil); o++ {
		if entries, ok := walk([]byte(evil[o+prefix:]), 0xffff); !ok && entries == 255 {
			long++
		}
	}
	if long < 5000 {
		t.Errorf("only %d places look like a message: this test proves nothing", long)
	}
	least := func(segment string) (least time.Duration) {
		data := []byte(segment)
		for i := range 5 {
			start := time.Now()
			if o, _ := locate(data, len(data)); o >= 0 {
				t.Fatalf("a message at %d", o)
			}
			if d := time.Since(start); i == 0 || d < least {
				least = d
			}
		}
		return least
	}
	if e, g := least(evil), least(garbage(len(evil))); e > 20*g {
		t.Errorf("%v, and %v for what is plainly no DNS", e, g)
	}
}

func BenchmarkSegment(b *testing.B) {
	for _, bench := range []struct {
		name    string
		streams int
		size    int
		split   int // first part of two
	}{
		{"whole-message", 1, 60, 0},
		{"whole-message-of-1000-streams", 1000, 60, 0},
		{"whole-message-of-10000-streams", 10000, 60, 0},
		{"two-segments", 1, 1000, 500},
	} {
		b.Run(bench.name, func(b *testing.B) {
			x := New(Config{}, func(*dnsmsg.Message, []byte, int) {})
			data := []byte(framed(message(1, bench.size)))
			order := rand.New(rand.NewPCG(1, 1)).Perm(bench.streams)
			next := make([]uint32, bench.streams)
			m := dnsmsg.Message{Src: client, Dst: server, DstPort: 53}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == len(order) {
					i = 0
				}
				m.SrcPort = uint16(order[i])
				m.Time += 1000
				if bench.split > 0 {
					x.Segment(&m, 0, &Segment{Seq: next[i], Payload: data[:bench.split],
						Size: bench.split, Packets: 1})
				}
				rest := data[bench.split:]
				x.Segment(&m, 0, &Segment{Seq: next[i] + uint32(bench.split), Payload: rest,
					Size: len(rest), Packets: 1})
				next[i] += uint32(len(data))
			}
			if s := x.Stats(); s.Forgot > 0 || s.Held > 1 {
				b.Fatalf("%+v", s)
			}
		})
	}
}
