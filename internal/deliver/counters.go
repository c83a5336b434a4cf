// SPDX-License-Identifier: Apache-2.0

package deliver

// Reason is why records were dropped. The set is closed and small, and indexes counters.
type Reason uint8

// The reasons.
const (
	MemoryFull       Reason = iota // no free batch, on live capture
	TooLarge                       // a record that no batch holds, or a batch that no broker takes
	RejectedByBroker               // refused for good by a broker
	Shutdown                       // not acknowledged when the grace period ended
	NumReasons                     // how many there are; not a reason
)

var reasonNames = [NumReasons]string{
	MemoryFull:       "memory_full",
	TooLarge:         "too_large",
	RejectedByBroker: "rejected",
	Shutdown:         "shutdown",
}

// String returns the word that metrics and the ledger use.
func (r Reason) String() string { return reasonNames[r] }

// Counters count records, but for the last three. At any moment
// In = Acknowledged + the sum of Dropped + Held.
type Counters struct {
	In           uint64 // that lanes handed over
	Acknowledged uint64 // that the brokers have
	Dropped      [NumReasons]uint64
	Held         uint64 // in open batches, in queues and on their way

	Redelivered uint64 // sent again under a new identity: they may be there twice
	Redated     uint64 // whose Kafka time stamp was moved to now
	Retried     uint64 // sent again, unchanged
	Batches     uint64 // acknowledged batches
	Bytes       uint64 // of acknowledged batches, as sent
	Failed      uint64 // calls that failed
}

// Counters returns the counters so far.
func (d *Delivery) Counters() Counters {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}
