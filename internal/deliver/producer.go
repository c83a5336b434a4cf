// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"fmt"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// Producer is one topic of a cluster, as deliver needs it. It keeps no batch and retries
// nothing: what an answer means for a batch is decided here. Its methods are called by many
// goroutines, block until the cluster answers or ctx ends, and return a *Fault as their error.
type Producer interface {
	// Leaders asks for the partitions of the topic and returns the node that leads each of them,
	// indexed by partition, NoLeader where there is none.
	Leaders(ctx context.Context) ([]int32, error)

	// Identity asks for a new identity for an idempotent producer without transactions
	// (InitProducerId, KIP-98).
	Identity(ctx context.Context) (record.Producer, error)

	// Produce sends one stamped batch to node, which led partition when last asked, and returns
	// nil when it is acknowledged as the producer was told to ask for: by all in-sync replicas,
	// by the leader, or, with no acknowledgement, when it is written. The bytes are read until
	// Produce returns and not after, whatever it returns.
	Produce(ctx context.Context, node, partition int32, batch []byte) error

	// Close closes all connections; calls that wait return.
	Close()
}

// Cluster is where producers come from, so that one which is stuck can be replaced. Its methods
// are called by one goroutine.
type Cluster interface {
	// Open returns a new Producer with connections of its own. It connects to nobody yet.
	Open() (Producer, error)

	// Probe asks the cluster for the topic, over connections that it opens for this and closes
	// again, and returns nil when a broker answers that the topic is there. Its error is a
	// *Fault. It blocks until then or until ctx ends.
	Probe(ctx context.Context) error
}

// Throttler is a Producer that knows about quotas.
type Throttler interface {
	// Throttled returns until when a broker asked this client to wait (throttle_time_ms of its
	// newest answer, KIP-219); the zero time, or one that is past, when none does.
	Throttled() time.Time
}

// Reacher is a Producer that knows how far the topic has come.
type Reacher interface {
	// Reach returns how far. What is acknowledged is in it before Produce returns.
	Reach() Reach
}

// Reach is how far the partitions of a topic have come, as far as this process was told. No record
// that it hands over later is before an End, and none that was acknowledged is behind it.
type Reach struct {
	Topic string // its id; empty when it is not known how far it has come
	Ends  []End  // by partition, of those that have acknowledged something
}

// End is the offset behind the newest record of a partition that was acknowledged.
type End struct {
	Partition int32
	Offset    int64
}

// NoLeader is the node that leads a partition which has no leader.
const NoLeader int32 = -1

// Verdict is what an error means for the batch that met it.
type Verdict uint8

// The verdicts, from harmless to final.
const (
	// Unsent: no partition has it for certain. It did not leave the sensor, or was refused
	// before it was appended. It may go to any partition.
	Unsent Verdict = iota
	// Unknown: it may have been appended, or may yet be. The same bytes go to the same
	// partition again, and the broker removes the duplicate (producer identity and sequence).
	Unknown
	// Lost is the sequence: the broker no longer knows what this producer sent before. A new
	// identity, and the batch again; it may be there twice then.
	Lost
	// Rejected for good: this batch will never be taken.
	Rejected
)

// Fault is a failed call of a Producer.
type Fault struct {
	State   State   // what the sensor as a whole is in, because of it
	Verdict Verdict // what becomes of the batch
	Reason  Reason  // why the batch is dropped, if the verdict is Rejected
	Time    bool    // it is rejected for its time stamps; with others it may be taken
	Where   string  // broker, or what else was asked
	Err     error
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Where == "" {
		return f.Err.Error()
	}
	return fmt.Sprintf("%s: %v", f.Where, f.Err)
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }
