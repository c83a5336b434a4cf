// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"

	"github.com/dnsluice/dnsluice/internal/record"
)

// worker delivers to one partition, one batch at a time. That makes order and idempotence
// trivial; partitions give the parallelism.
//
// Each worker has a producer identity of its own. A partition then needs to agree with nobody
// about sequences: when the broker has forgotten what was sent before, this worker takes a new
// identity, and no other partition is touched.
type worker struct {
	d         *Delivery
	partition int32
	since     uint64 // the answer that the partition appeared with
	pause     backoff

	identity   record.Producer
	identified bool
	sequence   int32 // of the next record
}

func newWorker(d *Delivery, partition int32, since uint64) *worker {
	return &worker{
		d: d, partition: partition, since: since,
		pause: backoff{min: d.cfg.BackoffMin, max: d.cfg.BackoffMax},
	}
}

var (
	errNoLeader  = errors.New("the partition has no leader")
	errNoLeaders = errors.New("no partition has a leader")
)

// run takes batches while the partition has a leader. It ends with ctx, or when the topic has
// lost the partition.
func (w *worker) run(ctx context.Context) {
	for {
		leader, exists, _, changed := w.d.topic.look(w.partition, w.since)
		if !exists {
			return
		}
		ready := w.d.ready
		if leader == NoLeader {
			ready = nil
		}
		select {
		case b := <-ready:
			w.deliver(ctx, b)
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// fate is what became of a batch so far.
type fate struct {
	stamped bool // with the identity and sequence that the worker has now
	sent    bool // a broker may have it, or may yet get it
}

// deliver sends b until the partition has it, for ever if need be. Only a batch that no broker
// can have seen is given back for another partition, when this one fails; and one whose
// partition is gone, for nobody will tell any more whether it was there.
func (w *worker) deliver(ctx context.Context, b *record.Batch) {
	var f fate
	for ctx.Err() == nil {
		_, exists, news, _ := w.d.topic.look(w.partition, w.since)
		if !exists {
			w.giveBack(b, f)
			return
		}
		err := w.try(ctx, b, &f)
		if err == nil {
			w.sequence = record.NextSequence(w.sequence, b.Records())
			w.pause.reset()
			w.d.acknowledge(b)
			return
		}
		if ctx.Err() != nil {
			return // Run accounts for what is left
		}
		fault := asFault(err)
		w.d.failed(fault)
		switch fault.Verdict {
		case Rejected:
			// If it is there all the same, from an earlier attempt, then its sequence is taken: the
			// broker would take another batch that uses it for a repetition, and throw it away.
			w.identified = w.identified && !f.sent
			w.reject(b, fault)
			return
		case Lost:
			w.identified, f.stamped = false, false
			w.d.count(func(c *Counters) { c.Redelivered += uint64(b.Records()) })
		case Unknown:
			f.sent = true
		case Unsent:
		}
		if !f.sent && fault.Verdict == Unsent {
			w.giveBack(b, f)
			w.recover(ctx, news)
			return
		}
		w.d.count(func(c *Counters) { c.Retried += uint64(b.Records()) })
		w.recover(ctx, news)
	}
}

// try makes one attempt: an identity if there is none, a stamp if there is none, one request.
func (w *worker) try(ctx context.Context, b *record.Batch, f *fate) error {
	ctx, cancel := context.WithTimeout(ctx, w.d.cfg.RequestTimeout)
	defer cancel()
	if !w.identified {
		identity, err := w.d.producer.Identity(ctx)
		if err != nil {
			return err
		}
		w.identity, w.identified, w.sequence, f.stamped = identity, true, 0, false
	}
	leader, _, _, _ := w.d.topic.look(w.partition, w.since)
	if leader == NoLeader {
		return &Fault{State: NoLeaderState, Verdict: Unsent, Err: errNoLeader}
	}
	if !f.stamped {
		w.d.redate(b)
		b.Stamp(w.identity, w.sequence)
		f.stamped = true
	}
	return w.d.producer.Produce(ctx, leader, w.partition, b.Bytes())
}

// recover waits after a failure: for the pause, and for an answer of the cluster about its
// leaders that is newer than news, what was known when the request was made. While the cluster
// is away, that lets one goroutine knock, not every worker.
func (w *worker) recover(ctx context.Context, news uint64) {
	w.d.topic.ask()
	if sleep(ctx, w.pause.next()) {
		w.d.topic.newer(ctx, news)
	}
}

// giveBack returns b to the queue, for any worker. It does not block: ready has room for all.
func (w *worker) giveBack(b *record.Batch, f fate) {
	if f.sent {
		w.d.count(func(c *Counters) { c.Redelivered += uint64(b.Records()) })
	}
	w.d.ready <- b
}

// reject drops a batch that no broker will take.
func (w *worker) reject(b *record.Batch, fault *Fault) {
	w.d.log.Error("deliver: a batch was refused for good and is dropped",
		"partition", w.partition, "records", b.Records(), "bytes", b.Size(), "error", fault.Error())
	w.d.drop(b, fault.Reason)
}
