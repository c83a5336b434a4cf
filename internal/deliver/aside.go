// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"slices"
	"time"
)

// With keys, what was read from disk for a partition that fails waits in memory, and the drainer
// reads past it. When there is nothing more to read, or no memory for it, what waits goes back to the
// disk and is set aside there, until one that it is for does better. So a broker that stays away holds
// up none of what is on disk for others.

// maxAside is how many frames may be set aside. Each costs the spool some 150 bytes of memory.
const maxAside = 1 << 14

// partitions tells of each partition whether it takes batches, as far as is known.
type partitions []bool

// takes returns the partitions that have a leader and do not fail for long.
func (d *Delivery) takes() partitions {
	leaders, now := d.topic.all(), time.Now()
	takes := make(partitions, len(leaders))
	for p, leader := range leaders {
		takes[p] = leader != NoLeader
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.health.workers {
		if w.trouble.lasts(now) && int(w.partition) < len(takes) {
			takes[w.partition] = false
		}
	}
	return takes
}

// able is takes, but if none does, all are as good as each other.
func (d *Delivery) able() partitions {
	able := d.takes()
	if !slices.Contains(able, true) {
		for p := range able {
			able[p] = true
		}
	}
	return able
}

// has tells whether the partition takes batches. One that is not there may.
func (able partitions) has(partition int32) bool {
	return partition < 0 || int(partition) >= len(able) || able[partition]
}

// clear has the spooler set aside what waits for partitions that fail.
func (r *drainer) clear() {
	if _, stranded := r.d.queue.fromDisk(r.d.able()); stranded > 0 {
		r.d.spooler.hindered.Store(true)
		r.d.spooler.wake()
	}
}

// setAside sets aside what waits in memory for partitions that fail and came from disk, but for the
// oldest of each broker, with which its workers find out when it does better. What is left of a frame
// for several partitions is written first, to one for each; without room for that, it stays.
func (s *spooler) setAside() {
	d := s.d
	able, leaders, probed := d.able(), d.topic.all(), map[int32]bool{NoLeader: true}
	for _, p := range d.oldestFirst() {
		at, stranded := d.stranded(p, able)
		if !stranded || int(at) >= len(leaders) {
			continue
		}
		if leader := leaders[at]; !probed[leader] {
			probed[leader] = true
			continue
		}
		if s.save(p) != nil {
			continue
		}
		d.setAside(p, able)
	}
}

// stranded tells whether p came from disk and waits for a partition that fails, and for which, and may
// be set aside.
func (d *Delivery) stranded(p *parcel, able partitions) (partition int32, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.origin == fromLane || p.batch == nil || p.busy {
		return 0, false
	}
	at := p.batch.Place()
	return at.Partition, int(at.Of) == len(able) && !able.has(at.Partition) && d.asides() < maxAside
}

// apart tells whether what is left of p has a frame for each partition. p.mu is held.
func (p *parcel) apart() bool { return p.batch == nil || len(p.frames) == len(p.batch.Places()) }

// setAside leaves p to its frames, unless a worker has it by now. Those whose partitions are able are
// handed out again.
func (d *Delivery) setAside(p *parcel, able partitions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil || !p.whole() || !p.apart() || !d.queue.steal(p) {
		return
	}
	aside := 0
	for i, place := range p.batch.Places() {
		ref := p.frames[i].ref
		if able.has(place.Partition) {
			d.cfg.Spool.Release(ref)
			continue
		}
		d.cfg.Spool.SetAside(ref)
		d.queue.setAside(place) // now, so that no recall misses it
		aside++
	}
	d.mu.Lock()
	d.diskEmpty = d.diskEmpty && aside == len(p.frames)
	d.mu.Unlock()
	p.frames = nil
	d.close(p)
}

// recall has the spool hand out again what was set aside, once a partition takes batches that some of
// it is for. Nobody has to tell: whatever made the partition well, it is seen here.
func (r *drainer) recall() {
	d := r.d
	if !d.queue.recall(d.takes()) {
		return
	}
	d.mu.Lock()
	d.diskEmpty = false
	d.mu.Unlock()
	d.cfg.Spool.Recall()
}

// asides returns how many frames are set aside. Those that the spool gave up are none.
func (d *Delivery) asides() uint64 {
	if d.cfg.Spool == nil {
		return 0
	}
	return d.cfg.Spool.Stats().Aside
}
