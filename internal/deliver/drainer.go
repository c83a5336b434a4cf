// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

const (
	// ahead is how many parcels from disk may wait for a worker: reading more would only fill
	// memory while the cluster is away. Those of a partition that fails, with keys, are read past.
	ahead = 2
	// drainPause is how often the drainer looks again for what nobody tells it: memory that live
	// traffic does not need any more.
	drainPause = 100 * time.Millisecond
	// emptyPause is how often it looks into a spool that was empty.
	emptyPause = time.Second
)

// drainer reads batches back from disk, oldest first, beside live traffic. One arena is its own,
// so that a full pool cannot keep the disk from draining; more it takes only while three quarters of the
// pool are free.
type drainer struct {
	d    *Delivery
	own  chan *record.Batch // the arena of its own, while it is free
	kick chan struct{}
}

func newDrainer(d *Delivery) *drainer {
	return &drainer{d: d, own: make(chan *record.Batch, 1), kick: make(chan struct{}, 1)}
}

// wake tells the drainer that a worker has taken a parcel from disk, or is done with one: there may
// be room for the next.
func (r *drainer) wake() {
	select {
	case r.kick <- struct{}{}:
	default: // awake already
	}
}

// takeBack takes the arena of a parcel from disk: as its own, or for the pool.
func (r *drainer) takeBack(b *record.Batch) {
	r.d.pool.Reset(b)
	select {
	case r.own <- b:
	default: // it has its own
		r.d.pool.Put(b)
	}
	r.wake()
}

// run drains until ctx ends, or until it does not pay any more.
func (r *drainer) run(ctx context.Context) {
	r.d.keep(ctx, "drainer", r.drain)
}

func (r *drainer) drain(ctx context.Context) {
	pause := backoff{min: r.d.cfg.BackoffMin, max: r.d.cfg.BackoffMax}
	for !r.d.leaves() {
		b := r.arena()
		if b == nil {
			if !doze(ctx, drainPause, r.kick) {
				return
			}
			continue
		}
		pulseOf(ctx).Wait() // for the disk
		err := r.read(b)
		pulseOf(ctx).Turn()
		if err == nil {
			pause.reset()
			continue
		}
		wait := emptyPause
		if errors.Is(err, ErrSpoolEmpty) {
			r.d.nothingOnDisk()
			r.clear()
		} else { // what is there now may be read later, or be counted as corrupt: it is awaited
			wait = pause.next()
			r.d.log.Warn("deliver: the spool cannot be read", "error", err)
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// read makes the oldest frame a parcel, in the arena of b.
func (r *drainer) read(b *record.Batch) (err error) {
	read := false
	defer func() {
		if !read {
			r.takeBack(b)
		}
	}()
	ref, err := r.d.cfg.Spool.Next(b)
	if err != nil {
		return err
	}
	read = true
	r.admit(b, ref)
	return nil
}

// arena returns an empty batch, or nil when this is no time to read.
func (r *drainer) arena() *record.Batch {
	r.recall()
	if ready, _ := r.d.queue.fromDisk(r.d.able()); ready >= ahead {
		return nil
	}
	select {
	case b := <-r.own:
		return b
	default: // in use
	}
	if r.d.pool.Free() <= r.d.pool.Batches()*3/4 {
		r.clear()
		return nil
	}
	return r.d.pool.TryGet()
}

// admit makes b, read from the frame ref, a parcel that waits for a worker.
func (r *drainer) admit(b *record.Batch, ref Ref) {
	p := &parcel{
		since: time.Now(), origin: fromDisk, batch: b, sealed: true,
		frames: []frame{{ref, ref.Records, b.Stamped()}},
	}
	d := r.d
	d.mu.Lock()
	if ref.Recovered {
		p.origin = fromEarlier
		if b.Stamped() && !ref.Again {
			d.counts.Redelivered += uint64(ref.Records)
		}
	}
	d.diskEmpty = false
	d.parcels[p] = struct{}{}
	d.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	d.queue.put(p)
}

// nothingOnDisk notes that the spool has nothing to hand out now.
func (d *Delivery) nothingOnDisk() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.diskEmpty = true
	d.checkDrained()
}

// leaves tells whether what is on disk is left to the next start: a live sensor that ends has no
// time for it.
func (d *Delivery) leaves() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.finished && d.live.Load()
}
