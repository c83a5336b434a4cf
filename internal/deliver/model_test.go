// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// cluster is a model of a Kafka cluster that keeps logs and producer states as brokers do
// (KIP-98), and can be told to fail in all the ways that a Producer may.
type cluster struct {
	t *testing.T

	mu       sync.Mutex // guards the following
	logs     []partitionLog
	leaders  []int32
	nextID   int64
	looked   int // calls of Leaders
	requests int // calls of Produce

	limit  int             // bytes of a batch; 0 is any number
	keeps  time.Duration   // a time stamp may be older than the broker's clock by that; 0 is any age
	behind time.Duration   // the broker's clock, which no time stamp may be an hour ahead of
	poison map[uint64]bool // values that are refused
	panics int             // how many requests panic
	delay  time.Duration   // before each answer
	keyed  bool            // records have the key of their value, and a place

	// Called before each request with mu held; nil means that all is well.
	onLeaders  func() error
	onIdentity func() error
	onProduce  func(partition int32) outcome
}

type partitionLog struct {
	values   []uint64
	producer map[int64]producerState
	limit    *int
	keeps    *time.Duration
	behind   *time.Duration
	poison   *map[uint64]bool
	newest   int64 // ms, of the last batch

	// A broker that forgot a producer takes its sequence 0 for a beginning: a duplicate that
	// nobody can tell. seen are the producers that ever appended, unknowable those records.
	seen       map[int64]bool
	unknowable int
}

type producerState struct{ first, next int32 }

// outcome is what happens to one request.
type outcome struct {
	err      error // what the producer sees; nil is success
	appended bool  // whether the broker gets to append before that
	silent   bool  // no answer until the context ends
	forget   bool  // the broker forgets its producers before it looks
}

var fine = outcome{appended: true}

func newCluster(t *testing.T, partitions int) *cluster {
	c := &cluster{t: t, logs: make([]partitionLog, partitions), leaders: make([]int32, partitions)}
	for i := range c.logs {
		c.logs[i].producer = map[int64]producerState{}
		c.logs[i].seen = map[int64]bool{}
		c.logs[i].limit, c.logs[i].poison = &c.limit, &c.poison
		c.logs[i].keeps, c.logs[i].behind = &c.keeps, &c.behind
	}
	return c
}

func (c *cluster) Leaders(ctx context.Context) ([]int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked++
	if c.onLeaders != nil {
		if err := c.onLeaders(); err != nil {
			return nil, err
		}
	}
	return append([]int32(nil), c.leaders...), ctx.Err()
}

func (c *cluster) Identity(context.Context) (record.Producer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onIdentity != nil {
		if err := c.onIdentity(); err != nil {
			return record.NoProducer, err
		}
	}
	c.nextID++
	return record.Producer{ID: c.nextID}, nil
}

func (c *cluster) Close() {}

func (c *cluster) Produce(ctx context.Context, _, partition int32, batch []byte) error {
	c.mu.Lock()
	c.requests++
	if c.panics > 0 {
		c.panics--
		c.mu.Unlock()
		panic("a mistake in the producer")
	}
	o := fine
	if c.onProduce != nil {
		o = c.onProduce(partition)
	}
	log := &c.logs[partition]
	if o.forget {
		clear(log.producer)
	}
	var err error
	if o.appended {
		err = log.append(c.t, batch)
		if c.keyed {
			c.misplaced(partition, batch)
		}
	}
	delay := c.delay
	c.mu.Unlock()
	sleep(ctx, delay)
	if o.silent {
		<-ctx.Done()
		return &Fault{State: NoAnswer, Verdict: Unknown, Err: ctx.Err()}
	}
	if o.err != nil {
		return o.err
	}
	return err
}

// append does what ReplicaManager and ProducerStateManager of a broker do to a batch.
func (l *partitionLog) append(t *testing.T, batch []byte) error {
	be := binary.BigEndian
	if crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)) != be.Uint32(batch[17:]) {
		t.Error("a batch with a wrong checksum arrived")
		return &Fault{State: BrokerError, Verdict: Unknown, Err: errors.New("CORRUPT_MESSAGE")}
	}
	id, first, n := int64(be.Uint64(batch[43:])), int32(be.Uint32(batch[53:])), int(be.Uint32(batch[57:]))
	if *l.limit > 0 && len(batch) > *l.limit {
		return &Fault{State: RejectedState, Verdict: Rejected, Reason: TooLarge, Err: errors.New("MESSAGE_TOO_LARGE")}
	}
	now, untimely := time.Now().Add(-*l.behind), false
	if err := record.Each(batch, func(ms int64, _ []byte) error {
		age := now.Sub(time.UnixMilli(ms))
		untimely = untimely || age < -time.Hour || *l.keeps > 0 && age > *l.keeps
		return nil
	}); err != nil {
		t.Error(err)
	}
	if untimely {
		return &Fault{State: RejectedState, Verdict: Rejected, Reason: RejectedByBroker, Time: true,
			Err: errors.New("INVALID_TIMESTAMP")}
	}
	values := valuesOf(t, batch)
	for _, v := range values {
		if (*l.poison)[v] {
			return &Fault{State: RejectedState, Verdict: Rejected, Reason: RejectedByBroker, Err: errors.New("INVALID_RECORD")}
		}
	}
	if id < 0 { // without idempotence
		l.values = append(l.values, values...)
		return nil
	}
	state, known := l.producer[id]
	switch {
	case known && first == state.first:
		return nil // a duplicate of the last batch
	case known && first != state.next, !known && first != 0:
		return &Fault{State: BrokerError, Verdict: Lost, Err: errors.New("OUT_OF_ORDER_SEQUENCE_NUMBER")}
	}
	if !known && l.seen[id] {
		l.unknowable += n
	}
	l.seen[id] = true
	l.producer[id] = producerState{first, record.NextSequence(first, n)}
	l.newest = int64(be.Uint64(batch[35:]))
	l.values = append(l.values, values...)
	return nil
}

