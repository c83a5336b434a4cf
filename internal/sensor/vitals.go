// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"fmt"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// The states that delivery cannot tell, for it may be what is stuck.
const (
	LaneStuck     deliver.State = "lane_stuck"     // a lane does not turn
	Starved       deliver.State = "starved"        // the kernel counts packets and a lane sees none
	DeliveryStuck deliver.State = "delivery_stuck" // delivery does not turn, or gets nowhere and has no reason
)

// Vital is one thing of a sensor that must go on. Package supervise says what its fields mean:
// one is converted into the other.
type Vital struct {
	Name     string
	State    string
	Means    string
	Count    uint64
	Waits    bool
	Input    uint64
	Least    uint64
	Patience time.Duration
	Recycle  bool
}

// Some packets may be counted and never come; this many in a row do not.
const starvedAfter = 10

// starvedFor is how long a lane may see none of them: blocks of a ring are handed over within
// 25 ms, and lanes look every 50 ms.
const starvedFor = 10 * time.Second

// What it means when a vital stands still.
const (
	meansLane     = "a lane reads no packets any more; the goroutines in the log say where it stands"
	meansStarved  = "the kernel counts packets on the interface and the lane gets none of them"
	meansDelivery = "a part of delivery does not turn any more; the goroutines in the log say where it stands"
	meansProgress = "records wait, nothing becomes of them, and no error says why"
	meansBlind    = "the counters of the sensor cannot be read: a lock is held for ever"
)

// Vitals returns all that must go on now. It takes the locks of lanes and delivery.
func (s *Sensor) Vitals() []Vital {
	var all []Vital
	for _, b := range s.delivery.Beats() {
		v := Vital{Name: b.Name, State: string(DeliveryStuck), Means: meansDelivery,
			Count: b.Turns, Waits: b.Waits, Patience: b.Patience, Recycle: true}
		if b.Lane {
			v.State, v.Means, v.Recycle = string(LaneStuck), meansLane, false
		}
		all = append(all, v)
	}
	if s.live() {
		for i, l := range s.lanes {
			c := l.count().capture
			all = append(all, Vital{Name: fmt.Sprintf("the packets of lane %d", i), State: string(Starved),
				Means: meansStarved, Count: c.Read, Input: c.Received, Least: starvedAfter, Patience: starvedFor})
		}
	}
	return append(all, s.progress())
}

// progress is what becomes of records. That it stands still is only a finding while delivery
// does not know why: a cluster that is away has a state, is asked again for ever, and no restart
// brings it back.
func (s *Sensor) progress() Vital {
	c, state := s.delivery.Counters(), s.delivery.Status().State
	settled := c.Acknowledged + c.Spooled
	for _, n := range c.Dropped {
		settled += n
	}
	explained := !state.Ready() && state != deliver.Connecting
	return Vital{Name: "delivery", State: string(DeliveryStuck), Means: meansProgress,
		Count: settled, Waits: c.Held == 0 || explained,
		Patience: s.cfg.Deliver.RecycleAfter + time.Minute, Recycle: true}
}

// Blind returns the vital that stands still when Vitals does not return.
func Blind() Vital {
	return Vital{Name: "the counters", State: string(DeliveryStuck), Means: meansBlind, Patience: 10 * time.Second}
}

// Alarm is a state that the watchdog found.
type Alarm struct {
	State    deliver.State
	Since    time.Time
	Sentence string
	Blind    bool // do not ask anybody else
}

// Alarm makes a the state of the sensor, above all others, until it is called with nil. It may be
// called from any goroutine and does not block.
func (s *Sensor) Alarm(a *Alarm) { s.alarm.Store(a) }

// over returns status with the alarm above it.
func (a *Alarm) over(status deliver.Status) deliver.Status {
	status.State, status.Since = a.State, a.Since
	status.Sentence = fmt.Sprintf("%s since %s: %s", a.State, a.Since.UTC().Format(time.RFC3339), a.Sentence)
	return status
}

// Recycle replaces the client of the cluster. It may block for as long as opening one does.
func (s *Sensor) Recycle() { s.delivery.Recycle() }
