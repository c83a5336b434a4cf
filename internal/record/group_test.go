// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestMurmur2IsThatOfKafka has the values of Kafka's own UtilsTest.
func TestMurmur2IsThatOfKafka(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "abc": 479470107,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}

// keyedEntry is one record with its key as a test reads it back.
type keyedEntry struct {
	Key   string // "null" for none
	MS    int64
	Value string
}

// readKeyed reads the current part of b with a decoder that is not ours.
func readKeyed(t *testing.T, b *Batch) (entries []keyedEntry) {
	t.Helper()
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(b.Bytes()); err != nil {
		t.Error(err)
	}
	plain := decompress(t, Codec(rb.Attributes&7), rb.Records)
	newest := rb.FirstTimestamp
	for i := range rb.NumRecords {
		length, n := binary.Varint(plain)
		var r kmsg.Record
		if err := r.ReadFrom(plain[:n+int(length)]); err != nil || r.OffsetDelta != i {
			t.Fatalf("record %d: %v: %+v", i, err, r)
		}
		e := keyedEntry{"null", rb.FirstTimestamp + r.TimestampDelta64, string(r.Value)}
		if r.Key != nil {
			e.Key = string(r.Key)
		}
		newest = max(newest, e.MS)
		entries = append(entries, e)
		plain = plain[n+int(length):]
	}
	if len(plain) > 0 || newest != rb.MaxTimestamp {
		t.Errorf("%d bytes too many, newest %d, want %d", len(plain), rb.MaxTimestamp, newest)
	}
	return entries
}

// fillKeyed fills b with n records of many keys and sizes, and returns them.
func fillKeyed(t *testing.T, b *Batch, n int) (want []keyedEntry) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range n {
		e := keyedEntry{"null", 1_700_000_000_000 + rng.Int64N(1<<uint(i%40)), fmt.Sprintf("%0*d", 1+rng.IntN(200), i)}
		var key []byte
		if i%7 != 0 {
			e.Key = fmt.Sprintf("%0*d", rng.IntN(90), rng.IntN(50))
			key = []byte(e.Key)
		}
		if i%70 == 1 {
			e.Key, key = "", []byte{}
		}
		value := append(b.KeyedValue(e.MS, key), e.Value...)
		if i%5 == 0 {
			value = []byte(e.Value) // as if it had outgrown the arena
		}
		if !b.Commit(value) {
			t.Fatal("no room")
		}
		want = append(want, e)
	}
	return want
}

// byPlace returns the records of want by where they belong, in their order.
func byPlace(want []keyedEntry, partitions int32) map[Place][]keyedEntry {
	all := map[Place][]keyedEntry{}
	for _, e := range want {
		at := Place{Anywhere, partitions}
		if e.Key != "null" {
			at.Partition = Partition([]byte(e.Key), partitions)
		}
		all[at] = append(all[at], e)
	}
	return all
}