// valuesOf reads the numbers at the ends of the values of a batch.
func valuesOf(t *testing.T, batch []byte) (values []uint64) {
	if err := record.Each(batch, func(_ int64, value []byte) error {
		values = append(values, binary.BigEndian.Uint64(value[len(value)-8:]))
		return nil
	}); err != nil {
		t.Error(err)
	}
	return values
}

// keyOf returns the key of a record by its value: none, or one of some.
func keyOf(v uint64) []byte {
	if v%10 == 0 {
		return nil
	}
	return fmt.Appendf(nil, "192.0.2.%d", v%251)
}

// misplaced looks for records that belong to another partition. c.mu is held.
func (c *cluster) misplaced(partition int32, batch []byte) {
	for _, v := range valuesOf(c.t, batch) {
		key := keyOf(v)
		if key == nil {
			continue
		}
		if want := record.Partition(key, int32(len(c.leaders))); want != partition {
			c.t.Errorf("value %d with the key %s is in partition %d, want %d", v, key, partition, want)
			return
		}
	}
}

// received returns how often each value is in the logs.
func (c *cluster) received() map[uint64]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := map[uint64]int{}
	for _, l := range c.logs {
		for _, v := range l.values {
			got[v]++
		}
	}
	return got
}

// rig is a delivery with its pool, its cluster and one intake.
type rig struct {
	*testing.T
	c      *cluster
	d      *Delivery
	pool   *record.Pool
	first  uint64 // value of the first record
	next   uint64 // value of the next record
	hard   context.Context
	cancel context.CancelFunc
	done   chan error
}

func newRig(t *testing.T, partitions, batches int, changes ...func(*Config)) *rig {
	cfg := DefaultConfig()
	cfg.Codec = record.None
	for _, change := range changes {
		change(&cfg)
	}
	pool := record.NewPool(batches, cfg.BatchSize)
	pool.Poison = true
	c := newCluster(t, partitions)
	c.keyed = cfg.Keyed
	d, err := New(cfg, pool, c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, c: c, d: d, pool: pool, done: make(chan error, 1)}
	r.hard, r.cancel = context.WithCancel(t.Context())
	t.Cleanup(r.cancel)
	return r
}

func (r *rig) run() { go func() { r.done <- r.d.Run(r.hard) }() }

// put commits n records whose values are numbers, and takes a turn.
func (r *rig) put(in *Intake, n int) {
	r.Helper()
	r.fill(in, n, 0)
	if err := in.Turn(); err != nil {
		r.Error(err)
	}
}

// fill commits n records, each of so many bytes besides its number.
func (r *rig) fill(in *Intake, n, size int) {
	for range n {
		var key []byte
		if r.d.cfg.Keyed {
			key = keyOf(r.next)
		}
		if v := in.Value(time.Now().UnixNano(), key); v != nil {
			in.Commit(binary.BigEndian.AppendUint64(append(v, make([]byte, size)...), r.next))
		}
		r.next++
	}
}

// finish closes the intake and waits for Run.
func (r *rig) finish(in *Intake) Counters {
	r.Helper()
	if err := in.Close(); err != nil {
		r.Error(err)
	}
	r.d.Finish()
	if err := <-r.done; err != nil {
		r.Error(err)
	}
	return r.settled()
}

// settled checks the law, that nothing is held, and that every arena is back.
func (r *rig) settled() Counters {
	r.Helper()
	n := r.d.Counters()
	dropped := uint64(0)
	for _, d := range n.Dropped {
		dropped += d
	}
	if n.In != n.Acknowledged+dropped+n.Spooled || n.Held != 0 || n.In != r.next-r.first {
		r.Errorf("does not balance: put %d, %+v", r.next, n)
	}
	if r.pool.Free() != r.pool.Batches() {
		r.Errorf("%d of %d batches are free", r.pool.Free(), r.pool.Batches())
	}
	return n
}

// check compares what the logs hold with what was counted: nothing is missing but what was
// dropped, and what is there twice was counted as redelivered.
func (r *rig) check(n Counters) {
	r.Helper()
	got := r.c.received()
	twice := 0
	for i := range r.c.logs {
		twice -= r.c.logs[i].unknowable
	}
	for v, times := range got {
		if v >= r.next {
			r.Errorf("value %d was never put", v)
		}
		twice += times - 1
	}
	if uint64(len(got)) < n.Acknowledged || twice > int(n.Redelivered) {
		r.Errorf("%d values arrived, %d twice; counted %+v", len(got), twice, n)
	}
}

// chance makes outcomes at random from a seed.
func chance(rng *rand.Rand) outcome {
	unsent := &Fault{State: Unreachable, Verdict: Unsent, Err: errors.New("connection refused")}
	cut := &Fault{State: Unreachable, Verdict: Unknown, Err: errors.New("connection reset")}
	switch rng.IntN(12) {
	case 0:
		return outcome{err: unsent}
	case 1:
		return outcome{err: cut}
	case 2:
		return outcome{err: cut, appended: true}
	case 3:
		return outcome{silent: true}
	case 4:
		return outcome{silent: true, appended: true}
	case 5:
		return outcome{appended: true, forget: true}
	}
	return fine
}
