// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// heart makes a record of the sensor's own account now and then, and one more when all else is
// settled. The records go the way of all others, through an intake of their own: so they come
// when no lane has anything to say, and do not come when nothing gets through.
//
// They are a lane of their own, behind those of the messages, with numbers of its own. So each
// record still has a name that no other has, and a heartbeat that is missing is a gap like any
// other.
//
// The methods work on a nil heart, which never beats.
type heart struct {
	s       *Sensor
	lane    uint64
	encoder encode.Encoder
	key     keyer
	in      *deliver.Intake
	seq     uint64 // of the last heartbeat

	wait     sync.WaitGroup
	beating  context.Context // ends with stop
	end      context.CancelFunc
	patience context.Context // ends when the last heartbeat cannot wait for all else any longer
	hurry    context.CancelFunc
}

func newHeart(s *Sensor) (*heart, error) {
	if s.cfg.Heartbeat <= 0 {
		return nil, nil
	}
	h := &heart{s: s, lane: uint64(len(s.lanes))}
	var err error
	h.encoder, err = newEncoder(s.cfg.Format,
		encode.Identity{Sensor: s.cfg.Sensor, Run: s.cfg.Run, Lane: int(h.lane)})
	if err != nil {
		return nil, err
	}
	// A live sensor must not wait for memory; one that reads files loses nothing.
	if len(s.cfg.Interfaces) > 0 {
		h.in = s.delivery.LiveIntake()
	} else {
		h.in = s.delivery.FileIntake(s.hard)
	}
	h.key = newKeyer(s.cfg.Key, s.cfg.Sensor)
	h.beating, h.end = context.WithCancel(s.hard)
	h.patience, h.hurry = context.WithCancel(s.hard)
	return h, nil
}

// start begins to beat.
func (h *heart) start() {
	if h == nil {
		return
	}
	h.wait.Go(func() {
		tick := time.NewTicker(h.s.cfg.Heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.beat(false)
			case <-h.beating.Done():
				return
			}
		}
	})
}

// stop makes the last heartbeat. The lanes have ended, and delivery has not. It waits until
// everything else is settled, so that the last word is true, but not beyond the grace period.
func (h *heart) stop() {
	if h == nil {
		return
	}
	h.end()
	h.wait.Wait()
	h.settle()
	if h.through() {
		h.beat(true)
	}
	h.in.Close() // always nil
	h.hurry()
}

// drain gives the last heartbeat nine tenths of the grace period, which is about to begin, to wait
// for. It must not be too late for the spool.
func (h *heart) drain(grace time.Duration) {
	if h != nil {
		time.AfterFunc(grace/10*9, h.hurry)
	}
}

// settling is how often stop looks whether everything is settled.
const settling = 10 * time.Millisecond

// settle waits until no record is in memory, nor, where the run ends with the spool, on disk.
func (h *heart) settle() {
	tick := time.NewTicker(settling)
	defer tick.Stop()
	for {
		if h.through() {
			h.in.Flush()
		}
		c := h.s.delivery.Counters()
		if c.Held == 0 && (c.Spooled == 0 || h.s.live()) {
			return
		}
		select {
		case <-tick.C:
		case <-h.patience.Done():
			return
		}
	}
}

// beat makes one heartbeat. For memory it waits as its intake does.
func (h *heart) beat(last bool) {
	h.seq++
	now := time.Now()
	if value := h.in.Value(now.UnixNano(), h.key.of(nil, nil)); value != nil {
		beat := h.say(now, last) // after the wait, if there was one
		h.in.Commit(h.encoder.AppendHeartbeat(value, h.seq, &beat))
	}
	if h.in.Publish(); h.through() {
		h.in.Flush()
	}
}

// through tells whether a batch handed on now would get anywhere. If not, heartbeats gather in one
// batch: each in a batch of its own, they would fill the memory of a sensor without a spool in
// the first minutes of an outage.
func (h *heart) through() bool {
	status := h.s.delivery.Status()
	return h.s.cfg.Deliver.Spool != nil || status.State.Ready() ||
		time.Since(status.LastAck) < h.s.cfg.Heartbeat
}

// say returns what there is to say.
func (h *heart) say(now time.Time, last bool) encode.Heartbeat {
	// Whoever reads it counts on it that numbers, drops and reach are of one moment. What capture and
	// decode have done may be ahead of that.
	at := h.s.delivery.Snapshot(append(slices.Clone(h.s.intakes), h.in))
	h.s.delivery.Mark(h.seq)
	status, l := h.s.Status(), h.s.Ledger()
	beat := encode.Heartbeat{
		Time: now, Interval: h.s.cfg.Heartbeat, Last: last,
		State: string(status.State), Since: status.Since,
		Totals: encode.Totals{Packets: l.Packets, Messages: l.Messages, Records: at.In,
			Acknowledged: at.Acknowledged, Spooled: at.Spooled, Dropped: at.Lost(), Held: at.Held},
		Drops: drops(l), Lanes: h.lanes(at.Accounts), TopicID: at.Reach.Topic,
		Settled: min(at.Settled, h.seq-1),
	}
	for _, end := range at.Reach.Ends {
		beat.Reached = append(beat.Reached,
			encode.Reached{Partition: uint64(end.Partition), End: uint64(end.Offset)})
	}
	if spool := h.s.cfg.Deliver.Spool; spool != nil {
		c, s := h.s.delivery.Counters(), spool.Stats()
		lost := c.ReplayDropped
		for why := range s.Dropped {
			lost += s.Dropped[why] - s.OwnDropped[why]
		}
		beat.Spool = &encode.Spool{Records: s.Records, Dropped: lost}
	}
	return beat
}

// lanes returns the accounts by lane, those of the heartbeats the last: they count this one, too.
func (h *heart) lanes(accounts []deliver.Account) []encode.Lane {
	lanes := make([]encode.Lane, 0, len(accounts))
	for i, a := range accounts {
		lanes = append(lanes, encode.Lane{Lane: uint64(i), Seq: a.Records, Dropped: a.Dropped})
	}
	lanes[h.lane].Seq = h.seq
	return lanes
}

// drops returns what the stages have dropped, by reason.
func drops(l ledger.Ledger) []encode.Drop {
	var all []encode.Drop
	for _, stage := range l.Stages {
		from := len(all)
		for reason, n := range stage.Dropped {
			if n > 0 {
				all = append(all, encode.Drop{Stage: stage.Stage, Reason: reason, Count: n})
			}
		}
		slices.SortFunc(all[from:], func(a, b encode.Drop) int { return cmp.Compare(a.Reason, b.Reason) })
	}
	return all
}

// stages returns the line of the ledger that belongs to the heartbeats: with it, what is handed to
// delivery is what the stages before it made.
func (h *heart) stages() []ledger.Stage {
	if h == nil {
		return nil
	}
	n := h.in.Account().Records
	return []ledger.Stage{{Stage: "heartbeat", Unit: "records", In: n, Out: n}}
}
