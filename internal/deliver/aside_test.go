// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// belonging returns how many of the records that were put belong to a partition.
func (r *rig) belonging(partition int32) (n uint64) {
	for v := range r.next {
		if key := keyOf(v); key != nil && record.Partition(key, int32(len(r.c.leaders))) == partition {
			n++
		}
	}
	return n
}

// asides returns how many frames are set aside.
func asides(s *memorySpool) (n int) {
	s.set(func(s *memorySpool) {
		for _, f := range s.frames {
			if f.aside {
				n++
			}
		}
	})
	return n
}

func TestWhatWaitsOnDiskForALeaderHoldsUpNothingElseThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		if n := asides(s); n != 0 {
			t.Errorf("%d frames are set aside, and no partition has a leader", n)
		}
		r.lead(0, 2)
		time.Sleep(5 * time.Minute) // virtual
		if st, want := s.Stats(), r.belonging(1); st.Records != want {
			t.Errorf("%d records wait, want %d", st.Records, want)
		}
		if asides(s) == 0 {
			t.Error("no frame is set aside")
		}
		if st := r.d.Status(); st.State != NoLeaderState {
			t.Errorf("%s while a partition has no leader: %s", st.State, st.Sentence)
		}
		if free := r.pool.Free(); free < r.pool.Batches()/2 {
			t.Errorf("%d of %d batches are free", free, r.pool.Batches())
		}
		r.lead(1)
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || n.Redelivered != 0 || asides(s) != 0 {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

func TestWhatWaitsOnDiskForAPartitionThatFailsHoldsUpNothingElseThere(t *testing.T) {
	for name, f := range map[string]Fault{
		"its broker cannot be reached": {State: Unreachable, Verdict: Unsent, Err: errors.New("refused")},
		"too few replicas":             {State: NotEnoughReplicas, Verdict: Unknown, Err: errors.New("too few")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s, in := leaderless(t, 100)
				r.c.mu.Lock()
				r.c.onProduce = func(p int32) outcome {
					if p == 2 {
						return fine
					}
					return outcome{err: &f}
				}
				r.c.mu.Unlock()
				r.lead(0, 1, 2)
				time.Sleep(5 * time.Minute) // virtual
				if st, want := s.Stats(), r.next-r.belonging(2); st.Records > want || asides(s) == 0 {
					t.Errorf("%d records wait, want %d, of which %d frames are set aside", st.Records, want, asides(s))
				}
				if st := r.d.Status(); st.State != f.State {
					t.Errorf("%s while partitions fail: %s", st.State, st.Sentence)
				}
				r.answer(fine)
				time.Sleep(time.Minute) // virtual: workers try again
				if st := s.Stats(); st.Records != 0 || asides(s) != 0 {
					t.Errorf("%d records wait", st.Records)
				}
				n := r.finish(in)
				r.check(n)
				if n.Acknowledged != r.next {
					t.Errorf("%d put, %+v", r.next, n)
				}
			})
		})
	}
}

// mixed returns a rig with so many frames on disk, each with records of all partitions, for nobody
// knew of partitions when they were sealed.
func mixed(t *testing.T, frames int) (*rig, *memorySpool, *Intake) {
	r, s := withSpool(t, 3, 40, keyed)
	r.c.onLeaders = func() error {
		return &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}
	}
	in := r.spill(frames)
	r.c.mu.Lock()
	r.c.onLeaders, r.c.leaders[1] = nil, NoLeader
	r.c.mu.Unlock()
	time.Sleep(5 * time.Minute) // virtual
	return r, s, in
}

func TestOfAFrameForAllPartitionsThatOfOneIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := mixed(t, 100)
		if st, want := s.Stats(), r.belonging(1); st.Records != want {
			t.Errorf("%d records wait, want %d", st.Records, want)
		}
		r.lead(1)
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || n.Redelivered != 0 {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

// ended ends the run at once, and returns its account.
func (r *rig) ended(s *memorySpool, in *Intake) Counters {
	in.Close()
	r.d.Finish()
	r.cancel()
	if err := <-r.done; err != nil {
		r.Error(err)
	}
	s.Close()
	s.balanced()
	return r.settled()
}

func TestWhatIsSetAsideIsThereAtTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		r.lead(0, 2)
		n := r.ended(s, in)
		next := r.restart(s.reopen())
		n2 := next.finish(next.d.FileIntake(next.hard))
		if n.Acknowledged+n2.Replayed != r.next || n.Redelivered+n2.Redelivered != 0 {
			t.Errorf("%d put, %+v, then %+v", r.next, n, n2)
		}
	})
}

