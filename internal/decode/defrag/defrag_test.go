// SPDX-License-Identifier: Apache-2.0

package defrag

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const second = int64(time.Second)

// piece is payload[from:to] of a datagram, the last one when last is set.
func piece(payload string, from, to int, last bool) Fragment {
	return Fragment{Payload: []byte(payload[from:to]), Size: to - from, Offset: from, More: !last,
		Proto: 17, Time: second, Packets: 1}
}

// cut returns payload in pieces of size bytes.
func cut(payload string, size int) []Fragment {
	var pieces []Fragment
	for from := 0; from < len(payload); from += size {
		to := min(from+size, len(payload))
		pieces = append(pieces, piece(payload, from, to, to == len(payload)))
	}
	return pieces
}

// text returns n bytes of which no two stretches are alike.
func text(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func newTable(t testing.TB) *Table {
	t.Helper()
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return New(cfg)
}

// audit checks that the table's lists, counts and memory agree with each other.
func audit(t testing.TB, x *Table) {
	t.Helper()
	if x.slots == nil {
		return
	}
	var packets uint64
	used, waiting := 0, 0
	last := int32(none)
	for s := x.oldest; s != none; s = x.slots[s].newer {
		d := &x.slots[s]
		if d.older != last || x.find(d.hash, d.key) != s {
			t.Fatal("a datagram is not where it should be")
		}
		last = s
		waiting++
		packets += d.packets
		units := 0
		for b := d.blocks; b != none; b = x.blocks.at(b).next {
			used++
			for have := x.blocks.at(b).have; have != 0; have &= have - 1 {
				units++
			}
		}
		if units != int(d.units) {
			t.Fatalf("%d units in blocks, %d counted", units, d.units)
		}
	}
	for s := x.free; s != none; s = x.slots[s].chain {
		waiting++
	}
	if last != x.newest || waiting != len(x.slots) {
		t.Fatalf("%d of %d slots are in a list", waiting, len(x.slots))
	}
	if used != x.blocks.used || x.blocks.used > x.blocks.max {
		t.Fatalf("%d blocks used, %d counted, of %d", used, x.blocks.used, x.blocks.max)
	}
	if packets != x.counters.Held {
		t.Fatalf("%d packets wait, %d counted", packets, x.counters.Held)
	}
}

func TestAdd(t *testing.T) {
	whole := text(3000)
	zeros := strings.Repeat("0", 3000)
	withBytes := func(f Fragment, n int) Fragment { // as the snapshot length cuts it
		f.Payload = f.Payload[:n]
		return f
	}
	for _, test := range []struct {
		name      string
		fragments []Fragment
		want      string
		size      int // of want on the wire, when it is not len(want)
		duplicate uint64
		overlap   uint64
	}{
		{name: "in order", fragments: cut(whole, 1480), want: whole},
		{
			name: "the last one first",
			fragments: []Fragment{
				piece(whole, 2960, 3000, true), piece(whole, 1480, 2960, false), piece(whole, 0, 1480, false),
			},
			want: whole,
		},
		{name: "of eight bytes each", fragments: cut(whole, 8), want: whole},
		{name: "the largest datagram", fragments: cut(text(65535), 1480), want: text(65535)},
		{
			name: "two with the same bytes",
			fragments: []Fragment{
				piece(whole, 0, 1480, false), piece(whole, 0, 1480, false), piece(whole, 1480, 3000, true),
			},
			want: whole, duplicate: 1,
		},
		{
			name: "what came first stays where later ones overlap",
			fragments: []Fragment{
				piece(whole, 800, 1600, false), piece(zeros, 0, 1000, false), piece(zeros, 1504, 3000, true),
			},
			want: zeros[:800] + whole[800:1600] + zeros[1600:], overlap: 2,
		},
		{
			name: "a duplicate with other bytes changes nothing",
			fragments: []Fragment{
				piece(whole, 0, 1480, false), piece(zeros, 8, 1400, false), piece(whole, 1480, 3000, true),
			},
			want: whole, duplicate: 1,
		},
		{
			name: "one in the middle of two that are there",
			fragments: []Fragment{
				piece(whole, 0, 512, false), piece(whole, 1024, 3000, true), piece(zeros, 0, 3000-8, false),
			},
			want: whole[:512] + zeros[512:1024] + whole[1024:], overlap: 1,
		},
		{
			name: "bytes behind a whole unit are no part of one that is not the last",
			fragments: []Fragment{
				piece(whole, 0, 1485, false), piece(whole, 1480, 3000, true),
			},
			want: whole,
		},
		{
			name: "the capture cut the last one",
			fragments: []Fragment{
				piece(whole, 0, 1480, false), withBytes(piece(whole, 1480, 3000, true), 100),
			},
			want: whole[:1580], size: 3000,
		},
		{
			name: "the capture cut the first one",
			fragments: []Fragment{
				withBytes(piece(whole, 0, 1480, false), 99), piece(whole, 1480, 3000, true),
			},
			want: whole[:99], size: 3000,
		},
		{
			name: "the capture cut a duplicate",
			fragments: []Fragment{
				piece(whole, 0, 1480, false), withBytes(piece(whole, 0, 1480, false), 10),
				piece(whole, 1480, 3000, true),
			},
			want: whole, duplicate: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newTable(t)
			for i, f := range test.fragments {
				if i > 0 {
					f.Proto = 99 // only the first one of the datagram tells
				}
				if f.Offset == 0 {
					f.Proto = 17
				}
				f.Packets = 3
				payload := bytes.Clone(f.Payload)
				f.Payload = payload
				got, v := x.Add(Key{ID: 1}, f)
				clear(payload) // what the source does with it
				audit(t, x)
				if i < len(test.fragments)-1 {
					if v != Held || x.Counters().Held != uint64(i+1)*3 {
						t.Fatalf("fragment %d: verdict %d, %+v", i, v, x.Counters())
					}
					continue
				}
				if v != Complete {
					t.Fatalf("verdict %d", v)
				}
				if test.size == 0 {
					test.size = len(test.want)
				}
				want := Datagram{Payload: []byte(test.want), Size: test.size, Proto: 17,
					Packets: 3 * uint64(len(test.fragments))}
				if diff := cmp.Diff(got, want); diff != "" {
					t.Error(diff)
				}
			}
			want := Counters{Completed: 1, Duplicated: test.duplicate, Overlapped: test.overlap}
			if diff := cmp.Diff(x.Counters(), want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFragmentsThatContradict(t *testing.T) {
	whole := text(3000)
	first, last := piece(whole, 0, 1480, false), piece(whole, 1480, 3000, true)
	for _, test := range []struct {
		name   string
		before []Fragment
		bad    Fragment
	}{
		{"empty", []Fragment{first}, piece(whole, 1480, 1480, true)},
		{"empty and alone", nil, piece(whole, 0, 0, false)},
		{"no whole unit and not the last", []Fragment{first}, piece(whole, 1480, 1487, false)},
		{"beyond the largest datagram", []Fragment{first},
			Fragment{Payload: []byte(whole), Size: 8, Offset: 65528, Packets: 1}},
		{"a last one that ends earlier", []Fragment{last}, piece(whole, 1480, 2000, true)},
		{"a last one that ends later", []Fragment{piece(whole, 1480, 2000, true)}, last},
		{"a last one that ends before another", []Fragment{piece(whole, 1480, 2960, false)},
			piece(whole, 0, 1480, true)},
		{"one that ends behind the last", []Fragment{piece(whole, 1480, 2000, true)},
			piece(whole, 2000, 2800, false)},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newTable(t)
			for _, f := range test.before {
				if _, v := x.Add(Key{}, f); v != Held {
					t.Fatalf("verdict %d", v)
				}
			}
			if _, v := x.Add(Key{}, test.bad); v != Invalid {
				t.Errorf("verdict %d", v)
			}
			audit(t, x)
			var want Counters
			want.Evicted[Conflict] = uint64(len(test.before))
			if diff := cmp.Diff(x.Counters(), want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEachPartOfTheKeyKeepsDatagramsApart(t *testing.T) {
	whole := text(2000)
	pieces := cut(whole, 1480)
	keys := []Key{
		{}, {Src: [16]byte{15: 1}}, {Dst: [16]byte{15: 1}}, {Context: 1}, {VLAN: 1}, {InnerVLAN: 1},
		{ID: 1}, {Proto: 1},
	}
	x := newTable(t)
	for _, k := range keys {
		if _, v := x.Add(k, pieces[0]); v != Held {
			t.Fatalf("%+v: verdict %d", k, v)
		}
	}
	for _, k := range keys {
		if d, v := x.Add(k, pieces[1]); v != Complete || string(d.Payload) != whole {
			t.Errorf("%+v: verdict %d", k, v)
		}
	}
	audit(t, x)
}

func TestDatagramsGrowOld(t *testing.T) {
	pieces := cut(text(2000), 1480)
	x := newTable(t)
	at := func(id uint32, f Fragment, now int64) Verdict {
		f.Time = now
		_, v := x.Add(Key{ID: id}, f)
		audit(t, x)
		return v
	}
	at(1, pieces[0], 10*second)
	at(2, pieces[0], 20*second)
	if due := x.Due(); due != 40*second {
		t.Errorf("due at %d", due)
	}
	x.Expire(40*second - 1)
	if c := x.Counters(); c.Held != 2 {
		t.Errorf("too early: %+v", c)
	}
	x.Expire(40 * second)
	if c := x.Counters(); c.Held != 1 || c.Evicted[Timeout] != 1 || x.Due() != 50*second {
		t.Errorf("too late: %+v, due at %d", c, x.Due())
	}
	if v := at(2, pieces[1], 50*second-1); v != Complete {
		t.Errorf("in time: verdict %d", v)
	}

	at(3, pieces[0], 100*second)
	if v := at(3, pieces[1], 60*second); v != Held {
		t.Errorf("the clock went back beyond the age: verdict %d", v)
	}
	if c := x.Counters(); c.Evicted[Timeout] != 2 || c.Held != 1 {
		t.Errorf("the clock went back: %+v", c)
	}
	x.Flush()
	audit(t, x)
	if c := x.Counters(); c.Held != 0 || c.Evicted[End] != 1 || x.Due() < 1<<62 {
		t.Errorf("at the end: %+v, due at %d", c, x.Due())
	}
	x.Flush()
	New(DefaultConfig()).Flush() // one that has seen nothing
}

func TestRefused(t *testing.T) {
	pieces := cut(text(4000), 1480)
	x := newTable(t)
	add := func(k Key, f Fragment, now int64) Verdict {
		f.Time = now
		_, v := x.Add(k, f)
		audit(t, x)
		return v
	}
	key := Key{ID: 7}
	add(key, pieces[1], second)
	if n := x.Refuse(key, second); n != 1 || x.Counters().Held != 0 {
		t.Errorf("%d packets waited, %+v", n, x.Counters())
	}
	if v := add(key, pieces[2], 2*second); v != Refused {
		t.Errorf("a later fragment: verdict %d", v)
	}
	if v := add(Key{ID: 8}, pieces[2], 2*second); v != Held {
		t.Errorf("a fragment of another datagram: verdict %d", v)
	}
	if v := add(key, pieces[1], 31*second); v != Held {
		t.Errorf("a fragment when it is forgotten: verdict %d", v)
	}
	x.Refuse(key, 31*second)
	if v := add(key, pieces[0], 32*second); v != Held {
		t.Errorf("a first fragment: verdict %d", v)
	}
	if v := add(key, pieces[1], 32*second); v != Held {
		t.Errorf("its successor: verdict %d", v)
	}
	if n := New(DefaultConfig()).Refuse(key, 0); n != 0 {
		t.Errorf("an empty table had %d packets", n)
	}
}

func TestConfigValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"the default":   {func(*Config) {}, ""},
		"nothing said":  {func(c *Config) { *c = Config{} }, ""},
		"the least":     {func(c *Config) { c.Datagrams, c.Age = 1, 1 }, ""},
		"few datagrams": {func(c *Config) { c.Datagrams = -1 }, "defrag: -1 datagrams: must be 1 to"},
		"few bytes":     {func(c *Config) { c.Bytes = 100_000 }, "defrag: 100000 bytes: two datagrams"},
		"a large table": {func(c *Config) { c.Datagrams = 100_000 }, "a table of 100000 must fit"},
		"no age":        {func(c *Config) { c.Age = -1 }, "defrag: age: must be more than 0"},
	} {
		cfg := DefaultConfig()
		test.change(&cfg)
		err := cfg.Validate()
		if err == nil != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
