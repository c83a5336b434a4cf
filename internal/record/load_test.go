// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sealedWith returns a batch of n records and what stands in it.
func sealedWith(t *testing.T, p *Pool, codec Codec, n int) (*Batch, []entry) {
	t.Helper()
	b := p.TryGet()
	var want []entry
	for i := range n {
		e := entry{int64(1_700_000_000_000 - 500*i), fmt.Sprintf(`{"seq":%d,"qname":"example"}`, i)}
		if !b.Commit(append(b.Value(e.ms), e.value...)) {
			t.Fatal("no room")
		}
		want = append(want, e)
	}
	seal(t, codec, p, b)
	return b, want
}

func TestASealedBatchIsLoadedAsItWas(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			p := NewPool(2, 100_000)
			p.Poison = true
			first, want := sealedWith(t, p, codec, 200)
			kept := bytes.Clone(first.Bytes()) // never stamped: sealing makes it whole
			p.Put(first)

			b := p.TryGet()
			if err := b.Load(kept); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), kept) || b.Records() != 200 || b.Newest() != want[0].ms {
				t.Errorf("%d bytes, %d records, newest %d", b.Size(), b.Records(), b.Newest())
			}
			b.Redate(1_800_000_000_000)
			b.Stamp(Producer{ID: 7, Epoch: 1}, 42)
			rb, got := readBack(t, b)
			for i := range want {
				want[i].ms += 100_000_000_000
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if rb.ProducerID != 7 || rb.FirstSequence != 42 {
				t.Errorf("stamp: %+v", rb)
			}
		})
	}
}

func TestEachReadsWhatWasCommitted(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			b, want := sealedWith(t, NewPool(1, 100_000), codec, 300)
			var got []entry
			if err := Each(b.Bytes(), func(ms int64, value []byte) error {
				got = append(got, entry{ms, string(value)})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			stop := errors.New("stop")
			if err := Each(b.Bytes(), func(int64, []byte) error { return stop }); err != stop {
				t.Errorf("an error of yield became %v", err)
			}
		})
	}
}

func TestADamagedBatchIsNotLoaded(t *testing.T) {
	p := NewPool(2, 10_000)
	b, _ := sealedWith(t, p, None, 3)
	whole := bytes.Clone(b.Bytes())
	into := p.TryGet()
	refused := func(what string, data []byte) {
		t.Helper()
		if err := into.Load(data); !errors.Is(err, ErrNotSealed) {
			t.Errorf("%s: %v", what, err)
		}
		if into.Records() != 0 || into.Size() != HeaderLen {
			t.Errorf("%s: not empty: %d records, %d bytes", what, into.Records(), into.Size())
		}
	}
	for i := range whole {
		// The checksum covers what follows it. Before it stand the base offset and the leader
		// epoch, which the broker sets, and which say nothing here.
		if i < offLength || i >= offEpoch && i < offMagic {
			continue
		}
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		refused(fmt.Sprintf("byte %d changed", i), bad)
	}
	for n := range whole {
		refused(fmt.Sprintf("cut to %d bytes", n), whole[:n])
	}
	refused("a byte too many", append(bytes.Clone(whole), 0))

	for what, change := range map[string]func(h []byte){
		"no records":           func(h []byte) { clear(h[offCount : offCount+4]) },
		"a wrong last offset":  func(h []byte) { h[offLastDelta+3]++ },
		"a transaction":        func(h []byte) { h[offAttributes+1] |= 0x10 },
		"a codec there is not": func(h []byte) { h[offAttributes+1] |= 5 },
	} {
		bad := &Batch{buf: bytes.Clone(whole)}
		change(bad.buf)
		bad.Stamp(NoProducer, -1)
		refused(what, bad.buf)
	}
}

