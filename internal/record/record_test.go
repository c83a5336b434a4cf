// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// entry is one record as a test reads it back.
type entry struct {
	ms    int64
	value string
}

// readBack reads a stamped batch with a decoder that is not ours (kmsg), and checks all that a
// broker checks.
func readBack(t *testing.T, b *Batch) (kmsg.RecordBatch, []entry) {
	t.Helper()
	raw := b.Bytes()
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(raw); err != nil {
		t.Fatalf("batch of %d bytes: %v", len(raw), err)
	}
	if want := int32(len(raw) - 12); rb.Length != want || rb.Magic != 2 {
		t.Fatalf("length %d, magic %d; want %d, 2", rb.Length, rb.Magic, want)
	}
	sum := crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli))
	if uint32(rb.CRC) != sum {
		t.Fatalf("crc %08x, want %08x", uint32(rb.CRC), sum)
	}
	if rb.NumRecords != int32(b.Records()) || rb.LastOffsetDelta != rb.NumRecords-1 {
		t.Fatalf("%d records, last offset %d; want %d", rb.NumRecords, rb.LastOffsetDelta, b.Records())
	}
	plain := decompress(t, Codec(rb.Attributes&7), rb.Records)
	var entries []entry
	for i := range rb.NumRecords {
		length, n := binary.Varint(plain)
		if n <= 0 || int(length)+n > len(plain) {
			t.Fatalf("record %d: length %d in %d bytes", i, length, len(plain))
		}
		var r kmsg.Record
		if err := r.ReadFrom(plain[:n+int(length)]); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if r.OffsetDelta != i || r.Key != nil || len(r.Headers) > 0 || r.Attributes != 0 {
			t.Fatalf("record %d: %+v", i, r)
		}
		entries = append(entries, entry{rb.FirstTimestamp + r.TimestampDelta64, string(r.Value)})
		plain = plain[n+int(length):]
	}
	if len(plain) > 0 {
		t.Fatalf("%d bytes after the last record", len(plain))
	}
	return rb, entries
}

func decompress(t *testing.T, c Codec, src []byte) []byte {
	t.Helper()
	var out []byte
	var err error
	switch c {
	case None:
		return src
	case Snappy:
		out, err = snappy.Decode(nil, src)
	case Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(src)); err == nil {
			out, err = io.ReadAll(r)
		}
	case LZ4:
		out, err = io.ReadAll(lz4.NewReader(bytes.NewReader(src)))
	case Zstd:
		var r *zstd.Decoder
		if r, err = zstd.NewReader(bytes.NewReader(src)); err == nil {
			out, err = io.ReadAll(r)
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return out
}

func seal(t *testing.T, codec Codec, p *Pool, b *Batch) {
	t.Helper()
	c, err := NewCompressor(codec, p)
	if err != nil {
		t.Fatal(err)
	}
	c.Seal(b)
}

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func TestABatchReadsBackWhateverTheSizesOfItsValues(t *testing.T) {
	// Values around the sizes where a length takes one more byte, in both directions, so that
	// each way of moving a value into place is taken.
	sizes := []int{0, 1, 50, 56, 57, 58, 63, 64, 65, 127, 128, 300, 8180, 8185, 8190, 8192, 9000, 20000}
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			p := NewPool(1, 300_000)
			p.Poison = true
			b := p.TryGet()
			var want []entry
			for round := range 4 {
				for i, size := range sizes {
					ms := int64(1_700_000_000_000 + 1000*i - 70_000*round) // back in time, too
					value := bytes.Repeat([]byte{'a' + byte(i)}, size)
					if !b.Commit(append(b.Value(ms), value...)) {
						t.Fatalf("value of %d bytes refused with room for %d", size, b.Room())
					}
					want = append(want, entry{ms, string(value)})
				}
			}
			seal(t, codec, p, b)
			b.Stamp(Producer{ID: 4711, Epoch: 3}, 1<<31-1)
			rb, got := readBack(t, b)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if rb.ProducerID != 4711 || rb.ProducerEpoch != 3 || rb.FirstSequence != 1<<31-1 {
				t.Errorf("stamp: %+v", rb)
			}
			if rb.MaxTimestamp != 1_700_000_000_000+1000*int64(len(sizes)-1) {
				t.Errorf("newest time stamp %d", rb.MaxTimestamp)
			}
			if Codec(rb.Attributes) != codec {
				t.Errorf("codec %d, want %s", rb.Attributes, codec)
			}
		})
	}
}

