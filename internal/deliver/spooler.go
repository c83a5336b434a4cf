// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// pressurePause is after how long the spooler looks again for memory that it could not get.
const pressurePause = 50 * time.Millisecond

// spooler moves batches from memory to disk: those that wait for too long, and, oldest first,
// as many as it takes to keep a quarter of the pool free for live capture. In durable mode every
// batch passes here before it is sent.
//
// It is the only goroutine that waits for Append, and it owns no batch while it does: what is
// written is a copy. So a disk that is slow, or never answers, costs nobody else anything; then
// there is no spool, and memory has to do.
type spooler struct {
	d     *Delivery
	own   chan *record.Batch // the arena of what Append reads, while no Append is under way
	pulse *Pulse             // the goroutine's
	kick  chan struct{}
	quiet chan struct{} // closed when nobody but the spooler works on parcels

	mu    sync.Mutex // guards the following
	fresh []*parcel  // durable mode: to be written before they are sent
	begun time.Time  // of the Append under way; zero when there is none
	sick  time.Time  // when the newest Append failed; zero when it did not

	leaving  atomic.Bool // set when everything is to be written
	hindered atomic.Bool // see drainer.clear
}

func newSpooler(d *Delivery) *spooler {
	return &spooler{
		d: d, own: make(chan *record.Batch, 1), kick: make(chan struct{}, 1),
		quiet: make(chan struct{}),
	}
}

func (s *spooler) wake() {
	select {
	case s.kick <- struct{}{}:
	default: // awake already
	}
}

// admit leads a sealed parcel to the workers, in durable mode by way of the disk.
func (d *Delivery) admit(p *parcel) {
	if d.cfg.Durable && d.spooler.take(p) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d.queue.put(p)
}

// take takes p over to be written first, unless the disk is of no use now.
func (s *spooler) take(p *parcel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.stalled(now) || s.failing(now) {
		return false
	}
	s.fresh = append(s.fresh, p)
	s.wake()
	return true
}

// usable tells whether the disk takes what is written.
func (s *spooler) usable(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stalled(now) && !s.failing(now)
}

// stalled tells whether the disk has kept an Append waiting for too long. s.mu is held.
func (s *spooler) stalled(now time.Time) bool {
	return !s.begun.IsZero() && now.Sub(s.begun) > s.d.cfg.SpoolAfter
}

// failing tells whether the disk has failed just now. A while later it is tried again. s.mu is
// held.
func (s *spooler) failing(now time.Time) bool {
	return !s.sick.IsZero() && now.Sub(s.sick) < s.d.cfg.BackoffMax
}

// bypass leads what waits for the disk to the workers, if the disk is of no use now.
func (s *spooler) bypass(now time.Time) {
	s.mu.Lock()
	var waiting []*parcel
	if s.stalled(now) || s.failing(now) {
		waiting, s.fresh = s.fresh, nil
	}
	s.mu.Unlock()
	for _, p := range waiting {
		p.mu.Lock()
		s.d.queue.put(p)
		p.mu.Unlock()
	}
}

// run works until ctx ends, and then until everything is on disk.
func (s *spooler) run(ctx context.Context) {
	s.d.keep(ctx, "spooler", s.work)
	<-s.quiet
	s.d.survives("spooler", s.last)
}

