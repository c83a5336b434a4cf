// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// With keys and many partitions, what a full batch has for one of them is a few records: they
// compress badly, and a worker has as much to do for them as for thousands. So batches that wait
// for a compressor are sealed together, as many as make parts of a good size. While parcels wait
// for most of the workers, what is sealed would only wait behind them: so long it is gathered
// instead. Nothing waits in order to be gathered that could be sent.
//
// That takes less memory, too: what several batches become waits in one arena, and the others of
// theirs are free. It must fit there. If it does not, each batch is sealed by itself.

const (
	// partAim is how many bytes of records each partition should get at a time.
	partAim = 16 << 10
	// patientGathering is for how long a batch is kept for others at the most. It may have records
	// for workers that have nothing to do, where most of the others stand still.
	patientGathering = 100 * time.Millisecond
)

// gather returns p and those of from that are to be sealed together with it.
func (d *Delivery) gather(ctx context.Context, c *sealer, p *parcel, from <-chan *parcel) (
	group []*parcel) {
	raw, began := 0, time.Now()
	for p != nil {
		group, raw = append(group, p), raw+p.raw
		if !d.gains(c, len(group), raw) {
			break
		}
		select {
		case p = <-from:
		default:
			p = d.awaitMore(ctx, from, patientGathering-time.Since(began))
		}
	}
	return group
}

// gains tells whether another batch should be sealed together with n that have raw bytes of
// records: parts are to grow, all must fit into one arena if they compress as the last ones did,
// and lanes must not lack the memory.
func (d *Delivery) gains(c *sealer, n, raw int) bool {
	arena := record.ArenaSize(d.cfg.BatchSize)
	return d.cfg.Keyed && raw < int(d.queue.size())*partAim && n < d.pool.Batches()/3 &&
		float64(raw+d.cfg.aim())*c.ratio < 0.9*float64(arena)
}

// awaitMore returns the next parcel of from, or nil once most workers have nothing to take, or when
// it was patient for so long. Nothing waits that is to be on disk.
func (d *Delivery) awaitMore(ctx context.Context, from <-chan *parcel,
	patience time.Duration) *parcel {
	if d.cfg.Durable || patience <= 0 {
		return nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	pulse := pulseOf(ctx)
	pulse.Wait()
	defer pulse.Turn()
	select {
	case p := <-from:
		return p
	case <-d.queue.idle():
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// unite seals a group as one parcel, the first of them, and is done with the others. It returns
// false, and leaves all as they are, when that cannot be.
func (d *Delivery) unite(c *sealer, group []*parcel, partitions int32) bool {
	batches, raw := make([]*record.Batch, len(group)), 0
	for i, p := range group {
		batches[i], raw = p.batch, max(raw, p.raw)
	}
	united := false
	d.survives("compressor", func() {
		united = c.groups.SealTogether(batches, partitions) == nil
	})
	if !united {
		return false
	}
	group[0].mu.Lock()
	group[0].raw = raw
	group[0].mu.Unlock()
	d.mu.Lock()
	for _, p := range group[1:] {
		group[0].mark = min(group[0].mark, p.mark)
	}
	d.mu.Unlock()
	for _, p := range group[1:] {
		p.mu.Lock()
		d.close(p)
		p.mu.Unlock()
	}
	return true
}
