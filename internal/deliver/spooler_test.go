// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var (
	refused = &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("connection refused")}
	cut     = &Fault{State: Unreachable, Verdict: Unknown, Err: errors.New("connection reset")}
)

// withSpool returns a rig with a spool.
func withSpool(t *testing.T, partitions, batches int, changes ...func(*Config)) (*rig, *memorySpool) {
	s := newMemorySpool(t)
	return newRig(t, partitions, batches, append(changes, func(c *Config) { c.Spool = s })...), s
}

// answer makes the cluster answer every request so.
func (r *rig) answer(o outcome) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.onProduce = func(int32) outcome { return o }
}

// stream puts one small batch every second of virtual time.
func (r *rig) stream(in *Intake, seconds int) {
	r.Helper()
	for range seconds {
		r.put(in, 10)
		in.Flush()              // as if it were full
		time.Sleep(time.Second) // virtual
	}
	r.put(in, 0)
	synctest.Wait()
}

func TestAQuietLinkDoesNotFillMemoryWhileTheBrokersAreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		for range 600 {
			r.put(in, 1)
			time.Sleep(time.Second) // virtual
		}
		if c := r.d.Counters(); c.Dropped[MemoryFull] != 0 || r.d.pool.Free() == 0 {
			t.Errorf("%+v, %d batches free", c, r.d.pool.Free())
		}
		r.answer(fine)
		r.check(r.finish(in))
	})
}

func TestWithASpoolNothingIsInMemoryAloneForLongThoughOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		for range 60 {
			r.put(in, 1)
			time.Sleep(time.Second) // virtual
		}
		if st := s.Stats(); st.Appended < 55 {
			t.Errorf("%d of 60 records on disk", st.Appended)
		}
		r.answer(fine)
		r.check(r.finish(in))
	})
}

func TestAHealthySensorWritesNothingToDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 30)
		n := r.finish(in)
		r.check(n)
		if st := s.balanced(); st.Appended != 0 || n.Acknowledged != 300 {
			t.Errorf("%+v, %+v", st, n)
		}
	})
}

func TestWhatWaitsTooLongGoesToDiskAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		if st := s.balanced(); st.Records < 500 || r.d.Counters().Spooled < 500 {
			t.Errorf("%d of 600 records on disk", st.Records)
		}
		st := r.d.Status()
		if st.State != Unreachable || st.OldestAge < 50 || st.Spool.Records < 500 {
			t.Errorf("%+v", st)
		}
		if r.pool.Free() < 2 {
			t.Errorf("%d batches free", r.pool.Free())
		}
		r.answer(fine)
		time.Sleep(20 * time.Second) // virtual
		r.stream(in, 1)
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != 610 || n.Redelivered != 0 || s.balanced().Records != 0 {
			t.Errorf("%+v, %+v", n, s.Stats())
		}
	})
}

func TestAQuarterOfMemoryStaysFreeInAnOutageUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 10)
		r.answer(outcome{silent: true})
		r.run()
		in := r.d.LiveIntake()
		for range 200 { // far more than memory holds, long before spool_after
			r.fill(in, 8, 100_000)
			in.Flush()
			synctest.Wait()
		}
		if n := r.d.Counters(); n.Dropped[MemoryFull] != 0 || r.pool.Free() < 2 {
			t.Errorf("%+v, %d free", n, r.pool.Free())
		}
		r.answer(fine)
		time.Sleep(2 * time.Minute) // virtual
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || s.balanced().Records != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// More workers than memory: each has a batch of unknown outcome that it would keep for ever.
func TestBatchesOfUnknownOutcomeMakeRoomForCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 30, 10)
		r.answer(outcome{err: cut, appended: true})
		r.run()
		in := r.d.LiveIntake()
		for range 60 {
			r.fill(in, 8, 100_000)
			in.Flush()
			time.Sleep(300 * time.Millisecond) // virtual
		}
		if n := r.d.Counters(); n.Dropped[MemoryFull] != 0 {
			t.Errorf("%+v", n)
		}
		r.answer(fine)
		time.Sleep(5 * time.Minute) // virtual
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || n.Redelivered == 0 || s.balanced().Records != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestABatchOfUnknownOutcomeIsCopiedToDiskAndStaysWithItsPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		r.answer(outcome{silent: true, appended: true})
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(30 * time.Second) // virtual
		r.put(in, 0)
		time.Sleep(5 * time.Second) // virtual
		if n, st := r.d.Counters(), s.balanced(); st.Records != 10 || n.Held != 10 || n.Spooled != 0 {
			t.Errorf("%+v, %+v", n, st)
		}
		r.answer(fine)
		time.Sleep(time.Minute) // virtual
		n := r.finish(in)
		r.check(n)
		if got := len(r.c.received()); got != 10 || n.Redelivered != 0 || s.balanced().Records != 0 {
			t.Errorf("%d arrived, %+v", got, n)
		}
	})
}

