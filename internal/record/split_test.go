// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sealed returns a sealed batch of n records with time stamps in disorder, and what is in it.
func sealed(t *testing.T, codec Codec, p *Pool, n int) (*Batch, []entry) {
	t.Helper()
	b := p.TryGet()
	var want []entry
	for i := range n {
		e := entry{1_700_000_000_000 + int64(i*7919%5000), fmt.Sprintf("%05d %s", i, bytes.Repeat([]byte{'a'}, i*37%400))}
		if !b.Commit(append(b.Value(e.ms), e.value...)) {
			t.Fatal("no room")
		}
		want = append(want, e)
	}
	seal(t, codec, p, b)
	return b, want
}

// readParts stamps and reads all parts of b.
func readParts(t *testing.T, b *Batch) (got []entry, sizes []int) {
	t.Helper()
	for more := true; more; more = b.Next() {
		b.Stamp(Producer{ID: 7}, 0)
		rb, part := readBack(t, b)
		newest := part[0].ms
		for _, e := range part {
			newest = max(newest, e.ms)
		}
		if rb.MaxTimestamp != newest || rb.FirstTimestamp != part[0].ms || b.Newest() != newest {
			t.Errorf("times %d to %d, want %d to %d", rb.FirstTimestamp, rb.MaxTimestamp, part[0].ms, newest)
		}
		got, sizes = append(got, part...), append(sizes, len(part))
	}
	return got, sizes
}

func TestSplittingKeepsEveryRecordAndItsOrder(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			p := NewPool(2, 300_000)
			p.Poison = true
			s, err := NewSplitter(codec, p)
			if err != nil {
				t.Fatal(err)
			}
			b, want := sealed(t, codec, p, 1000)
			for range 3 {
				if err := s.Split(b); err != nil {
					t.Fatal(err)
				}
				if b.Total() != 1000 {
					t.Fatalf("%d records in all", b.Total())
				}
			}
			c := p.TryGet()
			c.Copy(b)
			for _, b := range []*Batch{b, c} {
				got, sizes := readParts(t, b)
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
				if len(sizes) != 4 || sizes[0] > sizes[1]+20 || sizes[3] < 400 {
					t.Errorf("parts of %v records, want an eighth, an eighth, a quarter, a half", sizes)
				}
				p.Put(b)
			}
			for range 2 {
				if again := p.TryGet(); cap(again.buf) != ArenaSize(300_000) || again.Total() != 0 || again.Next() {
					t.Errorf("arena of %d bytes, %d records", cap(again.buf), again.Total())
				}
			}
		})
	}
}

func TestSplittingGoesDownToTheSingleRecord(t *testing.T) {
	p := NewPool(1, 300_000)
	s, err := NewSplitter(Snappy, p)
	if err != nil {
		t.Fatal(err)
	}
	b, want := sealed(t, Snappy, p, 50)
	b.Redate(5_000_000)
	var got []string
	for more := true; more; more = b.Next() {
		for b.Records() > 1 {
			if err := s.Split(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Split(b); !errors.Is(err, ErrSingle) {
			t.Fatalf("a single record was split: %v", err)
		}
		value, err := s.Single(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(value))
		if b.Newest() > 5_000_000 || b.Newest() < 4_990_000 {
			t.Errorf("time stamp %d: the batch was redated before", b.Newest())
		}
	}
	for i, e := range want {
		if got[i] != e.value {
			t.Fatalf("record %d: %q, want %q", i, got[i], e.value)
		}
	}
}

func TestAnIncompressibleBatchThatFillsItsArenaSplits(t *testing.T) {
	noise := make([]byte, 1000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	p := NewPool(1, 100_000)
	s, err := NewSplitter(Snappy, p)
	if err != nil {
		t.Fatal(err)
	}
	b := p.TryGet()
	n := 0
	for b.Commit(append(b.Value(int64(n)), noise...)) {
		n++
	}
	seal(t, Snappy, p, b)
	for range 5 {
		if err := s.Split(b); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := readParts(t, b); len(got) != n {
		t.Errorf("%d records, want %d", len(got), n)
	}
}

func TestWhatIsNoBatchIsNotSplitAndStaysAsItWas(t *testing.T) {
	p := NewPool(1, 300_000)
	for _, codec := range codecs {
		s, err := NewSplitter(codec, p)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := sealed(t, codec, p, 200)
		whole := slices.Clone(b.buf)
		rng := rand.New(rand.NewPCG(1, 2))
		failed := 0
		for range 2000 {
			copy(b.buf, whole)
			b.buf[HeaderLen+rng.IntN(len(whole)-HeaderLen)] ^= byte(1 + rng.IntN(255))
			damaged := slices.Clone(b.buf)
			saved := *b
			if err := s.Split(b); err != nil {
				failed++
				if !bytes.Equal(b.buf, damaged) || b.Total() != 200 {
					t.Fatalf("%s: the batch was changed: %v", codec, err)
				}
				continue
			}
			if b.Total() != 200 {
				t.Fatalf("%s: %d records", codec, b.Total())
			}
			s.spare, *b = b.whole()[:0], saved // undo
		}
		if failed == 0 {
			t.Errorf("%s: no damage was noticed", codec)
		}
		p.Put(b)
	}
}

// FuzzSplit feeds the splitter what a disk might give: it must neither fail badly nor need more
// memory than it may.
func FuzzSplit(f *testing.F) {
	p := NewPool(2, 100_000)
	for _, codec := range codecs {
		c, err := NewCompressor(codec, p)
		if err != nil {
			f.Fatal(err)
		}
		b := p.TryGet()
		for i := range 20 {
			b.Commit(append(b.Value(int64(i)), "some value that repeats"...))
		}
		c.Seal(b)
		f.Add(uint8(codec), uint16(20), bytes.Clone(b.buf[HeaderLen:]))
		p.Put(b)
	}
	f.Fuzz(func(t *testing.T, codec uint8, count uint16, records []byte) {
		p := NewPool(1, 100_000)
		s, err := NewSplitter(Snappy, p)
		if err != nil || len(records) > 100_000 {
			return
		}
		b := p.TryGet()
		b.buf, b.count = append(b.buf, records...), int32(count)
		b.seal(Codec(codec & 7))
		err = s.Split(b)
		if err == nil && (b.Total() != int(count) || len(b.rest) != 1) {
			t.Errorf("%d records became %d", count, b.Total())
		}
		if n := int32(binary.BigEndian.Uint32(b.buf[offCount:])); n != b.count {
			t.Errorf("the header tells of %d records, want %d", n, b.count)
		}
		if _, err := s.Single(b); err == nil && b.count != 1 {
			t.Error("a single record out of many")
		}
	})
}

func TestABatchOfAnySizeThatCanBeConfiguredIsSplit(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			p := NewPool(1, 20<<20)
			b, value := p.TryGet(), make([]byte, 1<<20)
			for range 19 {
				if !b.Commit(append(b.Value(1), value...)) {
					t.Fatal("no room")
				}
			}
			seal(t, codec, p, b)
			s, err := NewSplitter(codec, p)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Split(b); err != nil || b.Total() != 19 {
				t.Errorf("%d records: %v", b.Total(), err)
			}
		})
	}
}

func TestACopyOfPartsNeedsNoArenaAsLarge(t *testing.T) {
	p, small := NewPool(1, 100_000), NewPool(1, 1000)
	b, want := sealed(t, None, p, 200)
	s, err := NewSplitter(None, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Split(b); err != nil {
		t.Fatal(err)
	}
	c := small.TryGet()
	c.Copy(b)
	got, _ := readParts(t, c)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
