// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// plant is a Cluster whose producers can get stuck, each for itself: they stay connected and
// never answer again.
type plant struct {
	*cluster
	mu     sync.Mutex // guards the following
	probe  error
	probes int
	opened []*client
	stuck  bool // also those that are opened
}

type client struct {
	*cluster
	plant  *plant
	closed context.Context
	close  context.CancelFunc
	stuck  bool // guarded by plant.mu
}

var (
	_ Cluster  = (*plant)(nil)
	_ Producer = (*client)(nil)
)

func (p *plant) Open() (Producer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &client{cluster: p.cluster, plant: p, stuck: p.stuck}
	c.closed, c.close = context.WithCancel(context.Background())
	p.opened = append(p.opened, c)
	return c, nil
}

func (p *plant) Probe(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	return p.probe
}

// jam makes the newest client stuck.
func (p *plant) jam() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened[len(p.opened)-1].stuck = true
}

func (p *plant) clients() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.opened)
}

func (c *client) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	c.plant.mu.Lock()
	stuck := c.stuck
	c.plant.mu.Unlock()
	if stuck {
		select {
		case <-ctx.Done():
		case <-c.closed.Done():
		}
		return &Fault{State: NoAnswer, Verdict: Unknown, Err: errors.New("no answer")}
	}
	return c.cluster.Produce(ctx, node, partition, batch)
}

func (c *client) Close() { c.close() }

// withPlant returns a rig whose producer can be replaced.
func withPlant(t *testing.T, partitions, batches int, changes ...func(*Config)) (*rig, *plant) {
	p := &plant{}
	r := newRig(t, partitions, batches, append(changes, func(c *Config) { c.Cluster = p })...)
	p.cluster = r.c
	first, _ := p.Open()
	r.d.producer = first
	return r, p
}

func TestAClientThatIsStuckIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := withPlant(t, 2, 8)
		r.run()
		in := r.d.FileIntake(r.hard)
		r.stream(in, 5)
		p.jam()
		start := time.Now()
		r.put(in, 10)
		for p.clients() == 1 && time.Since(start) < 5*time.Minute {
			r.stream(in, 1)
		}
		if took := time.Since(start); took < 110*time.Second || took > 130*time.Second {
			t.Errorf("replaced after %v, want 2 minutes without progress", took)
		}
		if s := r.d.Status(); s.Recycled != 1 || s.Probe == nil || !s.Probe.OK {
			t.Errorf("%+v", s)
		}
		r.stream(in, 10)
		if s := r.d.Status(); s.State != Flowing {
			t.Errorf("%+v", s)
		}
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || n.Redelivered != 0 || n.Recycled != 1 || p.opened[0].closed.Err() == nil ||
			p.opened[1].closed.Err() == nil {
			t.Errorf("%+v", n)
		}
	})
}

func TestAClientIsNotReplacedWhileTheClusterIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := withPlant(t, 2, 8)
		p.probe = refused
		p.jam()
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		in.Flush()
		time.Sleep(20 * time.Minute) // virtual
		s := r.d.Status()
		if p.clients() != 1 || s.Recycled != 0 || s.Probe.OK || s.Probe.Error == "" {
			t.Errorf("%d clients, %+v", p.clients(), s)
		}
		if p.probes < 100 || p.probes > 130 {
			t.Errorf("%d probes in 20 minutes", p.probes)
		}
		p.mu.Lock()
		p.probe = nil
		p.mu.Unlock()
		time.Sleep(15 * time.Second) // virtual
		r.check(r.finish(in))
	})
}

func TestAClientIsNotReplacedForWhatNoClientCanHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := withPlant(t, 2, 8)
		r.answer(outcome{err: &Fault{State: NotEnoughReplicas, Verdict: Unsent, Err: errors.New("too few")}})
		r.run()
		in := r.d.LiveIntake()
		for range 20 * 60 { // without a spool, what does not fit in memory is dropped, which is the state
			r.put(in, 5000)
			in.Flush()
			time.Sleep(time.Second) // virtual
		}
		if s := r.d.Status(); s.State != Dropping || p.clients() != 1 {
			t.Errorf("%d clients, %+v", p.clients(), s)
		}
		r.answer(fine)
		time.Sleep(15 * time.Second) // virtual
		r.check(r.finish(in))
	})
}

func TestThePausesBetweenReplacementsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := withPlant(t, 2, 8)
		p.jam()
		p.mu.Lock()
		p.stuck = true // it does not help
		p.mu.Unlock()
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		in.Flush()
		var at []time.Duration
		start := time.Now()
		for len(at) < 6 {
			time.Sleep(time.Second) // virtual
			if p.clients() > len(at)+1 {
				at = append(at, time.Since(start).Round(time.Minute))
			}
			if time.Since(start) > time.Hour {
				t.Fatalf("replaced at %v", at)
			}
		}
		for i, want := range []time.Duration{2, 4, 8, 16, 26, 36} { // 2, then 2, 4, 8, 10, 10 between
			if at[i] != want*time.Minute {
				t.Fatalf("replaced at %v", at)
			}
		}
		p.mu.Lock()
		p.stuck = false
		p.mu.Unlock()
		n := r.finish(in)
		r.check(n)
	})
}

func TestAHealthyClusterIsNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := withPlant(t, 2, 8)
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		time.Sleep(time.Hour) // virtual, and idle
		if p.probes != 0 || p.clients() != 1 {
			t.Errorf("%d probes, %d clients", p.probes, p.clients())
		}
		r.check(r.finish(in))
	})
}

func TestOnePartitionThatStandsStillShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, 16)
		r.c.onProduce = func(p int32) outcome { return outcome{silent: p == 2, appended: p != 2} }
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		s := r.d.Status()
		if s.State != NoAnswer || s.State.Ready() || s.LastError == "" || s.OldestAge < 30 {
			t.Errorf("%+v", s)
		}
		for _, p := range s.Leaders {
			stuck := p.Partition == 2
			if (p.Failing > 30) != stuck || (p.InFlight > 30) != stuck || (p.LastError != "") != stuck {
				t.Errorf("%+v", p)
			}
		}
		r.c.mu.Lock()
		r.c.onProduce = nil
		r.c.mu.Unlock()
		time.Sleep(20 * time.Second) // virtual
		r.stream(in, 2)
		if s := r.d.Status(); s.State != Flowing {
			t.Errorf("%+v", s)
		}
		r.check(r.finish(in))
	})
}

func TestALeaderThatMovesIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, 16)
		n := 0
		r.c.onProduce = func(p int32) outcome {
			if n++; n%7 == 0 {
				return outcome{err: cut}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 5)
		for range 300 {
			r.put(in, 10)
			in.Flush()
			time.Sleep(50 * time.Millisecond) // virtual
			if s := r.d.Status(); s.State != Flowing {
				t.Fatalf("%+v", s)
			}
		}
		r.check(r.finish(in))
	})
}

// silentProducer does not even return when its time is over.
type silentProducer struct {
	*cluster
	until chan struct{}
}

func (p silentProducer) Produce(context.Context, int32, int32, []byte) error {
	<-p.until
	return cut
}

func TestARequestThatDoesNotReturnShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 8)
		p := silentProducer{r.c, make(chan struct{})}
		r.d.producer = p
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		in.Flush()
		time.Sleep(31 * time.Second) // virtual
		if s := r.d.Status(); s.State != NoAnswer {
			t.Errorf("%+v", s)
		}
		r.d.mu.Lock()
		r.d.producer = r.c
		r.d.mu.Unlock()
		close(p.until)
		r.check(r.finish(in))
	})
}

func TestABrokerThatStopsIsToldBeforeAnyTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 2, 16)
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		r.answer(outcome{silent: true})
		r.stream(in, 5)
		st := r.d.Status()
		if st.State != NoAnswer || st.LastError == "" || s.balanced().Records == 0 {
			t.Errorf("%+v", st)
		}
		r.answer(fine)
		time.Sleep(time.Minute) // virtual
		r.check(r.finish(in))
	})
}

// throttled is a producer of a client that is over its quota.
type throttled struct {
	*cluster
	until time.Time
}

func (p throttled) Throttled() time.Time { return p.until }

func TestAQuotaShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 8)
		r.d.producer = throttled{r.c, time.Now().Add(20 * time.Second)}
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 10)
		if s := r.d.Status(); s.State != Throttled {
			t.Errorf("%+v", s)
		}
		r.stream(in, 15)
		if s := r.d.Status(); s.State != Flowing {
			t.Errorf("%+v", s)
		}
		r.check(r.finish(in))
	})
}

func TestAWorkerThatPanicsIsStartedAgainWithItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 8)
		r.c.panics = 5
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 20)
		n := r.finish(in)
		r.check(n)
		// Nobody knows how far the request came, so it counts as one that may have arrived.
		if n.Acknowledged != 200 || n.Panics != 5 || n.Redelivered != 50 {
			t.Errorf("%+v", n)
		}
	})
}

func TestATopicThatIsDeletedAndCreatedAgainGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 3, 8)
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 5)
		missing := &Fault{State: TopicMissing, Verdict: Unknown, Err: errors.New("UNKNOWN_TOPIC_ID")}
		r.c.mu.Lock()
		r.c.onProduce = func(int32) outcome { return outcome{err: missing} }
		r.c.onLeaders = func() error { return missing }
		r.c.mu.Unlock()
		r.stream(in, 30)
		if s := r.d.Status(); s.State != TopicMissing {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		for i := range r.c.logs { // the new one: what is acknowledged and deleted is not our loss
			clear(r.c.logs[i].producer)
		}
		r.c.onProduce, r.c.onLeaders = nil, nil
		r.c.mu.Unlock()
		start := time.Now()
		for r.d.Counters().Acknowledged < 300 {
			if r.stream(in, 1); time.Since(start) > 20*time.Second {
				t.Fatalf("%+v", r.d.Status())
			}
		}
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != r.next || s.balanced().Records != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestAtMostOnceSendsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 6, func(c *Config) { c.Mode = AtMostOnce })
		n := 0
		r.c.onIdentity = func() error { t.Error("asked for an identity"); return nil }
		r.c.onProduce = func(int32) outcome {
			switch n++; n % 5 {
			case 1:
				return outcome{err: refused}
			case 2:
				return outcome{err: cut}
			case 3:
				return outcome{err: cut, appended: true}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		c := r.finish(in)
		got := r.c.received()
		for v, times := range got {
			if times > 1 {
				t.Errorf("record %d arrived %d times", v, times)
			}
		}
		if c.Dropped[Unanswered] == 0 || c.Acknowledged+c.Dropped[Unanswered] != 600 || c.Redelivered != 0 ||
			uint64(len(got)) < c.Acknowledged {
			t.Errorf("%+v, %d arrived", c, len(got))
		}
	})
}

func TestAtMostOnceDropsTheNewestWhenMemoryIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4, func(c *Config) { c.Mode = AtMostOnce })
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 30)
		if s := r.d.Status(); s.State != Dropping {
			t.Errorf("%+v", s)
		}
		r.answer(fine)
		n := r.finish(in)
		r.check(n)
		got := r.c.received()
		for v := range n.Acknowledged {
			if got[v] != 1 {
				t.Fatalf("record %d is missing: not the newest was dropped", v)
			}
		}
		if n.Dropped[MemoryFull]+n.Acknowledged != 300 {
			t.Errorf("%+v", n)
		}
	})
}
