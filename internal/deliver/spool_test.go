// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// memorySpool is a Spool without a disk. It keeps the contract to the letter, and can be told to
// fail, to hang, and to be small.
type memorySpool struct {
	t *testing.T

	mu      sync.Mutex // guards the following
	frames  []*memoryFrame
	given   map[Ref]*memoryFrame // held, those that were given up among them
	next    int64
	stats   SpoolStats
	most    int           // frames; 0 is any number
	tight   bool          // others leave hardly any room
	fail    error         // of Append
	blind   error         // of Next
	hang    chan struct{} // Append waits until it is closed
	appends int
	panics  int // how many calls of Append and Next panic
}

type memoryFrame struct {
	ref     Ref
	bytes   []byte
	done    int // records
	held    bool
	aside   bool
	again   bool
	evicted bool
	at      time.Time
}

var _ Spool = (*memorySpool)(nil)

func newMemorySpool(t *testing.T) *memorySpool {
	return &memorySpool{t: t, given: map[Ref]*memoryFrame{}}
}

// reopen returns the spool as the next run finds it.
func (s *memorySpool) reopen() *memorySpool {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := newMemorySpool(s.t)
	again.next = s.next
	for _, f := range s.frames {
		ref := f.ref
		ref.Recovered = true
		again.frames = append(again.frames, &memoryFrame{ref: ref, bytes: f.bytes, at: f.at})
		again.stats.Recovered += uint64(ref.Records)
	}
	return again
}

func (s *memorySpool) set(change func(*memorySpool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *memorySpool) Append(b *record.Batch) (Ref, error) {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appends++
	if s.panics > 0 {
		s.panics--
		panic("a mistake in the spool")
	}
	s.stats.Degraded = s.fail
	if s.fail != nil {
		return Ref{}, s.fail
	}
	for s.full() {
		s.evict()
	}
	return s.append(b, false), nil
}

func (s *memorySpool) AppendRest(of Ref, b *record.Batch) (Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given[of] == nil {
		s.t.Errorf("rest of the frame %+v, which is not held", of)
	}
	if s.fail != nil || s.hang != nil || s.full() {
		return Ref{}, errDisk
	}
	return s.append(b, of.Recovered), nil
}

// append is both. s.mu is held.
func (s *memorySpool) append(b *record.Batch, recovered bool) Ref {
	if _, err := record.Inspect(b.Bytes()); err != nil {
		s.t.Errorf("appended: %v", err)
	}
	s.next++
	f := &memoryFrame{bytes: bytes.Clone(b.Bytes()), held: true, at: time.Now(),
		ref: Ref{Segment: 1, Offset: s.next, Records: b.Records(), Recovered: recovered}}
	s.frames = append(s.frames, f)
	s.given[f.ref] = f
	s.stats.Appended += uint64(b.Records())
	return f.ref
}

// full tells whether another frame costs the oldest. s.mu is held.
func (s *memorySpool) full() bool { return s.most > 0 && len(s.frames) >= s.most }

// evict gives up the oldest frame. s.mu is held.
func (s *memorySpool) evict() {
	f := s.frames[0]
	s.frames = s.frames[1:]
	f.evicted = true
	if !f.held {
		s.lose(f)
	}
}

func (s *memorySpool) lose(f *memoryFrame) {
	s.stats.Dropped[SpoolFull] += f.left()
	if !f.ref.Recovered {
		s.stats.OwnDropped[SpoolFull] += f.left()
	}
}

func (s *memorySpool) Next(b *record.Batch) (Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics > 0 {
		s.panics--
		panic("a mistake in the spool")
	}
	if s.blind != nil {
		return Ref{}, s.blind
	}
	for _, f := range s.frames {
		if f.held || f.aside {
			continue
		}
		f.held = true
		f.ref.Again = f.again
		s.given[f.ref] = f
		if err := b.Load(f.bytes); err != nil {
			s.t.Error(err)
		}
		return f.ref, nil
	}
	return Ref{}, ErrSpoolEmpty
}

func (s *memorySpool) Settle(ref Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.take(ref)
	s.stats.Settled += f.left()
	s.frames = slices.DeleteFunc(s.frames, func(o *memoryFrame) bool { return o == f })
}

func (s *memorySpool) SettlePart(ref Ref, records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.given[ref]
	if f == nil || uint64(records) >= f.left() {
		s.t.Errorf("%d records of the frame %+v, which is %+v", records, ref, f)
		return
	}
	f.done += records
	s.stats.Settled += uint64(records)
}

func (f *memoryFrame) left() uint64 { return uint64(f.ref.Records - f.done) }

func (s *memorySpool) Release(ref Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.take(ref)
	if f.done > 0 {
		s.t.Errorf("frame %+v is released, and %d records are done", ref, f.done)
	}
	if f.evicted {
		s.lose(f)
	}
}

func (s *memorySpool) SetAside(ref Ref) {
	s.Release(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.frames {
		if f.ref == ref {
			f.aside, f.again = true, true
		}
	}
}

func (s *memorySpool) Recall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.frames {
		f.aside = false
	}
}

// take ends that the frame is held. s.mu is held.
func (s *memorySpool) take(ref Ref) *memoryFrame {
	f := s.given[ref]
	if f == nil {
		s.t.Errorf("frame %+v is not held", ref)
		return &memoryFrame{}
	}
	delete(s.given, ref)
	f.held = false
	return f
}

func (s *memorySpool) Stats() SpoolStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	for i, f := range s.frames {
		if i == 0 {
			st.Oldest = f.at
		}
		st.Batches++
		st.Bytes += uint64(len(f.bytes))
		st.Records += f.left()
		if f.aside {
			st.Aside++
		}
	}
	st.Full = s.tight || s.full()
	for _, f := range s.given {
		if f.evicted {
			st.Records += f.left()
		}
	}
	return st
}

func (s *memorySpool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, f := range s.given {
		if f.evicted {
			s.lose(f)
			delete(s.given, ref)
		}
	}
	return nil
}

// balanced checks the law of the spool, and that nothing but what is on disk is left.
func (s *memorySpool) balanced() SpoolStats {
	s.t.Helper()
	st := s.Stats()
	out := st.Settled + st.Records
	for _, n := range st.Dropped {
		out += n
	}
	if st.Recovered+st.Appended != out {
		s.t.Errorf("the spool does not balance: %+v", st)
	}
	return st
}

var errDisk = errors.New("no space left on device")
