// SPDX-License-Identifier: Apache-2.0

// Package supervise is the watchdog: it sees to it that what must go on does. It knows counters
// that have to move, and nothing of what they count. What stands still is said once, with the
// goroutines, shown as a state, healed if there is a way, and else ends the process, for the
// service manager to start it again.
//
// Time is counted in looks of the watchdog, never taken from a clock. A machine that was
// suspended, or a process that was stopped, stopped the watchdog as well: it missed its looks,
// so nobody is late. A clock that was set is not asked.
package supervise

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"
)

// Vital is one thing that must go on.
type Vital struct {
	Name  string // "lane 0"; the same at every look
	State string // of the sensor when it does not go on: "lane_stuck"
	Means string // what that means and what is done about it, as a sentence

	Count uint64 // moves whenever it goes on
	Waits bool   // it rightly stands still: for memory, for work, for a cluster known to be away

	// It must go on after Least more of Input came in than when Count moved last. Both are zero
	// for what must go on by itself.
	Input uint64
	Least uint64

	Patience time.Duration // how long it may stand still all the same
	Recycle  bool          // Hooks.Recycle may heal it
}

// Finding is what the watchdog found to stand still.
type Finding struct {
	Name  string
	State string
	Means string
	Since time.Time // of the alarm
	Blind bool      // even the counters cannot be read: whoever asks for them may wait for ever
}

// Error makes a finding the reason why the process ends.
func (f *Finding) Error() string {
	return fmt.Sprintf("watchdog: %s: %s stands still: %s", f.State, f.Name, f.Means)
}

// Hooks are what the watchdog looks at and what it can do.
type Hooks struct {
	// Vitals returns all that must go on. It may take locks: that it does not return is a
	// finding itself, called blind below.
	Vitals func() []Vital

	// Blind is what to find when Vitals does not return for its Patience.
	Blind Vital

	// Alarm is told of a finding, and with nil of its end. It must not block.
	Alarm func(*Finding)

	// Recycle tries to heal what allows it, in a goroutine of its own that may hang. It may be nil.
	Recycle func(Finding)

	// Feed tells the service manager, at each look, that all goes on. It may be nil.
	Feed func() error

	// Dump takes the goroutines, once for each name that is found.
	Dump io.Writer

	Log *slog.Logger
}

// Config is the watchdog's time.
type Config struct {
	Interval time.Duration // between two looks
	HealFor  time.Duration // from the alarm until the watchdog gives up
}

// DefaultConfig returns a look each second, and half a minute to heal.
func DefaultConfig() Config {
	return Config{Interval: time.Second, HealFor: 30 * time.Second}
}

// maxDump bounds the goroutines that are written, in bytes. A sensor has some fifty, of 1 KiB.
const maxDump = 256 << 10

// Watchdog looks until it is told to stop or gives up.
type Watchdog struct {
	cfg   Config
	hooks Hooks

	reading chan []Vital // the answer of Vitals that is waited for; nil if none is
	blind   int          // looks in a row without an answer
	tracks  map[string]track
	late    *Vital // that stood still too long when the vitals were read last; nil if none did
	dumped  map[string]bool

	open *Finding // nil while all goes on
	age  int      // looks since open was found
	fed  bool     // the last feeding worked
}

// track is what is remembered of a vital between two looks.
type track struct {
	count, input uint64 // when Count moved last
	still        int    // looks in a row at which it had to move and did not
}

// New returns a watchdog that does nothing yet.
func New(cfg Config, hooks Hooks) *Watchdog {
	return &Watchdog{cfg: cfg, hooks: hooks, tracks: map[string]track{}, dumped: map[string]bool{}, fed: true}
}

// Run looks until ctx ends, and then returns nil, or until something has not gone on for its
// patience and not healed either: then it returns the *Finding, and the process must end.
func (w *Watchdog) Run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Interval)
	defer tick.Stop()
	return w.run(ctx, tick.C)
}

