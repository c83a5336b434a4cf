// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// restless is a producer that is told of something new between the first looks at it.
type restless struct {
	Producer
	looks, news int
}

// Reach implements Reacher.
func (r *restless) Reach() Reach {
	r.looks++
	return Reach{Topic: "t", Ends: []End{{Partition: 0, Offset: int64(min(r.looks, r.news))}}}
}

func TestASnapshotIsOfOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		in := r.d.LiveIntake()
		r.run()
		r.put(in, 5)
		for _, c := range []struct {
			news int
			want Reach
		}{
			{1, Reach{Topic: "t", Ends: []End{{Offset: 1}}}},
			{5, Reach{Topic: "t", Ends: []End{{Offset: 5}}}}, // it looks again
			{1000, Reach{}}, // and gives up
		} {
			r.d.mu.Lock()
			own := r.d.producer
			r.d.producer = &restless{own, 0, c.news}
			r.d.mu.Unlock()
			s := r.d.Snapshot([]*Intake{in})
			r.d.mu.Lock()
			r.d.producer = own
			r.d.mu.Unlock()
			if diff := cmp.Diff(c.want, s.Reach); diff != "" {
				t.Errorf("news %d: %s", c.news, diff)
			}
			if s.In != 5 || len(s.Accounts) != 1 || s.Accounts[0] != (Account{Records: 5}) {
				t.Errorf("%+v", s)
			}
		}
		r.finish(in)
	})
}

// TestWhatIsSettledIsThere marks what was taken, now and then, while the cluster fails in every way
// there is, with keys and without, with a spool and without.
func TestWhatIsSettledIsThere(t *testing.T) {
	var marks, whole uint64
	seeds := uint64(40)
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3)) // the cluster's, guarded by its mutex
			load := rand.New(rand.NewPCG(seed, 4))
			change := func(c *Config) { c.SpoolAfter, c.BatchSize = 300*time.Millisecond, MinBatchSize }
			if seed%2 == 0 {
				change = func(c *Config) { keyed(c); c.BatchSize = MinBatchSize }
			}
			r := newRig(t, 1+load.IntN(40), 16, change)
			if seed%4 > 1 {
				r, _ = withSpool(t, 1+load.IntN(4), 16, change)
			}
			outage := false
			r.c.onProduce = func(int32) outcome {
				if outage = outage != (rng.IntN(60) == 0); outage { // long enough for the disk
					return outcome{err: &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("refused")}}
				}
				return chance(rng)
			}
			r.run()
			in := r.d.LiveIntake()
			taken := []uint64{0} // by mark
			for range 150 {
				r.put(in, load.IntN(400))
				time.Sleep(time.Duration(load.IntN(200)) * time.Millisecond) // virtual
				s := r.d.Snapshot([]*Intake{in})
				settled := min(s.Settled, uint64(len(taken)-1))
				there := r.c.received()
				for n := range taken[settled] {
					if there[n] == 0 {
						t.Fatalf("seed %d: %d is not there, and the mark %d of %d says that all before %d are: %+v",
							seed, n, s.Settled, len(taken)-1, taken[settled], s)
					}
				}
				marks += settled
				if s.Settled == unmarked {
					whole++
				}
				if s.Accounts[0].Dropped > 0 || s.Lost() > 0 {
					break // what is there cannot be told from the numbers any more
				}
				taken = append(taken, s.Accounts[0].Records)
				r.d.Mark(uint64(len(taken) - 1))
			}
			r.finish(in)
		})
	}
	if marks == 0 || whole == 0 {
		t.Errorf("%d marks were settled, and all was %d times", marks, whole)
	}
}

func TestBatchesThatAreUnitedAreAsOldAsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wide(t)
		c, err := r.d.newSealer()
		if err != nil {
			t.Fatal(err)
		}
		r.d.queue.resize(128)
		for mark := range uint64(3) { // the newest is handed on first
			r.d.Mark(3 - mark)
			in := r.d.LiveIntake()
			in.to = r.d.sealing[0]
			r.put(in, 500)
			in.Flush()
		}
		var group []*parcel
		for range 3 {
			group = append(group, <-r.d.sealing[0])
		}
		if len(r.d.seal(c, group)) < 100 {
			t.Fatal("they are not united")
		}
		if s := r.d.Snapshot(nil); s.Settled != 1 {
			t.Errorf("the oldest mark is %d", s.Settled)
		}
	})
}
