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
	fail    error         // of Append
	blind   error         // of Next
	hang    chan struct{} // Append waits until it is closed
	appends int
	panics  int // how many calls of Append and Next panic
}

type memoryFrame struct {
	ref     Ref
	bytes   []byte
	held    bool
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
	if _, err := record.Inspect(b.Bytes()); err != nil {
		s.t.Errorf("appended: %v", err)
	}
	for s.most > 0 && len(s.frames) >= s.most {
		s.evict()
	}
	s.next++
	f := &memoryFrame{ref: Ref{Segment: 1, Offset: s.next, Records: b.Records()},
		bytes: bytes.Clone(b.Bytes()), held: true, at: time.Now()}
	s.frames = append(s.frames, f)
	s.given[f.ref] = f
	s.stats.Appended += uint64(b.Records())
	return f.ref, nil
}

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
	s.stats.Dropped[SpoolFull] += uint64(f.ref.Records)
	if !f.ref.Recovered {
		s.stats.OwnDropped[SpoolFull] += uint64(f.ref.Records)
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
		if f.held {
			continue
		}
		f.held = true
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
	s.stats.Settled += uint64(ref.Records)
	s.frames = slices.DeleteFunc(s.frames, func(o *memoryFrame) bool { return o == f })
}

func (s *memorySpool) Release(ref Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.take(ref); f.evicted {
		s.lose(f)
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
		st.Records += uint64(f.ref.Records)
	}
	for _, f := range s.given {
		if f.evicted {
			st.Records += uint64(f.ref.Records)
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
