// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"time"
)

const (
	// superviseEvery is how often the supervisor looks.
	superviseEvery = time.Second
	// probeEvery is how often the cluster is probed while delivery is not well.
	probeEvery = 10 * time.Second
	// probeAge is how old the result of a probe may be to prove anything.
	probeAge = 30 * time.Second
	// recycleMax is the longest pause between two recyclings. The first is Config.RecycleAfter;
	// it doubles until something is acknowledged.
	recycleMax = 10 * time.Minute
)

// recycling is what the supervisor remembers. Delivery.mu guards it.
type recycling struct {
	probing bool
	probe   *ProbeStatus  // the newest; replaced, never changed
	last    time.Time     // when a producer was replaced last
	pause   time.Duration // until it may be again
}

// supervise watches progress, not liveness: a client may be connected and idle and never deliver
// again. While delivery is not well, it asks the cluster over a connection of its own; and when
// that works, and still nothing is acknowledged, it replaces the producer.
func (d *Delivery) supervise(ctx context.Context, workers interface{ Go(func()) }) {
	tick := time.NewTicker(superviseEvery)
	defer tick.Stop()
	pulse := pulseOf(ctx)
	for {
		pulse.Turn()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if d.spooler != nil {
			d.spooler.bypass(now)
		}
		probe, recycle := d.consider(now)
		if probe {
			workers.Go(func() { d.survives("probe", func() { d.probe(ctx) }) })
		}
		if recycle {
			d.recycle(now)
		}
	}
}

// consider looks at the state, and decides what is to be done about it.
func (d *Delivery) consider(now time.Time) (probe, recycle bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sc := d.scene()
	state, _ := d.health.observe(sc, now)
	d.growth.sample(sc.spool.Bytes, now)
	d.checkDrained()
	r := &d.recycling
	if d.cfg.Cluster == nil {
		return false, false
	}
	if d.health.lastAck.After(r.last) {
		r.pause = 0
	}
	due := r.probe == nil || now.Sub(r.probe.At) >= probeEvery
	if probe = !state.Ready() && due && !r.probing; probe {
		r.probing = true
	}
	proven := r.probe != nil && r.probe.OK && now.Sub(r.probe.At) <= probeAge
	fault := d.health.fault(now) // the state may be another: what loses records comes first
	helpless := sc.throttled.After(now) || fault != nil && fault.State == NotEnoughReplicas
	stuck := now.Sub(d.health.progress) >= d.cfg.RecycleAfter && !helpless // else no client can do anything
	return probe, stuck && proven && now.Sub(r.last) >= r.pause
}

// probe asks the cluster once.
func (d *Delivery) probe(ctx context.Context) {
	result := &ProbeStatus{Error: "the probe did not return"}
	defer func() {
		result.At = time.Now()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.recycling.probe, d.recycling.probing = result, false
	}()
	ctx, cancel := context.WithTimeout(ctx, d.cfg.RequestTimeout)
	defer cancel()
	if err := d.cfg.Cluster.Probe(ctx); err != nil {
		result.Error = err.Error()
		return
	}
	result.OK, result.Error = true, ""
}

// recycle replaces the producer by a new one. Batches that are under way fail with the old one,
// their outcome unknown, and go on with the new: the same bytes to the same partition.
func (d *Delivery) recycle(now time.Time) {
	producer, err := d.cfg.Cluster.Open()
	d.mu.Lock()
	r := &d.recycling
	r.last, r.pause = now, min(max(2*r.pause, d.cfg.RecycleAfter), recycleMax)
	if err != nil {
		d.counts.Failed++
		d.mu.Unlock()
		d.log.Error("deliver: no new client can be opened for the one that is stuck", "error", err)
		return
	}
	old := d.producer
	d.producer, d.opened = producer, true
	d.counts.Recycled++
	silence, pause := now.Sub(d.health.progress).Round(time.Second), r.pause
	d.mu.Unlock()
	d.log.Warn("deliver: nothing was acknowledged although the cluster answers a probe; "+
		"the client is replaced by a new one", "silence", silence, "next_not_before", pause)
	go old.Close() // one that is stuck may not let itself be closed, either
	d.topic.ask()
}

// current returns the producer to use.
func (d *Delivery) current() Producer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.producer
}

// closeOpened closes the producer if it is not the one that New was given.
func (d *Delivery) closeOpened() {
	d.mu.Lock()
	producer, opened := d.producer, d.opened
	d.mu.Unlock()
	if opened {
		producer.Close()
	}
}
