// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// observed watches all pulses for so long, and returns the names of those that stood still for
// longer than their patience and did not wait.
func observed(d *Delivery, long time.Duration) (late []string) {
	turns, still := map[string]uint64{}, map[string]time.Duration{}
	for end := time.Now().Add(long); time.Now().Before(end); {
		time.Sleep(time.Second) // virtual
		synctest.Wait()
		for _, b := range d.Beats() {
			if last, known := turns[b.Name]; b.Waits || !known || b.Turns != last {
				still[b.Name] = 0
			} else {
				still[b.Name] += time.Second
			}
			turns[b.Name] = b.Turns
			if still[b.Name] > b.Patience && !slices.Contains(late, b.Name) {
				late = append(late, b.Name)
			}
		}
	}
	return late
}

func TestWhateverTheClusterDoesEveryGoroutineTurnsOrWaits(t *testing.T) {
	fails := func(s State, v Verdict) outcome {
		return outcome{err: &Fault{State: s, Verdict: v, Err: errors.New("failed")}}
	}
	for name, set := range map[string]func(*cluster){
		"all is well": func(*cluster) {},
		"the cluster is away": func(c *cluster) {
			c.onLeaders = func() error { return &Fault{State: Unreachable, Err: errors.New("refused")} }
		},
		"nothing is appended":      func(c *cluster) { c.onProduce = func(int32) outcome { return fails(Unauthorized, Unsent) } },
		"nobody answers":           func(c *cluster) { c.onProduce = func(int32) outcome { return outcome{silent: true} } },
		"the outcome is not known": func(c *cluster) { c.onProduce = func(int32) outcome { return fails(NoAnswer, Unknown) } },
		"no partition has a leader": func(c *cluster) {
			for i := range c.leaders {
				c.leaders[i] = NoLeader
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, 6)
				set(r.c)
				r.run()
				in := r.d.LiveIntake()
				in.Watch("lane 0")
				done := make(chan bool)
				go func() { // the lane: it turns, and memory is full most of the time
					defer close(done)
					for range 600 {
						r.put(in, 100)
						time.Sleep(time.Second)
					}
				}()
				if late := observed(r.d, 10*time.Minute); late != nil {
					t.Errorf("%v stood still", late)
				}
				<-done
				r.cancel()
				r.finish(in)
				if left := r.d.Beats(); len(left) > 0 {
					t.Errorf("after the end: %+v", left)
				}
			})
		})
	}
}

func TestAGoroutineThatIsStuckIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		stuck := make(chan struct{})
		r.d.producer = deaf{r.c, stuck}
		r.run()
		in := r.d.LiveIntake()
		in.Watch("lane 0")
		r.put(in, 10)
		time.Sleep(time.Second)
		r.put(in, 0) // and then the lane hangs, too
		late := observed(r.d, 2*time.Minute)
		slices.Sort(late)
		if diff := cmp.Diff([]string{"lane 0", "worker of partition 0"}, late); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		close(stuck)
		r.finish(in)
	})
}

// deaf is a producer that does not keep to its context.
type deaf struct {
	Producer
	heard chan struct{}
}

// Produce implements Producer.
func (p deaf) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	<-p.heard
	return p.Producer.Produce(ctx, node, partition, batch)
}

func TestALaneThatWaitsForMemoryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 2)
		r.c.onLeaders = func() error { return &Fault{State: Unreachable, Err: errors.New("refused")} }
		r.run()
		in := r.d.FileIntake(r.hard)
		in.Watch("lane 0")
		done := make(chan bool)
		go func() {
			defer close(done)
			for range 3 {
				r.fill(in, 2, 450_000)
			}
		}()
		if late := observed(r.d, 10*time.Minute); late != nil {
			t.Errorf("%v stood still", late)
		}
		lane := func(b Beat) bool { return b.Lane && b.Name == "lane 0" && b.Waits }
		if !slices.ContainsFunc(r.d.Beats(), lane) {
			t.Errorf("the lane does not wait: %+v", r.d.Beats())
		}
		r.cancel()
		<-done
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		<-r.done
	})
}

func TestNamesOfPulsesAreDifferent(t *testing.T) {
	var ps pulses
	a := ps.begin("compressor", time.Second)
	ps.begin("compressor", time.Second)
	ps.begin("compressor", time.Second)
	ps.end(a)
	ps.end(nil)
	ps.begin("compressor", time.Second)
	var names []string
	for _, b := range ps.beats() {
		names = append(names, b.Name)
	}
	if diff := cmp.Diff([]string{"compressor 2", "compressor 3", "compressor"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestATurnCostsNoMemory(t *testing.T) {
	p := &Pulse{}
	if n := testing.AllocsPerRun(100, func() { p.Wait(); p.Turn() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var nobody *Pulse
	nobody.Wait()
	nobody.Turn()
}

// spare is a cluster whose next producer is another.
type spare struct{ Producer }

// Open implements Cluster.
func (s spare) Open() (Producer, error) { return s.Producer, nil }

// Probe implements Cluster.
func (spare) Probe(context.Context) error { return errors.New("not asked for") }

// Close makes a deaf producer let its callers go.
func (p deaf) Close() { close(p.heard) }

func TestRecyclingFreesAWorkerThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4, func(c *Config) { c.RecycleAfter = 24 * time.Hour })
		r.d.cfg.Cluster = spare{r.c}
		r.d.producer = deaf{r.c, make(chan struct{})}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		time.Sleep(5 * time.Minute)
		r.put(in, 0)
		if n := r.d.Counters(); n.Acknowledged > 0 {
			t.Errorf("not stuck: %+v", n)
		}
		r.d.Recycle()
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != 10 || n.Recycled != 1 {
			t.Errorf("%+v", n)
		}
	})
}
