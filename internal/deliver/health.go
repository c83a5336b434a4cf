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
	lookUp   *Fault    // why the last look-up found nothing to deliver to
	fault    *Fault    // the newest failure about a batch since the last acknowledgement
}

func (h *health) acknowledged(now time.Time) {
	h.lastAck = now
	h.lookUp, h.fault = nil, nil
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

// reached notes that the topic has a partition to deliver to. That mends what kept the cluster
// from telling so, but not what became of a batch: a broker that answers questions may take
// nothing, and only an acknowledgement mends that. It tells whether this is worth a line in the
// log.
func (h *health) reached() bool {
	news := !h.contact || h.lookUp != nil
	h.contact, h.lookUp = true, nil
	return news
}

// newest returns the failure that says most: without look-ups nothing is delivered either.
func (h *health) newest() *Fault {
	if h.lookUp != nil {
		return h.lookUp
	}
	return h.fault
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
	case h.newest() != nil && h.newest().Verdict != Rejected:
		return h.newest().State
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
	if f := d.health.newest(); f != nil {
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
