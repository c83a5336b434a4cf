// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"slices"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// origin is where a parcel came from, and so in which account its records are.
type origin uint8

const (
	fromLane    origin = iota // Held, until nothing but a frame is left of it: then Spooled
	fromDisk                  // Spooled: an earlier parcel of this run wrote it
	fromEarlier               // in no account of this run but Replayed: an earlier run wrote it
)

// parcel is one batch on its way, or with keys what of it belongs to one partition. It is in at most
// one place at a time: in sealing, in the queue, or with a worker. The spooler may look at it
// anywhere, and take its batch away; mu is for that. It is held for no longer than it takes to copy
// a batch, and never while somebody waits for a disk or a broker.
//
// Locks are taken in this order: parcel.mu, then Delivery.mu or queue.mu or those of the spool.
type parcel struct {
	since  time.Time // when an intake handed it on, or the drainer read it
	origin origin
	mark   uint64 // that no record of it is older than; guarded by Delivery.mu

	mu     sync.Mutex    // guards the following
	batch  *record.Batch // nil when the parcel is done, or its batch was taken away
	raw    int           // bytes of the records before compression; 0 when unknown
	sealed bool
	busy   bool    // a request reads the batch
	sent   bool    // a partition may have the current part, or may yet get it
	moved  bool    // a broker refused the time stamps of the current part: it is sent with those of now
	frames []frame // on disk, in the order of the records
}

// frame is a copy on disk of some records of a parcel. Records leave a parcel from the front, so
// counting them tells which frames are done with, however the batch was split meanwhile.
type frame struct {
	ref     Ref
	left    int  // records not yet delivered or dropped
	stamped bool // a partition may have it, so whoever reads it back must count a repetition
}

// whole tells whether the frames are exactly what is left of the parcel. p.mu is held.
func (p *parcel) whole() bool {
	return len(p.frames) > 0 && p.frames[0].left == p.frames[0].ref.Records
}

// honest tells whether the frames say that a partition may have what is left. p.mu is held.
func (p *parcel) honest() bool { return !p.sent || p.frames[0].stamped }

// spent settles the frames of the next n records. p.mu is held.
func (p *parcel) spent(n int, spool Spool) {
	for n > 0 && len(p.frames) > 0 {
		f := &p.frames[0]
		if f.left > n {
			f.left -= n
			spool.SettlePart(f.ref, n)
			return
		}
		n -= f.left
		spool.Settle(f.ref)
		p.frames = p.frames[1:]
	}
}

// submit takes over a full batch. It does not block: each of sealing has room for all batches.
func (d *Delivery) submit(b *record.Batch, mark uint64, sealing chan<- *parcel) {
	p := &parcel{since: time.Now(), mark: mark, batch: b, raw: b.Size()}
	d.mu.Lock()
	over := d.over
	d.parcels[p] = struct{}{}
	d.mu.Unlock()
	if over {
		d.drop(p, Shutdown)
		return
	}
	sealing <- p
	if d.spooler != nil && (d.spooler.leaving.Load() || d.underPressure() > 0) {
		d.spooler.wake()
	}
}

// acknowledge settles the current part of p, which the cluster has, and makes the next one
// current. It returns false when there is none.
func (d *Delivery) acknowledge(p *parcel) (more bool) {
	now := time.Now()
	return d.advance(p, func(c *Counters, records uint64) {
		if p.origin == fromEarlier {
			c.Replayed += records
		} else {
			c.Acknowledged += records
		}
		c.Batches++
		c.Bytes += uint64(p.batch.Size())
		d.health.acknowledged(now)
	})
}

// drop settles the current part of p, which nobody will get, and makes the next one current. It
// returns false when there is none.
func (d *Delivery) drop(p *parcel, why Reason) (more bool) {
	now := time.Now()
	return d.advance(p, func(c *Counters, records uint64) {
		if p.origin == fromEarlier {
			c.ReplayDropped += records
		} else {
			c.Dropped[why] += records
		}
		d.health.dropped(why, now)
	})
}

// advance takes the current part of p off the books; account says where its records went.
func (d *Delivery) advance(p *parcel, account func(c *Counters, records uint64)) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil {
		return false
	}
	n := p.batch.Records()
	d.mu.Lock()
	account(&d.counts, uint64(n))
	switch p.origin {
	case fromLane:
		d.counts.Held -= uint64(n)
	case fromDisk:
		d.counts.Spooled -= uint64(n)
	case fromEarlier:
	}
	d.mu.Unlock()
	p.sent, p.busy, p.moved = false, false, false
	p.spent(n, d.cfg.Spool)
	if p.batch.Next() {
		return true
	}
	d.close(p)
	return false
}

// release leaves what p holds to its frames. p.mu is held, and they are whole.
func (d *Delivery) release(p *parcel) {
	n := uint64(p.batch.Total())
	d.mu.Lock()
	if p.origin == fromLane {
		d.counts.Held -= n
		d.counts.Spooled += n
	}
	d.diskEmpty = false
	d.mu.Unlock()
	for _, f := range p.frames {
		d.cfg.Spool.Release(f.ref)
	}
	p.frames = nil
	d.close(p)
}

// close ends p: its arena is free. p.mu is held.
func (d *Delivery) close(p *parcel) {
	b := p.batch
	p.batch = nil
	d.mu.Lock()
	delete(d.parcels, p)
	d.checkDrained()
	d.mu.Unlock()
	if p.origin == fromLane {
		d.pool.Put(b)
	} else {
		d.drainer.takeBack(b)
	}
}

// oldestFirst returns the parcels there are now.
func (d *Delivery) oldestFirst() []*parcel {
	d.mu.Lock()
	all := make([]*parcel, 0, len(d.parcels))
	for p := range d.parcels {
		all = append(all, p)
	}
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b *parcel) int { return a.since.Compare(b.since) })
	return all
}

// inRequest tells whether a request reads the batch now.
func (p *parcel) inRequest() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// maybeSent tells whether a partition may have the current part.
func (p *parcel) maybeSent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// countRetry counts that the current part is sent again.
func (p *parcel) countRetry(d *Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch != nil {
		n := uint64(p.batch.Records())
		d.count(func(c *Counters) { c.Retried += n })
	}
}

// countRepeat counts that the current part is sent again under another identity, or at another
// partition, so that no broker can tell the repetition. p.mu is held.
func (p *parcel) countRepeat(d *Delivery) {
	if p.batch == nil || !p.sent {
		return
	}
	p.sent = false
	n := uint64(p.batch.Records())
	d.count(func(c *Counters) { c.Redelivered += n })
}
