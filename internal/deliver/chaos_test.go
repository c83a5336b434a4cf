// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// chaos is one run of the model test with everything in it: a cluster, a spool and a client that
// fail at random, in every way there is, and a sensor that ends at a random moment and is started
// again.
type chaos struct {
	*rig
	p    *plant
	s    *memorySpool // nil at most once
	rng  *rand.Rand   // of the test; the cluster has another, guarded by its mutex
	in   *Intake
	live bool
	mode Mode
	says string // what the seed made of it
	away []int  // partitions without a leader for long; guarded by the mutex of the cluster, as is the next
	ill  []int  // partitions that take nothing for long

	again uint64 // how many records may have been dropped twice
}

func newChaos(t *testing.T, seed uint64) *chaos {
	rng := rand.New(rand.NewPCG(seed, 3))
	c := &chaos{rng: rng, live: rng.IntN(2) == 0}
	codec := record.Codec(rng.IntN(5))
	durable, most := rng.IntN(3) == 0, 0
	keyed := seed%2 == 1
	if rng.IntN(4) == 0 {
		c.mode = AtMostOnce
	}
	if rng.IntN(3) == 0 {
		most = 3 + rng.IntN(20)
	}
	configure := func(cfg *Config) {
		cfg.Mode, cfg.Codec, cfg.Keyed = c.mode, codec, keyed
		if c.mode == AtLeastOnce {
			c.s = newMemorySpool(t)
			c.s.most = most
			cfg.Spool, cfg.Durable = c.s, durable
		}
	}
	c.rig, c.p = withPlant(t, 1+rng.IntN(5), 6+rng.IntN(8), configure)
	c.says = fmt.Sprintf("seed %d: %s, %s, live %v, durable %v, keyed %v, at most %d frames", seed, c.mode, codec, c.live,
		durable, keyed, most)
	c.c.poison = map[uint64]bool{}
	for range rng.IntN(4) {
		c.c.poison[rng.Uint64N(3000)] = true
	}
	c.disturb(rand.New(rand.NewPCG(seed, 4)))
	c.run()
	c.in = c.d.FileIntake(c.hard)
	if c.live {
		c.in = c.d.LiveIntake()
	}
	return c
}

// disturb makes the cluster fail at random.
func (c *chaos) disturb(rng *rand.Rand) {
	c.c.onProduce = func(p int32) outcome {
		if rng.IntN(10) == 0 { // a leader moves or is lost
			c.c.leaders[rng.IntN(len(c.c.leaders))] = int32(rng.IntN(3)) - 1
		}
		if rng.IntN(100) == 0 { // the topic is created again
			clear(c.c.logs[p].producer)
		}
		if rng.IntN(200) == 0 {
			c.c.panics++
		}
		if slices.Contains(c.ill, int(p)) {
			return outcome{err: &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("connection refused")}}
		}
		return chance(rng)
	}
	c.c.onLeaders = func() error {
		if rng.IntN(4) == 0 {
			return &Fault{State: NoAnswer, Err: errors.New("nobody answers")}
		}
		if rng.IntN(3) == 0 {
			clear(c.c.leaders)
		}
		for _, p := range c.away {
			c.c.leaders[p] = NoLeader
		}
		return nil
	}
	c.c.onIdentity = func() error {
		if rng.IntN(4) == 0 {
			return &Fault{State: Unauthorized, Err: errors.New("CLUSTER_AUTHORIZATION_FAILED")}
		}
		return nil
	}
}

// step changes one thing at random, and lets some time go by.
func (c *chaos) step() {
	switch c.rng.IntN(12) {
	case 0:
		c.c.mu.Lock()
		c.c.limit = 2000 + c.rng.IntN(20_000)
		c.c.mu.Unlock()
	case 1:
		c.c.mu.Lock()
		c.c.limit = 0
		c.c.mu.Unlock()
	case 2:
		c.p.jam()
	case 3, 4:
		c.disk()
	case 5:
		time.Sleep(time.Duration(c.rng.IntN(300)) * time.Second) // virtual
	case 6:
		if c.live { // a run over files waits for it
			c.c.mu.Lock()
			c.away, c.ill = c.some(), c.some()
			c.c.mu.Unlock()
		}
	}
	c.fill(c.in, c.rng.IntN(100), c.rng.IntN(400))
	if c.rng.IntN(2) == 0 {
		c.in.Flush()
	}
	time.Sleep(time.Duration(c.rng.IntN(3000)) * time.Millisecond) // virtual
	c.put(c.in, 1)
}

// some returns some of the partitions: none, all, or in between.
func (c *chaos) some() (some []int) {
	share := c.rng.IntN(5)
	for p := range c.c.leaders {
		if c.rng.IntN(4) < share {
			some = append(some, p)
		}
	}
	return some
}

