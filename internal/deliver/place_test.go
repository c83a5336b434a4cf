// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

func keyed(c *Config) { c.Keyed = true }

// inOrder checks that the records of each key are in one partition, in the order that they came.
func (r *rig) inOrder() {
	r.Helper()
	last, where := map[string]uint64{}, map[string]int{}
	for p, l := range r.c.logs {
		for _, v := range l.values {
			key := string(keyOf(v))
			if key == "" {
				continue
			}
			if before, seen := last[key]; seen && (before >= v || where[key] != p) {
				r.Fatalf("%s: %d in partition %d comes after %d in %d", key, v, p, before, where[key])
			}
			last[key], where[key] = v, p
		}
	}
	if len(last) < 30 {
		r.Errorf("%d keys arrived", len(last))
	}
}

func TestRecordsOfAKeyAreInOnePartitionInTheirOrder(t *testing.T) {
	for name, codec := range map[string]record.Codec{"uncompressed": record.None, "snappy": record.Snappy} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 12, 8, keyed, func(c *Config) { c.Codec = codec })
				r.c.onProduce = func(int32) outcome { // a broker that is at times away
					if r.c.requests%7 == 0 {
						return outcome{err: &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}}
					}
					return fine
				}
				in := r.d.FileIntake(r.hard)
				r.fill(in, 5000, 100) // before anything is known of the topic
				r.run()
				for range 40 {
					r.put(in, 2500)
					r.fill(in, 50, 20_000)
				}
				n := r.finish(in)
				r.check(n)
				r.inOrder()
				if n.Acknowledged != r.next || n.Redelivered != 0 {
					t.Errorf("%d put, %+v", r.next, n)
				}
			})
		})
	}
}

func TestOneWithoutALeaderHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 70, keyed)
		r.c.leaders[1] = NoLeader
		r.run()
		in := r.d.LiveIntake()
		for range 30 {
			r.put(in, 100)
			time.Sleep(300 * time.Millisecond) // virtual
		}
		time.Sleep(10 * time.Second) // virtual: the state is patient with one among many
		r.put(in, 0)
		synctest.Wait()
		r.c.mu.Lock()
		got, stuck := len(r.c.logs[0].values)+len(r.c.logs[2].values), len(r.c.logs[1].values)
		r.c.mu.Unlock()
		want := 0
		for v := range r.next {
			if key := keyOf(v); key == nil || record.Partition(key, 3) != 1 {
				want++
			}
		}
		if stuck != 0 || got != want {
			t.Errorf("%d in the others, of %d; %d in the one without a leader", got, want, stuck)
		}
		if s := r.d.Status(); s.State != NoLeaderState {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		r.c.leaders[1] = 0
		r.c.mu.Unlock()
		n := r.finish(in)
		r.check(n)
		r.inOrder()
		if n.Acknowledged != r.next {
			t.Errorf("%+v", n)
		}
	})
}

func TestWhatWaitsForALeaderWaitsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 3, 12, keyed)
		r.c.leaders[1] = NoLeader
		r.run()
		in := r.d.LiveIntake()
		for range 100 {
			r.put(in, 2000)
			time.Sleep(200 * time.Millisecond) // virtual
		}
		if st := s.Stats(); st.Records == 0 {
			t.Errorf("nothing is on disk: %+v", r.d.Counters())
		}
		if n := r.d.Counters(); n.Dropped != [NumReasons]uint64{} {
			t.Errorf("%+v", n)
		}
		r.c.mu.Lock()
		r.c.leaders[1] = 0
		r.c.mu.Unlock()
		time.Sleep(time.Minute) // virtual
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

