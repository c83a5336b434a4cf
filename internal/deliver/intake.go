// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"math"
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
	full   int             // size at which batch is handed on
	ms     int64           // the time stamp of the record that Value was told of
	key    []byte          // and the key, borrowed until Commit
	to     chan<- *parcel  // where full batches go

	now, oldest, newest int64 // ms: at the last look at the clock, and what brokers keep and accept

	taken   uint64 // records since the last publish
	redated uint64
	dropped [NumReasons]uint64

	mark uint64 // what Delivery.mark was when batch was opened

	pulse   *Pulse  // nil when nobody watches
	account Account // guarded by Delivery.mu, as is the next
	waits   uint64  // mark of what waits in the open batch; unmarked when nothing does
}

// Account is how many records were put into an intake, and how many of these it dropped. What
// becomes of the others is in the counters of the delivery. The two numbers belong together.
type Account struct{ Records, Dropped uint64 }

// Account returns the account as of the last turn. Any goroutine may ask.
func (in *Intake) Account() Account {
	in.d.mu.Lock()
	defer in.d.mu.Unlock()
	return in.account
}

// LiveIntake returns an intake that never waits: when memory is full it drops the newest record.
func (d *Delivery) LiveIntake() *Intake {
	d.Live()
	return d.newIntake()
}

// Live says that what comes in has no end, so that the spool, if there is one, makes room for it
// while brokers are away.
func (d *Delivery) Live() { d.live.Store(true) }

// FileIntake returns an intake that waits for memory until ctx ends: reading a file loses nothing.
// With a spool it waits until Run ends, for the disk still makes room after ctx.
func (d *Delivery) FileIntake(ctx context.Context) *Intake {
	in := d.newIntake()
	in.wait = ctx
	return in
}

// newIntake returns an intake whose batches all go the same way, so that with keys they stay in order.
func (d *Delivery) newIntake() *Intake {
	way := int(d.intakes.Add(1)) % len(d.sealing)
	return &Intake{d: d, to: d.sealing[way], waits: unmarked}
}

// Value returns an empty slice for an encoder to append the next record's value to, or nil when
// there is no memory: then the record is dropped, and counted. t is the packet's time in
// nanoseconds since the Unix epoch. key is the record's, borrowed until Commit, or nil for none.
func (in *Intake) Value(t int64, key []byte) []byte {
	if in.batch != nil && (in.batch.Room() < nearlyFull || in.batch.Size() >= in.full) {
		in.handOn()
	}
	if in.batch == nil && !in.open() {
		in.dropped[in.lack()]++
		return nil
	}
	in.ms, in.key = t/int64(time.Millisecond), key
	if in.ms < in.oldest || in.ms > in.newest && in.ahead() {
		in.ms = in.now
		in.redated++
	}
	return in.batch.KeyedValue(in.ms, key)
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
	in.batch.KeyedValue(in.ms, in.key)
	if !in.batch.Commit(value) {
		in.dropped[TooLarge]++
		in.d.letters.put(deadLetter{Reason: TooLarge.String(), Partition: -1,
			Error: "the record does not fit into a batch"}, value)
		return
	}
	in.taken++
}

// Turn is the lane's turn to look at the clock: it hands on a batch that has lingered, and
// publishes the counters. The lane takes a turn whenever its source is idle, and every few
// hundred packets. Its error is always nil.
func (in *Intake) Turn() error {
	in.pulse.Turn()
	in.look()
	if in.batch != nil && in.batch.Records() > 0 && in.due() {
		in.handOn()
	}
	in.publish()
	return nil
}

// look looks at the clock. A record whose time is outside of the window gets the time of now for
// Kafka: brokers delete a segment by its newest time stamp, so an old capture would vanish after
// its acknowledgement, and refuse what is too far ahead. The packet's time is in the record
// anyway. Each record is judged by itself, for clocks of captures jump within a batch, too.
func (in *Intake) look() (now time.Time) {
	now = time.Now()
	in.now, in.newest = now.UnixMilli(), now.Add(maxAhead).UnixMilli()
	in.oldest = math.MinInt64
	if most := in.d.cfg.TimestampMaxAge; most > 0 {
		in.oldest = now.Add(-most).UnixMilli()
	}
	return now
}

// ahead tells whether the time of the record is too far ahead also now. It may be a while since the
// last look: heartbeats take no turns.
func (in *Intake) ahead() bool {
	in.look()
	return in.ms > in.newest
}

// due tells whether the open batch has lingered. While others wait for a worker it would only wait
// behind them, in an arena of its own, and a few packets a second would fill all memory: so it
// stays open then, but with a spool no longer than anything may be in memory alone; and in a live
// sensor that is durable no longer than else, for what is on disk gives up its arena.
func (in *Intake) due() bool {
	age := time.Since(in.opened)
	if age < in.d.cfg.Linger {
		return false
	}
	d := in.d
	if d.spooler == nil {
		return !d.crowded()
	}
	saved := d.cfg.Durable && d.live.Load() && d.spooler.usable(time.Now())
	return saved || age >= d.cfg.SpoolAfter || !d.crowded()
}

// Publish makes the counters current and leaves the open batch as it is, however old.
func (in *Intake) Publish() { in.publish() }

// Flush hands on what there is at once.
func (in *Intake) Flush() {
	if in.batch != nil && in.batch.Records() > 0 {
		in.handOn()
	}
	in.publish()
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
	in.d.pulses.end(in.pulse)
	return nil
}

func (in *Intake) open() bool {
	in.pulse.Wait() // for memory, if need be, as long as it takes
	defer in.pulse.Turn()
	d := in.d
	if in.wait == nil {
		in.batch = d.pool.TryGet()
	} else if b, err := d.pool.Get(in.wait); err == nil {
		in.batch = b
	} else if d.spooler != nil {
		if b, err := d.pool.Get(d.ended); err == nil {
			in.batch = b
		}
	}
	in.opened, in.mark = in.look(), d.mark.Load()
	in.full = record.HeaderLen + d.limit.target(in.opened)
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
	in.d.submit(in.batch, in.mark, in.to)
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
	d.counts.Redated += in.redated
	in.account.Records += in.taken
	in.waits = unmarked
	if in.batch != nil && in.batch.Records() > 0 {
		in.waits = in.mark
	}
	for why, n := range in.dropped {
		if n == 0 {
			continue
		}
		in.account.Records += n
		in.account.Dropped += n
		d.counts.In += n
		d.counts.Dropped[why] += n
		d.health.dropped(Reason(why), time.Now())
	}
	in.taken, in.redated, in.dropped = 0, 0, [NumReasons]uint64{}
}
