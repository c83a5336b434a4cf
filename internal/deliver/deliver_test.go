// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestEveryRecordArrivesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 8)
		r.run()
		in := r.d.FileIntake(r.hard)
		for range 100 {
			r.put(in, 2500)
		}
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != 250_000 || n.Redelivered+n.Retried+n.Failed != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestABatchLingersNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		r.run()
		in := r.d.LiveIntake()
		start := time.Now()
		r.put(in, 1)
		for len(r.c.received()) == 0 {
			if time.Since(start) > time.Second {
				t.Fatal("nothing was sent within a second")
			}
			time.Sleep(time.Millisecond) // virtual
			r.put(in, 0)
			synctest.Wait()
		}
		if waited := time.Since(start); waited < 100*time.Millisecond || waited > 110*time.Millisecond {
			t.Errorf("sent after %v, want the linger of 100 ms", waited)
		}
		r.finish(in)
	})
}

// TestWhateverTheClusterDoesNothingIsLost is the model test: a cluster that fails at random, in
// every way there is, and whose logs must agree with what was counted.
func TestWhateverTheClusterDoesNothingIsLost(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1)) // the cluster's, guarded by its mutex
			load := rand.New(rand.NewPCG(seed, 2))
			r := newRig(t, 1+rng.IntN(5), 4+rng.IntN(6))
			r.c.onProduce = func(int32) outcome {
				if rng.IntN(10) == 0 { // a leader moves or is lost
					r.c.leaders[rng.IntN(len(r.c.leaders))] = int32(rng.IntN(3)) - 1
				}
				return chance(rng)
			}
			r.c.onLeaders = func() error {
				if rng.IntN(3) == 0 {
					return &Fault{State: NoAnswer, Err: errors.New("nobody answers")}
				}
				if rng.IntN(3) == 0 { // a batch that was sent waits for its partition
					clear(r.c.leaders)
				}
				return nil
			}
			r.c.onIdentity = func() error {
				if rng.IntN(3) == 0 {
					return &Fault{State: Unauthorized, Err: errors.New("CLUSTER_AUTHORIZATION_FAILED")}
				}
				return nil
			}
			r.run()
			in := r.d.FileIntake(r.hard)
			for range 40 {
				r.put(in, load.IntN(3000))
				time.Sleep(time.Duration(load.IntN(300)) * time.Millisecond) // virtual
			}
			n := r.finish(in)
			r.check(n)
			if n.Acknowledged != r.next {
				t.Errorf("seed %d: %d put, %+v", seed, r.next, n)
			}
		})
	}
}

func TestTheSameBytesGoToTheSamePartitionWhenTheOutcomeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 4)
		var asked []int32
		r.c.onProduce = func(p int32) outcome {
			asked = append(asked, p)
			if len(asked) < 4 {
				return outcome{appended: true, err: &Fault{State: Unreachable, Verdict: Unknown, Err: errors.New("cut")}}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		n := r.finish(in)
		r.check(n)
		for _, p := range asked {
			if p != asked[0] {
				t.Errorf("asked the partitions %v", asked)
			}
		}
		if n.Retried != 30 || n.Redelivered != 0 || len(r.c.received()) != 10 {
			t.Errorf("%+v, %d arrived", n, len(r.c.received()))
		}
	})
}

func TestABatchThatNobodySawGoesToAnotherPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 4)
		r.c.onProduce = func(p int32) outcome {
			if p == 0 {
				return outcome{err: &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		start := time.Now()
		for range 20 {
			r.put(in, 10)
			time.Sleep(200 * time.Millisecond) // virtual
		}
		r.check(r.finish(in))
		if got := len(r.c.logs[1].values); got != 200 {
			t.Errorf("partition 1 has %d records, want all 200", got)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v: the healthy partition waited for the sick one", took)
		}
	})
}

func TestAPartitionWithoutLeaderIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 4)
		r.c.leaders[0], r.c.leaders[2] = NoLeader, NoLeader
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		r.check(r.finish(in))
		if got := len(r.c.logs[1].values); got != 10 {
			t.Errorf("partition 1 has %d records, want all 10", got)
		}
	})
}

func TestALostSequenceIsMendedByANewIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		requests := 0
		r.c.onProduce = func(int32) outcome {
			requests++
			return outcome{appended: true, forget: requests == 2}
		}
		r.run()
		in := r.d.LiveIntake()
		for range 3 {
			r.put(in, 10)
			time.Sleep(time.Second) // virtual
			r.put(in, 0)
		}
		n := r.finish(in)
		r.check(n)
		if n.Redelivered != 0 || n.Acknowledged != 30 || r.c.nextID != 2 {
			t.Errorf("%+v, %d identities", n, r.c.nextID)
		}
	})
}

func TestLiveCaptureNeverWaitsAndDropsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 2)
		down := &Fault{State: Unreachable, Err: errors.New("connection refused")}
		r.c.onLeaders = func() error {
			if down != nil {
				return down
			}
			return nil
		}
		r.run()
		in := r.d.LiveIntake()
		start := time.Now()
		r.put(in, 300_000)
		if time.Since(start) != 0 {
			t.Errorf("put waited for %v", time.Since(start))
		}
		synctest.Wait()
		n := r.d.Counters()
		if n.Dropped[MemoryFull] == 0 || n.In != n.Held+n.Dropped[MemoryFull] {
			t.Errorf("%+v", n)
		}
		if s := r.d.Status(); s.State != Dropping || s.LastError == "" {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		down = nil
		r.c.mu.Unlock()
		n = r.finish(in)
		r.check(n)
		got := r.c.received()
		for v := range n.Acknowledged {
			if got[v] != 1 {
				t.Fatalf("record %d is missing: not the newest was dropped", v)
			}
		}
	})
}

func TestAFileWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 2)
		r.run()
		in := r.d.FileIntake(r.hard)
		r.put(in, 300_000)
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != 300_000 {
			t.Errorf("%+v", n)
		}
	})
}

func TestTheEndOfTheGracePeriodDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 4)
		r.c.onProduce = func(int32) outcome { return outcome{silent: true} }
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 200_000)
		in.Close()
		r.d.Finish()
		time.Sleep(30 * time.Second) // virtual
		r.cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		if n := r.settled(); n.Dropped[Shutdown] != 200_000 {
			t.Errorf("%+v", n)
		}
	})
}

func TestTheClusterNeedNotBeThereAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 4)
		start := time.Now()
		r.c.onLeaders = func() error {
			if time.Since(start) < time.Minute {
				return &Fault{State: Unresolvable, Err: errors.New("no such host")}
			}
			return nil
		}
		if s := r.d.Status().State; s != Connecting {
			t.Errorf("state %s before the start", s)
		}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(30 * time.Second) // virtual
		if s := r.d.Status(); s.State != Unresolvable || s.State.Ready() || s.OldestAge < 0 {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		if r.c.looked > 15 {
			t.Errorf("knocked %d times in 30 s", r.c.looked)
		}
		r.c.mu.Unlock()
		time.Sleep(40 * time.Second) // virtual
		r.put(in, 0)
		synctest.Wait()
		if s := r.d.Status(); s.State != Flowing || !s.State.Ready() {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute) // virtual
		if s := r.d.Status(); s.State != Idle {
			t.Errorf("%+v", s)
		}
		r.check(r.finish(in))
	})
}

func TestOneProberKnocksHoweverManyPartitionsStandStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 50, 60)
		r.run()
		in := r.d.LiveIntake()
		synctest.Wait()
		dead := &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("connection refused")}
		r.c.mu.Lock()
		r.c.onLeaders = func() error { return dead }
		r.c.onProduce = func(int32) outcome { return outcome{err: dead} }
		r.c.looked, r.c.requests = 0, 0
		r.c.mu.Unlock()
		for range 60 {
			r.put(in, 10)
			time.Sleep(time.Second) // virtual
		}
		r.c.mu.Lock()
		if r.c.looked > 25 || r.c.requests > 50 {
			t.Errorf("%d look-ups and %d requests in a minute", r.c.looked, r.c.requests)
		}
		r.c.onLeaders, r.c.onProduce = nil, nil
		r.c.mu.Unlock()
		r.check(r.finish(in))
	})
}

