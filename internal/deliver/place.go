// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// With keys, each record belongs to one partition. A lane knows nothing of that: a compressor sorts
// the records of a full batch by partition (record.Splitter), and what belongs to one becomes a
// parcel of its own, in the same arena. It waits on the shelf of its partition, and nobody but the
// worker of that partition takes it.
//
// What was sealed before it was known how many partitions there are, or when there were fewer, and
// what comes back from disk, waits where any worker takes it. That one sorts it, in place: such a
// parcel has several parts, and goes from one worker to the next with them. So what is left of it is
// always its end, as frames on disk have it. A frame needs not say where it belongs: its keys do,
// and they are right also when there are more partitions than when it was written.
//
// The records of one key are in the order of their lane while this detour is not taken: each
// intake has a compressor that its batches all go to, and a shelf is a queue.

// ways returns how many ways there are for full batches: one that all compressors share, or with
// keys one for each.
func (c Config) ways() int {
	if c.Keyed {
		return Compressors()
	}
	return 1
}

// groupRoom is what the parts of a batch may need more than the whole, before compression: a header
// each, and here and there a byte for a record.
const groupRoom = 64 << 10

// aim returns how many bytes of records a batch is to have.
func (c Config) aim() int {
	if c.Keyed {
		return c.BatchSize - groupRoom
	}
	return c.BatchSize
}

// sealer seals batches: with keys, groups of records.
type sealer struct {
	whole  *record.Compressor
	groups *record.Splitter // nil without keys
	ratio  float64          // of the last batches it sealed, to what they were before
}

func (d *Delivery) newSealer() (*sealer, error) {
	s, err := &sealer{}, error(nil)
	s.ratio = 1 // until it is known
	if d.cfg.Keyed {
		s.groups, err = record.NewSplitter(d.cfg.Codec, d.pool)
	} else {
		s.whole, err = record.NewCompressor(d.cfg.Codec, d.pool)
	}
	return s, err
}

// patientSealing is how long sealing waits for the number of partitions when there is a disk that
// could have the batches in the meantime.
const patientSealing = 500 * time.Millisecond

// compress seals batches until ctx ends.
func (d *Delivery) compress(ctx context.Context, c *sealer, from <-chan *parcel) {
	if d.cfg.Keyed {
		d.awaitTopic(ctx)
	}
	pulse := pulseOf(ctx)
	for {
		pulse.Wait()
		select {
		case p := <-from:
			pulse.Turn()
			for _, p := range d.seal(c, d.gather(ctx, c, p, from)) {
				d.admit(p)
			}
		case <-ctx.Done():
			return
		}
	}
}

// awaitTopic waits until it is known how many partitions there are. A batch that is not sealed
// needs no more memory than one that is, so there is no hurry but that of the spooler.
func (d *Delivery) awaitTopic(ctx context.Context) {
	if d.spooler != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patientSealing)
		defer cancel()
	}
	d.topic.newer(ctx, 0)
}

// seal seals the batches of a group and returns what is to be delivered: with keys, a parcel for
// each of their parts. Should it be beyond us to seal one, it is dropped and counted.
func (d *Delivery) seal(c *sealer, group []*parcel) (sealed []*parcel) {
	partitions, raw, size := d.queue.size(), 0, 0
	for _, p := range group {
		raw += p.raw
	}
	united := len(group) > 1 && d.unite(c, group, partitions)
	if united {
		group = group[:1]
	}
	for _, p := range group {
		if !united && !d.survives("compressor", func() { d.sealBatch(c, p.batch, partitions) }) {
			d.drop(p, InternalError)
			continue
		}
		size += p.batch.TotalSize()
		sealed = append(sealed, d.detach(p)...)
	}
	c.ratio = float64(size) / float64(raw)
	return sealed
}

// detach returns the parcel p, which is sealed now, with the first of its parts, and a parcel for
// each of the others.
func (d *Delivery) detach(p *parcel) []*parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	batches := p.batch.Detach()
	others, all := make([]parcel, len(batches)), []*parcel{p}
	for i, b := range batches {
		o := &others[i]
		// Its size before compression is that of the whole, for lanes aim at batches, not parts.
		o.since, o.batch, o.raw, o.sealed = p.since, b, p.raw, true
		all = append(all, o)
	}
	d.mu.Lock()
	for _, o := range all[1:] {
		o.mark = p.mark
		d.parcels[o] = struct{}{}
	}
	d.mu.Unlock()
	p.sealed = true
	return all
}

func (d *Delivery) sealBatch(c *sealer, b *record.Batch, partitions int32) {
	switch {
	case c.groups == nil:
		c.whole.Seal(b)
	default:
		if err := c.groups.SealGroups(b, partitions); err != nil {
			d.log.Error("deliver: records cannot be sorted by partition yet", "error", err)
		}
	}
}

// belongs tells whether the current part of the parcel may go to this partition. One that has no
// place among the partitions that there are now is given it first; but what a partition may have
// stays there.
func (w *worker) belongs() bool {
	p := w.parcel
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.d.cfg.Keyed || p.batch == nil || p.sent {
		return true
	}
	partitions := w.d.queue.size()
	if partitions == 0 { // nor will this one be there any more
		return false
	}
	if p.batch.Place().Of != partitions {
		w.d.sort(p, partitions)
		w.stamped = false
	}
	at := p.batch.Place().Partition
	return at == record.Anywhere || at == w.partition
}

// sort replaces the current part of p by one for each partition. p.mu is held.
func (d *Delivery) sort(p *parcel, partitions int32) {
	err := d.splitting.use(func(s *record.Splitter) error { return s.Group(p.batch, partitions) })
	if err != nil {
		d.log.Error("deliver: the keys of records cannot be read; they may go to any partition",
			"records", p.batch.Records(), "error", err)
		p.batch.SetPlace(record.Place{Partition: record.Anywhere, Of: partitions})
	}
}

// handOver returns the parcel to the queue, for the worker that its current part belongs to.
func (w *worker) handOver() {
	p := w.parcel
	p.mu.Lock()
	defer p.mu.Unlock()
	w.parcel, w.stamped = nil, false
	if p.batch != nil {
		w.d.queue.put(p)
	}
}

// crowded tells whether a batch handed on now would only wait. Where parcels wait for their own
// partitions, others may not have to: memory tells then.
func (d *Delivery) crowded() bool {
	if d.queue.busy(d.queue.any) {
		return true
	}
	return d.cfg.Keyed && d.pool.Free() <= d.pool.Batches()/2
}