func TestAFullBatchRefusesARecordAndStaysWhole(t *testing.T) {
	p := NewPool(1, 1000)
	b := p.TryGet()
	n := 0
	for b.Commit(append(b.Value(5), fmt.Sprintf("value %03d, and some more to make it longer", n)...)) {
		n++
	}
	if b.Room() < 0 || n < 15 {
		t.Fatalf("%d records, room %d", n, b.Room())
	}
	if big := append(b.Value(5), make([]byte, 5000)...); b.Commit(big) {
		t.Fatal("a value larger than the batch was taken")
	}
	seal(t, None, p, b)
	b.Stamp(NoProducer, -1)
	if _, got := readBack(t, b); len(got) != n {
		t.Errorf("%d records, want %d", len(got), n)
	}
}

func TestAValueThatFitsItsSliceFitsTheBatch(t *testing.T) {
	// Else it would stand in an arena that somebody else has once the batch is sealed.
	for _, limit := range []int{150, 1000, 20_000} {
		p := NewPool(1, limit)
		for before := range 100 {
			b := p.TryGet()
			b.Commit(append(b.Value(5), make([]byte, before)...))
			value := b.KeyedValue(-1<<40, []byte("key"))
			if value = append(value, make([]byte, cap(value))...); !b.Commit(value) {
				t.Errorf("limit %d: %d bytes after %d were refused", limit, len(value), before)
			}
			seal(t, None, p, b)
			if entries := recordsOf(t, b); len(entries) != 2 || len(entries[1]) != len(value) {
				t.Errorf("limit %d: %d records after %d bytes", limit, len(entries), before)
			}
			p.Put(b)
		}
	}
}

