// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

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

	within  context.Context    // the time of requests, see limited
	began   time.Time          // when within did
	release context.CancelFunc // of within

	refusals int // records dropped in a row, with none that was taken between them

	parcel  *parcel // being delivered, or nil
	stamped bool    // its current part, with the identity and sequence that the worker has now

	trouble trouble // guarded by Delivery.mu
}

func newWorker(d *Delivery, partition int32, since uint64) *worker {
	return &worker{
		d: d, partition: partition, since: since,
		pause:   backoff{min: d.cfg.BackoffMin, max: d.cfg.BackoffMax},
		release: func() {},
	}
}

var (
	errNoLeader  = errors.New("the partition has no leader")
	errNoLeaders = errors.New("no partition has a leader")
	errTaken     = errors.New("the batch waits on disk now")
)

// run takes batches while the partition has a leader. It ends with ctx, or when the topic has
// lost the partition.
func (w *worker) run(ctx context.Context) {
	w.d.enlist(w)
	defer w.d.dismiss(w)
	defer func() { w.release() }()
	w.d.keep(ctx, fmt.Sprintf("worker of partition %d", w.partition), func(ctx context.Context) {
		w.salvage()
		w.work(ctx)
	})
}

func (w *worker) work(ctx context.Context) {
	pulse := pulseOf(ctx)
	queue := w.d.queue
	own := queue.of(w.partition)
	for {
		pulse.Turn()
		leader, exists, _, changed := w.d.topic.look(w.partition, w.since)
		if !exists {
			return
		}
		from, mine, anyones := own, own.wake, queue.any.wake
		if leader == NoLeader {
			mine, anyones = nil, nil
			if queue.busy(own) { // which nobody else may deliver
				w.failed(&Fault{State: NoLeaderState, Verdict: Unsent, Err: errNoLeader})
			}
		}
		pulse.Wait()
		select {
		case <-mine:
		case <-anyones:
			from = queue.any
		case <-changed:
			continue
		case <-ctx.Done():
			return
		}
		pulse.Turn()
		if p := queue.take(from); p != nil {
			w.begin(p)
			w.deliver(ctx)
			w.end()
		}
	}
}

// salvage puts a batch that was being delivered when the worker panicked back into the queue.
// Nobody knows how far it came, so its sequence is not used again.
func (w *worker) salvage() {
	if w.parcel == nil {
		return
	}
	w.identified = false
	w.giveBack()
	w.end()
}

// deliver sends the parcel until the partition has it, for ever if need be. Only a batch that no
// broker can have seen is given back, without keys for another partition, when this one fails; and
// one whose partition is gone, for nobody will tell any more whether it was there.
func (w *worker) deliver(ctx context.Context) {
	for ctx.Err() == nil {
		pulseOf(ctx).Turn()
		_, exists, news, _ := w.d.topic.look(w.partition, w.since)
		if !exists {
			w.giveBack()
			return
		}
		if !w.belongs() {
			w.handOver()
			return
		}
		w.fit()
		err := w.try(ctx)
		switch {
		case err == nil:
			w.pause.reset()
			w.refusals = 0
			w.succeeded()
			if !w.d.acknowledge(w.parcel) {
				return
			}
			continue
		case err == errTaken:
			w.lose()
			return
		case ctx.Err() != nil:
			return // Run accounts for what is left
		}
		fault := asFault(err)
		if fault.Time {
			var again bool
			if fault, again = w.untimely(fault); again {
				continue
			}
		}
		w.failed(fault)
		refusals := w.refusals
		keep := w.settle(fault)
		switch {
		case fault.Verdict != Rejected:
			w.recover(ctx, news)
		case w.refusals > refusals && w.spurned():
			sleep(ctx, w.pause.next())
		}
		if !keep {
			return
		}
	}
}

