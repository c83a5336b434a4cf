// SPDX-License-Identifier: Apache-2.0

package deliver

import "time"

const (
	// recent is how long something that happened once is what there is to say.
	recent = 10 * time.Second
	// blink is for how long a failure may last and be nothing to say.
	blink = time.Second
	// tolerance is for how long a partition may fail beside healthy ones before it is what there
	// is to say: a leader moves within that.
	tolerance = 5 * time.Second
	// stillness is for how long a request may wait while nothing else is acknowledged either. Time-outs
	// come later, and until then the state would tell what was true before.
	stillness = 4 * time.Second
	// untried is after how long without a batch to try with a partition that failed may be well.
	untried = 10 * time.Minute
)

// health decides the state from what happened last. Delivery.mu guards it.
type health struct {
	state  State
	since  time.Time
	recent time.Duration // recent, or more if failures come more rarely
	silent time.Duration // how long a request may take before it is a failure that nobody noticed

	contact  bool      // the cluster has answered once
	lastAck  time.Time // of any batch
	lastDrop time.Time // for lack of memory, or of disk
	dropFor  Reason    // of lastDrop
	rejected time.Time // a record was refused for good
	vain     time.Time // a batch was sent, and given up for want of an answer
	refusal  *Fault    // the newest, be the record dropped or its batch split
	refused  time.Time // when refusal was worth a line in the log
	lookUp   *Fault    // why the last look-up found nothing to deliver to
	workers  map[*worker]struct{}

	warned     map[State]time.Time // when the log had a line about such a failure last
	lookUpTold bool                // it had one about lookUp

	lost     [NumReasons]uint64 // what the spool had dropped when last asked
	full     bool               // it has dropped for lack of room, and there is still none
	progress time.Time          // when a batch was acknowledged last, or nothing waited
}

func newHealth(cfg Config, now time.Time) health {
	return health{
		state: Connecting, since: now, progress: now,
		recent:  max(recent, 2*cfg.BackoffMax),
		silent:  3 * cfg.RequestTimeout,
		workers: map[*worker]struct{}{},
		warned:  map[State]time.Time{},
	}
}

// trouble is what a worker fails at.
type trouble struct {
	begun time.Time // of the parcel that it has; zero when it has none
	since time.Time // the first failure since an acknowledgement
	last  time.Time // the newest
	fault *Fault    // the newest; nil when the last batch was acknowledged
}

// stuck tells whether the trouble is still one: the worker has a batch that it cannot deliver,
// or failed just now. A worker without a batch may have no chance to do better.
func (t *trouble) stuck(recent time.Duration, now time.Time) bool {
	return t.fault != nil && (!t.begun.IsZero() || now.Sub(t.last) < recent)
}

// lasts tells whether the worker fails for long, as far as is known, but for want of a leader, which
// the topic tells.
func (t *trouble) lasts(now time.Time) bool {
	return t.stuck(untried, now) && t.fault.Err != errNoLeader && now.Sub(t.since) >= tolerance
}

func (h *health) acknowledged(now time.Time) {
	h.lastAck, h.progress = now, now
	h.lookUp = nil
}

func (h *health) dropped(why Reason, now time.Time) {
	switch why {
	case Unanswered:
		h.lastDrop, h.dropFor, h.vain = now, why, now
	case MemoryFull, SpoolFull, SpoolAge, SpoolCorrupt, InternalError:
		h.lastDrop, h.dropFor = now, why
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
	news := !h.contact || h.lookUp != nil && h.lookUpTold
	h.contact, h.lookUp = true, nil
	return news
}

// fault returns the failure that says most: without look-ups nothing is delivered. Else it is
// that of the worker which is in trouble for longest, if nothing was acknowledged anywhere since,
// or if it lasts. So one partition that stands still shows among many that do not.
func (h *health) fault(now time.Time) *Fault {
	if h.lookUp != nil {
		return h.lookUp
	}
	var worst *trouble
	for w := range h.workers {
		t := &w.trouble
		if t.stuck(h.recent, now) && (worst == nil || t.since.Before(worst.since)) {
			worst = t
		}
	}
	if worst == nil {
		return nil
	}
	patience := blink
	if h.lastAck.After(worst.since) {
		patience = min(tolerance, h.silent) // or it would pass for one that nobody noticed
	}
	if now.Sub(worst.since) < patience {
		return nil
	}
	return worst.fault
}

// hung tells whether a request is under way for longer than any may be, or for a while in which
// nobody else was answered, or nothing at all gets through although nobody failed. A worker that
// has failed is none of it, unless for want of an answer: why is known, and fault says it when it lasts.
func (h *health) hung(sc scene, now time.Time) bool {
	still := now.Sub(h.progress)
	for w := range h.workers {
		t := &w.trouble
		if t.begun.IsZero() || t.fault != nil && t.fault.State != NoAnswer {
			continue
		}
		if took := now.Sub(t.begun); took > h.silent || min(took, still) > stillness {
			return true
		}
	}
	return sc.waiting > 0 && still > h.silent
}

// scene is what else there is to know for the state.
type scene struct {
	held      uint64 // records in memory
	waiting   int    // batches that are handed on
	backlog   bool   // something waits on disk alone
	spool     SpoolStats
	throttled time.Time // until when
}

// observe returns the state now, and since when it has been that.
func (h *health) observe(sc scene, now time.Time) (State, time.Time) {
	lost := sc.spool.Dropped
	h.full = sc.spool.Full && sc.spool.Records > 0 && (h.full || lost[SpoolFull] > h.lost[SpoolFull])
	for why, n := range lost {
		if n != h.lost[why] {
			h.lastDrop, h.dropFor = now, Reason(why)
		}
	}
	h.lost = lost
	if sc.waiting == 0 && !sc.backlog && !h.vain.After(h.lastAck) {
		h.progress = now
	}
	if s := h.decide(sc, now); s != h.state {
		h.state, h.since = s, now
	}
	return h.state, h.since
}

// decide puts what loses records first, then what may come to that, then why records wait.
func (h *health) decide(sc scene, now time.Time) State {
	within := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < h.recent }
	fault := h.fault(now)
	switch {
	case within(h.lastDrop), h.full:
		return Dropping
	case sc.spool.Degraded != nil:
		return DiskFull
	case fault != nil:
		return fault.State
	case sc.throttled.After(now):
		return Throttled
	case h.hung(sc, now):
		return NoAnswer
	case within(h.rejected):
		return RejectedState
	case !h.contact, h.lastAck.IsZero() && sc.waiting > 0:
		return Connecting
	case sc.backlog, sc.spool.Aside > 0:
		return Spooling
	case sc.held == 0 && !within(h.lastAck):
		return Idle
	}
	return Flowing
}