// recordsOf returns the values in a sealed batch.
func recordsOf(t *testing.T, b *Batch) (values []string) {
	t.Helper()
	if err := Each(b.Bytes(), func(_ int64, value []byte) error {
		values = append(values, string(value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestIncompressibleRecordsStayAsTheyAre(t *testing.T) {
	noise := make([]byte, 90_000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, codec := range codecs[1:] {
		t.Run(codec.String(), func(t *testing.T) {
			p := NewPool(1, 100_000)
			b := p.TryGet()
			if !b.Commit(append(b.Value(1), noise...)) {
				t.Fatal("no room")
			}
			seal(t, codec, p, b)
			b.Stamp(NoProducer, -1)
			rb, got := readBack(t, b)
			if Codec(rb.Attributes) != None || got[0].value != string(noise) {
				t.Errorf("attributes %d, %d bytes", rb.Attributes, len(got[0].value))
			}
		})
	}
}

func TestSnappyNeedsNoMoreThanItsRoomForAnyPieces(t *testing.T) {
	noise := make([]byte, 3*snappyPiece+1)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	text := bytes.Repeat([]byte("it compresses well. "), len(noise)/20+1)[:len(noise)]
	mixed := slices.Concat(noise[:snappyPiece], text[:snappyPiece], noise[:snappyPiece+1])
	const before = "what stands before the records"
	for i, all := range [][]byte{noise, text, mixed} {
		for _, n := range []int{0, 1, 2, 59, 60, 127, 128, 70_000, snappyPiece - 1, snappyPiece,
			snappyPiece + 1, 2*snappyPiece - 1, 2 * snappyPiece, 2*snappyPiece + 60, len(all)} {
			src := all[:n]
			dst := append(make([]byte, 0, len(before)+snappyRoom(n)), before...)
			got := appendSnappy(dst, src)
			if &got[0] != &dst[0] || string(got[:len(before)]) != before {
				t.Errorf("input %d: %d bytes: the room was left", i, n)
			}
			if plain, err := snappy.Decode(nil, got[len(before):]); err != nil || !bytes.Equal(plain, src) {
				t.Errorf("input %d: %d bytes do not come back: %v", i, n, err)
			}
		}
	}
}

func TestRedateMovesEveryTimeStampByTheSameDistance(t *testing.T) {
	p := NewPool(1, 1000)
	b := p.TryGet()
	for _, ms := range []int64{1000, 1400, 900} {
		b.Commit(append(b.Value(ms), 'x'))
	}
	seal(t, None, p, b)
	b.Redate(5_000_000)
	b.Stamp(NoProducer, -1)
	rb, got := readBack(t, b)
	want := []entry{{4_999_600, "x"}, {5_000_000, "x"}, {4_999_500, "x"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rb.MaxTimestamp != 5_000_000 || b.Newest() != 5_000_000 {
		t.Errorf("newest %d, %d", rb.MaxTimestamp, b.Newest())
	}
}

func TestSequencesWrapAt31Bits(t *testing.T) {
	for _, c := range []struct {
		from int32
		n    int
		want int32
	}{{0, 5, 5}, {1<<31 - 3, 2, 1<<31 - 1}, {1<<31 - 3, 3, 0}, {1<<31 - 1, 10, 9}} {
		if got := NextSequence(c.from, c.n); got != c.want {
			t.Errorf("%d + %d: %d, want %d", c.from, c.n, got, c.want)
		}
	}
}

func TestThePoolIsABound(t *testing.T) {
	p := NewPool(2, 1000)
	a, b := p.TryGet(), p.TryGet()
	if a == nil || b == nil || a == b || p.TryGet() != nil || p.Free() != 0 {
		t.Fatal("two batches, no more")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	b.Commit(append(b.Value(1), "left over"...))
	p.Put(b)
	again, err := p.Get(t.Context())
	if err != nil || again != b || again.Records() != 0 || again.Size() != HeaderLen {
		t.Errorf("last in, first out, and empty: %v, %d records", err, again.Records())
	}
	p.Put(again)
	p.Put(a)
	if first, second := p.TryGet(), p.TryGet(); first != a || second != b {
		t.Error("what was put back is not handed out once each")
	}
}

func TestSealingSwapsArenasOfOneSize(t *testing.T) {
	p := NewPool(2, 50_000)
	c, err := NewCompressor(Snappy, p)
	if err != nil {
		t.Fatal(err)
	}
	b := p.TryGet()
	for range 10 {
		for b.Commit(append(b.Value(1), "the same again and again, which compresses well"...)) {
		}
		c.Seal(b)
		if cap(b.buf) != ArenaSize(50_000) || cap(c.spare) != ArenaSize(50_000) {
			t.Fatalf("arenas of %d and %d bytes, want %d", cap(b.buf), cap(c.spare), ArenaSize(50_000))
		}
		p.Put(b)
		b = p.TryGet()
	}
}

func TestFramingAndSealingDoNotAllocate(t *testing.T) {
	p := NewPool(1, 100_000)
	c, err := NewCompressor(Snappy, p)
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("0123456789"), 40)
	if n := testing.AllocsPerRun(20, func() {
		b := p.TryGet()
		for b.Commit(append(b.Value(1), value[:min(len(value), b.Room()/2)]...)) && b.Room() > 1000 {
		}
		c.Seal(b)
		b.Stamp(Producer{1, 0}, 0)
		p.Put(b)
	}); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

func TestParseCodec(t *testing.T) {
	for _, c := range codecs {
		if got, err := ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("%s: %v, %v", c, got, err)
		}
	}
	if _, err := ParseCodec("brotli"); err == nil {
		t.Error("brotli was taken")
	}
}

func BenchmarkAppend(b *testing.B) {
	p := NewPool(1, 900_000)
	batch := p.TryGet()
	value := bytes.Repeat([]byte("0123456789"), 45)
	b.ReportAllocs()
	b.SetBytes(int64(len(value)))
	for b.Loop() {
		if !batch.Commit(append(batch.Value(1), value...)) {
			p.Put(batch)
			batch = p.TryGet()
		}
	}
}
