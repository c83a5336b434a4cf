// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A broker takes a batch for a repetition when its identity, first and last sequence are those
// of one that it has. A sequence that may be taken must therefore not be used for another batch:
// the broker would acknowledge it, and throw it away.
func TestTheSequenceOfABatchThatMayBeThereIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		requests := 0
		r.c.onProduce = func(int32) outcome {
			switch requests++; requests {
			case 1:
				return outcome{appended: true, err: &Fault{State: Unreachable, Verdict: Unknown, Err: errors.New("cut")}}
			case 2: // the limit was lowered meanwhile
				return outcome{err: &Fault{State: RejectedState, Verdict: Rejected, Reason: TooLarge, Err: errors.New("MESSAGE_TOO_LARGE")}}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		for range 2 { // two batches of as many records
			r.put(in, 10)
			time.Sleep(time.Second) // virtual
			r.put(in, 0)
		}
		n := r.finish(in)
		got := r.c.received()
		for v := uint64(10); v < 20; v++ {
			if got[v] != 1 {
				t.Fatalf("record %d was acknowledged and arrived %d times; %+v", v, got[v], n)
			}
		}
		r.check(n)
		if n.Acknowledged != 20 || n.Redelivered != 10 || r.c.nextID != 2 {
			t.Errorf("%+v", n)
		}
	})
}

// The incident that this sensor exists for: the cluster answers every question but takes nothing.
func TestAnsweredLookUpsDoNotHideThatNothingIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 4)
		r.c.onProduce = func(int32) outcome { return outcome{silent: true} }
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(200 * time.Millisecond) // virtual
		r.put(in, 0)
		time.Sleep(11 * time.Second) // virtual: past the first time-out
		for range 60 {
			if s := r.d.Status(); s.State != NoAnswer || s.LastError == "" {
				t.Fatalf("%+v", s)
			}
			time.Sleep(time.Second) // virtual
		}
		r.c.mu.Lock()
		r.c.onProduce = nil
		r.c.mu.Unlock()
		r.check(r.finish(in))
		if s := r.d.Status(); s.State != Flowing {
			t.Errorf("%+v", s)
		}
	})
}

func TestATopicWhosePartitionsAllLackALeaderIsNotFlowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 4)
		r.c.leaders = []int32{NoLeader, NoLeader}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(time.Second) // virtual
		r.put(in, 0)
		if s := r.d.Status(); s.State != NoLeaderState || s.Leaderless != 2 {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		r.c.leaders = []int32{NoLeader, 1}
		r.c.mu.Unlock()
		r.check(r.finish(in))
		if s := r.d.Status(); s.State != Flowing {
			t.Errorf("%+v", s)
		}
	})
}

func TestARefusedBatchIsNewsForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		r.c.onProduce = func(int32) outcome {
			return outcome{err: &Fault{State: RejectedState, Verdict: Rejected, Reason: TooLarge, Err: errors.New("MESSAGE_TOO_LARGE")}}
		}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(time.Second) // virtual
		r.put(in, 0)
		synctest.Wait()
		if s := r.d.Status(); s.State != RejectedState || s.LastError == "" {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute) // virtual
		if s := r.d.Status(); s.State != Idle {
			t.Errorf("%+v", s)
		}
		r.finish(in)
	})
}

func TestARefusalIsToldAlsoAfterAnotherFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		fault := &Fault{State: Unauthorized, Verdict: Unsent, Err: errors.New("AUTHORIZATION_FAILED")}
		r.c.onProduce = func(int32) outcome { return outcome{err: fault} }
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(time.Second) // virtual
		r.put(in, 0)
		time.Sleep(5 * time.Second) // virtual
		if s := r.d.Status(); s.State != Unauthorized {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		fault = &Fault{State: RejectedState, Verdict: Rejected, Reason: RejectedByBroker,
			Err: errors.New("INVALID_TIMESTAMP")}
		r.c.mu.Unlock()
		time.Sleep(5 * time.Second) // virtual
		r.put(in, 10)
		synctest.Wait()
		if s := r.d.Status(); s.State != RejectedState || s.LastError != fault.Error() {
			t.Errorf("%+v", s)
		}
		r.finish(in)
	})
}

// A lane that waits for memory when everything is given up may get some, for the batches given
// up make room. What it then hands on comes too late, and must be counted all the same.
func TestABatchHandedOnAfterTheEndIsDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		r.cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		r.put(in, 5)
		in.Close()
		r.d.Finish()
		if n := r.settled(); n.Dropped[Shutdown] != 15 {
			t.Errorf("%+v", n)
		}
	})
}

// counted counts the requests of each partition that are under way at a time.
type counted struct {
	*cluster
	mu   sync.Mutex // guards the following
	now  map[int32]int
	most int
}

func (c *counted) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	c.mu.Lock()
	c.now[partition]++
	c.most = max(c.most, c.now[partition])
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now[partition]--
		c.mu.Unlock()
	}()
	return c.cluster.Produce(ctx, node, partition, batch)
}

var _ Producer = (*counted)(nil)

