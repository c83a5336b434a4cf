// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// What cannot be read is tried again, readTries times in all, with readPause in between: a bus or
// a network disk may come back. After that it counts as corrupt, or one bad sector would stop
// the drain for ever.
const (
	readTries = 6
	readPause = 10 * time.Second
)

// readFault is the last error of the disk that Next met, and where.
type readFault struct {
	at    place
	tries int
	when  time.Time
	err   error
}

// target is a frame, or where the search for one begins.
type target struct {
	seg   *segment
	at    place
	end   int64 // of the frames of seg
	file  File  // nil when it is not open
	again bool  // the frame was released behind the reader, and is exactly there
}

// errPassed says that nothing was read into the batch: look again.
var errPassed = errors.New("spool: passed over")

// Next implements deliver.Spool. It costs one read of a header and one of the payload, straight
// into the arena of b, and a header for each frame that is passed over.
func (s *Spool) Next(b *record.Batch) (deliver.Ref, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		t, err := s.pick()
		if err != nil {
			return deliver.Ref{}, err
		}
		if t.file == nil {
			t.file, err = s.openSegment(t)
		}
		if err == nil {
			var ref deliver.Ref
			ref, err = s.fetch(t, b)
			if err == nil {
				return ref, nil
			}
		}
		if !errors.Is(err, errPassed) {
			return deliver.Ref{}, err
		}
	}
}

// pick returns what to read next: the oldest frame that was released behind the reader, or else
// the first one from the reader on.
func (s *Spool) pick() (target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return target{}, errClosed
	}
	var t target
	if len(s.returned) > 0 {
		t = target{at: s.returned[0], again: true}
		t.seg = s.holdings[t.at].segment
	} else {
		s.catchUp()
		if s.waiting.frames == 0 {
			return target{}, deliver.ErrSpoolEmpty
		}
		i, _ := s.find(s.reader.segment)
		t.seg = s.segments[i]
		if begin := (place{t.seg.number, t.seg.start}); s.reader.before(begin) {
			s.reader, s.lastRead = begin, time.Time{}
		}
		t.at = s.reader
	}
	t.end = t.seg.end
	if s.fault.at == t.at && time.Since(s.fault.when) < readPause {
		return target{}, s.fault.err
	}
	if s.readName == t.seg.number {
		t.file = s.readFile
	}
	return t, nil
}