// TestPartitionsAreAdded counts on the cluster to refuse what is where it does not belong any more:
// it looks at the partitions that there are now.
func TestPartitionsAreAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 12, keyed)
		r.c.leaders[0], r.c.leaders[1] = NoLeader, NoLeader // so that batches wait
		r.run()
		in := r.d.LiveIntake()
		for range 5 {
			r.fill(in, 500, 100)
			in.Flush()
			time.Sleep(time.Second) // virtual
		}
		more := newCluster(t, 5)
		r.c.mu.Lock()
		r.c.logs, r.c.leaders = more.logs, more.leaders
		r.c.mu.Unlock()
		time.Sleep(time.Minute) // virtual
		r.fill(in, 500, 100)
		n := r.finish(in)
		r.check(n)
		for p, l := range r.c.logs {
			if len(l.values) == 0 {
				t.Errorf("partition %d got nothing", p)
			}
		}
		if n.Acknowledged != r.next || n.Redelivered != 0 {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

func TestWhatComesFromDiskGoesWhereItsKeysSay(t *testing.T) {
	for name, partitions := range map[string]int{"the same partitions": 3, "more partitions": 7} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s := withSpool(t, 3, 12, keyed)
				r.c.onLeaders = func() error {
					return &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}
				}
				r.run()
				in := r.d.LiveIntake()
				for range 5 { // sealed while nobody knows how many partitions there are
					r.put(in, 2000)
					time.Sleep(3 * time.Second) // virtual
				}
				r.c.mu.Lock()
				r.c.onLeaders = func() error {
					clear(r.c.leaders)
					for i := range r.c.leaders {
						r.c.leaders[i] = NoLeader
					}
					return nil
				}
				r.c.mu.Unlock()
				time.Sleep(time.Minute) // virtual
				for range 5 {           // and when it is known
					r.put(in, 2000)
					time.Sleep(3 * time.Second) // virtual
				}
				in.Close()
				r.d.Finish()
				r.cancel()
				if err := <-r.done; err != nil {
					t.Error(err)
				}
				n := r.settled()
				if n.Spooled != r.next {
					t.Fatalf("%d put, %+v", r.next, n)
				}
				s.Close()
				r.c.logs = newCluster(t, partitions).logs
				r.c.leaders = make([]int32, partitions)
				again := s.reopen()
				next := r.restart(again)
				n = next.finish(next.d.FileIntake(next.hard))
				next.check(n)
				if n.Replayed != r.next || len(r.c.received()) != int(r.next) {
					t.Errorf("%d put, %d arrived: %+v", r.next, len(r.c.received()), n)
				}
			})
		})
	}
}

func TestWhatIsTooLargeForABrokerIsSplitWithKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 8, keyed)
		r.c.limit = 5000
		r.c.poison = map[uint64]bool{333: true}
		r.run()
		in := r.d.FileIntake(r.hard)
		r.fill(in, 3000, 300)
		n := r.finish(in)
		r.inOrder()
		if n.Acknowledged != r.next-1 || n.Dropped[RejectedByBroker] != 1 || n.Split == 0 {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

func TestALaneWithKeysAllocatesNothing(t *testing.T) {
	r := newRig(t, 3, 8, keyed)
	in := r.d.LiveIntake()
	key, value := []byte("192.0.2.1"), make([]byte, 200)
	if n := testing.AllocsPerRun(1000, func() {
		in.Commit(append(in.Value(time.Hour.Nanoseconds(), key), value...))
	}); n != 0 {
		t.Errorf("%v allocations for each record", n)
	}
	in.Close()
	r.d.abandon()
}

// leaderless returns a rig of a topic without any leader, with so many frames on disk, each with
// records for all partitions.
func leaderless(t *testing.T, frames int) (*rig, *memorySpool, *Intake) {
	r, s := withSpool(t, 3, 40, keyed)
	for i := range r.c.leaders {
		r.c.leaders[i] = NoLeader
	}
	in := r.spill(frames)
	if st := s.Stats(); st.Records != r.next {
		t.Fatalf("%d of %d records are on disk", st.Records, r.next)
	}
	return r, s, in
}

// spill runs while nothing is delivered, until so many batches are on disk.
func (r *rig) spill(frames int) *Intake {
	r.run()
	in := r.d.LiveIntake()
	for range frames {
		r.put(in, 500)
		in.Flush()
		time.Sleep(5 * time.Second) // virtual
	}
	synctest.Wait()
	return in
}

// lead gives partitions a leader, and a minute.
func (r *rig) lead(partitions ...int) {
	r.c.mu.Lock()
	for _, p := range partitions {
		r.c.leaders[p] = 0
	}
	r.c.mu.Unlock()
	time.Sleep(time.Minute) // virtual
}

func TestFramesOfAPartitionWithoutALeaderDoNotHoldUpWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 30)
		r.lead(0, 2)
		if st := s.Stats(); st.Records == 0 || r.d.crowded() {
			t.Errorf("%d records on disk, %d of %d batches free: what is live lingers", st.Records,
				r.pool.Free(), r.pool.Batches())
		}
		r.lead(1)
		r.check(r.finish(in))
	})
}

