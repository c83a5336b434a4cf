// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// Compressors returns how many goroutines compress batches. Each has a spare arena besides the
// pool. A core compresses some 2 million records a second, so no sensor needs more than a few.
func Compressors() int { return min(runtime.GOMAXPROCS(0), 4) }

// maxAhead is how far ahead of the clock the newest time stamp of a batch may be. Brokers refuse
// what is message.timestamp.after.max.ms ahead, 1 h since Kafka 4.0 (KIP-1030).
const maxAhead = time.Minute

// lastWrites is for how long Run waits for the disk after its context has ended. A disk that
// hangs must not keep the process from ending; what it did not take is dropped and counted.
const lastWrites = 5 * time.Second

// Delivery takes batches from the intakes of the lanes to one topic.
type Delivery struct {
	cfg  Config
	pool *record.Pool
	log  *slog.Logger

	sealing []chan *parcel // full batches; room in each for all there are
	queue   *queue         // sealed batches
	topic   *topic
	limit   *limit
	letters *deadLetters
	spooler *spooler // nil without a spool, as is drainer
	drainer *drainer

	compressors []*sealer
	intakes     atomic.Int64 // that were made
	splitting   splitting
	live        atomic.Bool        // an intake must not wait for memory
	mark        atomic.Uint64      // the newest, see Mark
	ended       context.Context    // ends with Run: nobody gets memory any more
	end         context.CancelFunc // ends ended
	drained     chan struct{}      // closed when there is nothing left to do
	pulses      pulses

	mu        sync.Mutex // guards the following
	counts    Counters
	parcels   map[*parcel]struct{} // all that are not settled
	producer  Producer
	opened    bool // producer was opened here, and is closed here
	finished  bool // nothing more will be handed on
	leaving   bool // nothing more will be sent
	over      bool // Run has ended: what is handed on now is dropped
	diskEmpty bool // the spool had nothing to hand out when last asked
	health    health
	recycling recycling
	growth    growth
}

// New returns a delivery of batches of pool to producer. It starts nothing.
func New(cfg Config, pool *record.Pool, producer Producer, log *slog.Logger) (*Delivery, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := pool.Batches()
	d := &Delivery{
		cfg: cfg, pool: pool, producer: producer, log: log,
		queue:     newQueue(),
		topic:     newTopic(),
		limit:     newLimit(cfg.aim()),
		letters:   newDeadLetters(cfg.DeadLetter, cfg.DeadLetterMax, log),
		drained:   make(chan struct{}),
		parcels:   make(map[*parcel]struct{}, n),
		diskEmpty: cfg.Spool == nil,
		health:    newHealth(cfg, time.Now()),
	}
	d.ended, d.end = context.WithCancel(context.Background())
	d.splitting.d = d
	for range cfg.ways() {
		d.sealing = append(d.sealing, make(chan *parcel, n))
	}
	if cfg.Spool != nil {
		d.spooler, d.drainer = newSpooler(d), newDrainer(d)
		if err := d.reserve(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Run delivers until Finish was called and all is acknowledged, or until ctx ends. What is left
// then goes to the spool, for which Run takes a few seconds more; without a spool it is dropped
// and counted. A live sensor leaves what is on disk for the next start; one that reads files
// ends when the spool is empty, too.
//
// Run owns every goroutine that it starts and waits for them, but for one that the disk does not
// let go. The producer that New was given is left open unless it was replaced, and the spool is
// left open.
func (d *Delivery) Run(ctx context.Context) error {
	defer d.end()
	if err := d.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers, writers sync.WaitGroup
	for i, c := range d.compressors {
		from := d.sealing[i%len(d.sealing)]
		workers.Go(func() {
			d.keep(ctx, "compressor", func(ctx context.Context) { d.compress(ctx, c, from) })
		})
	}
	workers.Go(func() {
		d.keep(ctx, "watcher of the topic", func(ctx context.Context) { d.watch(ctx, &workers) })
	})
	workers.Go(func() {
		d.keep(ctx, "supervisor", func(ctx context.Context) { d.supervise(ctx, &workers) })
	})
	if d.letters != nil {
		writers.Go(d.letters.run)
	}
	if d.spooler != nil {
		writers.Go(func() { d.spooler.run(ctx) })
		writers.Go(func() { d.drainer.run(ctx) })
	}
	select {
	case <-d.drained:
	case <-ctx.Done():
	}
	cancel()
	workers.Wait()
	d.closeOpened()
	d.conclude(&writers)
	d.abandon()
	return nil
}

// prepare makes what Run needs.
func (d *Delivery) prepare() error {
	for range Compressors() {
		c, err := d.newSealer()
		if err != nil {
			return err
		}
		d.compressors = append(d.compressors, c)
	}
	return nil
}

// reserve takes from the pool what delivery keeps for itself.
func (d *Delivery) reserve() error {
	for _, own := range []chan<- *record.Batch{d.drainer.own, d.spooler.own} {
		b := d.pool.TryGet()
		if b == nil {
			return fmt.Errorf("deliver: a pool of %d batches is too small for a spool", d.pool.Batches())
		}
		own <- b
	}
	return nil
}

// conclude lets those who wait for a disk end, and waits for them, but not for ever.
func (d *Delivery) conclude(writers *sync.WaitGroup) {
	if d.letters != nil {
		d.letters.close()
	}
	if d.spooler != nil {
		close(d.spooler.quiet)
	}
	written := make(chan struct{})
	go func() {
		writers.Wait()
		close(written)
	}()
	timer := time.NewTimer(lastWrites)
	defer timer.Stop()
	select {
	case <-written:
	case <-timer.C:
		d.log.Error("deliver: the disk does not answer; what it did not take is lost")
	}
}

// Finish says that no intake will hand on anything more.
func (d *Delivery) Finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finished = true
	d.checkDrained()
}

// leave notes that nothing more is sent: what is on disk stays there.
func (d *Delivery) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaving = true
	d.checkDrained()
}

// checkDrained ends Run when there is nothing left to do. A live sensor has no more to do when
// brokers fail and all is on disk: to wait for them would cost what comes on the wire until the next
// start. d.mu is held.
func (d *Delivery) checkDrained() {
	live := d.live.Load()
	switch {
	case !d.finished || d.counts.Held > 0:
		return
	case len(d.parcels) > 0 && !(live && d.health.fault(time.Now()) != nil):
		return
	case !live && !d.leaving && (!d.diskEmpty || d.asides() > 0):
		return
	}
	select {
	case <-d.drained:
	default: // not closed yet
		close(d.drained)
	}
}

// abandon drops all that is still held. Only lanes may run yet: one that waited for memory gets
// some now, and submit drops what it fills.
func (d *Delivery) abandon() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	for _, p := range d.oldestFirst() {
		if p.origin != fromLane {
			d.forget(p)
			continue
		}
		if d.leaveOnDisk(p) {
			continue
		}
		for d.drop(p, Shutdown) {
		}
	}
	if d.spooler != nil {
		d.giveUpArenas()
	}
}