func TestALargerBatchIsLoadedAndThePoolKeepsItsSize(t *testing.T) {
	large, _ := sealedWith(t, NewPool(1, 100_000), None, 2000)
	p := NewPool(1, 1000)
	b := p.TryGet()
	if err := b.Load(large.Bytes()); err != nil || b.Records() != 2000 {
		t.Fatalf("%v, %d records", err, b.Records())
	}
	p.Put(b)
	if b := p.TryGet(); cap(b.buf) != ArenaSize(1000) || b.Records() != 0 {
		t.Errorf("arena of %d bytes, want %d", cap(b.buf), ArenaSize(1000))
	}
}

func TestLoadingDoesNotAllocate(t *testing.T) {
	p := NewPool(2, 100_000)
	from, _ := sealedWith(t, p, Snappy, 1000)
	if n := testing.AllocsPerRun(20, func() {
		b := p.TryGet()
		arena := b.Arena(from.Size())
		copy(arena, from.Bytes())
		if err := b.Load(arena); err != nil {
			t.Fatal(err)
		}
		p.Put(b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestARecordThatIsMalformedIsFoundByAllWhoReadIt has a batch of one uncompressed record. A wrong
// number alone is no affair of those who number records anew.
func TestARecordThatIsMalformedIsFoundByAllWhoReadIt(t *testing.T) {
	p := NewPool(1, 10_000)
	s, err := NewSplitter(None, p)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		record string // after its length
		length byte   // 0: that of record

		each, single, group bool // it can be read by
		value               string
	}{
		"with a key":                    {"\x00\x00\x00\x02k\x04ab\x00", 0, true, true, true, "ab"},
		"without a key":                 {"\x00\x00\x00\x01\x04ab\x00", 0, true, true, true, "ab"},
		"with another number":           {"\x00\x00\x02\x01\x04ab\x00", 0, false, true, true, "ab"},
		"longer than the batch":         {"\x00\x00\x00\x01\x04ab\x00", 18, false, false, false, ""},
		"of length -1":                  {"\x00\x00\x00\x01\x04ab\x00", 1, false, false, false, ""},
		"with no more than numbers":     {"\x00\x00\x00", 0, false, false, false, ""},
		"with a number that has no end": {"\x00\x00\xff\xff", 0, false, false, false, ""},
		"with a key beyond its end":     {"\x00\x00\x00\x40k\x04ab", 0, false, false, false, ""},
		"with a key of length -2":       {"\x00\x00\x00\x03\x04ab\x00", 0, false, false, false, ""},
		"with a value beyond its end":   {"\x00\x00\x00\x01\x40ab", 0, false, false, true, ""},
		"with a value of length -2":     {"\x00\x00\x00\x01\x03ab", 0, false, false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := p.TryGet()
			defer p.Put(b)
			length := tt.length
			if length == 0 {
				length = byte(2 * len(tt.record)) // as a zigzag varint
			}
			b.buf, b.count = append(append(b.buf, length), tt.record...), 1
			b.seal(None)
			var each []byte
			err := Each(b.Bytes(), func(_ int64, value []byte) error {
				each = bytes.Clone(value)
				return nil
			})
			if tt.each != (err == nil) || tt.each && string(each) != tt.value {
				t.Errorf("each: %q, %v", each, err)
			}
			single, err := s.Single(b)
			if tt.single != (err == nil) || string(single) != tt.value {
				t.Errorf("single: %q, %v", single, err)
			}
			if err := s.Group(b, 3); tt.group != (err == nil) {
				t.Errorf("group: %v", err)
			}
		})
	}
}

func FuzzEach(f *testing.F) {
	for _, codec := range codecs {
		p := NewPool(1, 10_000)
		b := p.TryGet()
		b.Commit(append(b.Value(5), "some value, some value, some value, some value, some value"...))
		c, err := NewCompressor(codec, p)
		if err != nil {
			f.Fatal(err)
		}
		c.Seal(b)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &Batch{buf: bytes.Clone(data)}
		if len(data) >= HeaderLen { // let most inputs get past the checksum
			b.Stamp(NoProducer, -1)
		}
		n := 0
		if err := Each(b.buf, func(int64, []byte) error { n++; return nil }); err == nil && n == 0 {
			t.Error("no error and no record")
		}
	})
}