func TestNewPartitionsAreUsedAndLostOnesAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, 8)
		all := r.c.leaders
		r.c.leaders = all[:1]
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(time.Second) // virtual
		r.put(in, 0)
		synctest.Wait()
		r.c.mu.Lock()
		r.c.leaders = []int32{NoLeader, 0, 0, 0}
		r.c.mu.Unlock()
		time.Sleep(2 * time.Minute) // virtual
		r.put(in, 10)
		time.Sleep(time.Second) // virtual
		r.put(in, 0)
		synctest.Wait()
		if got := len(r.c.received()); got != 20 || len(r.c.logs[0].values) != 10 {
			t.Errorf("%d arrived, %d of them at partition 0", got, len(r.c.logs[0].values))
		}
		r.c.mu.Lock()
		r.c.leaders = []int32{0}
		r.c.mu.Unlock()
		time.Sleep(2 * time.Minute) // virtual
		r.put(in, 10)
		r.check(r.finish(in))
		if len(r.c.logs[0].values) != 20 {
			t.Errorf("%d records at partition 0, the only one left; want 20", len(r.c.logs[0].values))
		}
	})
}

func TestTimeStampsThatABrokerWouldDeleteOrRefuseAreMoved(t *testing.T) {
	for _, c := range []struct {
		name  string
		ahead time.Duration
		moved bool
	}{
		{"an old capture", -25 * time.Hour, true},
		{"a spool of this day", -23 * time.Hour, false},
		{"now", 0, false},
		{"a clock a little ahead", 30 * time.Second, false},
		{"a clock far ahead", 2 * time.Hour, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, 4)
				r.run()
				in := r.d.LiveIntake()
				packet := time.Now().Add(c.ahead)
				in.Commit(append(in.Value(packet.UnixNano(), nil), "12345678"...))
				r.next++
				n := r.finish(in)
				want := packet
				if c.moved {
					want = time.Now()
				}
				if got := time.UnixMilli(r.c.logs[0].newest); got.Sub(want).Abs() > time.Second {
					t.Errorf("time stamp %v, want %v", got, want)
				}
				if (n.Redated == 1) != c.moved {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}

// dated keeps the time stamps of what is produced, in ms.
type dated struct {
	*cluster
	ms []int64
}

func (c *dated) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	err := record.Each(batch, func(ms int64, _ []byte) error {
		c.ms = append(c.ms, ms)
		return nil
	})
	return errors.Join(err, c.cluster.Produce(ctx, node, partition, batch))
}

func TestAClockThatJumpsWithinABatchMovesNoRecordThatIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const year = 365 * 24 * time.Hour
		r := newRig(t, 1, 4)
		c := &dated{cluster: r.c}
		r.d.producer = c
		r.run()
		in := r.d.LiveIntake()
		start := time.Now()
		var want []int64
		put := func(jump, kafka time.Duration) {
			in.Commit(append(in.Value(time.Now().Add(jump).UnixNano(), nil), "12345678"...))
			want = append(want, start.Add(kafka).UnixMilli())
			r.next++
		}
		put(0, 0)
		put(10*year, 0)
		put(-10*year, 0)
		put(-time.Hour, -time.Hour)
		time.Sleep(5 * time.Minute) // virtual: without a turn, as a heartbeat is
		put(0, 5*time.Minute)
		put(10*year, 5*time.Minute)
		n := r.finish(in)
		if diff := cmp.Diff(want, c.ms); diff != "" || n.Redated != 3 {
			t.Errorf("%d redated; time stamps (-want +got):\n%s", n.Redated, diff)
		}
	})
}

func TestARecordThatNoBatchHoldsIsDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 1)
		in.Commit(append(in.Value(0, nil), make([]byte, 2_000_000)...))
		r.next++
		in.Commit(append(in.Value(0, nil), make([]byte, 800_000)...)) // large, but it fits
		r.next++
		n := r.finish(in)
		if n.Dropped[TooLarge] != 1 || n.Acknowledged != 2 {
			t.Errorf("%+v", n)
		}
	})
}

func TestValidateNamesWhatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"codec":      func(c *Config) { c.Codec = 5 },
		"batch size": func(c *Config) { c.BatchSize = 1000 },
		"linger":     func(c *Config) { c.Linger = -1 },
		"timeout":    func(c *Config) { c.RequestTimeout = -1 },
		"age":        func(c *Config) { c.MetadataMaxAge = 0 },
		"backoff":    func(c *Config) { c.BackoffMax = c.BackoffMin - 1 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if _, err := New(cfg, record.NewPool(1, 1000), nil, quiet); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