// leaveOnDisk gives up the memory of a parcel if all that is left of it is on disk.
func (d *Delivery) leaveOnDisk(p *parcel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil || !p.whole() {
		return false
	}
	d.confess(p)
	d.queue.steal(p)
	d.release(p)
	return true
}

// forget gives up the memory of a parcel that is on disk, where it stays for the next start.
func (d *Delivery) forget(p *parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch != nil {
		d.confess(p)
		if f := p.frames[0]; !f.stamped { // it does not say that some of it was delivered
			d.count(func(c *Counters) { c.Redelivered += uint64(f.ref.Records - f.left) })
		}
		d.close(p)
	}
}

// confess counts what is left of p as possibly there twice, if the frames that stay on disk do
// not say so: the next run cannot know. p.mu is held.
func (d *Delivery) confess(p *parcel) {
	if !p.honest() {
		p.countRepeat(d)
	}
}

// giveUpArenas returns to the pool what prepare took. One that a hanging disk still reads or
// writes is lost, with the process about to end.
func (d *Delivery) giveUpArenas() {
	for _, own := range []<-chan *record.Batch{d.drainer.own, d.spooler.own} {
		select {
		case b := <-own:
			d.pool.Put(b)
		default: // the disk has it
		}
	}
}

func (d *Delivery) isOver() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// redate moves the time stamps of a batch that has left the window of Intake.look since its records
// were put into it: it aged on disk, or the clock was set; or that a broker wants moved. It is moved
// as a whole. p.mu is held.
func (d *Delivery) redate(p *parcel) {
	now, b := time.Now(), p.batch
	if p.moved { // and counted
		b.Redate(now.UnixMilli())
		return
	}
	newest := time.UnixMilli(b.Newest())
	old := d.cfg.TimestampMaxAge > 0 && now.Sub(newest) > d.cfg.TimestampMaxAge
	if !old && newest.Sub(now) <= maxAhead {
		return
	}
	b.Redate(now.UnixMilli())
	d.count(func(c *Counters) { c.Redated += uint64(b.Records()) })
}

func (d *Delivery) count(add func(*Counters)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	add(&d.counts)
}
