// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"math"
	"slices"
)

// Reason is why records were dropped. The set is closed and small, and indexes counters.
type Reason uint8

// The reasons.
const (
	MemoryFull       Reason = iota // no free batch, on live capture
	TooLarge                       // a record that no batch holds, or a batch that no broker takes
	RejectedByBroker               // refused for good by a broker
	Shutdown                       // not acknowledged when the grace period ended
	SpoolFull                      // the oldest on disk, to make room
	SpoolAge                       // on disk for longer than they may be
	SpoolCorrupt                   // cannot be read back from disk whole
	Unanswered                     // at-most-once: sent, and nobody knows what became of it
	InternalError                  // a mistake in this program, or in a batch that was on disk
	NumReasons                     // how many there are; not a reason
)

var reasonNames = [NumReasons]string{
	MemoryFull:       "memory_full",
	TooLarge:         "too_large",
	RejectedByBroker: "rejected",
	Shutdown:         "shutdown",
	SpoolFull:        "spool_full",
	SpoolAge:         "spool_age",
	SpoolCorrupt:     "spool_corrupt",
	Unanswered:       "unanswered",
	InternalError:    "internal_error",
}

// String returns the word that metrics and the ledger use.
func (r Reason) String() string { return reasonNames[r] }

// Counters count records where nothing else is said. At any moment
// In = Acknowledged + the sum of Dropped + Held + Spooled.
//
// What an earlier run left on disk is in none of these: it was In then. It is Replayed when it is
// acknowledged now.
type Counters struct {
	In           uint64 // that lanes handed over
	Acknowledged uint64 // that the brokers have
	Dropped      [NumReasons]uint64
	Held         uint64 // in open batches, in queues and on their way
	Spooled      uint64 // on disk and in no memory but that of the drainer

	Replayed      uint64 // of an earlier run, acknowledged
	ReplayDropped uint64 // of an earlier run, refused for good

	Redelivered uint64 // sent again under a new identity: they may be there twice
	Redated     uint64 // whose Kafka time stamp was moved to now
	Retried     uint64 // sent again, unchanged
	Batches     uint64 // acknowledged batches
	Bytes       uint64 // of acknowledged batches, as sent
	Split       uint64 // batches that were split in two
	Failed      uint64 // calls that failed
	Recycled    uint64 // producers that were replaced
	Panics      uint64 // of goroutines that were started again
	DeadLetters uint64 // written to the dead-letter file
}

// Counters returns the counters so far.
func (d *Delivery) Counters() Counters {
	d.mu.Lock()
	c := d.counters()
	d.mu.Unlock()
	c.DeadLetters = d.letters.count()
	return c
}

// counters returns the counters but for the dead letters. d.mu is held.
func (d *Delivery) counters() Counters {
	c := d.counts
	if spool := d.cfg.Spool; spool != nil {
		// With d.mu held: what the spool has dropped by now was counted as spooled before.
		for why, n := range spool.Stats().OwnDropped {
			c.Dropped[why] += n
			c.Spooled -= n
		}
	}
	return c
}

// Lost returns how many records were dropped, for whatever reason.
func (c *Counters) Lost() (n uint64) {
	for _, dropped := range c.Dropped {
		n += dropped
	}
	return n
}

// Snapshot is the account of a delivery at one moment.
type Snapshot struct {
	Counters           // but for DeadLetters
	Accounts []Account // of the intakes asked for
	Reach    Reach     // how far the topic had come, if that is known

	// Settled is the newest mark of which nothing waits any more: all that intakes had taken when
	// it was set is acknowledged or dropped. It is unmarked when nothing waits at all, and 0 when
	// that is not known, for what is on disk has no marks.
	Settled uint64
}

// unmarked is more than any mark.
const unmarked uint64 = math.MaxUint64

// Mark sets a mark behind what the intakes had taken at the last Snapshot. Marks rise.
func (d *Delivery) Mark(n uint64) { d.mark.Store(n) }

// glances is how often Snapshot looks again because something was acknowledged meanwhile. It takes
// some microseconds to look, so on the busiest of topics few looks are enough.
const glances = 16

// Snapshot returns the account with that of each of the intakes. All is of the same moment: what an
// account has numbered is in the counters, and what they have as acknowledged, and no more, is
// within the reach.
func (d *Delivery) Snapshot(intakes []*Intake) (s Snapshot) {
	before := d.reach()
	for range glances {
		s = d.glance(intakes)
		after := d.reach()
		if after.Topic == before.Topic && slices.Equal(after.Ends, before.Ends) {
			s.Reach = after
			return s
		}
		before = after
	}
	return s
}

func (d *Delivery) glance(intakes []*Intake) Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Snapshot{Counters: d.counters(), Settled: unmarked}
	for _, in := range intakes {
		s.Accounts = append(s.Accounts, in.account)
		s.Settled = min(s.Settled, in.waits)
	}
	for p := range d.parcels {
		if p.origin != fromEarlier {
			s.Settled = min(s.Settled, p.mark) // 0 of one from disk
		}
	}
	if s.Spooled > 0 {
		s.Settled = 0
	}
	return s
}

func (d *Delivery) reach() Reach {
	if r, ok := d.current().(Reacher); ok {
		return r.Reach()
	}
	return Reach{}
}