func TestRecordsHaveTheirKeys(t *testing.T) {
	p := NewPool(1, 300_000)
	b := p.TryGet()
	want := fillKeyed(t, b, 1000)
	seal(t, Snappy, p, b)
	if diff := cmp.Diff(want, readKeyed(t, b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALongKeyAndAShortValueAreFramed(t *testing.T) {
	// The length of the record takes a byte more than its room, that of the value one less.
	p := NewPool(1, 30_000)
	for _, size := range []int{8000, 8150, 8180, 9000} {
		for _, value := range []string{"", "v", "a value that needs but one byte for its length"} {
			b := p.TryGet()
			want := keyedEntry{Key: strings.Repeat("k", size), MS: 7, Value: value}
			if !b.Commit(append(b.KeyedValue(want.MS, []byte(want.Key)), want.Value...)) {
				t.Fatal("no room")
			}
			seal(t, None, p, b)
			if diff := cmp.Diff([]keyedEntry{want}, readKeyed(t, b)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			p.Put(b)
		}
	}
}

func TestGroupsHaveTheirRecordsInOrder(t *testing.T) {
	for _, codec := range codecs {
		for _, partitions := range []int32{1, 2, 12, 1000} {
			t.Run(fmt.Sprintf("%s, %d", codec, partitions), func(t *testing.T) {
				p := NewPool(2, 400_000)
				p.Poison = true
				s, err := NewSplitter(codec, p)
				if err != nil {
					t.Fatal(err)
				}
				whole, opened := p.TryGet(), p.TryGet()
				want := byPlace(fillKeyed(t, whole, 1500), partitions)
				fillKeyed(t, opened, 1500)
				seal(t, codec, p, whole)
				if err := s.Group(whole, partitions); err != nil {
					t.Fatal(err)
				}
				if err := s.SealGroups(opened, partitions); err != nil {
					t.Fatal(err)
				}
				if whole.Total() != 1500 || opened.Total() != 1500 {
					t.Errorf("%d and %d records", whole.Total(), opened.Total())
				}
				got := map[Place][]keyedEntry{}
				for more := true; more; more = whole.Next() {
					got[whole.Place()] = readKeyed(t, whole)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("of a sealed batch (-want +got):\n%s", diff)
				}
				others := opened.Detach()
				clear(got)
				for _, b := range append(others, opened) {
					if free := p.Free(); free != 0 {
						t.Errorf("%d batches are free while one is in use", free)
					}
					if b.Records() > 1 { // in memory of its own
						if err := s.Split(b); err != nil {
							t.Fatal(err)
						}
					}
					for more := true; more; more = b.Next() {
						got[b.Place()] = append(got[b.Place()], readKeyed(t, b)...)
					}
					p.Put(b)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("of an open batch (-want +got):\n%s", diff)
				}
				if free := p.Free(); free != 1 {
					t.Errorf("%d batches are free when all are put back, want 1", free)
				}
			})
		}
	}
}

func TestBatchesSealedTogetherAreOneInTheirOrder(t *testing.T) {
	for _, codec := range codecs {
		for _, partitions := range []int32{1, 12, 1000} {
			t.Run(fmt.Sprintf("%s, %d", codec, partitions), func(t *testing.T) {
				p := NewPool(3, 400_000)
				p.Poison = true
				s, err := NewSplitter(codec, p)
				if err != nil {
					t.Fatal(err)
				}
				batches, all := []*Batch{p.TryGet(), p.TryGet(), p.TryGet()}, []keyedEntry{}
				most := 0
				for i, b := range batches {
					all = append(all, fillKeyed(t, b, 600+i)...)
					most = max(most, b.Size())
				}
				want := byPlace(all, partitions)
				if err := s.SealTogether(batches, partitions); err != nil {
					t.Fatal(err)
				}
				first := batches[0]
				for _, b := range batches[1:] {
					if b.Records() != 0 {
						t.Errorf("%d records are left", b.Records())
					}
					p.Put(b)
				}
				size := first.TotalSize()
				got := map[Place][]keyedEntry{}
				parts := append([]*Batch{first}, first.Detach()...)
				if len(parts) > len(want)+len(batches) {
					t.Errorf("%d parts for %d places: they are not as full as may be", len(parts), len(want))
				}
				for _, b := range parts {
					got[b.Place()] = append(got[b.Place()], readKeyed(t, b)...)
					if size -= b.Size(); b.Size() > most {
						t.Errorf("%d bytes in a part, %d in the largest batch", b.Size(), most)
					}
					p.Put(b)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if p.Free() != 3 || size != 0 {
					t.Errorf("%d batches are free; %d bytes are not of any part", p.Free(), size)
				}
			})
		}
	}
}

func TestBatchesThatDoNotFitTogetherStayAsTheyAre(t *testing.T) {
	p := NewPool(2, 100_000)
	s, err := NewSplitter(Snappy, p)
	if err != nil {
		t.Fatal(err)
	}
	var batches []*Batch
	var want [][]keyedEntry
	noise := rand.NewChaCha8([32]byte{})
	for range cap(p.tokens) {
		b, all := p.TryGet(), []keyedEntry{}
		for b.Room() > 2000 {
			value := make([]byte, 1000)
			noise.Read(value)
			e := keyedEntry{Key: fmt.Sprint(len(all) % 9), MS: int64(len(all)), Value: string(value)}
			b.Commit(append(b.KeyedValue(e.MS, []byte(e.Key)), value...))
			all = append(all, e)
		}
		batches, want = append(batches, b), append(want, all)
	}
	if err := s.SealTogether(batches, 12); err != errArenaFull {
		t.Errorf("%v, want %v", err, errArenaFull)
	}
	for i, b := range batches {
		if err := s.SealGroups(b, 12); err != nil {
			t.Fatal(err)
		}
		got := map[Place][]keyedEntry{}
		for more := true; more; more = b.Next() {
			got[b.Place()] = readKeyed(t, b)
		}
		if diff := cmp.Diff(byPlace(want[i], 12), got); diff != "" {
			t.Errorf("batch %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestAPartIsSortedThoughItsBatchFillsTheArena: when a topic gets more partitions, one part of a
// batch becomes many, each with a header of its own, and the other parts must stay.
func TestAPartIsSortedThoughItsBatchFillsTheArena(t *testing.T) {
	const before, after = 2, 1000
	p := NewPool(1, 100_000)
	s, err := NewSplitter(None, p)
	if err != nil {
		t.Fatal(err)
	}
	b, all := p.TryGet(), []keyedEntry{}
	for b.Room() > 500 {
		n := len(all)
		e := keyedEntry{Key: fmt.Sprint(n % 97), MS: int64(n), Value: strings.Repeat("x", 100)}
		b.Commit(append(b.KeyedValue(e.MS, []byte(e.Key)), e.Value...))
		all = append(all, e)
	}
	if err := s.SealGroups(b, before); err != nil {
		t.Fatal(err)
	}
	got := map[Place][]keyedEntry{}
	for more := true; more; more = b.Next() {
		if b.Place().Of == before {
			if err := s.Group(b, after); err != nil {
				t.Fatal(err)
			}
		}
		got[b.Place()] = readKeyed(t, b)
	}
	if diff := cmp.Diff(byPlace(all, after), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABatchOfOneKeyStaysAsItIs(t *testing.T) {
	p := NewPool(1, 10_000)
	s, err := NewSplitter(Snappy, p)
	if err != nil {
		t.Fatal(err)
	}
	b := p.TryGet()
	for range 10 {
		b.Commit(append(b.KeyedValue(1, []byte("192.0.2.1")), "value"...))
	}
	seal(t, Snappy, p, b)
	before := string(b.Bytes())
	if err := s.Group(b, 12); err != nil || before != string(b.Bytes()) {
		t.Errorf("error %v, or other bytes", err)
	}
	if want := (Place{Partition([]byte("192.0.2.1"), 12), 12}); b.Place() != want {
		t.Errorf("%+v, want %+v", b.Place(), want)
	}
}

func TestDamagedRecordsAreNotSorted(t *testing.T) {
	p := NewPool(1, 10_000)
	s, err := NewSplitter(None, p)
	if err != nil {
		t.Fatal(err)
	}
	for at := range 40 {
		for _, with := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			b := p.TryGet()
			for range 3 {
				b.Commit(append(b.KeyedValue(1, []byte("key")), "value"...))
			}
			seal(t, None, p, b)
			b.Bytes()[HeaderLen+at%(b.Size()-HeaderLen)] = with
			b.Stamp(NoProducer, -1)
			if err := s.Group(b, 3); err == nil && b.Total() != 3 { // and it does not panic
				t.Errorf("byte %d, %#x: %d records", at, with, b.Total())
			}
			p.Put(b)
		}
	}
}

func BenchmarkSealGroups(b *testing.B) {
	for _, partitions := range []int32{0, 12, 100} {
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			p := NewPool(1, 900_000)
			s, err := NewSplitter(Snappy, p)
			if err != nil {
				b.Fatal(err)
			}
			value := make([]byte, 400)
			for i := range value {
				value[i] = "abcdefghijklmnop"[i*i%16]
			}
			records, key := 0, make([]byte, 10)
			for b.Loop() {
				batch := p.TryGet()
				for i := 0; batch.Room() > 64<<10; i++ {
					key[0], key[1] = byte(i), byte(i>>3)
					batch.Commit(append(batch.KeyedValue(1, key), value...))
				}
				records += batch.Records()
				if err := s.SealGroups(batch, partitions); err != nil {
					b.Fatal(err)
				}
				others := batch.Detach()
				for _, o := range append(others, batch) {
					p.Put(o)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
		})
	}
}
