// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pulse is how one goroutine proves that it turns. It says so at each turn of its loop, and says
// when it is about to wait for what may rightly never come: a batch, memory, an answer of a
// cluster that is away. One that stands still otherwise is stuck. A Pulse takes no lock, so it
// can be read while others are held for ever. The methods work on a nil Pulse, which nobody reads.
type Pulse struct {
	name     string
	lane     bool
	patience time.Duration
	n        atomic.Uint64 // written by its goroutine alone: grows; odd while it waits
}

// Turn says that the goroutine goes on.
func (p *Pulse) Turn() {
	if p != nil {
		p.n.Store((p.n.Load() | 1) + 1)
	}
}

// Wait says that it may stand still until its next Turn.
func (p *Pulse) Wait() {
	if p != nil {
		p.n.Store(p.n.Load() | 1)
	}
}

// Beat is a Pulse as it was when it was read.
type Beat struct {
	Name     string
	Lane     bool          // it leads packets here; the others are goroutines of delivery
	Turns    uint64        // grows whenever it goes on
	Waits    bool          // it may stand still
	Patience time.Duration // how long it may do so otherwise
}

// pulseKey is where the context of a goroutine has its Pulse.
type pulseKey struct{}

// pulseOf returns the Pulse of the goroutine that ctx was made for, or nil.
func pulseOf(ctx context.Context) *Pulse {
	p, _ := ctx.Value(pulseKey{}).(*Pulse)
	return p
}

// pulses are those of all goroutines that run now. The zero value has none.
type pulses struct {
	mu  sync.Mutex // guards the following, and is held for nothing else
	all []*Pulse
}

// begin returns a new pulse, which must be ended.
func (ps *pulses) begin(name string, patience time.Duration) *Pulse {
	return ps.add(&Pulse{name: name, patience: patience})
}

// add adds p, with a number behind its name if another has that.
func (ps *pulses) add(p *Pulse) *Pulse {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	name, taken := p.name, func(o *Pulse) bool { return o.name == p.name }
	for n := 2; slices.ContainsFunc(ps.all, taken); n++ {
		p.name = fmt.Sprintf("%s %d", name, n)
	}
	ps.all = append(ps.all, p)
	return p
}

// end says that the goroutine has returned.
func (ps *pulses) end(p *Pulse) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if i := slices.Index(ps.all, p); i >= 0 {
		ps.all = slices.Delete(ps.all, i, i+1)
	}
}

func (ps *pulses) beats() []Beat {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	beats := make([]Beat, len(ps.all))
	for i, p := range ps.all {
		n := p.n.Load()
		beats[i] = Beat{Name: p.name, Lane: p.lane, Turns: n, Waits: n&1 == 1, Patience: p.patience}
	}
	return beats
}

// patience is how long a goroutine of delivery may be between two turns: no turn makes more than
// one request, and the rest is room for a machine that is busy.
func (c Config) patience() time.Duration { return 3*c.RequestTimeout + c.BackoffMax + 10*time.Second }

// lanePatience is how long a lane may be between two turns: it has one whenever its source is
// idle for 50 ms, and every few hundred packets.
const lanePatience = 10 * time.Second

// Watch makes the intake prove that its lane turns, under this name, until it is closed.
func (in *Intake) Watch(name string) {
	in.pulse = in.d.pulses.add(&Pulse{name: name, lane: true, patience: lanePatience})
}

// Beats returns how all goroutines are that are watched: lanes and those of delivery.
func (d *Delivery) Beats() []Beat { return d.pulses.beats() }

// Recycle replaces the producer at once, if Config.Cluster can open another: for a watchdog that
// knows better than the supervisor, which may be what is stuck. Calls that the old one does not
// let go return when it is closed.
func (d *Delivery) Recycle() {
	if d.cfg.Cluster != nil {
		d.recycle(time.Now())
	}
}