// disk breaks the spool, or mends it.
func (c *chaos) disk() {
	if c.s == nil {
		return
	}
	what := c.rng.IntN(5)
	c.s.set(func(s *memorySpool) {
		if s.hang != nil {
			close(s.hang)
		}
		s.fail, s.blind, s.hang = nil, nil, nil
		switch what {
		case 0:
			s.fail = errDisk
		case 1:
			s.blind = errDisk
		case 2:
			s.hang = make(chan struct{})
		case 3:
			s.panics++
		}
	})
}

// heal makes all well.
func (c *chaos) heal() {
	c.c.mu.Lock()
	c.c.onProduce, c.c.onLeaders, c.c.onIdentity, c.c.limit = nil, nil, nil, 0
	clear(c.c.leaders)
	c.c.mu.Unlock()
	c.mend()
}

func (c *chaos) mend() {
	if c.s == nil {
		return
	}
	c.s.set(func(s *memorySpool) {
		if s.hang != nil {
			close(s.hang)
		}
		s.fail, s.blind, s.hang, s.stats.Degraded = nil, nil, nil, nil
	})
}

// verify compares what the logs hold with what was counted in all runs.
func (c *chaos) verify(runs ...Counters) {
	c.Helper()
	var dropped, redelivered uint64
	unsure := c.again
	for _, n := range runs {
		for why, d := range n.Dropped {
			dropped += d
			switch Reason(why) { // these may have arrived all the same
			case SpoolFull, Shutdown, Unanswered:
				unsure += d
			}
		}
		dropped += n.ReplayDropped
		redelivered += n.Redelivered
	}
	got := c.c.received()
	twice := uint64(0)
	for v, times := range got {
		if v >= c.next || c.c.poison[v] {
			c.Errorf("%s: value %d arrived", c.says, v)
		}
		twice += uint64(times - 1)
	}
	for i := range c.c.logs {
		twice -= min(twice, uint64(c.c.logs[i].unknowable))
	}
	missing := c.next - uint64(len(got))
	if missing > dropped || missing+unsure < dropped {
		c.Errorf("%s: %d missing, %d dropped, %d of them perhaps: %+v", c.says, missing, dropped, unsure, runs)
	}
	if twice > redelivered || c.mode == AtMostOnce && twice > 0 {
		c.Errorf("%s: %d twice: %+v", c.says, twice, runs)
	}
}

// TestWhateverHappensTheAccountIsRight is the model test of the whole.
func TestWhateverHappensTheAccountIsRight(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			c := newChaos(t, seed)
			for range 20 + c.rng.IntN(30) {
				c.step()
				c.books()
			}
			if c.s != nil && c.rng.IntN(2) == 0 {
				c.killed()
				return
			}
			c.heal()
			time.Sleep(20 * time.Minute) // virtual: longer than any pause
			for range 60 {
				c.put(c.in, 1)
				c.in.Flush()
				time.Sleep(time.Second) // virtual
			}
			if c.s != nil && asides(c.s) > 0 {
				t.Errorf("%s: %d frames are set aside though all is well", c.says, asides(c.s))
			}
			if s := c.d.Status(); s.State != Flowing && s.State != Idle && s.State != RejectedState {
				t.Errorf("%s: %+v", c.says, s)
			}
			n := c.finish(c.in)
			if c.s != nil && c.s.balanced().Records != 0 {
				t.Errorf("%s: %+v", c.says, c.s.Stats())
			}
			c.verify(n)
		})
	}
}

// books checks the law while all goes on.
func (c *chaos) books() {
	c.Helper()
	n := c.d.Counters()
	out := n.Acknowledged + n.Held + n.Spooled
	for _, d := range n.Dropped {
		out += d
	}
	if n.In != out {
		c.Errorf("%s: in %d, but %d: %+v", c.says, n.In, out, n)
	}
}

// killed ends the grace period at once, and starts another sensor with the same spool.
func (c *chaos) killed() {
	c.in.Close()
	c.d.Finish()
	c.cancel()
	if err := <-c.done; err != nil {
		c.Error(err)
	}
	hung := c.s.hang != nil
	// What is left of a frame that is partly done could not be written anew, and all of it comes
	// again. What was dropped of it is dropped twice then, and nobody can know.
	if hung || c.s.fail != nil || c.s.most > 0 {
		c.again = uint64(len(c.c.poison))
	}
	c.mend()
	synctest.Wait()
	if !hung { // else an arena is lost with the process
		c.settled()
	}
	c.s.Close()
	n := c.d.Counters() // only now is it known what the disk has
	if st := c.s.balanced(); st.Records < n.Spooled {
		c.Errorf("%s: %+v, %+v", c.says, n, st)
	}
	spool := c.s.reopen()
	c.heal()
	next := c.restart(spool)
	n2 := next.finish(next.d.FileIntake(next.hard))
	if spool.balanced().Records != 0 {
		c.Errorf("%s: %+v", c.says, spool.Stats())
	}
	c.verify(n, n2)
}