func (w *Watchdog) run(ctx context.Context, ticks <-chan time.Time) error {
	w.ask()
	for {
		select {
		case <-ticks:
		case <-ctx.Done():
			return nil
		}
		if f := w.look(); f != nil {
			return f
		}
	}
}

// ask begins to read the vitals. The answer is taken at the next look: a look that waited for it
// could be made to wait for ever.
func (w *Watchdog) ask() {
	answer := make(chan []Vital, 1)
	w.reading = answer
	go func() { answer <- w.hooks.Vitals() }()
}

// look returns a finding when the watchdog gives up.
func (w *Watchdog) look() *Finding {
	select {
	case vitals := <-w.reading:
		w.blind = 0
		w.late = w.examine(vitals)
		w.ask()
	default: // counted, and a finding when it lasts; until then what was known last holds
		w.blind++
		if w.over(w.blind, w.hooks.Blind.Patience) {
			w.late = &w.hooks.Blind
		}
	}
	return w.judge(w.late)
}

// examine returns the first vital that stands still for longer than it may, or nil.
func (w *Watchdog) examine(vitals []Vital) *Vital {
	var late *Vital
	tracks := make(map[string]track, len(vitals))
	for i, v := range vitals {
		t, known := w.tracks[v.Name]
		t = t.next(v, known)
		tracks[v.Name] = t
		if late == nil && w.over(t.still, v.Patience) {
			late = &vitals[i]
		}
	}
	w.tracks = tracks // those that are gone have ended
	return late
}

func (t track) next(v Vital, known bool) track {
	if !known || v.Count != t.count || v.Input < t.input {
		return track{count: v.Count, input: v.Input}
	}
	if v.Waits || v.Input-t.input < v.Least {
		t.still = 0
	} else {
		t.still++
	}
	return t
}

// over tells whether so many looks are more than the patience.
func (w *Watchdog) over(looks int, patience time.Duration) bool {
	return time.Duration(looks)*w.cfg.Interval > patience
}

// judge does what there is to do about the vital that is late, if one is.
func (w *Watchdog) judge(late *Vital) *Finding {
	switch {
	case late == nil && w.open == nil:
		w.feed()
	case late == nil:
		w.hooks.Log.Warn("watchdog: "+w.open.Name+" goes on again", "state", w.open.State)
		w.open = nil
		w.hooks.Alarm(nil)
		w.feed()
	case w.open == nil:
		w.alarm(*late)
	default:
		if w.age++; w.over(w.age, w.cfg.HealFor) {
			return w.open
		}
	}
	return nil
}

func (w *Watchdog) alarm(late Vital) {
	w.age = 0
	w.open = &Finding{Name: late.Name, State: late.State, Means: late.Means, Since: time.Now(),
		Blind: late.Name == w.hooks.Blind.Name}
	w.hooks.Log.Error(w.open.Error(), "patience", late.Patience, "given_up_in", w.cfg.HealFor)
	w.hooks.Alarm(w.open)
	if !w.dumped[late.Name] {
		w.dumped[late.Name] = true
		w.dump()
	}
	if late.Recycle && w.hooks.Recycle != nil {
		go w.hooks.Recycle(*w.open)
	}
}

// dump writes what each goroutine does. It is what whoever looks at it later cannot get any more.
func (w *Watchdog) dump() {
	buf := make([]byte, maxDump)
	n := runtime.Stack(buf, true)
	text := fmt.Sprintf("%v\n%s\n", w.open, buf[:n])
	if n == len(buf) {
		text += "(and more: this is cut)\n"
	}
	if _, err := io.WriteString(w.hooks.Dump, text); err != nil {
		w.hooks.Log.Error("watchdog: the goroutines could not be written", "error", err)
	}
}

// feed tells the service manager. That it cannot be told is worth one line, not one a second.
func (w *Watchdog) feed() {
	if w.hooks.Feed == nil {
		return
	}
	err := w.hooks.Feed()
	if err != nil && w.fed {
		w.hooks.Log.Warn("watchdog: the service manager cannot be told", "error", err)
	}
	w.fed = err == nil
}
