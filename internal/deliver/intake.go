// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// nearlyFull is the room below which a batch is handed on before the next record. Few records
// are larger, so few have to be copied because they outgrew their batch.
const nearlyFull = 16 << 10

// Intake is where one lane puts its records. It holds the lane's open batch. It is used by the
// lane's goroutine.
type Intake struct {
	d      *Delivery
	wait   context.Context // for memory; nil when the lane must not wait
	batch  *record.Batch   // open, or nil
	opened time.Time       // when batch was opened
	ms     int64           // the time stamp that Value was told

	taken   uint64 // records since the last publish
	dropped [NumReasons]uint64
}

// LiveIntake returns an intake that never waits: when memory is full it drops the newest record.
func (d *Delivery) LiveIntake() *Intake { return &Intake{d: d} }

// FileIntake returns an intake that waits for memory until ctx ends: reading a file loses nothing.
func (d *Delivery) FileIntake(ctx context.Context) *Intake { return &Intake{d: d, wait: ctx} }

// Value returns an empty slice for an encoder to append the next record's value to, or nil when
// there is no memory: then the record is dropped, and counted. t is the packet's time in
// nanoseconds since the Unix epoch.
func (in *Intake) Value(t int64) []byte {
	if in.batch != nil && in.batch.Room() < nearlyFull {
		in.handOn()
	}
	if in.batch == nil && !in.open() {
		in.dropped[in.lack()]++
		return nil
	}
	in.ms = time.Unix(0, t).UnixMilli()
	return in.batch.Value(in.ms)
}

// Commit makes value, which was appended to the slice that Value returned, the next record.
func (in *Intake) Commit(value []byte) {
	if in.batch.Commit(value) {
		in.taken++
		return
	}
	// The value outgrew the batch and stands in memory of its own now.
	if in.batch.Records() > 0 {
		in.handOn()
		if !in.open() {
			in.dropped[in.lack()]++
			return
		}
	}
	in.batch.Value(in.ms)
	if !in.batch.Commit(value) {
		in.dropped[TooLarge]++
		return
	}
	in.taken++
}

// Turn is the lane's turn to look at the clock: it hands on a batch that has lingered, and
// publishes the counters. The lane takes a turn whenever its source is idle, and every few
// hundred packets. Its error is always nil.
func (in *Intake) Turn() error {
	if in.batch != nil && in.batch.Records() > 0 && time.Since(in.opened) >= in.d.cfg.Linger {
		in.handOn()
	}
	in.publish()
	return nil
}

// Close hands on what is left. The intake is not used again.
func (in *Intake) Close() error {
	switch {
	case in.batch == nil:
	case in.batch.Records() > 0:
		in.handOn()
	default:
		in.d.pool.Put(in.batch)
		in.batch = nil
	}
	in.publish()
	return nil
}

func (in *Intake) open() bool {
	if in.wait == nil {
		in.batch = in.d.pool.TryGet()
	} else if b, err := in.d.pool.Get(in.wait); err == nil {
		in.batch = b
	}
	in.opened = time.Now()
	return in.batch != nil
}

// lack is why there is no batch: an intake that waits gives up only at the end.
func (in *Intake) lack() Reason {
	if in.wait != nil {
		return Shutdown
	}
	return MemoryFull
}

func (in *Intake) handOn() {
	in.publish()
	in.d.submit(in.batch)
	in.batch = nil
}

// publish adds what happened since the last time to the counters of the delivery. It comes
// before a batch is handed on, so that no record is settled that was not counted in.
func (in *Intake) publish() {
	d := in.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.In += in.taken
	d.counts.Held += in.taken
	for why, n := range in.dropped {
		if n == 0 {
			continue
		}
		d.counts.In += n
		d.counts.Dropped[why] += n
		d.health.dropped(Reason(why), time.Now())
	}
	in.taken, in.dropped = 0, [NumReasons]uint64{}
}
