// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"fmt"
	"time"
)

// recent is how long something that happened once is what there is to say.
const recent = 10 * time.Second

// health decides the state from what happened last. Delivery.mu guards it.
type health struct {
	state State
	since time.Time

	contact  bool      // the cluster has answered once
	lastAck  time.Time // of any batch
	lastDrop time.Time // for lack of memory
	rejected time.Time // a batch was refused for good
	fault    *Fault    // the newest failure since the last sign that all is well
}

func (h *health) acknowledged(now time.Time) {
	h.lastAck = now
	h.fault = nil
}

func (h *health) dropped(why Reason, now time.Time) {
	switch why {
	case MemoryFull:
		h.lastDrop = now
	case TooLarge, RejectedByBroker:
		h.rejected = now
	case Shutdown:
	}
}

// failed notes a failure and tells whether it is worth a line in the log: a new kind of failure
// is, the same again is not.
func (h *health) failed(f *Fault, _ time.Time) bool {
	before := h.fault
	h.fault = f
	return before == nil || before.State != f.State
}

// reached notes an answer about the topic. It mends what kept the cluster from answering, but
// not what a broker said about a batch: only an acknowledgement mends that. It tells whether
// this is worth a line in the log.
func (h *health) reached(time.Time) bool {
	first := !h.contact
	h.contact = true
	if h.fault != nil && h.fault.State.unanswered() {
		h.fault = nil
		return true
	}
	return first
}

// unanswered tells whether the state means that the topic cannot even be looked up.
func (s State) unanswered() bool {
	switch s {
	case Unreachable, Unresolvable, TLSFailed, AuthFailed, NoAnswer, TopicMissing:
		return true
	}
	return false
}

// observe returns the state now, and since when it has been that.
func (h *health) observe(held uint64, now time.Time) (State, time.Time) {
	if s := h.decide(held, now); s != h.state {
		h.state, h.since = s, now
	}
	return h.state, h.since
}

func (h *health) decide(held uint64, now time.Time) State {
	within := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < recent }
	switch {
	case within(h.lastDrop):
		return Dropping
	case h.fault != nil:
		return h.fault.State
	case within(h.rejected):
		return RejectedState
	case !h.contact:
		return Connecting
	case held == 0 && !within(h.lastAck):
		return Idle
	}
	return Flowing
}

// Status returns the state now with its evidence.
func (d *Delivery) Status() Status {
	partitions, leaderless := d.topic.partitions()
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	state, since := d.health.observe(d.counts.Held, now)
	s := Status{
		State: state, Since: since, LastAck: d.health.lastAck,
		Partitions: partitions, Leaderless: leaderless,
		Waiting: len(d.waiting), Free: d.pool.Free(),
	}
	for _, at := range d.waiting {
		s.OldestAge = max(s.OldestAge, now.Sub(at).Seconds())
	}
	if f := d.health.fault; f != nil {
		s.LastError = f.Error()
	}
	s.Sentence = fmt.Sprintf("%s since %s: %s", state, since.UTC().Format(time.RFC3339), advice[state])
	return s
}

func (d *Delivery) count(add func(*Counters)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	add(&d.counts)
}