func TestTheEndOfTheGracePeriodLeavesAllOnDisk(t *testing.T) {
	for name, o := range map[string]outcome{
		"refused": {err: refused}, "silent": {silent: true}, "appended": {silent: true, appended: true},
	} {
		for _, live := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, s := withSpool(t, 2, 8)
					r.answer(o)
					r.run()
					in := r.d.FileIntake(r.hard)
					if live {
						in = r.d.LiveIntake()
					}
					over := make(chan struct{})
					go func() { // a lane that reads a file waits for memory when everything ends
						for range 20 {
							r.fill(in, 15, 50_000)
							if live {
								time.Sleep(100 * time.Millisecond) // virtual
							}
						}
						in.Close()
						r.d.Finish()
						close(over)
					}()
					time.Sleep(30 * time.Second) // virtual
					r.cancel()
					<-over
					if err := <-r.done; err != nil {
						t.Error(err)
					}
					n := r.settled()
					if st := s.balanced(); n.Spooled != 300-n.Acknowledged || st.Records != n.Spooled {
						t.Errorf("%+v, %+v", n, st)
					}
					next := r.restart(s.reopen())
					in = next.d.FileIntake(next.hard)
					n2 := next.finish(in)
					if n2.Replayed != n.Spooled || len(next.c.received()) != 300 || n2.In != 0 {
						t.Errorf("%+v then %+v, %d arrived", n, n2, len(next.c.received()))
					}
					twice := 0
					for _, times := range next.c.received() {
						twice += times - 1
					}
					if twice > int(n.Redelivered+n2.Redelivered) || name == "refused" && n2.Redelivered > 0 {
						t.Errorf("%d twice, %+v then %+v", twice, n, n2)
					}
				})
			})
		}
	}
}

// restart returns a rig that goes on where this one ended, with a healthy cluster.
func (r *rig) restart(s *memorySpool) *rig {
	r.Helper()
	next := r.successor(s)
	r.c.mu.Lock()
	r.c.onProduce, r.c.onLeaders, r.c.onIdentity = nil, nil, nil
	for i := range r.c.leaders {
		r.c.leaders[i] = 0
	}
	r.c.mu.Unlock()
	next.run()
	return next
}

// successor returns a rig of the same cluster, not running yet.
func (r *rig) successor(s *memorySpool) *rig {
	r.Helper()
	next := newRig(r.T, len(r.c.logs), r.pool.Batches(), func(c *Config) {
		c.Spool, c.Keyed = s, r.d.cfg.Keyed
	})
	next.c, next.d.producer = r.c, r.c
	next.first, next.next = r.next, r.next
	return next
}

func TestDurableBatchesAreOnDiskBeforeABrokerSeesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8, func(c *Config) { c.Durable = true })
		r.c.onProduce = func(int32) outcome {
			if st := s.Stats(); st.Records == 0 {
				t.Error("a batch is sent that is not on disk")
			}
			return fine
		}
		r.run()
		in := r.d.FileIntake(r.hard)
		for range 20 {
			r.put(in, 5000)
		}
		n := r.finish(in)
		r.check(n)
		if st := s.balanced(); st.Appended != 100_000 || st.Settled != 100_000 || n.Spooled != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestDurableRecordsDoNotWaitInAnOpenBatchForTheBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8, func(c *Config) { c.Durable, c.SpoolAfter = true, time.Hour })
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		for i := range uint64(60) {
			r.put(in, 1)
			time.Sleep(time.Second) // virtual
			r.put(in, 0)
			synctest.Wait()
			if st := s.Stats(); st.Appended <= i {
				t.Fatalf("%d of %d records on disk", st.Appended, i+1)
			}
		}
		r.answer(fine)
		r.check(r.finish(in))
	})
}

