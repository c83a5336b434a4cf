// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// The errors of Append, besides those of the disk.
var (
	errTooLarge = errors.New("the batch is larger than the spool may be")
	errNoRoom   = errors.New("the spool is full, and its oldest segment cannot be deleted")
	errFull     = errors.New("there is no room but for what is new")
	errMinFree  = errors.New("less is free on the file system than spool.min_free asks to leave")
)

// syncError is an error of File.Sync, which ends the segment.
type syncError struct{ err error }

func (e *syncError) Error() string { return "sync: " + e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// Append implements deliver.Spool. It gives up the oldest segments when there is no room within
// the bounds, and the oldest one when the disk is full; when that does not help, or the disk
// fails, the spool is degraded: every Append fails at once until a write succeeds again, which
// is tried every ten seconds.
func (s *Spool) Append(b *record.Batch) (deliver.Ref, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	need := headerLen + int64(b.Size()) + headerLen // and the seal
	if err := s.usable(); err != nil {
		return deliver.Ref{}, err
	}
	if need > s.cfg.MaxBytes {
		return deliver.Ref{}, fmt.Errorf("spool: append %d bytes: %w", b.Size(), errTooLarge)
	}
	ref, err := s.tryAppend(b, need)
	if err != nil && s.remedy(err) {
		ref, err = s.tryAppend(b, need)
	}
	if err != nil {
		err = fmt.Errorf("spool: append %d bytes: %w", b.Size(), err)
		s.degrade(err, need)
	}
	return ref, err
}

// AppendRest implements deliver.Spool.
func (s *Spool) AppendRest(of deliver.Ref, b *record.Batch) (deliver.Ref, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	need := headerLen + int64(b.Size()) + headerLen // and the seal
	err := s.usable()
	if err == nil && !s.hasRoom(need) {
		err = errFull
	}
	if err != nil {
		return deliver.Ref{}, fmt.Errorf("spool: append the rest of a frame: %w", err)
	}
	ref, err := s.tryAppend(b, need)
	if err != nil { // the next Append finds out what it means, and heals it
		return deliver.Ref{}, fmt.Errorf("spool: append the rest of a frame, %d bytes: %w", b.Size(), err)
	}
	ref.Recovered = of.Recovered
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdings[place{ref.Segment, ref.Offset}].own = !of.Recovered
	return ref, nil
}

// hasRoom tells whether makeRoom would give up nothing.
func (s *Spool) hasRoom(need int64) bool {
	space, err := s.dir.Space()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk+need <= s.cfg.MaxBytes && (err != nil || s.cfg.MinFree+need <= space.Free)
}

// usable returns why nothing can be appended now.
func (s *Spool) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	return s.degraded
}

// remedy tells whether another attempt may succeed, after it did what it can.
func (s *Spool) remedy(err error) bool {
	var sync *syncError
	switch {
	case errors.As(err, &sync):
		return true // in another segment: this one is not appended to any more
	case noSpace(err):
		return s.dropOldest(deliver.SpoolFull)
	}
	return false
}

