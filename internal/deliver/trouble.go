// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"time"
)

// What workers and the watcher of the topic tell about their failures, for the state.

// unreached notes a look-up that did not find a partition to deliver to.
func (d *Delivery) unreached(f *Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Failed++
	before := d.health.lookUp
	d.health.lookUp = f
	if before == nil || before.State != f.State {
		d.health.lookUpTold = d.warn(f) || before != nil && d.health.lookUpTold
	}
}

// repeated is for how long the same kind of failure is not worth another line in the log. A link that
// loses one connection in ten fails several times a second, and all gets through; what lasts is a
// state, which has a line of its own.
const repeated = time.Minute

// warn says what is wrong, and what can be done, and tells whether it did. d.mu is held.
func (d *Delivery) warn(f *Fault) (told bool) {
	now := time.Now()
	if last, before := d.health.warned[f.State]; before && now.Sub(last) < repeated {
		return false
	}
	d.health.warned[f.State] = now
	d.log.Warn("deliver: "+advice[f.State], "state", f.State, "error", f.Error())
	return true
}

// refusal notes that a broker takes a batch never. That is worth a line in the log, one for all
// that follow soon.
func (d *Delivery) refusal(f *Fault) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.health.refused) > d.health.recent {
		what := "for good; it is split, and what remains of it in the end is dropped"
		if f.Time {
			what = "for its time stamps; it is moved to the time of now"
		}
		d.log.Warn("deliver: a broker refuses a batch "+what, "error", f.Error())
	}
	d.health.refusal, d.health.refused = f, now
}

func (d *Delivery) enlist(w *worker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health.workers[w] = struct{}{}
}

func (d *Delivery) dismiss(w *worker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.health.workers, w)
}

// begin notes that the worker has p now.
func (w *worker) begin(p *parcel) {
	w.parcel, w.stamped = p, false
	if p.origin != fromLane {
		w.d.drainer.wake() // there is room for the next
	}
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.trouble.begun = time.Now()
}

// end notes that the worker has nothing.
func (w *worker) end() {
	w.parcel, w.stamped = nil, false
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.trouble.begun = time.Time{}
}

// succeeded notes that the partition takes batches.
func (w *worker) succeeded() {
	now := time.Now()
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.trouble = trouble{begun: now}
}

// failed notes a failed attempt. A new kind of failure is worth a line in the log, the same
// again, or at another partition, is not.
func (w *worker) failed(f *Fault) {
	now := time.Now()
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.d.counts.Failed++
	t := &w.trouble
	if f.Verdict == Rejected && !w.spurned() { // the partition is well, the batch is not
		*t = trouble{begun: now}
		return
	}
	news := true
	for other := range w.d.health.workers {
		if o := &other.trouble; o.fault != nil && o.fault.State == f.State {
			news = false
		}
	}
	if t.fault == nil {
		t.since = now
	}
	t.fault, t.last = f, now
	if news {
		w.d.warn(f)
	}
}

// asFault returns err as the Fault that every Producer promises. Anything else is a mistake in
// the producer, and is treated as what harms least: the batch is kept and sent again.
func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{State: BrokerError, Verdict: Unknown, Err: err}
}
