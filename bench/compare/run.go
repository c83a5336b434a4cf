// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// result is one run of one sensor.
type result struct {
	arrived int64
	wall    time.Duration // from the start to the last arrival
	usage   usage
	note    string // how it ended, if not by itself and well
}

// perMillion returns the CPU seconds for a million records that arrived.
func (r result) perMillion() float64 {
	if r.arrived == 0 {
		return 0
	}
	return r.usage.cpu.Seconds() * 1e6 / float64(r.arrived)
}

// limits bound one run.
type limits struct {
	run   time.Duration // the whole of it
	quiet time.Duration // without an arrival, after the capture was read
	look  time.Duration // between looks at what has arrived
	// late is how long after the last frame of an interface records are waited for.
	late time.Duration
	// patience is how long a sensor may take to end when asked to.
	patience time.Duration
}

// arrivals is what tells how far a run is.
type arrivals struct {
	// progress grows when a record arrives. It is asked often, so it is cheap.
	progress count
	// records is how many have arrived.
	records count
}

// run runs one sensor over the capture to its end, or ends it: most sensors of this kind are made
// to run for ever and do not stop at the end of a capture.
func run(ctx context.Context, s sensor, j job, a arrivals, l limits) (result, error) {
	if err := os.MkdirAll(j.records(), 0o700); err != nil {
		return result{}, fmt.Errorf("folder of a run: %w", err)
	}
	if s.prepare != nil {
		if _, err := s.prepare(j); err != nil {
			return result{}, err
		}
	}
	begun := time.Now()
	c, err := start(ctx, s, j, l.patience)
	if err != nil {
		return result{}, err
	}
	w := watch{child: c, job: j, arrivals: a, limits: l, begun: begun, last: begun}
	note, err := w.untilEnded(ctx)
	if err != nil {
		return result{}, err
	}
	if note == "" && !c.cmd.ProcessState.Success() {
		note = fmt.Sprintf("failed: %v: %s", c.cmd.ProcessState, c.lastWords())
	}
	if err := w.settle(ctx); err != nil {
		return result{}, err
	}
	r := result{wall: w.last.Sub(begun), note: note}
	if r.usage, err = c.usage(); err != nil {
		return result{}, err
	}
	r.arrived, err = a.records(ctx)
	return r, err
}

// watch follows one run.
type watch struct {
	child    *child
	job      job
	arrivals arrivals
	limits   limits
	begun    time.Time
	last     time.Time // of an arrival
	seen     int64
}

// Why a sensor was ended by us. The first is how a sensor that runs for ever ends well.
const (
	endedQuiet = "does not end by itself: ended when nothing more arrived"
	endedLate  = "ended at the time limit"
)

// untilEnded waits for the child to end, or ends it and says why.
func (w *watch) untilEnded(ctx context.Context) (string, error) {
	defer w.child.cancel()
	ticks := time.NewTicker(w.limits.look)
	defer ticks.Stop()
	for {
		select {
		case <-w.child.ended:
			return "", ctx.Err()
		case <-ticks.C:
		}
		if ctx.Err() == nil {
			if err := w.look(ctx); err != nil {
				w.child.stop()
				return "", err
			}
		}
		if why := w.over(time.Now()); why != "" {
			w.child.stop()
			return why, ctx.Err()
		}
	}
}

// over returns why the run must end now, or "".
func (w *watch) over(now time.Time) string {
	switch {
	case now.Sub(w.begun) > w.limits.run:
		return endedLate
	case now.Sub(w.last) < w.limits.quiet || w.child.reads(w.job.capture):
		return ""
	default:
		return endedQuiet
	}
}

func (w *watch) look(ctx context.Context) error {
	n, err := w.arrivals.progress(ctx)
	if err != nil {
		return err
	}
	if n > w.seen {
		w.seen, w.last = n, time.Now()
	}
	return nil
}

// settled is how long arrivals must have stood still after the end of a sensor that does not wait
// for acknowledgements: its last bytes may still be in a socket.
const settled = 500 * time.Millisecond

func (w *watch) settle(ctx context.Context) error {
	for still := time.Now(); time.Since(still) < settled; {
		before := w.seen
		if err := w.look(ctx); err != nil {
			return err
		}
		if w.seen > before {
			still = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.limits.look):
		}
	}
	return nil
}
