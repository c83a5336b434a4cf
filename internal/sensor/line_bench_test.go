// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice"
	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/record"
)

// arena is an outlet that frames records into one batch and starts again when it is full.
type arena struct {
	pool  *record.Pool
	batch *record.Batch
	bytes int
}

func newArena() *arena {
	pool := record.NewPool(1, 900_000)
	return &arena{pool: pool, batch: pool.TryGet()}
}

func (a *arena) Value(t int64, key []byte) []byte {
	if a.batch.Room() < 64<<10 {
		a.bytes += a.batch.Size()
		a.pool.Put(a.batch)
		a.batch = a.pool.TryGet()
	}
	return a.batch.KeyedValue(t/1e6, key)
}

func (a *arena) Commit(value []byte) { a.batch.Commit(value) }
func (a *arena) Turn() error         { return nil }
func (a *arena) Close() error        { return nil }

// recorded returns the packets of the project's own captures that carry messages.
func recorded(tb testing.TB) []packet.Packet {
	tb.Helper()
	names, err := fs.Glob(dnsluice.Captures, "testdata/*")
	if err != nil {
		tb.Fatal(err)
	}
	l, err := newLane(Config{Ports: []uint16{53}}, 0, nil, newArena())
	if err != nil {
		tb.Fatal(err)
	}
	var kept []packet.Packet
	for _, name := range names {
		data, err := dnsluice.Captures.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		src := pcapfile.NewReader(name, bytes.NewReader(data))
		for {
			var p packet.Packet
			err := src.Next(&p)
			if errors.Is(err, capture.ErrIdle) {
				continue
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				tb.Fatal(err)
			}
			before := l.seq
			if l.decoder.Decode(&p); l.seq > before {
				p.Data = slices.Clone(p.Data)
				kept = append(kept, p)
			}
		}
		if err := src.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return kept
}

// BenchmarkLine is the line from a frame to a record in a batch.
func BenchmarkLine(b *testing.B) {
	packets := recorded(b)
	for _, format := range []string{"json", "protobuf"} {
		b.Run(format, func(b *testing.B) {
			out := newArena()
			l, err := newLane(Config{Sensor: "ns1", Run: "20261122T190000.000000Z", Ports: []uint16{53},
				Format: format}, 0, nil, out)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l.decoder.Decode(&packets[i])
				if i++; i == len(packets) {
					i = 0
				}
			}
			b.ReportMetric(float64(out.bytes)/float64(b.N), "B/packet")
		})
	}
}

// TestTheLineDoesNotAllocate counts by stack: what is counted for the process, as testing.AllocsPerRun
// does, has in it what brokers of earlier tests do, whose goroutines end some time after Close.
func TestTheLineDoesNotAllocate(t *testing.T) {
	packets := recorded(t)
	l, err := newLane(Config{Ports: []uint16{53}}, 0, nil, newArena())
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		l.decoder.Decode(&packets[i]) // whatever grows has grown now
	}
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 1 // each one
	for range 5 {
		measured(l, packets)
	}
	runtime.GC() // publishes the profile
	stacks := make([]runtime.MemProfileRecord, 1000)
	n, ok := runtime.MemProfile(stacks, true)
	for ; !ok; n, ok = runtime.MemProfile(stacks, true) {
		stacks = make([]runtime.MemProfileRecord, n+1000)
	}
	for _, s := range stacks[:n] {
		var calls []string
		for frames, more := runtime.CallersFrames(s.Stack()), true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			calls = append(calls, f.Function)
		}
		if slices.ContainsFunc(calls, func(c string) bool { return strings.HasSuffix(c, ".measured") }) {
			t.Errorf("%d allocations in\n%s", s.AllocObjects, strings.Join(calls, "\n"))
		}
	}
}

// measured has a name for TestTheLineDoesNotAllocate to find in stacks, and no other caller.
//
//go:noinline
func measured(l *lane, packets []packet.Packet) {
	for i := range packets {
		l.decoder.Decode(&packets[i])
	}
}
