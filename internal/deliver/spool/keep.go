// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

const (
	turnEvery  = time.Second      // between syncs, and between cursors
	checkEvery = 10 * time.Second // between attempts to write to a disk that failed
	idleAfter  = 10 * time.Second // until a segment that is wholly settled is ended
	probeName  = "probe.tmp"
	maxProbe   = 1 << 20
)

// keep is the spool's own goroutine. Nobody waits for it but Close.
func (s *Spool) keep() {
	defer close(s.kept)
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.turn()
		}
	}
}

func (s *Spool) turn() {
	s.syncActive()
	s.expire()
	s.endIdle()
	err := s.saveCursor()
	if err != nil && !s.unsaved { // once: it is tried every second, for days on a read-only disk
		s.log.Warn("spool: the cursor is not saved; after a crash more is sent again", "error", err)
	}
	s.unsaved = err != nil
	s.deleteSettled()
	s.removeDoomed()
	if space, err := s.dir.Space(); err == nil {
		s.mu.Lock()
		s.stats.Free = clampUint(space.Free)
		s.mu.Unlock()
	}
	s.mu.Lock()
	due := s.degraded != nil && time.Since(s.lastCheck) >= checkEvery
	s.mu.Unlock()
	if due {
		s.check()
	}
}

// syncActive makes durable what was appended since the last turn. A segment whose sync failed is
// not appended to any more, and never synced again: the kernel has told once, and would say yes
// the next time.
func (s *Spool) syncActive() {
	s.mu.Lock()
	seg := s.active
	if seg == nil || !seg.dirty {
		s.mu.Unlock()
		return
	}
	seg.dirty = false
	f := seg.file
	s.mu.Unlock()
	err := f.Sync()
	if err == nil || errors.Is(err, os.ErrClosed) { // it was synced when it was sealed
		return
	}
	s.retire(seg, &syncError{err})
	s.log.Error("spool: what was written last may not survive a loss of power; "+
		"a new segment is begun", "segment", seg.number, "error", err)
	s.check()
}

// expire gives up the segments whose newest frame is too old.
func (s *Spool) expire() {
	if s.cfg.MaxAge == 0 {
		return
	}
	old := func(seg *segment) bool { return time.Since(seg.last) > s.cfg.MaxAge }
	s.endActiveIf(func(seg *segment) bool { return seg.total.frames > 0 && old(seg) })
	for {
		s.mu.Lock()
		if len(s.segments) == 0 || s.segments[0] == s.active || !old(s.segments[0]) {
			s.mu.Unlock()
			return
		}
		seg := s.segments[0]
		lost := s.giveUp(seg, deliver.SpoolAge)
		s.mu.Unlock()
		if lost.records > 0 {
			s.log.Warn("spool: a segment is dropped", "reason", deliver.SpoolAge.String(),
				"segment", seg.number, "records", lost.records)
		}
		s.remove(seg)
	}
}

// endIdle ends the active segment when all of it is settled and nothing came for a while, so that
// an outage that is over leaves nothing on disk.
func (s *Spool) endIdle() {
	s.endActiveIf(func(seg *segment) bool {
		return seg.total.frames > 0 && seg.done() && time.Since(seg.last) >= idleAfter
	})
}

// endActiveIf ends the active segment unless Append is at work, which may take any time.
func (s *Spool) endActiveIf(should func(*segment) bool) {
	if !s.writing.TryLock() {
		return
	}
	defer s.writing.Unlock()
	s.mu.Lock()
	end := s.active != nil && should(s.active)
	s.mu.Unlock()
	if !end {
		return
	}
	if err := s.endActive(); err != nil {
		s.log.Warn("spool: a segment could not be ended; it is read all the same", "error", err)
	}
}

// marks returns how far each segment is settled. It may say less than is true, never more.
func (s *Spool) marks() []mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(map[uint64][]int64) // where the frames are that are held, by segment
	for at, h := range s.holdings {
		if h.segment != nil {
			held[at.segment] = append(held[at.segment], at.offset)
		}
	}
	var marks []mark
	for _, seg := range s.segments {
		m := mark{number: seg.number, id: seg.id, offset: seg.start}
		switch {
		case seg.done() || seg.number < s.reader.segment:
			m.offset = seg.end
		case seg.number == s.reader.segment:
			m.offset = max(s.reader.offset, seg.start)
		}
		for _, at := range held[seg.number] {
			if at < m.offset {
				m.kept = append(m.kept, at)
			}
		}
		slices.Sort(m.kept)
		seg.covered = seg != s.active && seg.done()
		if m.offset > 0 {
			marks = append(marks, m)
		}
	}
	return marks
}

// saveCursor makes the cursor durable if it has changed.
func (s *Spool) saveCursor() error {
	data := formatCursor(s.marks())
	if bytes.Equal(data, s.written) {
		return nil
	}
	s.written = nil
	if err := writeCursor(s.dir, data); err != nil {
		return err
	}
	s.written = data
	return nil
}

// deleteSettled deletes the segments that the cursor has just said to be settled. In this order,
// a file that comes back when the power fails is known to be settled.
//
// They are deleted as well if the cursor could not be saved: a segment that is not there needs no
// cursor, and on a full disk its space is what the cursor lacks.
func (s *Spool) deleteSettled() {
	s.mu.Lock()
	var done []*segment
	for _, seg := range s.segments {
		if seg.covered && seg != s.active && seg.done() {
			done = append(done, seg)
		}
	}
	for _, seg := range done {
		s.giveUp(seg, deliver.SpoolFull) // nothing is in it
	}
	s.mu.Unlock()
	for _, seg := range done {
		s.remove(seg)
	}
}

// removeDoomed tries again to delete what could not be deleted.
func (s *Spool) removeDoomed() {
	s.mu.Lock()
	all := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	for i, d := range all {
		err := s.dir.Remove(d.name)
		s.mu.Lock()
		if err != nil && !errors.Is(err, errNotExist) {
			s.doomed = append(s.doomed, all[i])
		} else {
			s.disk -= d.size
		}
		s.mu.Unlock()
	}
}

// check tries whether the disk takes, and keeps, as much as the append that failed needed.
func (s *Spool) check() {
	err := s.probe()
	s.mu.Lock()
	was := s.degraded
	s.degraded, s.lastCheck = err, time.Now()
	s.mu.Unlock()
	switch {
	case err == nil && was != nil:
		s.log.Info("spool: the disk takes batches again")
	case err != nil && was == nil:
		s.log.Error("spool: the disk takes nothing; batches stay in memory until it does", "error", err)
	}
}

func (s *Spool) probe() error {
	s.mu.Lock()
	need, gain := s.need, s.droppable()
	s.mu.Unlock()
	if space, err := s.dir.Space(); err == nil && space.Free+gain < s.cfg.MinFree+need {
		return errMinFree
	}
	if err := replaceTemp(s.dir, probeName, make([]byte, min(max(need, 1), maxProbe))); err != nil {
		return err
	}
	return s.dir.Remove(probeName)
}
