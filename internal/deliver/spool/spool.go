// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

var errNotExist = fs.ErrNotExist

// lossReason is why frames are lost, as deliver counts it.
type lossReason = deliver.Reason

var _ deliver.Spool = (*Spool)(nil)

// Spool is a deliver.Spool in one directory.
//
// Three goroutines do its work with the disk: the caller of Append writes, the caller of Next
// reads, and one of its own syncs, moves the cursor and deletes. They share what mu guards, and
// nobody has mu while the disk works, so Settle, Release and Stats never wait for it.
type Spool struct {
	dir  Dir
	cfg  Config // resolved
	log  *slog.Logger
	lock io.Closer

	stop chan struct{} // closed to end keep
	kept chan struct{} // closed when keep has ended

	writing sync.Mutex // held for the whole of Append, and by whoever ends the active segment
	reading sync.Mutex // held for the whole of Next

	untold [deliver.NumReasons]givenUp // under writing

	walk    walk      // for Next alone, under reading
	fault   readFault // the same
	written []byte    // the cursor on disk; for keep alone, and for Close after it
	unsaved bool      // it could not be written when tried last; for keep alone

	mu       sync.Mutex // guards the following
	closed   bool
	segments []*segment // by number; the active one, if there is one, is the last
	active   *segment   // that is appended to; nil when there is none now
	number   uint64     // of the next segment
	reader   place      // Next reads from here on; all before is held or done with
	waiting  tally      // the sum of segment.wait
	holdings map[place]*holding
	returned []place // holdings that wait to be handed out before all else, in order
	aside    int     // of holdings
	held     tally   // the sum of holdings
	disk     int64   // bytes of all files, those to be deleted among them
	doomed   []doomed
	readFile File // the open file of the segment readName, for Next; nil when there is none
	readName uint64
	lastRead time.Time // when the frame before reader was appended

	complained uint64 // the segment whose damage was logged last

	stats     deliver.SpoolStats // but for what is computed
	degraded  error
	need      int64 // bytes that the append needed that degraded it
	lastCheck time.Time
}

// doomed is a file that is no part of the spool any more, and could not be deleted yet.
type doomed struct {
	name string
	size int64
}

// Open opens the spool in cfg.Dir, and makes the directory if it is not there. Nothing that is in
// the directory is an error: what is damaged is skipped, counted and logged, what is of another
// version or no segment at all is moved to the folder quarantine. It is an error when there can
// be no directory, or when another process uses it (ErrLocked).
func Open(cfg Config, log *slog.Logger) (*Spool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, err := OpenOS(cfg.Dir)
	if err != nil {
		return nil, err
	}
	return OpenDir(cfg, dir, log)
}

// OpenDir is Open for a directory that is not one of the operating system's. cfg.Dir serves in
// the log alone.
func OpenDir(cfg Config, dir Dir, log *slog.Logger) (*Spool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	lock, err := dir.Lock()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		log.Warn("spool: this system cannot keep a second process out of the directory; start none",
			"dir", cfg.Dir)
		lock = io.NopCloser(nil)
	case err != nil:
		return nil, err
	}
	s := &Spool{
		dir: dir, cfg: cfg, log: log.With("dir", cfg.Dir), lock: lock,
		stop: make(chan struct{}), kept: make(chan struct{}),
		number: 1, holdings: map[place]*holding{},
	}
	s.recover()
	go s.keep()
	return s, nil
}

// Settle implements deliver.Spool. A ref that is not held, or not any more, means nothing.
func (s *Spool) Settle(ref deliver.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{ref.Segment, ref.Offset}
	h := s.holdings[at]
	if h == nil {
		return
	}
	s.forget(at, h)
	s.stats.Settled += h.tally.records
	if h.segment != nil && !at.before(s.reader) {
		h.segment.settle(h.frame)
	}
}

// SettlePart implements deliver.Spool.
func (s *Spool) SettlePart(ref deliver.Ref, records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holdings[place{ref.Segment, ref.Offset}]
	if h == nil {
		return
	}
	part := tally{records: min(clampUint(int64(records)), h.tally.records)}
	h.tally.sub(part)
	s.held.sub(part)
	s.stats.Settled += part.records
}

