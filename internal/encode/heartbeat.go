// SPDX-License-Identifier: Apache-2.0

package encode

import "time"

// Heartbeat is what a sensor says of itself now and then, as a record among the others: that it
// lives, how it is, and what became of everything so far. With it a consumer can tell a quiet
// link from a dead sensor, and a record that was dropped from one that was lost.
type Heartbeat struct {
	Time     time.Time
	Interval time.Duration // until the next
	Last     bool          // there will be no next

	State string    // of the sensor, one word
	Since time.Time // when it became so

	Totals
	Drops []Drop // what was dropped, and nothing that was not
	Lanes []Lane // of messages, and that of the heartbeats, whose number is this one's
	Spool *Spool // nil when there is none

	Settled uint64 // number of the newest heartbeat of which all that it numbers is settled; or 0

	TopicID string // empty when it is not known how far the topic has come
	Reached []Reached
}

// Totals are those of the ledger. This heartbeat is not in them, earlier ones are.
type Totals struct {
	Packets, Messages, Records, Acknowledged, Spooled, Dropped, Held uint64
}

// Reached is how far a partition of the topic has come: End is the offset behind the newest record
// of the run, or of those before it, that was acknowledged to this one. Partitions in which nothing
// was are left out. It is of the same moment as the accounts of the lanes: what is numbered later
// is not before End, and what was acknowledged by then is not behind it.
type Reached struct {
	Partition, End uint64
}

// Drop is how many of its units a stage has dropped for one reason.
type Drop struct {
	Stage, Reason string
	Count         uint64
}

// Lane says that a lane has numbered its records up to Seq, and that Dropped of these were dropped
// before they were in a batch. The two are of the same moment exactly. Not all of the others are
// delivered: see Totals.Held, Totals.Spooled and Drops.
type Lane struct {
	Lane, Seq, Dropped uint64
}

// Spool is what is on disk, of earlier runs too, in records.
type Spool struct {
	Records uint64 // that wait there
	Dropped uint64 // of earlier runs, and lost during this one
}