func TestASlowPipeDoesNotFillMemoryThoughItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := withSpool(t, 1, 8, func(c *Config) { c.Durable, c.SpoolAfter = true, time.Hour })
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.FileIntake(r.hard)
		for range 100 {
			if r.pool.Free() == 0 {
				t.Fatal("who writes into the pipe has to wait")
			}
			r.put(in, 1)
			time.Sleep(time.Second) // virtual
		}
		r.answer(fine)
		r.check(r.finish(in))
	})
}

func TestADiskThatFailsLeavesMemoryAndIsNeverInTheWay(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r, s := withSpool(t, 2, 8, func(c *Config) { c.Durable = durable })
			s.fail = errDisk
			r.run()
			in := r.d.LiveIntake()
			r.stream(in, 30)
			if n := r.d.Counters(); n.Acknowledged < 280 {
				t.Errorf("durable %v: %+v", durable, n)
			}
			r.answer(outcome{err: refused})
			r.stream(in, 60)
			st := r.d.Status()
			if n := r.d.Counters(); n.Dropped[MemoryFull] == 0 || n.Spooled != 0 || st.State != Dropping {
				t.Errorf("durable %v: %+v, %+v", durable, n, st)
			}
			r.answer(fine)
			time.Sleep(30 * time.Second) // virtual
			if st := r.d.Status(); st.State != DiskFull || st.LastError != errDisk.Error() {
				t.Errorf("durable %v: %+v", durable, st)
			}
			s.set(func(s *memorySpool) { s.fail = nil })
			r.answer(outcome{err: refused})
			r.stream(in, 30)
			if n := r.d.Counters(); n.Spooled < 200 {
				t.Errorf("durable %v: the disk is back: %+v", durable, n)
			}
			r.answer(fine)
			time.Sleep(20 * time.Second) // virtual
			n := r.finish(in)
			r.check(n)
			if s.balanced().Records != 0 {
				t.Errorf("%+v", s.Stats())
			}
		})
	}
}

func TestADiskThatHangsIsNeverInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8, func(c *Config) { c.Durable = true })
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 5)
		hang := make(chan struct{})
		s.set(func(s *memorySpool) { s.hang = hang })
		before := r.d.Counters().Acknowledged
		r.stream(in, 60)
		if n := r.d.Counters(); n.Acknowledged < before+550 || n.Dropped[MemoryFull] > 0 {
			t.Errorf("%+v", n)
		}
		s.set(func(s *memorySpool) { s.hang = nil })
		close(hang)
		r.stream(in, 20)
		if st := s.balanced(); st.Records != 0 || st.Appended < 200 {
			t.Errorf("the disk is back: %+v", st)
		}
		r.check(r.finish(in))
	})
}

func TestADiskThatHangsDoesNotKeepTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		r.answer(outcome{err: refused})
		s.hang = make(chan struct{})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 4)
		in.Close()
		r.d.Finish()
		start := time.Now()
		r.cancel()
		<-r.done
		if took := time.Since(start); took > lastWrites {
			t.Errorf("took %v", took)
		}
		if n := r.d.Counters(); n.Dropped[Shutdown] != 40 || n.Held+n.Spooled != 0 {
			t.Errorf("%+v", n)
		}
		close(s.hang) // what is written now is settled at once: it was counted as dropped
		synctest.Wait()
		if st := s.balanced(); st.Records != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAFullSpoolGivesUpTheOldestAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		s.most = 20
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		n := r.d.Counters()
		if n.Dropped[SpoolFull] == 0 || n.In != n.Held+n.Spooled+n.Dropped[SpoolFull] {
			t.Errorf("%+v", n)
		}
		if st := r.d.Status(); st.State != Dropping || st.LastError == "" {
			t.Errorf("%+v", st)
		}
		r.answer(fine)
		time.Sleep(time.Minute) // virtual
		n = r.finish(in)
		r.check(n)
		s.balanced()
		got := r.c.received()
		for v := n.Dropped[SpoolFull] + 50; v < r.next; v++ {
			if got[v] != 1 {
				t.Fatalf("record %d is missing: not the oldest were dropped", v)
			}
		}
		if uint64(len(got)) != r.next-n.Dropped[SpoolFull] {
			t.Errorf("%d of %d arrived, %d were dropped", len(got), r.next, n.Dropped[SpoolFull])
		}
	})
}

func TestABacklogDrainsAsFastAsItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 200)
		frames := s.Stats().Batches
		r.answer(fine)
		for s.Stats().Batches == frames {
			time.Sleep(time.Millisecond) // virtual
		}
		begun := time.Now()
		for s.Stats().Batches > 0 {
			time.Sleep(time.Millisecond) // virtual
		}
		if took := time.Since(begun); frames < 100 || took > time.Second {
			t.Errorf("%d batches took %v, and the brokers no time", frames, took)
		}
		r.check(r.finish(in))
	})
}

func TestTheDiskDrainsBesideLiveTrafficWhichHasTheLargerShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		backlog := s.Stats().Records
		// One batch every 100 ms, and no more: as many as come in live, and half as many.
		r.c.mu.Lock()
		r.c.onProduce = func(int32) outcome { return fine }
		r.c.delay = 100 * time.Millisecond
		r.c.mu.Unlock()
		for range 300 {
			r.put(in, 10)
			time.Sleep(150 * time.Millisecond) // virtual
		}
		if st := s.Stats(); st.Records > backlog/2 || r.d.Counters().Dropped[MemoryFull] > 0 {
			t.Errorf("%d of %d records still wait", st.Records, backlog)
		}
		n := r.finish(in)
		r.check(n)
	})
}

func TestAFileUsesTheDiskOnlyAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.FileIntake(r.hard)
		go func() {
			r.fill(in, 300, 50_000)
			in.Close()
			r.d.Finish()
		}()
		time.Sleep(10 * time.Minute) // virtual
		if st := s.balanced(); st.Appended != 0 {
			t.Errorf("%+v", st)
		}
		r.answer(fine)
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		if n := r.settled(); n.Acknowledged != 300 || s.balanced().Appended != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestAMistakeInTheSpoolCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 8)
		r.answer(outcome{err: refused})
		s.panics = 3
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 30)
		s.set(func(s *memorySpool) { s.panics = 1 }) // Next, as nothing is written soon
		r.answer(fine)
		time.Sleep(30 * time.Second) // virtual
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != 300 || n.Panics != 4 || s.balanced().Records != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// TestARunOverFilesWaitsForADiskThatCannotBeRead has records of an earlier run on a disk that
// fails for a while: they are there, so the run is not over.
func TestARunOverFilesWaitsForADiskThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 10)
		in.Close()
		r.d.Finish()
		r.cancel()
		<-r.done
		if n := r.settled(); n.Spooled != 100 {
			t.Fatalf("%+v", n)
		}
		again := s.reopen()
		again.blind = errDisk
		next := r.restart(again)
		time.AfterFunc(time.Minute, func() { // virtual
			again.set(func(s *memorySpool) { s.blind = nil })
		})
		if n := next.finish(next.d.FileIntake(next.hard)); n.Replayed != 100 {
			t.Errorf("the run ended with %d records on disk: %+v", again.Stats().Records, n)
		}
	})
}

func TestALiveSensorDoesNotWaitForBrokersThatFailWhenAllIsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := withSpool(t, 1, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 10)
		in.Close()
		began := time.Now()
		r.d.Finish()
		select {
		case <-r.done:
		case <-time.After(time.Minute): // virtual
			r.cancel()
			<-r.done
		}
		if n, took := r.settled(), time.Since(began); n.Spooled != 100 || took > 4*time.Second {
			t.Errorf("it ended after %v: %+v", took, n)
		}
	})
}
