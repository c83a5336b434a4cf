// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"math"
)

// A lane writes all records into one batch, whatever their keys, so that it needs no batch for each
// partition. Only when that is sealed are its records put in the order of their partitions, with
// those of one partition in the order that they came in, and each row of them is sealed as a part.

// sorting is what a Splitter remembers to sort records by partition.
type sorting struct {
	records []sorted
	order   []int32 // which of records, by partition
	ends    []int32 // in order, of those without a key, and of each partition
}

// maxRegrowth is by how many bytes a record can grow in another batch, by its time stamp relative to
// the first one there and by its length.
const maxRegrowth = binary.MaxVarintLen64

// source is where records are before they are sorted.
type source struct {
	raw   []byte
	base  int64 // ms, which their time stamps are relative to
	count int32
}

// sorted says where a record is and where it belongs.
type sorted struct {
	ms        int64 // its time stamp
	source    int32
	at, end   int32 // where it is there, from its key on
	partition int32
}

// SealGroups seals the open batch b as Compressor.Seal does, with one part for each of so many
// partitions that its records belong to, and one for those without a key. On an error, and while
// there are no partitions, b is sealed as a whole, and has no place.
func (s *Splitter) SealGroups(b *Batch, partitions int32) error {
	var err error
	if partitions > 0 {
		err = s.group(b, source{b.buf[HeaderLen:], b.base, b.count}, partitions)
	}
	if len(b.rest) == 0 {
		s.compressor.Seal(b)
	}
	return err
}

// SealTogether seals open batches as SealGroups does, but as if they were one: the first gets the
// records of all of them, in their order, and the others are empty then. No part holds more bytes
// of records than the largest of the batches, so a partition may have several parts, in a row. All
// are in one arena. On an error, be it that they do not fit there, the batches are as they were.
func (s *Splitter) SealTogether(batches []*Batch, partitions int32) error {
	from, most := make([]source, len(batches)), 0
	for i, b := range batches {
		from[i] = source{b.buf[HeaderLen:], b.base, b.count}
		most = max(most, len(b.buf)-HeaderLen)
	}
	if err := s.sort(from, partitions); err != nil {
		return err
	}
	out, parts, err := s.arrange(s.room(batches[0], 0), from, most)
	if err == nil {
		err = s.replace(batches[0], out, parts)
	}
	if err != nil {
		return err
	}
	for _, b := range batches[1:] {
		b.reset()
	}
	return nil
}

// Group replaces the current part of the sealed batch b by parts as SealGroups makes them. They need
// a stamp, unless there is only one: its bytes stay as they are. On an error b is as it was.
func (s *Splitter) Group(b *Batch, partitions int32) error {
	if err := s.open(b); err != nil {
		return err
	}
	base := int64(binary.BigEndian.Uint64(b.buf[offBaseTime:]))
	return s.group(b, source{s.raw, base, b.count}, partitions)
}

// group puts the records of the current part of b in the order of their partitions, and gives b
// sealed parts. When all belong together it gives b its place and no more.
func (s *Splitter) group(b *Batch, src source, partitions int32) error {
	from := []source{src}
	if err := s.sort(from, partitions); err != nil {
		return err
	}
	rows, last := s.rows()
	if rows == 1 {
		b.place = Place{Partition: last, Of: partitions}
		return nil
	}
	into := func(out []byte) error {
		out, parts, err := s.arrange(out, from, math.MaxInt)
		if err != nil {
			return err
		}
		return s.replace(b, out, parts)
	}
	err := into(s.room(b, 0))
	if err == errArenaFull { // they hardly compress, and there are many parts, or b shares its arena
		n := len(src.raw) + rows*HeaderLen + int(src.count)*maxRegrowth + b.TotalSize() - len(b.buf)
		err = into(make([]byte, 0, n))
	}
	return err
}

// rows returns to how many partitions the sorted records belong, no partition being one, and the
// last of these.
func (s *Splitter) rows() (n int, last int32) {
	from := int32(0)
	for i, to := range s.sorted.ends {
		if from < to {
			n, last = n+1, int32(i)-1
		}
		from = to
	}
	return n, last
}

// arrange seals the records of from, in the order that sort found, as parts into the arena out.
// None but a single record is larger than most before it is compressed.
func (s *Splitter) arrange(out []byte, from []source, most int) ([]byte, []part, error) {
	t := &s.sorted
	rows, _ := s.rows()
	parts, next := make([]part, 0, rows), int32(0)
	for i, end := range t.ends {
		for next < end {
			p := part{place: Place{Partition: int32(i) - 1, Of: int32(len(t.ends)) - 1}}
			s.half = s.half[:0]
			for ; next < end; next++ {
				r := &t.records[t.order[next]]
				rest := from[r.source].raw[r.at:r.end]
				if p.count > 0 && len(s.half)+maxHead+len(rest) > most {
					break
				}
				s.add(&p, r.ms, rest)
			}
			var err error
			if out, err = s.seal(out, &p, s.half); err != nil {
				return nil, nil, err
			}
			parts = append(parts, p)
		}
	}
	return out, parts, nil
}

// sort sorts the records of all sources by counting those of each partition.
func (s *Splitter) sort(from []source, partitions int32) error {
	t := &s.sorted
	t.records, t.order = t.records[:0], t.order[:0]
	t.ends = append(t.ends[:0], make([]int32, partitions+1)...)
	for i, src := range from {
		n := len(t.records)
		for at := 0; at < len(src.raw); {
			f, err := parseFrame(src.raw[at:])
			if err != nil {
				return err
			}
			partition, err := f.partition(partitions)
			if err != nil {
				return err
			}
			at += f.size
			t.records = append(t.records, sorted{ms: src.base + f.delta, source: int32(i),
				at: int32(at - len(f.rest)), end: int32(at), partition: partition})
			t.ends[partition+1]++
		}
		if len(t.records)-n != int(src.count) {
			return errMalformed
		}
	}
	next := int32(0)
	for i, n := range t.ends { // from how many to where they begin
		t.ends[i], next = next, next+n
	}
	t.order = append(t.order, make([]int32, len(t.records))...)
	for i := range t.records { // and to where they end
		end := &t.ends[t.records[i].partition+1]
		t.order[*end] = int32(i)
		*end++
	}
	return nil
}
