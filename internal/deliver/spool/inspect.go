// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// Segment is what there is to say about one file of a spool.
type Segment struct {
	Name           string
	Bytes          int64
	Frames         uint64
	Records        uint64
	SettledFrames  uint64 // of these, by the cursor
	SettledRecords uint64
	First, Last    time.Time // when its first and last frames were appended; zero if there are none
	Sealed         bool
	Err            error // why the file is no segment; all but the name and the bytes is 0 then
}

// Problem is something in a segment that is not as it was written.
type Problem struct {
	Name   string
	Offset int64
	What   string
}

// Visitor is told what is in a spool. Any of its functions may be nil. An error that one returns
// ends the inspection.
type Visitor struct {
	Segment func(Segment) error
	// Batch is given every whole batch that the cursor does not say to be settled, or all when
	// Settled is set. The bytes are borrowed until it returns.
	Batch   func(name string, offset int64, sealed []byte) error
	Problem func(Problem) error
	Settled bool
}

// Inspect goes through the segments of dir, in order. It changes nothing and takes no lock, so it
// may look at the spool of a sensor that runs; what that deletes meanwhile is passed over.
func Inspect(dir Dir, v Visitor) error {
	entries, err := dir.List(".")
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	marks, err := readCursor(dir)
	if err != nil && v.Problem != nil {
		if err := v.Problem(Problem{cursorName, 0, err.Error()}); err != nil {
			return err
		}
	}
	in := inspector{dir: dir, v: v}
	for _, e := range entries {
		number, ok := segmentNumber(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		err := in.segment(e.Name(), marks[number])
		if err != nil && !errors.Is(err, errNotExist) {
			return err
		}
	}
	return nil
}

type inspector struct {
	dir     Dir
	v       Visitor
	w       walk
	payload []byte
}

func (in *inspector) segment(name string, m mark) error {
	f, err := in.dir.Open(name)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("spool: %s: %w", name, err)
	}
	in.w = walk{f: f, end: size, patient: true, buf: in.w.buf}
	if size == 0 {
		return nil
	}
	sv, err := survey(&in.w, m)
	if in.v.Segment != nil {
		one := Segment{Name: name, Bytes: size, Err: err}
		if err == nil {
			one.Frames, one.Records, one.Sealed = sv.total.frames, sv.total.records, sv.seal > 0
			left := sv.wait
			for _, k := range sv.kept {
				left.add(k.tally)
			}
			one.SettledFrames = sv.total.frames - min(left.frames, sv.total.frames)
			one.SettledRecords = sv.total.records - min(left.records, sv.total.records)
			one.First, one.Last = time.UnixMilli(sv.first), time.UnixMilli(sv.last)
		}
		if err := in.v.Segment(one); err != nil {
			return err
		}
	}
	if err != nil {
		return in.problem(name, 0, err.Error())
	}
	if in.v.Batch == nil && in.v.Problem == nil {
		return nil
	}
	return in.frames(name, sv, size)
}

// frames goes through the frames of a segment, and finds what is missing.
func (in *inspector) frames(name string, sv summary, size int64) error {
	in.w.end, in.w.id = size, sv.id
	off := int64(0)
	var sum tally
	for {
		h, at, err := in.w.next(off)
		if gap := at - off; gap > 0 {
			what := fmt.Sprintf("%d bytes are no frame", gap)
			if in.w.failed != nil {
				what += ": " + in.w.failed.Error()
			}
			if err := in.problem(name, off, what); err != nil {
				return err
			}
		}
		if err != nil {
			break // io.EOF: the walk is patient
		}
		if uint64(h.frame) != sum.frames || h.before != sum.records {
			if err := in.problem(name, at, fmt.Sprintf("%d frames with %d records are missing before here",
				uint64(h.frame)-sum.frames, h.before-sum.records)); err != nil {
				return err
			}
		}
		off = at + h.length()
		sum = tally{uint64(h.frame), h.before, off}
		if h.kind == sealKind {
			continue
		}
		sum.frames, sum.records = sum.frames+1, sum.records+uint64(h.records)
		wanted := in.v.Settled || at >= sv.start ||
			slices.ContainsFunc(sv.kept, func(k keptFrame) bool { return k.at == at })
		if err := in.batch(name, at, h, wanted); err != nil {
			return err
		}
	}
	return nil
}

// batch reads and checks one batch, and shows it if it is wanted.
func (in *inspector) batch(name string, at int64, h header, wanted bool) error {
	if cap(in.payload) < int(h.payload) {
		in.payload = make([]byte, h.payload)
	}
	payload := in.payload[:h.payload]
	if _, err := in.w.f.ReadAt(payload, at+headerLen); err != nil && !errors.Is(err, io.EOF) {
		return in.problem(name, at, err.Error())
	}
	if crc := crc32.Checksum(payload, castagnoli); crc != h.crc {
		return in.problem(name, at, fmt.Sprintf("crc of the payload %08x, want %08x", crc, h.crc))
	}
	n := 0
	err := record.Each(payload, func(int64, []byte) error { n++; return nil })
	switch {
	case err != nil:
		return in.problem(name, at, err.Error())
	case n != int(h.records):
		return in.problem(name, at, fmt.Sprintf("%d records, want %d", n, h.records))
	case wanted && in.v.Batch != nil:
		return in.v.Batch(name, at, payload)
	}
	return nil
}

func (in *inspector) problem(name string, at int64, what string) error {
	if in.v.Problem == nil {
		return nil
	}
	return in.v.Problem(Problem{name, at, what})
}