// Release implements deliver.Spool.
func (s *Spool) Release(ref deliver.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, h := s.left(ref)
	switch {
	case h == nil:
	case at.before(s.reader) || at.offset < h.segment.start || h.own != h.segment.own:
		// The reader has passed it, will never come to it, or would not know whose it is. But for
		// those that were set aside, or left before the cursor by an earlier run, there are never more
		// of these than batches in memory: the reader passes frames only while they are held, and
		// while returned is empty.
		h.returned = true
		i, _ := slices.BinarySearchFunc(s.returned, at, comparePlaces)
		s.returned = slices.Insert(s.returned, i, at)
	default:
		s.forget(at, h)
		h.segment.wait.add(h.tally)
		s.waiting.add(h.tally)
	}
}

// SetAside implements deliver.Spool.
func (s *Spool) SetAside(ref deliver.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, h := s.left(ref); h != nil {
		h.aside, h.again = true, true
		s.aside++
	}
}

// left returns the frame of a batch of which nothing else is left: nil if it waits already, or if its
// segment was given up, so that it is lost now. s.mu is held.
func (s *Spool) left(ref deliver.Ref) (place, *holding) {
	at := place{ref.Segment, ref.Offset}
	h := s.holdings[at]
	switch {
	case h == nil || h.returned || h.aside:
		return at, nil
	case h.segment == nil:
		s.forget(at, h)
		s.lose(h.tally, h.lost, h.own)
		return at, nil
	}
	return at, h
}

// Recall implements deliver.Spool.
func (s *Spool) Recall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside == 0 {
		return
	}
	for at, h := range s.holdings {
		if h.aside {
			h.aside, h.returned = false, true
			s.returned = append(s.returned, at)
		}
	}
	s.aside = 0
	slices.SortFunc(s.returned, comparePlaces)
}

// forget takes a frame off the books of what is held. s.mu is held.
func (s *Spool) forget(at place, h *holding) {
	delete(s.holdings, at)
	s.held.sub(h.tally)
	if h.segment != nil {
		h.segment.held--
	}
	if h.aside {
		s.aside--
	}
	s.unreturn(at, h)
}

// unreturn takes a frame off those that wait behind the reader, if it is one. s.mu is held.
func (s *Spool) unreturn(at place, h *holding) {
	if !h.returned {
		return
	}
	h.returned = false
	if i, found := slices.BinarySearchFunc(s.returned, at, comparePlaces); found {
		s.returned = slices.Delete(s.returned, i, i+1)
	}
}

// hold puts a frame on the books of what is held. s.mu is held.
func (s *Spool) hold(at place, h *holding) {
	s.holdings[at] = h
	s.held.add(h.tally)
	h.segment.held++
}

// lose counts records that nobody will get. s.mu is held.
func (s *Spool) lose(t tally, why lossReason, own bool) {
	s.stats.Dropped[why] += t.records
	if own {
		s.stats.OwnDropped[why] += t.records
	}
}

// giveUp takes a segment that is not the active one out of the spool, and counts as lost what
// waits in it. What is held is not lost yet: a copy is in memory. The caller deletes the file,
// or moves it, after s.mu, which is held here. It returns what was lost.
func (s *Spool) giveUp(seg *segment, why lossReason) tally {
	s.segments = slices.DeleteFunc(s.segments, func(o *segment) bool { return o == seg })
	lost := seg.wait
	s.lose(seg.wait, why, seg.own)
	s.waiting.sub(seg.wait)
	seg.wait = tally{}
	for at, h := range s.holdings {
		if h.segment != seg {
			continue
		}
		if h.returned || h.aside {
			s.forget(at, h)
			s.lose(h.tally, why, h.own)
			lost.add(h.tally)
			continue
		}
		h.segment, h.lost = nil, why
	}
	seg.held = 0
	if s.readFile != nil && s.readName == seg.number {
		s.readFile.Close() // its space is free only when nobody has it open
		s.readFile = nil
	}
	return lost
}

