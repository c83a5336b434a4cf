// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// Config is what delivery can be told.
type Config struct {
	Codec           record.Codec
	BatchSize       int           // bytes of records in a batch, before compression
	Linger          time.Duration // how long an open batch waits for more records
	RequestTimeout  time.Duration // of every request to the cluster
	MetadataMaxAge  time.Duration // how old the knowledge of leaders may become
	BackoffMin      time.Duration // the first pause after a failure; it doubles
	BackoffMax      time.Duration // up to this
	TimestampMaxAge time.Duration // batches whose newest record is older are redated; 0 never
}

// DefaultConfig returns what suits most clusters. 900 kB is below the 1 MB that brokers take by
// default even for records that do not compress.
func DefaultConfig() Config {
	return Config{
		Codec:           record.Snappy,
		BatchSize:       900_000,
		Linger:          100 * time.Millisecond,
		RequestTimeout:  10 * time.Second,
		MetadataMaxAge:  time.Minute,
		BackoffMin:      100 * time.Millisecond,
		BackoffMax:      5 * time.Second,
		TimestampMaxAge: 24 * time.Hour,
	}
}

// MinBatchSize is the smallest batch that holds any record an encoder may write.
const MinBatchSize = 600_000

// Validate names the first value that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Codec < record.None || c.Codec > record.Zstd:
		return fmt.Errorf("deliver: there is no codec %d", c.Codec)
	case c.BatchSize < MinBatchSize:
		return fmt.Errorf("deliver: batch size of %d bytes: the least is %d, room for the largest record", c.BatchSize, MinBatchSize)
	case c.Linger < 0 || c.RequestTimeout <= 0 || c.MetadataMaxAge <= 0:
		return errors.New("deliver: request timeout and metadata age must be above 0, linger not below")
	case c.BackoffMin <= 0 || c.BackoffMax < c.BackoffMin:
		return errors.New("deliver: the pauses must be above 0, the longest not below the first")
	}
	return nil
}

// Compressors returns how many goroutines compress batches. Each has a spare arena besides the
// pool. A core compresses some 2 million records a second, so no sensor needs more than a few.
func Compressors() int { return min(runtime.GOMAXPROCS(0), 4) }

// maxAhead is how far ahead of the clock the newest time stamp of a batch may be. Brokers refuse
// what is message.timestamp.after.max.ms ahead, 1 h since Kafka 4.0 (KIP-1030).
const maxAhead = time.Minute

// Delivery takes batches from the intakes of the lanes to one topic.
type Delivery struct {
	cfg      Config
	pool     *record.Pool
	producer Producer
	log      *slog.Logger

	sealing chan *record.Batch // full batches; room for all there are
	ready   chan *record.Batch // sealed batches; room for all there are
	topic   *topic
	drained chan struct{} // closed when finished and nothing is held

	mu       sync.Mutex // guards the following
	counts   Counters
	waiting  map[*record.Batch]time.Time // handed on by an intake, and when
	finished bool                        // nothing more will be handed on
	over     bool                        // Run has ended: what is handed on now is dropped
	health   health
}

// New returns a delivery of batches of pool to producer. It starts nothing.
func New(cfg Config, pool *record.Pool, producer Producer, log *slog.Logger) (*Delivery, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := pool.Batches()
	return &Delivery{
		cfg: cfg, pool: pool, producer: producer, log: log,
		sealing: make(chan *record.Batch, n),
		ready:   make(chan *record.Batch, n),
		topic:   newTopic(),
		drained: make(chan struct{}),
		waiting: make(map[*record.Batch]time.Time, n),
		health:  health{state: Connecting, since: time.Now()},
	}, nil
}

// Run delivers until Finish was called and all is acknowledged, or until ctx ends: then what is
// still held is dropped and counted. It owns every goroutine that it starts and waits for them.
// The producer is left open.
func (d *Delivery) Run(ctx context.Context) error {
	compressors := make([]*record.Compressor, Compressors())
	for i := range compressors {
		c, err := record.NewCompressor(d.cfg.Codec, d.pool)
		if err != nil {
			return err
		}
		compressors[i] = c
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	for _, c := range compressors {
		workers.Go(func() { d.compress(ctx, c) })
	}
	workers.Go(func() { d.watch(ctx, &workers) })
	select {
	case <-d.drained:
	case <-ctx.Done():
	}
	cancel()
	workers.Wait()
	d.abandon()
	return nil
}

// Finish says that no intake will hand on anything more.
func (d *Delivery) Finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finished = true
	d.checkDrained()
}

// checkDrained ends Run when there is nothing left to do. d.mu is held.
func (d *Delivery) checkDrained() {
	if !d.finished || d.counts.Held > 0 {
		return
	}
	select {
	case <-d.drained:
	default: // not closed yet
		close(d.drained)
	}
}

// submit takes over a full batch. It does not block: sealing has room for all batches.
func (d *Delivery) submit(b *record.Batch) {
	d.mu.Lock()
	over := d.over
	if !over {
		d.waiting[b] = time.Now()
	}
	d.mu.Unlock()
	if over {
		d.drop(b, Shutdown)
		return
	}
	d.sealing <- b
}

// compress seals batches until ctx ends.
func (d *Delivery) compress(ctx context.Context, c *record.Compressor) {
	for {
		select {
		case b := <-d.sealing:
			c.Seal(b)
			d.ready <- b
		case <-ctx.Done():
			return
		}
	}
}

// acknowledge settles a batch that the cluster has.
func (d *Delivery) acknowledge(b *record.Batch) {
	d.mu.Lock()
	n := uint64(b.Records())
	d.counts.Acknowledged += n
	d.counts.Batches++
	d.counts.Bytes += uint64(b.Size())
	d.health.acknowledged(time.Now())
	d.release(b)
	d.mu.Unlock()
	d.pool.Put(b)
}

// drop settles a batch that nobody will get.
func (d *Delivery) drop(b *record.Batch, why Reason) {
	d.mu.Lock()
	d.counts.Dropped[why] += uint64(b.Records())
	d.health.dropped(why, time.Now())
	d.release(b)
	d.mu.Unlock()
	d.pool.Put(b)
}

// release takes a settled batch off the books. d.mu is held.
func (d *Delivery) release(b *record.Batch) {
	d.counts.Held -= uint64(b.Records())
	delete(d.waiting, b)
	d.checkDrained()
}

// abandon drops all that is still held. Only lanes may run yet: one that waited for memory gets
// some now, and submit drops what it fills.
func (d *Delivery) abandon() {
	d.mu.Lock()
	d.over = true
	left := make([]*record.Batch, 0, len(d.waiting))
	for b := range d.waiting {
		left = append(left, b)
	}
	d.mu.Unlock()
	for _, b := range left {
		d.drop(b, Shutdown)
	}
}

// redate moves the time stamps of a batch into the window that brokers keep and accept: they
// delete a segment by its newest time stamp, so an old capture would vanish after its
// acknowledgement, and refuse what is too far ahead. The packet's time is in the record anyway.
func (d *Delivery) redate(b *record.Batch) {
	now := time.Now()
	newest := time.UnixMilli(b.Newest())
	old := d.cfg.TimestampMaxAge > 0 && now.Sub(newest) > d.cfg.TimestampMaxAge
	if !old && newest.Sub(now) <= maxAhead {
		return
	}
	b.Redate(now.UnixMilli())
	d.mu.Lock()
	d.counts.Redated += uint64(b.Records())
	d.mu.Unlock()
}

// failed notes a failed call about a batch; it changes the state, and nothing else.
func (d *Delivery) failed(f *Fault) { d.note(&d.health.fault, f) }

// unreached notes a look-up that did not find a partition to deliver to.
func (d *Delivery) unreached(f *Fault) { d.note(&d.health.lookUp, f) }

// note makes f the newest failure of its kind. A new kind of failure is worth a line in the log,
// the same again is not.
func (d *Delivery) note(newest **Fault, f *Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Failed++
	before := *newest
	*newest = f
	if before == nil || before.State != f.State {
		d.log.Warn("deliver: "+advice[f.State], "state", f.State, "error", f.Error())
	}
}

// asFault returns err as the Fault that every Producer promises. Anything else is a mistake in
// the producer, and is treated as what harms least: the batch is kept and sent again.
func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{State: BrokerError, Verdict: Unknown, Err: err}
}
