// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Status is a state with its evidence.
type Status struct {
	State      State     `json:"state"`
	Since      time.Time `json:"since"`
	Sentence   string    `json:"sentence"`             // the state in words, with what can be done
	Behind     []State   `json:"behind,omitempty"`     // what has led to Dropping or DiskFull, and lasts
	LastError  string    `json:"last_error,omitempty"` // the newest error, if the state has one
	LastAck    time.Time `json:"last_ack,omitzero"`    // when a broker last acknowledged
	OldestAge  float64   `json:"oldest_age_seconds"`   // of the oldest batch that waits, also on disk
	Partitions int       `json:"partitions"`           // of the topic; 0 until the cluster was reached
	Leaderless int       `json:"partitions_leaderless"`
	Waiting    int       `json:"batches_waiting"` // handed on and not acknowledged
	Free       int       `json:"batches_free"`    // memory left for new ones

	Once     bool              `json:"at_most_once"` // and so there is never a spool
	Spool    *SpoolStatus      `json:"spool,omitempty"`
	Probe    *ProbeStatus      `json:"probe,omitempty"` // the newest; only while unhealthy one is made
	Recycled uint64            `json:"recycled"`        // producers that were replaced
	Leaders  []PartitionStatus `json:"leaders,omitempty"`
}

// SpoolStatus is what waits on disk.
type SpoolStatus struct {
	Records  uint64    `json:"records"`
	Batches  uint64    `json:"batches"`
	Bytes    uint64    `json:"bytes"`
	MaxBytes uint64    `json:"bytes_max"`
	Free     uint64    `json:"bytes_free"` // of the file system
	Segments int       `json:"segments"`
	Oldest   time.Time `json:"oldest,omitzero"`
	// FullIn is after how many seconds it is full at the rate of the last minute; 0 when it does
	// not grow.
	FullIn float64 `json:"full_in_seconds,omitempty"`
	Error  string  `json:"error,omitempty"` // why it cannot be written
}

// ProbeStatus is what a connection of its own found out about the cluster.
type ProbeStatus struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

