// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// ErrSingle is what Split returns for a batch of one record.
var ErrSingle = errors.New("record: one record cannot be split")

var errMalformed = errors.New("record: the batch does not hold the records that its header tells")

// Splitter takes sealed batches apart. It owns a few arenas, and is used by one goroutine.
type Splitter struct {
	compressor *Compressor
	raw        []byte // the records of the part that is split
	half       []byte // its second half, or the records of one partition, framed anew
	spare      []byte // the arena that the batch gets, in exchange for its own
	unzip      *zstd.Decoder
	sorted     sorting
}

// NewSplitter returns a splitter for the batches of pool. What it splits is compressed with codec.
func NewSplitter(codec Codec, pool *Pool) (*Splitter, error) {
	c, err := NewCompressor(codec, pool)
	if err != nil {
		return nil, err
	}
	unzip, err := newUnzip()
	if err != nil {
		return nil, err
	}
	return &Splitter{compressor: c, unzip: unzip, spare: make([]byte, 0, pool.arena)}, nil
}

// Split replaces the current part of the sealed batch b by two, with half of its bytes each and
// their records in order. Both need a stamp. On an error b is as it was: ErrSingle, or its
// records cannot be read, or the halves do not fit into its arena.
func (s *Splitter) Split(b *Batch) error {
	if b.count < 2 {
		return ErrSingle
	}
	if err := s.open(b); err != nil {
		return err
	}
	base := int64(binary.BigEndian.Uint64(b.buf[offBaseTime:]))
	first, cut, err := s.measure(b.count, base)
	if err != nil {
		return err
	}
	second, err := s.reframe(s.raw[cut:], b.count-first.count, base)
	if err != nil {
		return err
	}
	first.place, second.place = b.place, b.place
	out := s.room(b, len(s.raw[:cut])+len(s.half)+2*HeaderLen)
	if out, err = s.seal(out, &first, s.raw[:cut]); err != nil {
		return err
	}
	if out, err = s.seal(out, &second, s.half); err != nil {
		return err
	}
	return s.replace(b, out, []part{first, second})
}

// room returns an empty arena for the parts of b, when the current one is replaced by n bytes at
// the most. It is the spare one, unless b shares its arena, which it cannot give for it: then it is
// one of that size, in memory besides the pool until b is put back.
func (s *Splitter) room(b *Batch, n int) []byte {
	n += b.TotalSize() - len(b.buf)
	if b.shared != nil {
		return make([]byte, 0, n)
	}
	if n = max(n, len(b.whole())); cap(s.spare) < n { // as seldom as batches of a larger pool
		s.spare = make([]byte, 0, n)
	}
	return s.spare[:0]
}

// replace makes parts, which are in the arena out, what the current part of b is.
func (s *Splitter) replace(b *Batch, out []byte, parts []part) error {
	old := b.whole()
	rest := append(make([]part, 0, len(parts)-1+len(b.rest)), parts[1:]...)
	for _, p := range b.rest {
		if cap(out)-len(out) < p.end-p.at {
			return errArenaFull
		}
		at := len(out)
		out = append(out, old[p.at:p.end]...)
		p.at, p.end = at, len(out)
		rest = append(rest, p)
	}
	if b.shared == nil {
		s.spare = old[:0]
	}
	b.arena, b.rest = out[:cap(out)], rest
	b.show(parts[0])
	return nil
}

// Single returns a copy of the value of the only record of the current part of the sealed batch b.
func (s *Splitter) Single(b *Batch) ([]byte, error) {
	if b.count != 1 {
		return nil, errMalformed
	}
	if err := s.open(b); err != nil {
		return nil, err
	}
	f, err := parseFrame(s.raw)
	if err != nil {
		return nil, err
	}
	value, err := f.value()
	return bytes.Clone(value), err
}

// measure finds where the second half of the records in s.raw begins, and describes the first.
func (s *Splitter) measure(count int32, base int64) (first part, cut int, err error) {
	first = part{base: base, max: base}
	for cut < len(s.raw)/2 && first.count < count-1 || first.count == 0 {
		f, err := parseFrame(s.raw[cut:])
		if err != nil {
			return first, 0, err
		}
		at := base + f.delta
		if first.count == 0 {
			first.max = at
		}
		first.max = max(first.max, at)
		first.count++
		cut += f.size
	}
	return first, cut, nil
}

// reframe writes the records of src to s.half, numbered from 0 and timed from the first of them
// on, and describes them. src must hold count records and nothing else.
func (s *Splitter) reframe(src []byte, count int32, base int64) (second part, err error) {
	s.half = s.half[:0]
	for second.count < count {
		f, err := parseFrame(src)
		if err != nil {
			return second, err
		}
		src = src[f.size:]
		s.add(&second, base+f.delta, f.rest)
	}
	if len(src) > 0 {
		return second, errMalformed
	}
	return second, nil
}

// maxHead is what add may write of a record besides its rest.
const maxHead = 2*binary.MaxVarintLen32 + binary.MaxVarintLen64 + 1

// add appends a record with the time stamp ms to s.half, as the next one of p. rest is what it has
// from the length of its key on.
func (s *Splitter) add(p *part, ms int64, rest []byte) {
	if p.count == 0 {
		p.base, p.max = ms, ms
	}
	p.max = max(p.max, ms)
	delta, offset := zigzag(ms-p.base), uint64(p.count)<<1
	body := 1 + varintLen(delta) + varintLen(offset) + len(rest)
	s.half = binary.AppendUvarint(s.half, uint64(body)<<1)
	s.half = append(s.half, 0) // attributes
	s.half = binary.AppendUvarint(s.half, delta)
	s.half = binary.AppendUvarint(s.half, offset)
	s.half = append(s.half, rest...)
	p.count++
}

// seal appends records as a sealed batch to out, within its capacity, and notes where it is in p.
// They are compressed where they are to stay, or, where there is no room for the worst outcome of
// that, in the spare arena of the compressor.
func (s *Splitter) seal(out []byte, p *part, records []byte) ([]byte, error) {
	c, codec := s.compressor, s.compressor.codec
	at, worst := len(out), HeaderLen+snappyRoom(len(records))
	to := out[at:]
	if cap(to) < worst {
		to = c.spare
	}
	var packed []byte
	if cap(to) >= worst { // else the records came from a larger pool
		packed = c.compress(to[:HeaderLen], records)
	}
	if packed == nil || len(packed)-HeaderLen >= len(records) {
		codec = None
	} else {
		records = packed[HeaderLen:]
	}
	if cap(out)-at < HeaderLen+len(records) {
		return out, errArenaFull
	}
	p.at, p.end = at, at+HeaderLen+len(records)
	out = out[:p.end]
	copy(out[at+HeaderLen:], records)
	b := Batch{buf: out[at:p.end], count: p.count, base: p.base, max: p.max}
	b.seal(codec)
	return out, nil
}

// open decompresses the records of the current part of b into s.raw.
func (s *Splitter) open(b *Batch) error {
	codec := Codec(binary.BigEndian.Uint16(b.buf[offAttributes:]) & legalAttributes)
	raw, err := unpack(s.raw[:0], codec, b.buf[HeaderLen:], s.unzip)
	if err != nil {
		return fmt.Errorf("record: decompress a batch of %d bytes: %w", len(b.buf), err)
	}
	s.raw = raw
	return nil
}