func (s *spooler) work(ctx context.Context) {
	pause := backoff{min: s.d.cfg.BackoffMin, max: s.d.cfg.BackoffMax}
	s.pulse = pulseOf(ctx)
	for ctx.Err() == nil {
		s.pulse.Turn()
		wait, err := s.pass(time.Now())
		if err != nil {
			wait = pause.next()
			s.bypass(time.Now())
			if !sleep(ctx, wait) { // a kick does not heal a disk
				return
			}
			continue
		}
		pause.reset()
		timer := time.NewTimer(wait)
		s.pulse.Wait()
		select {
		case <-s.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// pass writes what is to be written now, and returns after how long there may be more.
func (s *spooler) pass(now time.Time) (wait time.Duration, err error) {
	if err := s.writeFresh(); err != nil {
		return 0, err
	}
	if s.hindered.Swap(false) {
		s.setAside()
	}
	need := s.d.underPressure()
	for _, p := range s.d.oldestFirst() {
		if p.origin != fromLane || !s.d.live.Load() {
			continue
		}
		age := now.Sub(p.since)
		if age < s.d.cfg.SpoolAfter && need <= 0 {
			return s.d.cfg.SpoolAfter - age, nil
		}
		if age < s.d.cfg.SpoolAfter && p.inRequest() {
			continue // its memory cannot be had now, and it may well be acknowledged
		}
		if err := s.save(p); err != nil {
			return 0, err
		}
		s.evict(p, need > 0)
		need = s.d.underPressure() // what was evicted may share its arena with others
	}
	if need > 0 {
		return pressurePause, nil
	}
	return s.d.cfg.SpoolAfter, nil
}

// writeFresh writes what is to be on disk before it is sent.
func (s *spooler) writeFresh() error {
	for {
		s.mu.Lock()
		if len(s.fresh) == 0 {
			s.mu.Unlock()
			return nil
		}
		p := s.fresh[0] // stays there, so that bypass finds it
		s.mu.Unlock()
		err := s.save(p)
		s.mu.Lock()
		at := slices.Index(s.fresh, p)
		if at >= 0 {
			s.fresh = slices.Delete(s.fresh, at, at+1)
		}
		s.mu.Unlock()
		if at >= 0 {
			p.mu.Lock()
			s.d.queue.put(p)
			p.mu.Unlock()
		}
		if err != nil {
			return err
		}
	}
}

// save makes sure that what is left of p is on disk.
func (s *spooler) save(p *parcel) error {
	b := <-s.own
	defer func() { s.own <- b }()
	p.mu.Lock()
	rewrite := p.origin == fromLane && s.leaving.Load()              // what does not say what it should
	split := p.origin != fromLane && !s.leaving.Load() && !p.apart() // to be set aside
	if p.batch == nil || !p.sealed || p.whole() && !split && (p.honest() || !rewrite) {
		p.mu.Unlock()
		return nil
	}
	var of Ref // the frame that the parcel was read from
	if p.origin != fromLane && len(p.frames) > 0 {
		of = p.frames[0].ref
	}
	b.Copy(p.batch)
	if !p.sent {
		b.Stamp(record.NoProducer, -1) // whoever reads it back must not take it for a repetition
	}
	total := p.batch.Total()
	p.mu.Unlock()
	frames, err := s.write(b, of)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 0
	if p.batch != nil {
		left = p.batch.Total()
	}
	for _, f := range p.frames { // they hold too much, or do not say what they should
		s.d.cfg.Spool.Settle(f.ref)
	}
	p.frames = frames
	p.spent(total-left, s.d.cfg.Spool)
	return nil
}

// write appends all parts of b, or what is left of the frame of. After an error, none of them is
// on disk.
func (s *spooler) write(b *record.Batch, of Ref) ([]frame, error) {
	var frames []frame
	for more := true; more; more = b.Next() {
		ref, err := s.append(b, of)
		if err != nil {
			for _, f := range frames {
				s.d.cfg.Spool.Settle(f.ref)
			}
			return nil, err
		}
		frames = append(frames, frame{ref, ref.Records, b.Stamped()})
	}
	return frames, nil
}

var errBroken = errors.New("a mistake in the spool")

// append is Append with a note of when it began and how it ended, be it with a panic.
func (s *spooler) append(b *record.Batch, of Ref) (ref Ref, err error) {
	s.note(time.Now())
	s.pulse.Wait() // a disk that hangs is a state of its own, and no restart heals it
	err = errBroken
	defer func() {
		s.pulse.Turn()
		s.note(time.Time{})
		if of == (Ref{}) { // else the frame is there as it was, and the next Append tells
			s.judge(err)
		}
	}()
	if of == (Ref{}) {
		ref, err = s.d.cfg.Spool.Append(b)
	} else {
		ref, err = s.d.cfg.Spool.AppendRest(of, b)
	}
	return ref, err
}

// note notes that an Append is under way, or that none is.
func (s *spooler) note(begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = begun
}

// judge notes how an Append ended.
func (s *spooler) judge(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.sick = time.Time{}
		return
	}
	if s.sick.IsZero() {
		s.d.log.Error("deliver: the spool cannot be written; batches wait in memory", "error", err)
	}
	s.sick = time.Now()
}

// evict frees the memory of p, which is on disk. One that waits in the queue goes: it would have
// been sent long ago. One that is with a worker and may have been sent stays, so that the same
// bytes go to the same partition again, unless its memory is needed.
func (s *spooler) evict(p *parcel, needed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil || p.busy || !p.whole() {
		return
	}
	if !s.d.queue.steal(p) && !(needed && p.sent) {
		return
	}
	p.countRepeat(s.d)
	s.d.release(p)
}

// underPressure returns how many batches must become free so that a quarter of the pool is, for
// live capture.
func (d *Delivery) underPressure() int {
	if d.cfg.Spool == nil || !d.live.Load() {
		return 0
	}
	return (d.pool.Batches()+3)/4 - d.pool.Free()
}

// last writes everything that is left, until the lanes have ended and nothing is, or until Run
// does not wait any longer.
func (s *spooler) last() {
	d := s.d
	s.leaving.Store(true)
	d.leave()
	s.mu.Lock()
	s.fresh = nil // nobody sends any more
	s.mu.Unlock()
	for {
		for _, from := range d.sealing {
			for sealing := true; sealing; {
				select {
				case p := <-from:
					d.seal(d.compressors[0], []*parcel{p})
				default: // nothing comes but from a lane, which wakes us
					sealing = false
				}
			}
		}
		for _, p := range d.oldestFirst() {
			err := s.save(p)
			if p.origin != fromLane {
				d.forget(p)
				continue
			}
			if err != nil {
				return // abandon leaves what is on disk there, and drops the rest
			}
			d.leaveOnDisk(p)
		}
		if d.isOver() {
			return
		}
		select {
		case <-s.kick:
		case <-d.drained:
			return
		}
	}
}
