// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const patience = 10 * time.Second

// rig is a watchdog over vitals that a test changes, and all that it did. The bubble of synctest
// keeps the two apart in time: the watchdog looks at whole seconds, a test acts between them.
type rig struct {
	t      *testing.T
	vitals func() []Vital
	alarms []string // state and name, "" when it was over
	feeds  int
	heals  int
	log    bytes.Buffer
	dump   bytes.Buffer
	mu     sync.Mutex // guards the above
	end    context.CancelFunc
	done   chan error
}

// watch starts a watchdog. It must be called in a bubble.
func watch(t *testing.T, vitals func() []Vital) *rig {
	t.Helper()
	r := &rig{t: t, vitals: vitals, done: make(chan error, 1)}
	ctx, end := context.WithCancel(t.Context())
	r.end = end
	w := r.watchdog()
	go func() { r.done <- w.Run(ctx) }()
	time.Sleep(time.Second / 2)
	return r
}

func (r *rig) watchdog() *Watchdog {
	return New(DefaultConfig(), Hooks{
		Vitals: func() []Vital { return r.vitals() },
		Blind:  Vital{Name: "the counters", State: "blind", Means: "a lock is held", Patience: patience},
		Alarm: func(f *Finding) {
			said := ""
			if f != nil {
				said = f.State + " " + f.Name
			}
			r.locked(func() { r.alarms = append(r.alarms, said) })
		},
		Recycle: func(Finding) { r.locked(func() { r.heals++ }) },
		Feed:    func() error { r.locked(func() { r.feeds++ }); return nil },
		Dump:    &r.dump,
		Log:     slog.New(slog.NewTextHandler(&r.log, nil)),
	})
}

func (r *rig) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// stop ends the watchdog, which must not have given up.
func (r *rig) stop() {
	r.t.Helper()
	r.end()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run returned %v", err)
	}
}

// said checks what the alarms were, one after the other.
func (r *rig) said(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.alarms); diff != "" {
		r.t.Errorf("alarms (-want +got):\n%s", diff)
	}
}

func lane(turns uint64) Vital {
	return Vital{Name: "lane 0", State: "lane_stuck", Means: "restart", Count: turns, Patience: patience}
}

// loop is a loop that ticks, until it is told to hang.
type loop struct {
	turns atomic.Uint64
	waits atomic.Bool
	hang  chan struct{} // closed to let it go on
	stuck atomic.Bool
}

func startLoop(ctx context.Context) *loop {
	l := &loop{hang: make(chan struct{})}
	go func() {
		for ctx.Err() == nil {
			l.turns.Add(1)
			if l.stuck.Load() {
				l.hangsHere(ctx)
			}
			select {
			case <-time.After(50 * time.Millisecond): // the poll of an idle ring
			case <-ctx.Done():
			}
		}
	}()
	return l
}

func (l *loop) hangsHere(ctx context.Context) {
	select {
	case <-l.hang:
	case <-ctx.Done(): // the test is over
	}
	l.stuck.Store(false)
}

func (l *loop) vital() Vital {
	v := lane(l.turns.Load())
	v.Waits, v.Recycle = l.waits.Load(), true
	return v
}

func TestALoopThatTurnsIsNeverFoundHoweverLongItIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLoop(t.Context())
		r := watch(t, func() []Vital { return []Vital{l.vital()} })
		time.Sleep(2 * time.Hour)
		r.stop()
		r.said()
		if want := 2 * 3600; r.feeds != want || r.log.Len() > 0 || r.dump.Len() > 0 {
			t.Errorf("fed %d times, want %d; log %q, dump %q", r.feeds, want, &r.log, &r.dump)
		}
	})
}

func TestAStuckLoopIsFoundSaidOnceAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLoop(t.Context())
		r := watch(t, func() []Vital { return []Vital{l.vital()} })
		time.Sleep(time.Minute)
		l.stuck.Store(true)
		began := time.Now()
		time.Sleep(patience)
		r.said()
		time.Sleep(3 * time.Second)
		r.said("lane_stuck lane 0")
		r.locked(func() { r.feeds = 0 })
		err := <-r.done
		took := time.Since(began).Round(time.Second)
		f, ok := errors.AsType[*Finding](err)
		if !ok || f.Name != "lane 0" || f.Blind {
			t.Errorf("Run returned %v", err)
		}
		if want := "watchdog: lane_stuck: lane 0 stands still: restart"; err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		if took < 40*time.Second || took > 45*time.Second {
			t.Errorf("given up after %s", took)
		}
		r.said("lane_stuck lane 0")
		if r.feeds > 0 || r.heals != 1 {
			t.Errorf("fed %d times, healed %d times", r.feeds, r.heals)
		}
		if n := strings.Count(r.log.String(), "\n"); n != 1 {
			t.Errorf("%d log lines: %s", n, &r.log)
		}
		if n := strings.Count(r.dump.String(), "hangsHere("); n != 1 {
			t.Errorf("the dump shows %d times where it hangs:\n%s", n, &r.dump)
		}
	})
}

func TestALoopThatGoesOnAgainIsHealedAndTheNextTimeIsDumpedNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLoop(t.Context())
		r := watch(t, func() []Vital { return []Vital{l.vital()} })
		for range 2 {
			l.stuck.Store(true)
			time.Sleep(20 * time.Second)
			l.hang <- struct{}{}
			time.Sleep(5 * time.Second)
		}
		r.locked(func() { r.feeds = 0 })
		time.Sleep(10 * time.Second)
		r.stop()
		r.said("lane_stuck lane 0", "", "lane_stuck lane 0", "")
		if r.feeds != 10 {
			t.Errorf("fed %d times after it went on", r.feeds)
		}
		if n := strings.Count(r.dump.String(), "watchdog: "); n != 1 {
			t.Errorf("%d dumps", n)
		}
		if n := strings.Count(r.log.String(), "\n"); n != 4 {
			t.Errorf("%d log lines: %s", n, &r.log)
		}
	})
}

func TestALoopThatEndedIsNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		r := watch(t, func() []Vital {
			if ended.Load() {
				return nil
			}
			return []Vital{lane(7)}
		})
		time.Sleep(5 * time.Second)
		ended.Store(true)
		time.Sleep(time.Hour)
		r.stop()
		r.said()
	})
}

// at is what a vital was at one look.
type at struct {
	count, input uint64
	waits        bool
}

// looks feeds a watchdog one vital, look by look, and returns at which look the alarm came: -1
// for never. The times of the ticks are arbitrary, since nobody may read them.
func looks(t *testing.T, base Vital, script func(look int) at) int {
	t.Helper()
	alarm := -1
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t}
		n := 0
		r.vitals = func() []Vital {
			v, s := base, script(n)
			v.Count, v.Input, v.Waits = s.count, s.input, s.waits
			n++
			return []Vital{v}
		}
		w := r.watchdog()
		w.ask()
		for i := 0; i < 100 && alarm < 0; i++ {
			synctest.Wait()
			w.look()
			if len(r.alarms) > 0 {
				alarm = i
			}
		}
		synctest.Wait()
	})
	return alarm
}

func TestWhatStandsStillAndWhatOnlyWaits(t *testing.T) {
	loop := lane(0)
	flow := Vital{Name: "lane 0 reads", State: "starved", Least: 10, Patience: patience}
	for _, c := range []struct {
		name   string
		base   Vital
		script func(int) at
		want   int
	}{
		{"a loop that never turned", loop, func(int) at { return at{} }, 11},
		{"a loop that turns rarely", loop, func(i int) at { return at{count: uint64(i / 9)} }, -1},
		{"a loop that waits for memory", loop, func(int) at { return at{waits: true} }, -1},
		{"a loop that waited and then hangs", loop, func(i int) at { return at{waits: i < 50} }, 60},
		{"a quiet link", flow, func(int) at { return at{count: 5, input: 5} }, -1},
		{"a busy link", flow, func(i int) at {
			return at{count: uint64(i) * 1000, input: uint64(i)*1000 + 900}
		}, -1},
		{"a packet that was counted and never came", flow, func(i int) at {
			return at{count: 5, input: 5 + uint64(min(i, 1))}
		}, -1},
		{"the kernel counts, nothing is read", flow, func(i int) at {
			return at{count: 5, input: 5 + uint64(i)*100}
		}, 11},
		{"the same on a link with a packet now and then", flow, func(i int) at {
			return at{count: 5, input: 5 + uint64(i)}
		}, 20},
		{"the counter of the kernel begins again", flow, func(i int) at {
			return at{count: 5, input: uint64(i%8) * 1000}
		}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := looks(t, c.base, c.script); got != c.want {
				t.Errorf("the alarm came at look %d, want %d", got, c.want)
			}
		})
	}
}

// A suspended machine runs nobody: after it, there is one tick, whose time may be anything, and
// the loops have turned once at most.
func TestASuspendedMachineAndASetClockAreNoAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns atomic.Uint64
		r := &rig{t: t, vitals: func() []Vital { return []Vital{lane(turns.Load())} }}
		ticks, done := make(chan time.Time), make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- r.watchdog().run(ctx, ticks) }()
		now := time.Now()
		for i := range 40 {
			if i%9 == 0 {
				turns.Add(1)
			}
			now = now.Add([]time.Duration{time.Second, 72 * time.Hour, -100 * time.Hour}[i%3])
			ticks <- now
			synctest.Wait()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.said()
	})
}

func TestALockThatIsHeldForEverIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		turns := uint64(0)
		r := watch(t, func() []Vital {
			if turns == 5 {
				<-free
			}
			turns++
			return []Vital{lane(turns)}
		})
		time.Sleep(30 * time.Second)
		r.said("blind the counters")
		close(free)
		time.Sleep(5 * time.Second)
		r.stop()
		r.said("blind the counters", "")
	})
}

func TestAFindingHoldsWhileTheCountersCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		n := 0
		r := watch(t, func() []Vital {
			if n++; n > 15 {
				<-free
			}
			return []Vital{lane(1)}
		})
		err := <-r.done
		close(free)
		r.said("lane_stuck lane 0")
		if f, ok := errors.AsType[*Finding](err); !ok || f.Name != "lane 0" {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestTheDumpIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan struct{})
		for range 3000 {
			go func() { <-quit }()
		}
		r := watch(t, func() []Vital { return []Vital{lane(1)} })
		time.Sleep(15 * time.Second)
		close(quit)
		r.stop()
		if n := r.dump.Len(); n < maxDump || n > maxDump+300 || !strings.HasSuffix(r.dump.String(), "cut)\n") {
			t.Errorf("%d bytes, and it ends with %q", n, r.dump.String()[max(0, n-50):])
		}
	})
}

func TestAServiceManagerThatCannotBeToldIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := New(DefaultConfig(), Hooks{
			Vitals: func() []Vital { return nil },
			Feed:   func() error { return errors.New("no such socket") },
			Log:    slog.New(slog.NewTextHandler(&log, nil)),
		})
		w.ask()
		for range 10 {
			synctest.Wait()
			w.look()
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "no such socket"); n != 1 {
			t.Errorf("said %d times:\n%s", n, &log)
		}
	})
}