// openSegment makes the file of t the one open file of Next.
func (s *Spool) openSegment(t target) (File, error) {
	f, err := s.dir.Open(t.seg.name())
	if errors.Is(err, errNotExist) {
		s.log.Error("spool: a segment was deleted by somebody else", "segment", t.seg.number)
		s.retire(t.seg, err) // or what is appended to it would be nowhere
		s.lost(t)
		return nil, errPassed
	}
	if err != nil {
		return nil, s.readFailed(t, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone(t.seg) {
		f.Close()
		return nil, errPassed
	}
	if s.readFile != nil {
		s.readFile.Close()
	}
	s.readFile, s.readName = f, t.seg.number
	return f, nil
}

// fetch reads the frame that t is about into b, or passes over what is none.
func (s *Spool) fetch(t target, b *record.Batch) (deliver.Ref, error) {
	w := &s.walk
	w.f, w.end, w.id, w.failed = t.file, t.end, t.seg.id, nil
	w.patient = s.fault.at == t.at && s.fault.tries >= readTries-1
	h, off, err := w.next(t.at.offset)
	switch {
	case errors.Is(err, io.EOF) || t.again && err == nil && off != t.at.offset:
		s.lost(t)
		return deliver.Ref{}, errPassed
	case err != nil:
		return deliver.Ref{}, s.readFailed(t, err)
	}
	found := place{t.seg.number, off}
	if !t.again && !s.wanted(t, found, h) {
		return deliver.Ref{}, errPassed
	}
	payload := b.Arena(int(h.payload))
	_, err = t.file.ReadAt(payload, off+headerLen)
	if err != nil && !errors.Is(err, io.EOF) && !w.patient {
		return deliver.Ref{}, s.readFailed(t, err)
	}
	// The last byte of a file may come with io.EOF; what did not come does not have the checksum.
	if crc32.Checksum(payload, castagnoli) != h.crc {
		s.corrupt(t, found, h)
		return deliver.Ref{}, errPassed
	}
	ref, ok := s.claim(t, found, h)
	if !ok {
		return deliver.Ref{}, errPassed // given up while it was read, and counted
	}
	if err := b.Load(payload); err != nil {
		// Its checksum is right, so this is what was appended; but no broker would take it.
		s.unclaim(found, err)
		return deliver.Ref{}, errPassed
	}
	s.fault = readFault{}
	return ref, nil
}

// wanted tells whether the frame h, which was found from the reader on, is one to hand out. What
// is held or settled is passed over.
func (s *Spool) wanted(t target, found place, h header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone(t.seg) {
		return false
	}
	s.damaged(t, found.offset-t.at.offset)
	s.reader = found
	// A frame that is numbered below the one before it is a copy, which no spool makes.
	inOrder := h.frame >= t.seg.read && h.kind == batchKind
	if inOrder && s.holdings[found] == nil && !t.seg.isSettled(h.frame) {
		return true
	}
	s.reader.offset += h.length()
	if inOrder {
		t.seg.read = h.frame + 1
	}
	return false
}

// claim takes the frame off what waits, and makes it held. It returns false when the segment was
// given up meanwhile.
func (s *Spool) claim(t target, found place, h header) (ref deliver.Ref, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone(t.seg) {
		return ref, false
	}
	ref = deliver.Ref{Segment: found.segment, Offset: found.offset, Records: int(h.records),
		Recovered: !t.seg.own}
	if t.again {
		h := s.holdings[found]
		if h == nil { // it was settled after all
			return ref, false
		}
		s.unreturn(found, h) // which need not be the first of them any more
		ref.Recovered, ref.Again = !h.own, h.again
		return ref, true
	}
	s.take(t.seg, h)
	s.hold(found, &holding{segment: t.seg, frame: h.frame, own: t.seg.own,
		tally: tally{1, uint64(h.records), h.length()}})
	return ref, true
}

// take moves the reader behind the frame h, and takes it off what waits. s.mu is held.
func (s *Spool) take(seg *segment, h header) {
	one := tally{1, uint64(h.records), h.length()}
	if seg.wait.records < one.records {
		// More is there than was found at opening: a disk that could not read it then.
		s.stats.Recovered += one.records - seg.wait.records
	}
	before := seg.wait
	seg.wait.sub(one)
	s.waiting.sub(tally{before.frames - seg.wait.frames, before.records - seg.wait.records,
		before.bytes - seg.wait.bytes})
	if left := seg.wait; left.frames == 0 && left != (tally{}) {
		// The seal told of more than there is, and nobody looks behind the last frame for it.
		seg.wait = tally{}
		s.waiting.sub(left)
		s.loseCorrupt(left, seg.own)
	}
	seg.read = h.frame + 1
	s.reader.offset += h.length()
	s.lastRead = time.UnixMilli(h.first)
}

// unclaim gives up a frame that was claimed and is no batch.
func (s *Spool) unclaim(at place, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.holdings[at]; h != nil {
		s.forget(at, h)
		s.loseCorrupt(h.tally, h.own)
	}
	s.complain("spool: a frame holds no batch", at, "error", err)
}

// corrupt gives up the frame h, whose payload is not what was written.
func (s *Spool) corrupt(t target, found place, h header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone(t.seg) {
		return
	}
	s.fault = readFault{}
	held := s.holdings[found]
	if t.again && held == nil { // it was settled after all
		return
	}
	one, own := tally{1, uint64(h.records), h.length()}, t.seg.own
	if t.again {
		s.forget(found, held)
		own = held.own
	} else {
		s.take(t.seg, h)
	}
	s.stats.Corrupt.Bytes += uint64(one.bytes)
	s.loseCorrupt(one, own)
	s.complain("spool: a frame is damaged and skipped", found, "records", h.records)
}

// lost is called when there is no frame from t on. What was to be there and was not found is
// corrupt.
func (s *Spool) lost(t target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone(t.seg) {
		return
	}
	if t.again {
		if h := s.holdings[t.at]; h != nil {
			s.forget(t.at, h)
			s.loseCorrupt(h.tally, h.own)
		}
		return
	}
	if t.end < t.seg.end {
		return // it has grown since: look again
	}
	s.damaged(t, t.end-t.at.offset)
	missing := t.seg.wait
	t.seg.wait = tally{}
	s.waiting.sub(missing)
	s.loseCorrupt(missing, t.seg.own)
	s.fault = readFault{}
	s.reader = place{t.seg.number, t.seg.end}
	if t.seg != s.active {
		s.reader = place{segment: t.seg.number + 1}
		t.seg.settled = nil
	}
	if missing.frames > 0 {
		s.log.Error("spool: frames of a segment are missing", "segment", t.seg.number,
			"frames", missing.frames, "records", missing.records)
	}
}

// loseCorrupt counts frames that were to be there. s.mu is held.
func (s *Spool) loseCorrupt(t tally, own bool) {
	s.stats.Corrupt.Frames += t.frames
	s.stats.Corrupt.Records += t.records
	s.lose(t, deliver.SpoolCorrupt, own)
}

// damaged counts bytes between frames. s.mu is held.
func (s *Spool) damaged(t target, n int64) {
	if n <= 0 {
		return
	}
	s.stats.Corrupt.Bytes += uint64(n)
	s.complain("spool: bytes that are no frame are skipped", t.at, "bytes", n)
}

// complain logs damage, the first in each segment: what follows is counted. s.mu is held.
func (s *Spool) complain(what string, at place, more ...any) {
	if s.complained == at.segment {
		return
	}
	s.complained = at.segment
	s.log.Error(what, append(more, "segment", at.segment, "offset", at.offset)...)
}

// readFailed notes that the disk could not read what t is about, and returns the error of Next.
// After enough attempts with a segment that cannot even be opened, it is given up, and its file
// kept in quarantine.
func (s *Spool) readFailed(t target, err error) error {
	s.mu.Lock()
	gone := s.gone(t.seg)
	s.mu.Unlock()
	if gone { // and its file closed, while it was read
		return errPassed
	}
	if s.fault.at != t.at {
		s.fault = readFault{at: t.at}
	}
	s.fault.tries++
	s.fault.when = time.Now()
	s.fault.err = fmt.Errorf("spool: read %s at %d: %w", t.seg.name(), t.at.offset, err)
	if s.fault.tries < readTries || t.file != nil {
		return s.fault.err
	}
	s.fault = readFault{}
	s.mu.Lock()
	if t.seg == s.active || s.gone(t.seg) {
		s.mu.Unlock()
		return errPassed
	}
	lost := s.giveUp(t.seg, deliver.SpoolCorrupt)
	s.stats.Corrupt.Frames += lost.frames
	s.stats.Corrupt.Records += lost.records
	s.disk -= t.seg.size
	s.mu.Unlock()
	s.quarantine(t.seg.name(), t.seg.size, err.Error())
	return errPassed
}
