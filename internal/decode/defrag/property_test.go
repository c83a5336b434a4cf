// SPDX-License-Identifier: Apache-2.0

package defrag

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestAnyOrderGivesTheSameDatagrams shuffles the fragments of many datagrams together, and gives
// some twice before the datagram is whole.
func TestAnyOrderGivesTheSameDatagrams(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		x := newTable(t)
		var wholes []string
		var all []struct {
			id uint32
			f  Fragment
		}
		left := make(map[uint32]int)
		for id := range uint32(1 + r.IntN(8)) {
			wholes = append(wholes, text(1+r.IntN(9000)))
			pieces := cut(wholes[id], 8*(1+r.IntN(200)))
			left[id] = len(pieces)
			for _, f := range pieces {
				all = append(all, struct {
					id uint32
					f  Fragment
				}{id, f})
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		packets := make(map[uint32]uint64)
		for _, a := range all {
			times := 1
			if left[a.id]--; left[a.id] > 0 {
				times += r.IntN(2)
			}
			for range times {
				packets[a.id]++
				d, v := x.Add(Key{ID: a.id}, a.f)
				if v != Complete && (v != Held || left[a.id] == 0) {
					t.Fatalf("verdict %d, %d pieces left", v, left[a.id])
				}
				if v == Complete && (left[a.id] > 0 || string(d.Payload) != wholes[a.id] ||
					d.Size != len(wholes[a.id]) || d.Packets != packets[a.id]) {
					t.Fatalf("%d pieces left, %d bytes of %d, %d packets of %d",
						left[a.id], len(d.Payload), len(wholes[a.id]), d.Packets, packets[a.id])
				}
			}
		}
		audit(t, x)
		if c := x.Counters(); c.Held != 0 || c.Completed != uint64(len(wholes)) {
			t.Fatalf("%+v", c)
		}
	}
}

// model is a datagram that keeps what comes, byte by byte: the first one wins.
type model struct {
	data        [1 << 16]byte
	have        [1 << 16]bool
	total, high int
	packets     uint64
}

func newModel() *model { return &model{total: -1} }

// add returns the datagram when it is whole, and whether the fragment was valid.
func (m *model) add(f Fragment) (whole []byte, ok bool) {
	if f.More {
		f.Size -= f.Size % 8
	}
	end := f.Offset + f.Size
	switch {
	case f.Size == 0 || end > 65535,
		f.More && m.total >= 0 && end > m.total,
		!f.More && (m.total >= 0 && end != m.total || end < m.high):
		return nil, false
	}
	m.packets++
	m.high = max(m.high, end)
	if !f.More {
		m.total = end
	}
	for i := f.Offset; i < end; i++ {
		if !m.have[i] {
			m.have[i], m.data[i] = true, f.Payload[i-f.Offset]
		}
	}
	if m.total < 0 || bytes.IndexByte(truth(m.have[:m.total]), 0) >= 0 {
		return nil, true
	}
	return m.data[:m.total], true
}

func truth(have []bool) []byte {
	b := make([]byte, len(have))
	for i, h := range have {
		if h {
			b[i] = 1
		}
	}
	return b
}

// FuzzAgainstModel gives any fragments of four datagrams, in any order, and compares with a model
// that has no blocks, no bits and no bounds.
func FuzzAgainstModel(f *testing.F) {
	f.Add([]byte{0, 0, 0, 200, 1, 0, 25, 200, 0, 0, 50, 13})
	f.Add([]byte{1, 0, 25, 200, 2, 0, 0, 100, 1, 0, 0, 255, 3, 255, 255, 255})
	f.Fuzz(func(t *testing.T, script []byte) {
		x := newTable(t)
		models := [4]*model{newModel(), newModel(), newModel(), newModel()}
		for n := byte(0); len(script) >= 4; script = script[4:] {
			n++
			id := script[0] & 3
			size := int(script[3]) * (1 + int(script[0]>>3&7))
			fragment := Fragment{
				Payload: bytes.Repeat([]byte{n}, size), Size: size, More: script[0]&4 != 0,
				Offset: 8 * ((int(script[1])<<8 | int(script[2])) & 0x1fff), Packets: 1,
			}
			want, ok := models[id].add(fragment)
			got, v := x.Add(Key{ID: uint32(id)}, fragment)
			audit(t, x)
			switch {
			case !ok:
				if v != Invalid {
					t.Fatalf("verdict %d of an invalid fragment", v)
				}
				models[id] = newModel()
			case want == nil:
				if v != Held {
					t.Fatalf("verdict %d, want held", v)
				}
			default:
				if v != Complete || !bytes.Equal(got.Payload, want) || got.Packets != models[id].packets {
					t.Fatalf("verdict %d, %d bytes, want %d, or others", v, len(got.Payload), len(want))
				}
				models[id] = newModel()
			}
		}
	})
}

// TestAFloodStaysWithinTheBytes sends a million fragments of datagrams that never become whole,
// and now and then a whole datagram, whose fragments follow each other as those of a sender do.
func TestAFloodStaysWithinTheBytes(t *testing.T) {
	for name, size := range map[string]int{"of a frame's size": 1480, "of eight bytes": 8} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			x := New(cfg)
			before := heap()
			payload := []byte(text(size))
			whole := text(1400)
			var in, completed uint64
			for i := range 1_000_000 {
				in++
				x.Add(Key{ID: uint32(i), Proto: 17},
					Fragment{Payload: payload, Size: size, More: true, Time: int64(i), Packets: 1})
				if i%1000 == 0 {
					in += 2
					for _, f := range cut(whole, 1000) {
						if d, v := x.Add(Key{ID: uint32(i), Proto: 6}, f); v == Complete {
							completed += d.Packets
						}
					}
				}
			}
			audit(t, x)
			if used := heap() - before; used > int64(cfg.Bytes) {
				t.Errorf("%d bytes used of %d", used, cfg.Bytes)
			}
			c := x.Counters()
			out := c.Held + completed
			for _, n := range c.Evicted {
				out += n
			}
			if out != in || completed != 2000 || c.Evicted[Bytes]+c.Evicted[Datagrams] == 0 {
				t.Errorf("%d packets in, %d out, %d of them whole: %+v", in, out, completed, c)
			}
			runtime.KeepAlive(x)
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTheLargestDatagramMakesItsRoom fills the memory with others first.
func TestTheLargestDatagramMakesItsRoom(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Datagrams = 8
	cfg.Bytes = cfg.fixed() + 2*largest/blockSize*blockBytes
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	x := New(cfg)
	whole := text(65535)
	pieces := cut(whole, 1480)
	x.Add(Key{ID: 0}, pieces[0]) // the oldest, and the one that must not make room for itself
	for id := range uint32(4) {
		for _, f := range pieces[1:] {
			x.Add(Key{ID: id}, f)
			audit(t, x)
		}
	}
	for i, f := range pieces {
		if _, v := x.Add(Key{ID: 9}, f); v == Complete != (i == len(pieces)-1) {
			t.Fatalf("piece %d: verdict %d", i, v)
		}
		audit(t, x)
	}
	if c := x.Counters(); c.Evicted[Bytes] == 0 {
		t.Errorf("%+v", c)
	}
}

func TestAddDoesNotAllocateInTheSteadyState(t *testing.T) {
	x := newTable(t)
	pieces := cut(text(4000), 1480)
	id := uint32(0)
	round := func() {
		for range 100 {
			id++
			for _, f := range pieces {
				x.Add(Key{ID: id}, f)
			}
			x.Add(Key{ID: id, Proto: 1}, pieces[1])
			x.Refuse(Key{ID: id, Proto: 2}, second)
		}
	}
	for range 100 {
		round()
	}
	if allocs := testing.AllocsPerRun(100, round); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	audit(t, x)
}

func BenchmarkAdd(b *testing.B) {
	x := New(DefaultConfig())
	pieces := cut(text(2960), 1480)
	b.ReportAllocs()
	for id := uint32(0); b.Loop(); id++ {
		for _, f := range pieces {
			x.Add(Key{ID: id}, f)
		}
	}
}