// PartitionStatus is what is known of one partition.
type PartitionStatus struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`            // NoLeader when there is none
	InFlight  float64 `json:"in_flight_seconds"` // age of the batch that it is given; 0: none
	Failing   float64 `json:"failing_seconds"`   // since the first failure without success since
	State     State   `json:"state,omitempty"`   // why, if it fails
	LastError string  `json:"last_error,omitempty"`
}

// Status returns the state now with its evidence.
func (d *Delivery) Status() Status {
	leaders := d.topic.all()
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	sc := d.scene()
	state, since := d.health.observe(sc, now)
	waits := sc.backlog || sc.spool.Aside > 0
	s := Status{
		State: state, Since: since, LastAck: d.health.lastAck,
		Partitions: len(leaders), Waiting: len(d.parcels), Free: d.pool.Free(),
		Once: d.cfg.Mode == AtMostOnce, Recycled: d.counts.Recycled, Probe: d.recycling.probe,
		Leaders: d.health.partitions(leaders, now),
	}
	for _, l := range leaders {
		if l == NoLeader {
			s.Leaderless++
		}
	}
	for p := range d.parcels {
		s.OldestAge = max(s.OldestAge, now.Sub(p.since).Seconds())
	}
	if d.cfg.Spool != nil {
		s.Spool = d.growth.status(sc.spool)
		if waits && !sc.spool.Oldest.IsZero() {
			s.OldestAge = max(s.OldestAge, now.Sub(sc.spool.Oldest).Seconds())
		}
	}
	s.LastError = d.health.lastError(state, sc, now)
	s.Behind = d.health.behind(state, sc, now)
	s.Sentence = fmt.Sprintf("%s since %s: %s", state, since.UTC().Format(time.RFC3339),
		d.words(state))
	for _, b := range s.Behind {
		s.Sentence += fmt.Sprintf("; behind it is %s: %s", b, advice[b])
	}
	if waits && state != Spooling {
		s.Sentence += fmt.Sprintf("; %d records wait on disk", sc.spool.Records)
	}
	return s
}

// words says what the state means, and what can be done. d.mu is held.
func (d *Delivery) words(state State) string {
	switch {
	case state == Flowing && d.cfg.Unconfirmed:
		return "records are sent, and no broker says that it has them, for nobody asks (deliver.acks)"
	case state != Dropping || d.health.full:
		return advice[state]
	}
	switch d.health.dropFor {
	case Unanswered:
		return "brokers do not answer, and what was sent once is not sent again (at-most-once): " +
			"records are dropped and counted"
	case SpoolCorrupt:
		return "what waited on disk cannot be read back whole, and is dropped and counted: " +
			"look at the disk of the spool, and who else writes there"
	case SpoolAge:
		return "what waits on disk for longer than spool.max_age is dropped and counted"
	}
	return advice[state]
}

// scene returns what the state depends on. d.mu is held.
func (d *Delivery) scene() scene {
	sc := scene{held: d.counts.Held, waiting: len(d.parcels)}
	if d.cfg.Spool != nil {
		sc.spool = d.cfg.Spool.Stats()
		sc.backlog = !d.diskEmpty && sc.spool.Records > 0
	}
	if t, ok := d.producer.(Throttler); ok {
		sc.throttled = t.Throttled()
	}
	return sc
}

// behind returns the states that would be told if records were not lost, or about to be: nobody
// can mend the room that there is not without them.
func (h *health) behind(state State, sc scene, now time.Time) (all []State) {
	if state == Dropping && sc.spool.Degraded != nil {
		all = append(all, DiskFull)
	}
	if fault := h.fault(now); fault != nil && (state == Dropping || state == DiskFull) {
		all = append(all, fault.State)
	}
	return all
}

// lastError returns the error that the state is about, or else the newest that is still one.
func (h *health) lastError(state State, sc scene, now time.Time) string {
	fault := h.fault(now)
	switch {
	case state == DiskFull:
		return sc.spool.Degraded.Error()
	case fault != nil:
		return fault.Error()
	case state == RejectedState && h.refusal != nil:
		return h.refusal.Error()
	case state == Throttled:
		return fmt.Sprintf("the broker's quota asks for a pause of %s",
			sc.throttled.Sub(now).Round(time.Millisecond))
	case state == NoAnswer:
		return fmt.Sprintf("nothing was acknowledged for %s", now.Sub(h.progress).Round(100*time.Millisecond))
	}
	return ""
}

// partitions returns what is known of each partition.
func (h *health) partitions(leaders []int32, now time.Time) []PartitionStatus {
	all := make([]PartitionStatus, len(leaders))
	for p, leader := range leaders {
		all[p] = PartitionStatus{Partition: int32(p), Leader: leader}
	}
	byAge := make([]*worker, 0, len(h.workers)) // one that leaves comes before its successor
	for w := range h.workers {
		byAge = append(byAge, w)
	}
	slices.SortFunc(byAge, func(a, b *worker) int { return cmp.Compare(a.since, b.since) })
	for _, w := range byAge {
		if int(w.partition) >= len(all) {
			continue
		}
		s, t := &all[w.partition], &w.trouble
		if !t.begun.IsZero() {
			s.InFlight = now.Sub(t.begun).Seconds()
		}
		if t.stuck(h.recent, now) {
			s.Failing, s.State, s.LastError = now.Sub(t.since).Seconds(), t.fault.State, t.fault.Error()
		}
	}
	return all
}

// growth measures how fast the spool fills. Delivery.mu guards it.
type growth struct {
	at    time.Time
	bytes uint64
	rate  float64 // bytes per second
	seen  uint64  // bytes of the newest sample
	falls int     // samples in a row that were below the one before
}

// growthOver is the time over which the rate is measured.
const growthOver = 30 * time.Second

// drains is how many samples in a row are below the one before when the spool drains. It then has
// no time to full, whatever it had in an outage until just now. A segment that is dropped is one.
const drains = 3

func (g *growth) sample(bytes uint64, now time.Time) {
	if g.falls++; bytes >= g.seen {
		g.falls = 0
	}
	g.seen = bytes
	if g.at.IsZero() || bytes == 0 || g.falls >= drains {
		g.at, g.bytes, g.rate = now, bytes, 0
	}
	if over := now.Sub(g.at); over >= growthOver {
		g.rate = (float64(bytes) - float64(g.bytes)) / over.Seconds()
		g.at, g.bytes = now, bytes
	}
}

func (g *growth) status(s SpoolStats) *SpoolStatus {
	status := &SpoolStatus{
		Records: s.Records, Batches: s.Batches, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Free: s.Free,
		Segments: s.Segments, Oldest: s.Oldest,
	}
	if s.Degraded != nil {
		status.Error = s.Degraded.Error()
	}
	if g.rate > 0 && s.MaxBytes > s.Bytes {
		status.FullIn = float64(min(s.MaxBytes-s.Bytes, s.Free)) / g.rate
	}
	return status
}