func TestARunOverFilesDoesNotEndBeforeWhatIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		r.ended(s, in)
		next := r.successor(s.reopen())
		next.c.leaders[0], next.c.leaders[2] = 0, 0
		next.run()
		next.d.FileIntake(next.hard).Close()
		next.d.Finish()
		time.Sleep(5 * time.Minute) // virtual
		select {
		case <-next.done:
			t.Error("the run has ended")
		default:
		}
		next.lead(1)
		if err := <-next.done; err != nil {
			t.Error(err)
		}
		if n := next.settled(); n.Replayed != r.next || n.Redelivered != 0 {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

func TestWhatMayBeThereAlreadyIsCountedOnceHoweverOftenItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 3, 12, keyed)
		r.answer(outcome{err: &Fault{State: NoAnswer, Verdict: Unknown, Err: errors.New("nobody answers")}})
		r.ended(s, r.spill(30))
		next := r.successor(s.reopen())
		next.c.onProduce, next.c.leaders[1] = nil, NoLeader
		next.run()
		in := next.d.FileIntake(next.hard)
		time.Sleep(5 * time.Minute) // virtual
		if asides(next.d.cfg.Spool.(*memorySpool)) == 0 {
			t.Error("no frame is set aside")
		}
		before := next.d.Counters().Redelivered
		next.lead(1)
		n := next.finish(in)
		if before == 0 || n.Redelivered != before {
			t.Errorf("%d were redelivered before there was a leader, %d after that", before, n.Redelivered)
		}
	})
}

// refusing makes requests to some partitions fail.
func (r *rig) refusing(partitions ...int32) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	f := &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}
	r.c.onProduce = func(p int32) outcome {
		if slices.Contains(partitions, p) {
			return outcome{err: f}
		}
		return fine
	}
}

// waits checks how many records are on disk.
func (s *memorySpool) waits(want uint64) {
	s.t.Helper()
	if st := s.Stats(); st.Records != want {
		s.t.Errorf("%d records wait, %d frames of them set aside, want %d", st.Records, asides(s), want)
	}
}

func TestWhatIsSetAsideComesAgainThoughTheFirstBatchIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		r.refusing(0, 1)
		r.lead(0, 1, 2)
		time.Sleep(5 * time.Minute) // virtual
		if asides(s) == 0 {
			t.Error("no frame is set aside")
		}
		r.c.mu.Lock()
		r.c.onProduce, r.c.limit = nil, 3000
		r.c.mu.Unlock()
		time.Sleep(2 * time.Minute) // virtual: workers try again
		s.waits(0)
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || n.Split == 0 {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

func TestThePartitionThatIsBackFirstWhenAllWereAwayGetsWhatIsSetAsideForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		r.lead(0, 2)
		if asides(s) == 0 {
			t.Error("no frame is set aside")
		}
		old := r.belonging(0) + r.belonging(2)
		r.refusing(0, 2)
		r.put(in, 500)
		in.Flush()
		time.Sleep(time.Minute) // virtual
		r.lead(1)
		s.waits(r.belonging(0) + r.belonging(2) - old)
		r.refusing()
		r.check(r.finish(in))
	})
}

// TestAPartitionWithNothingToTryWithIsTriedAllTheSame has two partitions of one broker fail, of which one
// recovers: the one without the frame that is kept to try with. Nothing else comes for it.
func TestAPartitionWithNothingToTryWithIsTriedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		r.refusing(0, 1)
		r.lead(0, 1, 2)
		time.Sleep(5 * time.Minute) // virtual
		ill := int32(0)
		if r.d.queue.of(1).aside < r.d.queue.of(0).aside {
			ill = 1
		}
		r.refusing(ill)
		time.Sleep(20 * time.Minute) // virtual
		s.waits(r.belonging(ill))
		r.refusing()
		time.Sleep(time.Minute) // virtual
		r.check(r.finish(in))
	})
}

// TestARunOverFilesEndsWhenWhatWasSetAsideIsDropped for it has nothing left to deliver.
func TestARunOverFilesEndsWhenWhatWasSetAsideIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 100)
		r.ended(s, in)
		again := s.reopen()
		next := r.successor(again)
		next.c.leaders[0], next.c.leaders[2] = 0, 0
		next.run()
		next.d.FileIntake(next.hard).Close()
		next.d.Finish()
		time.Sleep(5 * time.Minute) // virtual
		if asides(again) == 0 {
			t.Error("no frame is set aside")
		}
		if st := next.d.Status(); !strings.Contains(st.Sentence, "wait on disk") {
			t.Error(st.Sentence)
		}
		again.set(func(s *memorySpool) {
			for len(s.frames) > 0 {
				s.evict()
			}
		})
		time.Sleep(time.Minute) // virtual
		select {
		case <-next.done:
		default:
			t.Error("the run waits for what is not there any more")
			next.cancel()
			<-next.done
		}
	})
}

func TestTheRestOfAFrameThatIsNotWrittenDoesNotMakeADiskThatFailsWell(t *testing.T) {
	r, s := withSpool(t, 1, 8, keyed)
	of := Ref{Segment: 1, Offset: 1, Records: 2}
	s.set(func(s *memorySpool) { s.fail, s.given[of] = errDisk, &memoryFrame{} })
	b := r.pool.TryGet()
	defer r.pool.Put(b)
	for _, of := range []Ref{{}, of} {
		if _, err := r.d.spooler.append(b, of); err == nil {
			t.Error("no error")
		}
		if r.d.spooler.usable(time.Now()) {
			t.Errorf("the disk is of use after the failure with %+v", of)
		}
	}
}
