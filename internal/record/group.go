// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// A lane writes all records into one batch, whatever their keys, so that it needs no batch for each
// partition. Only when that is sealed are its records put in the order of their partitions, with
// those of one partition in the order that they came in, and each row of them is sealed as a part.

// sorting is what a Splitter remembers to sort records by partition.
type sorting struct {
	records []sorted
	order   []int32 // of records, by partition
	ends    []int32 // in order, of those without a key, and of each partition
}

// maxRegrowth is by how many bytes a record can grow in another batch, by its time stamp relative to
// the first one there and by its length.
const maxRegrowth = binary.MaxVarintLen64

// sorted says where a record is and where it belongs.
type sorted struct{ at, partition int32 }

// SealGroups seals the open batch b as Compressor.Seal does, with one part for each of so many
// partitions that its records belong to, and one for those without a key. On an error, and while
// there are no partitions, b is sealed as a whole, and has no place.
func (s *Splitter) SealGroups(b *Batch, partitions int32) error {
	var err error
	if partitions > 0 {
		err = s.group(b, b.buf[HeaderLen:], b.base, partitions)
	}
	if len(b.rest) == 0 {
		s.compressor.Seal(b)
	}
	return err
}

// Group replaces the current part of the sealed batch b by parts as SealGroups makes them. They need
// a stamp, unless there is only one: its bytes stay as they are. On an error b is as it was.
func (s *Splitter) Group(b *Batch, partitions int32) error {
	if err := s.open(b); err != nil {
		return err
	}
	return s.group(b, s.raw, int64(binary.BigEndian.Uint64(b.buf[offBaseTime:])), partitions)
}

// group puts the records in raw, which are those of the current part of b, in the order of their
// partitions, and gives b sealed parts. When all belong together it gives b its place and no more.
func (s *Splitter) group(b *Batch, raw []byte, base int64, partitions int32) error {
	if err := s.sort(raw, b.count, partitions); err != nil {
		return err
	}
	t := &s.sorted
	parts := make([]part, 0, min(len(t.ends), int(b.count)))
	from := int32(0)
	for i, to := range t.ends {
		if from < to {
			parts = append(parts, part{count: to - from,
				place: Place{Partition: int32(i) - 1, Of: partitions}})
		}
		from = to
	}
	if len(parts) == 1 {
		b.place = parts[0].place
		return nil
	}
	out, err := s.arrange(s.room(b, 0), parts, raw, base)
	if err == errArenaFull { // they hardly compress, and there are many parts, or b shares its arena
		n := len(raw) + len(parts)*HeaderLen + int(b.count)*maxRegrowth
		for _, p := range b.rest {
			n += p.end - p.at
		}
		out, err = s.arrange(make([]byte, 0, n), parts, raw, base)
	}
	if err != nil {
		return err
	}
	return s.replace(b, out, parts)
}

// arrange seals the records in raw, in the order that sort found, as parts into the arena out.
func (s *Splitter) arrange(out []byte, parts []part, raw []byte, base int64) ([]byte, error) {
	order := s.sorted.order
	for i := range parts {
		mine := order[:parts[i].count]
		order = order[len(mine):]
		p := part{place: parts[i].place}
		s.half = s.half[:0]
		for _, at := range mine {
			f, err := parseFrame(raw[at:])
			if err != nil {
				return nil, err
			}
			s.add(&p, f, base)
		}
		var err error
		if out, err = s.seal(out, &p, s.half); err != nil {
			return nil, err
		}
		parts[i] = p
	}
	return out, nil
}

// sort sorts the records in raw by counting those of each partition.
func (s *Splitter) sort(raw []byte, count, partitions int32) error {
	t := &s.sorted
	t.records, t.order = t.records[:0], t.order[:0]
	t.ends = append(t.ends[:0], make([]int32, partitions+1)...)
	for at := 0; at < len(raw); {
		f, err := parseFrame(raw[at:])
		if err != nil {
			return err
		}
		partition, err := f.partition(partitions)
		if err != nil {
			return err
		}
		t.records = append(t.records, sorted{int32(at), partition})
		t.ends[partition+1]++
		at += f.size
	}
	if len(t.records) != int(count) {
		return errMalformed
	}
	from := int32(0)
	for i, n := range t.ends { // from how many to where they begin
		t.ends[i], from = from, from+n
	}
	t.order = append(t.order, make([]int32, count)...)
	for _, r := range t.records { // and to where they end
		end := &t.ends[r.partition+1]
		t.order[*end] = r.at
		*end++
	}
	return nil
}

// partition returns where the record belongs, Anywhere without a key.
func (f frame) partition(partitions int32) (int32, error) {
	r := reader{f.rest}
	n := unzigzag(r.uvarint())
	switch {
	case n > int64(len(r.b)) || n < -1:
		return 0, errMalformed
	case n < 0:
		return Anywhere, nil
	}
	return Partition(r.b[:n], partitions), nil
}