// gone tells whether a segment was given up. s.mu is held.
func (s *Spool) gone(seg *segment) bool {
	_, found := s.find(seg.number)
	return !found
}

// find returns the index of the first segment whose number is not below number, and whether it
// is that one. s.mu is held.
func (s *Spool) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(s.segments, number, func(seg *segment, n uint64) int {
		return cmp.Compare(seg.number, n)
	})
}

// catchUp moves the reader to the end when no frame waits, so that what is appended and settled
// in a spool that keeps up leaves no trace in memory. While one waits, in returned too, the
// reader stays: what is released behind it costs memory. s.mu is held.
func (s *Spool) catchUp() {
	if s.waiting.frames > 0 || len(s.returned) > 0 {
		return
	}
	s.reader = place{segment: s.number}
	if s.active != nil {
		s.reader = place{s.active.number, s.active.end}
	}
	for _, seg := range s.segments {
		seg.settled = nil
	}
}

// Stats implements deliver.Spool.
func (s *Spool) Stats() deliver.SpoolStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	unsettled := s.waiting
	unsettled.add(s.held)
	st.Records, st.Batches = unsettled.records, unsettled.frames
	st.Bytes, st.Segments = uint64(unsettled.bytes), len(s.segments)
	st.Aside = clampUint(int64(s.aside))
	st.MaxBytes = uint64(s.cfg.MaxBytes)
	st.Degraded, st.Full = s.degraded, s.crowded()
	for _, seg := range s.segments {
		if seg.done() {
			continue
		}
		st.Oldest = seg.since
		if seg.number == s.reader.segment && seg.held == 0 && s.lastRead.After(seg.since) {
			st.Oldest = s.lastRead
		}
		break
	}
	return st
}

// crowded tells whether less than a segment and a half is free. A segment that is dropped makes
// room for one, so a spool that drops is crowded all the time. s.mu is held.
func (s *Spool) crowded() bool {
	near := s.cfg.Segment + s.cfg.Segment/2
	free := s.stats.Free // 0 when it is not known
	return s.disk+near > s.cfg.MaxBytes || free > 0 && free < clampUint(s.cfg.MinFree+near)
}

// Close implements deliver.Spool. It waits for the disk.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	<-s.kept
	s.writing.Lock()
	defer s.writing.Unlock()
	s.reading.Lock()
	defer s.reading.Unlock()

	err := s.endActive()
	err = errors.Join(err, s.saveCursor())
	s.deleteSettled()
	s.removeDoomed()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readFile != nil {
		s.readFile.Close()
		s.readFile = nil
	}
	before := s.stats.Dropped[deliver.SpoolCorrupt]
	s.giveUpMissing()
	for at, h := range s.holdings {
		if h.segment == nil { // nothing of it is on disk, and nobody will settle it now
			s.forget(at, h)
			s.lose(h.tally, h.lost, h.own)
		}
	}
	if lost := s.stats.Dropped[deliver.SpoolCorrupt] - before; lost > 0 {
		err = errors.Join(err, fmt.Errorf("spool: %d records that waited on disk are lost: "+
			"their files were removed", lost))
	}
	return errors.Join(err, s.lock.Close())
}

// giveUpMissing gives up the segments whose files somebody has removed while they were written or
// waited: the next start would find nothing of them. s.mu is held.
func (s *Spool) giveUpMissing() {
	files, err := s.dir.List(".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // not known here; the next start tells
	}
	there := make(map[string]bool, len(files))
	for _, f := range files {
		there[f.Name()] = true
	}
	for _, seg := range slices.Clone(s.segments) {
		if !there[seg.name()] {
			s.giveUp(seg, deliver.SpoolCorrupt)
			s.disk -= seg.size
		}
	}
}

// errClosed is what Append and Next return after Close.
var errClosed = &os.PathError{Op: "use", Path: "spool", Err: os.ErrClosed}

// clampUint returns n as an unsigned number, 0 for what is below.
func clampUint(n int64) uint64 { return uint64(min(max(n, 0), math.MaxInt64)) }
