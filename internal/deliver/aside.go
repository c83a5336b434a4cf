// SPDX-License-Identifier: Apache-2.0

package deliver

import "slices"

// With keys, what was read from disk for a partition without a leader waits in memory, and the
// drainer reads past it. When there is nothing more to read, or no memory for it, what waits goes back
// to the disk and is set aside there, until some partition gets a leader. So a broker that stays away
// holds up none of what is on disk for others.

// maxAside is how many frames may be set aside. Each costs the spool some 150 bytes of memory.
const maxAside = 1 << 14

// clear has the spooler set aside what waits for partitions without a leader. While there is no
// leader at all, there is nobody to make room for.
func (r *drainer) clear() {
	leaders := r.d.topic.all()
	if _, stranded := r.d.queue.fromDisk(leaders); stranded > 0 && led(leaders) {
		r.d.spooler.hindered.Store(true)
		r.d.spooler.wake()
	}
}

// setAside sets aside all that waits in memory for partitions without a leader and came from disk.
// What is left of a frame for several partitions is written first, to one for each; without room for
// that, it stays.
func (s *spooler) setAside() {
	d := s.d
	leaders := d.topic.all()
	for _, p := range d.oldestFirst() {
		if !d.stranded(p, leaders) || s.save(p) != nil {
			continue
		}
		d.setAside(p, leaders)
		if regained(leaders, d.topic.all()) { // and the watcher was too early
			d.recall()
			return
		}
	}
}

// stranded tells whether p came from disk and waits for a partition without a leader, and may be
// set aside.
func (d *Delivery) stranded(p *parcel, leaders []int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.origin == fromLane || p.batch == nil || p.busy {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := p.batch.Place()
	return d.aside < maxAside && int(at.Of) == len(leaders) && at.Partition >= 0 &&
		leaders[at.Partition] == NoLeader
}

// apart tells whether what is left of p has a frame for each partition. p.mu is held.
func (p *parcel) apart() bool { return p.batch == nil || len(p.frames) == len(p.batch.Places()) }

// setAside leaves p to its frames, unless a worker has it by now. Those whose partitions have a
// leader are handed out again.
func (d *Delivery) setAside(p *parcel, leaders []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil || !p.whole() || !p.apart() || !d.queue.setAside(p) {
		return
	}
	aside := 0
	for i, place := range p.batch.Places() {
		ref := p.frames[i].ref
		if at := place.Partition; at >= 0 && leaders[at] == NoLeader {
			d.cfg.Spool.SetAside(ref)
			aside++
		} else {
			d.cfg.Spool.Release(ref)
		}
	}
	d.mu.Lock()
	d.aside += aside
	d.diskEmpty = d.diskEmpty && aside == len(p.frames)
	d.mu.Unlock()
	p.frames = nil
	d.close(p)
}

// recall has the drainer read again what was set aside.
func (d *Delivery) recall() {
	d.mu.Lock()
	any := d.aside > 0
	if any {
		d.aside, d.diskEmpty = 0, false
	}
	d.mu.Unlock()
	if any {
		d.queue.recall()
		d.cfg.Spool.Recall()
		d.drainer.wake()
	}
}

// regained tells whether a partition has a leader now and had none, or whether there are others.
func regained(before, now []int32) bool {
	if len(before) != len(now) {
		return true
	}
	for p, leader := range now {
		if leader != NoLeader && before[p] == NoLeader {
			return true
		}
	}
	return false
}

// led tells whether any partition has a leader.
func led(leaders []int32) bool {
	return slices.ContainsFunc(leaders, func(l int32) bool { return l != NoLeader })
}