// try makes one attempt: an identity if there is none, a stamp if there is none, one request.
func (w *worker) try(ctx context.Context) error {
	ctx = w.limited(ctx)
	producer := w.d.current()
	if err := w.identify(ctx, producer); err != nil {
		return err
	}
	leader, _, _, _ := w.d.topic.look(w.partition, w.since)
	if leader == NoLeader {
		return &Fault{State: NoLeaderState, Verdict: Unsent, Err: errNoLeader}
	}
	r, err := w.request()
	if err != nil {
		return err
	}
	if err := producer.Produce(ctx, leader, w.partition, r.batch); err != nil {
		w.parcel.mu.Lock()
		defer w.parcel.mu.Unlock()
		w.parcel.busy = false
		w.parcel.sent = r.sentBefore || asFault(err).Verdict == Unknown
		return err
	}
	w.stamped = false
	if w.identity != record.NoProducer {
		w.sequence = record.NextSequence(w.sequence, r.records)
	}
	return nil // busy until it is acknowledged, so that the spooler does not take it before
}

// limited returns ctx with the time that a request may take, less an eighth at the most: while all
// goes well, one context serves for that long. With many partitions batches are a few records, and
// a timer and an entry in ctx for each would be a large part of what they cost.
func (w *worker) limited(ctx context.Context) context.Context {
	now, most := time.Now(), w.d.cfg.RequestTimeout
	if w.within != nil && w.trouble.fault == nil && w.within.Err() == nil && now.Sub(w.began) < most/8 {
		return w.within
	}
	w.release()
	w.within, w.release = context.WithTimeout(ctx, most)
	w.began = now
	return w.within
}

// request is what one attempt sends.
type request struct {
	batch      []byte // borrowed from the arena while the parcel is busy
	records    int
	sentBefore bool
}

// request stamps the current part, if that was not done, and marks the parcel as busy. What is
// never answered, be it that the producer panics, may have been sent.
func (w *worker) request() (request, error) {
	p := w.parcel
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil {
		return request{}, errTaken
	}
	if !w.stamped {
		w.d.redate(p)
		p.batch.Stamp(w.identity, w.sequence)
		w.stamped = true
	}
	r := request{batch: p.batch.Bytes(), records: p.batch.Records(), sentBefore: p.sent}
	p.busy, p.sent = true, true
	return r, nil
}

// identify gets an identity, if there is none. Without idempotence none is needed: nothing that
// may be there is sent again.
func (w *worker) identify(ctx context.Context, producer Producer) error {
	if w.identified {
		return nil
	}
	identity, sequence := record.NoProducer, int32(-1)
	if w.d.cfg.Mode == AtLeastOnce {
		var err error
		if identity, err = producer.Identity(ctx); err != nil {
			return err
		}
		sequence = 0
	}
	w.identity, w.sequence, w.identified, w.stamped = identity, sequence, true, false
	return nil
}

// settle does with the parcel what the fault says. It returns false when the worker is rid of it.
func (w *worker) settle(fault *Fault) (keep bool) {
	switch sent := w.parcel.maybeSent(); {
	case fault.Verdict == Rejected:
		return w.refused(fault)
	case fault.Verdict == Lost:
		w.anew()
	case fault.Verdict == Unknown && w.d.cfg.Mode == AtMostOnce:
		w.stamped = false
		return w.d.drop(w.parcel, Unanswered)
	case fault.Verdict == Unsent && !sent:
		w.giveBack()
		return false
	}
	w.parcel.countRetry(w.d)
	return true
}

// anew makes sure that what the worker sends next has a new identity, and counts the current
// part as possibly there twice, if it was ever sent under the old one.
func (w *worker) anew() {
	w.identified, w.stamped = false, false
	w.parcel.mu.Lock()
	defer w.parcel.mu.Unlock()
	w.parcel.countRepeat(w.d)
}

// lose notes that the spooler has taken the batch away. If this worker stamped it, a partition
// may have it, and with it the sequence; see refused.
func (w *worker) lose() {
	w.identified = w.identified && !w.stamped
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

// giveBack returns the parcel to the queue, for any worker that it belongs to. It does not block:
// the queue has room for all.
func (w *worker) giveBack() {
	p := w.parcel
	p.mu.Lock()
	once := p.sent && w.d.cfg.Mode == AtMostOnce
	p.busy = false
	if p.batch == nil {
		w.lose()
	}
	w.parcel, w.stamped = nil, false
	if p.batch != nil && !once {
		p.countRepeat(w.d)
		w.d.queue.putBack(p)
	}
	p.mu.Unlock()
	if once { // it must not be sent again
		for w.d.drop(p, Unanswered) {
		}
	}
}