func (s *Spool) tryAppend(b *record.Batch, need int64) (deliver.Ref, error) {
	if err := s.makeRoom(need); err != nil {
		return deliver.Ref{}, err
	}
	seg, err := s.roll(need)
	if err != nil {
		return deliver.Ref{}, err
	}
	now := time.Now()
	payload := b.Bytes()
	h := header{
		kind: batchKind, payload: uint32(len(payload)), records: uint32(b.Records()),
		id: seg.id, frame: uint32(seg.total.frames), before: seg.total.records,
		crc: crc32.Checksum(payload, castagnoli), first: now.UnixMilli(), last: now.UnixMilli(),
	}
	if err := s.write(seg, h, payload); err != nil {
		return deliver.Ref{}, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	t := tally{1, uint64(h.records), h.length()}
	at := place{seg.number, seg.end}
	seg.end += h.length()
	s.disk += h.length()
	seg.size = seg.end
	seg.last, seg.dirty = now, s.cfg.Sync == SyncInterval
	if seg.total.frames == 0 {
		seg.begun = now
	}
	if seg.done() {
		seg.since = now
	}
	seg.total.add(t)
	s.hold(at, &holding{segment: seg, frame: h.frame, tally: t, own: true})
	s.stats.Appended += t.records
	s.catchUp()
	return deliver.Ref{Segment: at.segment, Offset: at.offset, Records: b.Records()}, nil
}

// write writes one frame at the end of the active segment, the header first: if the process ends
// in between, recovery finds a header without its payload and knows what it is. On an error the
// segment is as it was, or is not appended to any more.
func (s *Spool) write(seg *segment, h header, payload []byte) error {
	var head [headerLen]byte
	h.put(&head)
	_, err := seg.file.WriteAt(head[:], seg.end)
	if err == nil {
		_, err = seg.file.WriteAt(payload, seg.end+headerLen)
	}
	if err == nil && s.cfg.Sync == SyncAlways {
		if serr := seg.file.Sync(); serr != nil {
			err = &syncError{serr}
		}
	}
	if err == nil {
		return nil
	}
	// A frame that Append has not returned must not be there after a restart, or it would be
	// delivered twice; if this fails, it is.
	terr := seg.file.Truncate(seg.end)
	if terr != nil || !noSpace(err) {
		s.retire(seg, err)
	}
	return err
}

// retire says that nothing more may be appended to a segment. Its file stays open until somebody
// who may end it comes by. What was appended before is still to be synced, unless it is a sync
// that failed.
func (s *Spool) retire(seg *segment, why error) {
	var sync *syncError
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.retired = why
	seg.dirty = seg.dirty && !errors.As(why, &sync)
}

// roll returns the active segment, a new one if the one before is full, old or retired.
func (s *Spool) roll(need int64) (*segment, error) {
	s.mu.Lock()
	seg := s.active
	full := seg != nil && seg.total.frames > 0 &&
		(seg.end+need > s.cfg.Segment || seg.total.frames >= math.MaxUint32 ||
			s.cfg.MaxAge > 0 && time.Since(seg.begun) > s.cfg.MaxAge/4)
	retired := seg != nil && seg.retired != nil
	s.mu.Unlock()
	if full || retired {
		if err := s.endActive(); err != nil {
			s.log.Warn("spool: a segment could not be ended; it is read all the same", "error", err)
		}
	}
	if seg != nil && !full && !retired {
		return seg, nil
	}
	return s.begin()
}

// begin makes a new segment the active one.
func (s *Spool) begin() (*segment, error) {
	var random [8]byte
	rand.Read(random[:]) // never fails
	seg := &segment{own: true, id: max(binary.LittleEndian.Uint64(random[:]), 1), begun: time.Now()}
	for {
		s.mu.Lock()
		seg.number = s.number
		s.number++
		s.mu.Unlock()
		f, err := s.dir.Create(seg.name())
		if errors.Is(err, fs.ErrExist) {
			continue // it was put there since opening; it is read after the next start
		}
		if err != nil {
			return nil, err
		}
		seg.file = f
		break
	}
	if s.cfg.Sync != SyncNever {
		if err := s.dir.Sync(); err != nil {
			return nil, errors.Join(&syncError{err}, seg.file.Close(), s.dir.Remove(seg.name()))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, seg)
	s.active = seg
	s.catchUp()
	return seg, nil
}

// endActive seals the active segment, if there is one, and closes its file. A segment that was
// retired gets no seal: nobody knows what its end looks like. s.writing is held.
func (s *Spool) endActive() error {
	s.mu.Lock()
	seg := s.active
	s.active = nil
	if seg == nil {
		s.mu.Unlock()
		return nil
	}
	whole, dirty := seg.retired == nil && seg.total.frames > 0, seg.dirty
	s.mu.Unlock()
	var err error
	sealed := false
	switch {
	case whole:
		err = s.seal(seg)
		sealed = err == nil
	case dirty:
		err = seg.file.Sync()
	}
	err = errors.Join(err, seg.file.Close())
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.file, seg.dirty = nil, false
	if sealed {
		seg.size += headerLen
		s.disk += headerLen
	}
	return err
}

func (s *Spool) seal(seg *segment) error {
	var b [headerLen]byte
	header{
		kind: sealKind, id: seg.id, frame: uint32(seg.total.frames), before: seg.total.records,
		first: seg.begun.UnixMilli(), last: seg.last.UnixMilli(),
	}.put(&b)
	if _, err := seg.file.WriteAt(b[:], seg.end); err != nil {
		return errors.Join(fmt.Errorf("seal %s: %w", seg.name(), err), seg.file.Truncate(seg.end))
	}
	if s.cfg.Sync == SyncNever {
		return nil
	}
	if err := seg.file.Sync(); err != nil {
		return fmt.Errorf("seal %s: %w", seg.name(), &syncError{err})
	}
	return nil
}

// makeRoom gives up old segments until need more bytes are within the bounds.
func (s *Spool) makeRoom(need int64) error {
	for {
		s.mu.Lock()
		over := s.disk+need > s.cfg.MaxBytes
		s.mu.Unlock()
		if !over {
			break
		}
		if !s.dropOldest(deliver.SpoolFull) {
			return errNoRoom
		}
	}
	for {
		space, err := s.dir.Space()
		if err != nil {
			return nil // not known here; the write will tell
		}
		s.mu.Lock()
		s.stats.Free = clampUint(space.Free)
		lack := s.cfg.MinFree + need - space.Free
		gain := s.droppable()
		s.mu.Unlock()
		if lack <= 0 {
			return nil
		}
		// Somebody else fills the disk. Nothing is given up in vain.
		if lack > gain || !s.dropOldest(deliver.SpoolFull) {
			return errMinFree
		}
	}
}

// droppable returns the bytes of all segments but the active one. s.mu is held.
func (s *Spool) droppable() int64 {
	n := int64(0)
	for _, seg := range s.segments {
		if seg != s.active {
			n += seg.size
		}
	}
	return n
}

// dropOldest gives up the oldest segment, or any that is done with, and deletes its file. When
// there is only the active one, that is ended first: a segment is at most a quarter of the bound,
// so this happens on a full disk alone. It returns false when nothing could be freed.
// s.writing is held.
func (s *Spool) dropOldest(why lossReason) bool {
	s.mu.Lock()
	alone := len(s.segments) == 1 && s.active != nil && s.active.total.frames > 0
	s.mu.Unlock()
	if alone {
		_ = s.endActive() // it is deleted next, whatever became of its seal
	}
	s.mu.Lock()
	var victim *segment
	for _, seg := range s.segments {
		if seg == s.active {
			continue
		}
		if seg.done() {
			victim = seg
			break
		}
		if victim == nil {
			victim = seg
		}
	}
	if victim == nil {
		s.mu.Unlock()
		return false
	}
	lost := s.giveUp(victim, why)
	s.catchUp()
	s.mu.Unlock()
	if lost.records > 0 {
		s.tell(why, lost.records, victim.size)
	}
	return s.remove(victim)
}

// tellEvery is how often the log tells that segments were given up. In a long outage a small spool
// gives up one every second.
const tellEvery = time.Minute

// givenUp are segments of which the log has not told yet.
type givenUp struct {
	told     time.Time // when it did last
	segments int
	records  uint64
	bytes    int64
}

// tell logs that a segment was given up, with those that it has not told of. s.writing is held.
func (s *Spool) tell(why lossReason, records uint64, bytes int64) {
	g := &s.untold[why]
	g.segments, g.records, g.bytes = g.segments+1, g.records+records, g.bytes+bytes
	now := time.Now()
	if !g.told.IsZero() && now.Sub(g.told) < tellEvery {
		return
	}
	s.log.Warn("spool: the oldest segments are dropped", "reason", why.String(),
		"segments", g.segments, "records", g.records, "bytes", g.bytes)
	*g = givenUp{told: now}
}

// remove deletes the file of a segment that was given up, and notes it for later if it cannot.
func (s *Spool) remove(seg *segment) bool {
	err := s.dir.Remove(seg.name())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, errNotExist) {
		s.doomed = append(s.doomed, doomed{seg.name(), seg.size})
		s.log.Warn("spool: a segment cannot be deleted; it is tried again", "error", err)
		return false
	}
	s.disk -= seg.size
	return true
}

// degrade notes why Append fails until the disk has healed. It is logged once.
func (s *Spool) degrade(err error, need int64) {
	s.mu.Lock()
	fresh := s.degraded == nil
	s.degraded, s.need, s.lastCheck = err, need, time.Now()
	s.mu.Unlock()
	if fresh {
		s.log.Error("spool: the disk takes nothing; batches stay in memory until it does", "error", err)
	}
}