func TestAPartitionThatWentAndCameBackIsLeftToOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 8)
		c := &counted{cluster: r.c, now: map[int32]int{}}
		r.d.producer = c
		r.c.onProduce = func(p int32) outcome { return outcome{silent: p == 1, appended: p != 1} }
		r.run()
		in := r.d.LiveIntake()
		leaders := func(l ...int32) {
			r.c.mu.Lock()
			r.c.leaders = l
			r.c.mu.Unlock()
			r.d.topic.ask()
			time.Sleep(time.Second) // virtual: less than the request takes
		}
		for range 20 {
			r.put(in, 10)
			time.Sleep(200 * time.Millisecond) // virtual
			r.put(in, 0)
			synctest.Wait()
			leaders(0)
			leaders(0, 0)
		}
		time.Sleep(time.Minute) // virtual: the requests of those that left have timed out
		c.mu.Lock()
		c.most = 0
		c.mu.Unlock()
		for range 20 {
			r.put(in, 10)
			time.Sleep(time.Second) // virtual
			r.put(in, 0)
		}
		c.mu.Lock()
		if c.most > 1 {
			t.Errorf("%d requests at a time for one partition", c.most)
		}
		c.mu.Unlock()
		r.c.mu.Lock()
		r.c.onProduce = nil
		r.c.mu.Unlock()
		r.check(r.finish(in))
	})
}

// The spooler takes away a batch of unknown outcome, and its worker, whose partition has no
// leader at that moment, gives back what it does not have any more. The sequence of that batch
// may be taken all the same.
func TestTheSequenceOfABatchThatWasTakenAwayIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := withSpool(t, 1, 8)
		requests := 0
		r.c.onProduce = func(int32) outcome {
			if requests++; requests == 1 {
				r.c.leaders[0] = NoLeader
				return outcome{appended: true, err: cut}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		in.Flush()
		time.Sleep(time.Second) // virtual
		for range 4 {           // more than a quarter of memory is to stay free
			r.put(in, 10)
			in.Flush()
			time.Sleep(200 * time.Millisecond) // virtual
		}
		time.Sleep(20 * time.Second) // virtual: the worker has tried again
		r.put(in, 10)
		in.Flush() // live, so it is sent before what comes back from disk
		r.c.mu.Lock()
		r.c.leaders[0] = 0
		r.c.mu.Unlock()
		time.Sleep(30 * time.Second) // virtual
		n := r.finish(in)
		r.check(n)
		if got := len(r.c.received()); n.Acknowledged != 60 || got != 60 || n.Redelivered != 10 {
			t.Errorf("%+v, %d arrived", n, got)
		}
	})
}

// TestAKnownFailureIsNotCalledNoAnswer: with a short time-out a request is late before a failure
// of one partition has lasted, and what is known says more than that time passes.
func TestAKnownFailureIsNotCalledNoAnswer(t *testing.T) {
	for name, other := range map[string]time.Duration{
		"the other partition is well": time.Hour, "and soon fails as well": 700 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, 32, func(c *Config) { c.RequestTimeout = time.Second })
				start := time.Now()
				r.c.onProduce = func(p int32) outcome {
					if p == 1 {
						r.c.leaders[1] = NoLeader
						return outcome{err: &Fault{State: NoLeaderState, Verdict: Unknown, Err: errNoLeader}}
					}
					if time.Since(start) > other {
						return outcome{err: &Fault{State: BrokerError, Verdict: Unknown, Err: errors.New("UNKNOWN")}}
					}
					return fine
				}
				r.run()
				in := r.d.LiveIntake()
				seen := map[State]bool{}
				for range 100 {
					r.put(in, 5)
					time.Sleep(100 * time.Millisecond) // virtual
					seen[r.d.Status().State] = true
				}
				if seen[NoAnswer] || !seen[NoLeaderState] {
					t.Errorf("it was in turn %v", seen)
				}
				r.c.mu.Lock()
				r.c.onProduce, r.c.leaders[1] = nil, 0
				r.c.mu.Unlock()
				r.check(r.finish(in))
			})
		})
	}
}

func TestTheStatusSaysThatNothingIsKeptAtMostOnce(t *testing.T) {
	for mode, want := range map[Mode]bool{AtLeastOnce: false, AtMostOnce: true} {
		r := newRig(t, 1, 4, func(c *Config) { c.Mode = mode })
		if got := r.d.Status().Once; got != want {
			t.Errorf("%v: %v", mode, got)
		}
	}
}

func TestTheSentenceDoesNotSayWhatNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4, func(c *Config) { c.Mode, c.Unconfirmed = AtMostOnce, true })
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		in.Flush()
		synctest.Wait()
		if s := r.d.Status(); s.State != Flowing || strings.Contains(s.Sentence, "acknowledged") {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		r.c.onProduce = func(int32) outcome { return outcome{err: cut} }
		r.c.mu.Unlock()
		r.put(in, 10)
		in.Flush()
		time.Sleep(time.Second) // virtual
		s := r.d.Status()
		if s.State != Dropping || !strings.Contains(s.Sentence, "do not answer") ||
			strings.Contains(s.Sentence, "no room") {
			t.Errorf("%+v", s)
		}
		r.finish(in)
	})
}
