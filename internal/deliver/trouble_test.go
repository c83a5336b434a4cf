// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestASilenceIsOneStateFromBeforeTheFirstTimeOutOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := withSpool(t, 3, 16)
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 60)
		r.answer(outcome{silent: true})
		var states []State
		for range 600 {
			r.put(in, 1)
			time.Sleep(200 * time.Millisecond) // virtual
			if s := r.d.Status().State; len(states) == 0 || s != states[len(states)-1] {
				states = append(states, s)
			}
		}
		silent := slices.Index(states, NoAnswer)
		if silent < 0 || len(states[silent:]) != 1 {
			t.Errorf("it was in turn %v", states)
		}
		r.answer(fine)
		time.Sleep(time.Minute) // virtual
		r.check(r.finish(in))
	})
}

// TestWhatFailsNowAndThenIsToldOnceAMinute: each failure is new, for what came after the one before
// was acknowledged.
func TestWhatFailsNowAndThenIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		r := newRig(t, 2, 16)
		r.d.log = slog.New(slog.NewTextHandler(&said, nil))
		requests, lookUps := 0, 0
		r.c.onProduce = func(int32) outcome {
			if requests++; requests%3 == 0 {
				return outcome{err: cut}
			}
			return fine
		}
		r.c.onLeaders = func() error {
			if lookUps++; lookUps%3 == 2 {
				return refused
			}
			return nil
		}
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 300)
		if n := r.d.Counters(); n.Failed < 100 {
			t.Errorf("%d failures", n.Failed)
		}
		warned := strings.Count(said.String(), "level=WARN")
		reached := strings.Count(said.String(), "is reachable")
		if warned < 4 || warned > 6 || reached > 7 {
			t.Errorf("%d warnings, %d times reachable:\n%s", warned, reached, &said)
		}
		r.check(r.finish(in))
	})
}

// TestNothingFlowsBeforeTheFirstAcknowledgement: brokers that tell clients an address that is wrong
// answer the look-up, and each batch fails.
func TestNothingFlowsBeforeTheFirstAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 16)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		seen := map[State]bool{}
		for range 50 {
			r.put(in, 1)
			time.Sleep(100 * time.Millisecond) // virtual
			if s := r.d.Status(); s.Waiting > 0 {
				seen[s.State] = true
			}
		}
		if seen[Flowing] || !seen[Connecting] || !seen[Unreachable] {
			t.Errorf("it was in turn %v", seen)
		}
		r.answer(fine)
		r.stream(in, 10)
		if s := r.d.Status(); s.State != Flowing {
			t.Errorf("%+v", s)
		}
		r.check(r.finish(in))
	})
}