func TestFramesOfAPartitionWithoutALeaderAreReadPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, in := leaderless(t, 8)
		r.lead(0, 2)
		want := 0
		for v := range r.next {
			if key := keyOf(v); key != nil && record.Partition(key, 3) == 1 {
				want++
			}
		}
		if st := s.Stats(); st.Records != uint64(want) {
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

// halfDone ends a run while one part of a frame is done, a record of it dropped, and another part
// waits for a leader. begin is called before the frame is read, and end at the end.
func halfDone(t *testing.T, begin, end func(*memorySpool)) (*rig, *memorySpool, Counters) {
	r, s := withSpool(t, 3, 12, keyed)
	r.c.poison = map[uint64]bool{}
	for v := uint64(0); len(r.c.poison) == 0; v++ {
		if key := keyOf(v); key != nil && record.Partition(key, 3) == 0 {
			r.c.poison[v] = true
		}
	}
	r.c.onLeaders = func() error {
		return &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}
	}
	r.run()
	in := r.d.LiveIntake()
	r.put(in, 2000)
	in.Flush()
	time.Sleep(10 * time.Second) // virtual
	s.set(begin)
	r.c.mu.Lock()
	r.c.onLeaders, r.c.leaders[1] = nil, NoLeader
	r.c.mu.Unlock()
	time.Sleep(time.Minute) // virtual
	s.set(end)
	in.Close()
	r.d.Finish()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	s.Close()
	n := r.settled()
	s.balanced()
	if n.Acknowledged == 0 || n.Dropped[RejectedByBroker] != 1 {
		t.Fatalf("%+v", n)
	}
	return r, s, n
}

func TestOfAFrameThatIsHalfDoneTheRestAloneStaysOnDisk(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(*memorySpool)
		whole bool
	}{
		"a disk that is well": {func(*memorySpool) {}, false},
		"a disk that fails":   {func(s *memorySpool) { s.fail = errDisk }, true},
		"a disk that is full": {func(s *memorySpool) { s.most = len(s.frames) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s, n := halfDone(t, c.begin, func(*memorySpool) {})
				next := r.restart(s.reopen())
				n2 := next.finish(next.d.FileIntake(next.hard))
				twice := uint64(0)
				for _, times := range r.c.received() {
					twice += uint64(times - 1)
				}
				if len(r.c.received()) != 1999 || twice > n.Redelivered+n2.Redelivered {
					t.Errorf("%d twice, of %d: %+v, %+v", twice, len(r.c.received()), n, n2)
				}
				if again := n2.ReplayDropped + twice + n.Redelivered; again > 0 != c.whole {
					t.Errorf("%d twice: %+v, %+v", twice, n, n2)
				}
			})
		})
	}
}

// TestOfAFrameThatIsHalfDoneTheRestAloneIsLost has the spool give up a frame that is partly done,
// on a disk that takes nothing else.
func TestOfAFrameThatIsHalfDoneTheRestAloneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, n := halfDone(t, func(s *memorySpool) { s.fail = errDisk }, (*memorySpool).evict)
		if n.Spooled != 0 || n.Acknowledged+1+n.Dropped[SpoolFull] != 2000 {
			t.Errorf("%+v", n)
		}
	})
}
