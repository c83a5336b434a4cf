// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
	"github.com/dnsluice/dnsluice/internal/record"
)

// drill is a fault that delivery must survive. While it lasts and after it, records are put; in
// the end all are read back from the topic, each once, but for those counted as dropped or
// redelivered.
type drill struct {
	name       string
	front      bool                // a fault proxy stands before each broker, instead of a wire
	opts       []kfake.Opt         // of the cluster
	config     func(*rig, *Config) // of the client
	patience   time.Duration       // of requests; long, or short where it is waited for, if not given
	brokers    int                 // 1 if not given
	partitions int32               // 4 if not given; less than 0: the topic does not exist
	start      func(*rig)
	fault      func(*rig)
	want       deliver.State // while the fault lasts; not looked at if empty
	heal       func(*rig)
	after      func(*rig, deliver.Counters) // looks at the outcome
}

// rig is a whole delivery: load, delivery, client, wire, cluster.
type rig struct {
	testing.TB
	c    *kfake.Cluster
	w    *wire               // nil with a front
	p    []*faultproxy.Proxy // by node; the front
	all  *Cluster
	cl   *Client
	d    *deliver.Delivery
	pool *record.Pool
	done chan error

	tick  *time.Ticker
	load  sync.WaitGroup
	pause sync.Mutex // held while no records are to be put
	next  int        // value of the next record; the load's
	quit  chan struct{}

	mend   func()   // ends a fault
	before []Record // read back from a topic that does not exist any more

	missing uint64 // records that were not read back
	twice   uint64 // and that were, again
}

// perBatch is how many records a batch has. All have the same: a broker that takes one batch for
// the repetition of another would notice a difference.
const perBatch = 5

func newRig(t testing.TB, d drill) *rig {
	opts := slices.Clone(d.opts)
	if d.partitions >= 0 {
		opts = append(opts, kfake.SeedTopics(max(d.partitions, 1), topic))
	}
	r := &rig{TB: t, done: make(chan error, 1), quit: make(chan struct{})}
	if d.front {
		r.c, r.p = newFront(t, d.brokers, opts...)
	} else {
		r.c, r.w = newCluster(t, d.brokers, opts...)
	}
	cfg := deliver.DefaultConfig()
	cfg.RequestTimeout = 10 * time.Second
	if d.want == deliver.NoAnswer {
		cfg.RequestTimeout = time.Second // for this is waited for
	}
	if d.patience > 0 {
		cfg.RequestTimeout = d.patience
	}
	cfg.BackoffMin, cfg.BackoffMax = 10*time.Millisecond, 100*time.Millisecond
	cfg.MetadataMaxAge = 200 * time.Millisecond
	cfg.BatchSize = deliver.MinBatchSize
	r.pool = record.NewPool(12, cfg.BatchSize)
	// Overwriting takes its time, and matters where the client gives up what it may yet write.
	r.pool.Poison = d.want == deliver.NoAnswer || d.want == deliver.Unreachable
	kcfg := Config{Brokers: r.c.ListenAddrs(), Topic: topic, ClientID: "test", RequestTimeout: cfg.RequestTimeout}
	if d.config != nil {
		d.config(r, &kcfg)
	}
	var err error
	if r.all, err = NewCluster(kcfg); err != nil {
		t.Fatal(err)
	}
	if r.cl, err = r.all.client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cl.Close)
	if r.d, err = deliver.New(cfg, r.pool, r.cl, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Fatal(err)
	}
	return r
}

// run starts the delivery and the load: a batch every few milliseconds, while there is memory.
func (r *rig) run() {
	hard, cancel := context.WithCancel(r.Context())
	r.Cleanup(func() { // if the test failed in the middle
		cancel()
		r.load.Wait()
	})
	go func() { r.done <- r.d.Run(hard) }()
	r.tick = time.NewTicker(4 * time.Millisecond)
	r.Cleanup(r.tick.Stop)
	r.load.Go(func() {
		for {
			select {
			case <-r.tick.C:
			case <-r.quit:
				return
			case <-hard.Done():
				return
			}
			r.pause.Lock()
			in := r.d.FileIntake(hard)
			for range perBatch {
				if v := in.Value(time.Now().UnixNano(), nil); v != nil {
					in.Commit(strconv.AppendInt(v, int64(r.next), 10))
				}
				r.next++
			}
			in.Close()
			r.pause.Unlock()
		}
	})
}

// acknowledged waits until n more batches are.
func (r *rig) acknowledged(n uint64) {
	r.Helper()
	want := r.d.Counters().Batches + n
	until(r, "batches are acknowledged", func() bool { return r.d.Counters().Batches >= want })
}

// state waits for a state.
func (r *rig) state(want deliver.State) {
	r.Helper()
	var got deliver.Status
	defer func() {
		if r.Failed() {
			r.Logf("%+v", got)
		}
	}()
	until(r, "state "+string(want), func() bool {
		got = r.d.Status()
		return got.State == want
	})
}

// steady is how long a fault is watched.
const steady = 200 * time.Millisecond

// endure waits until a fault has its effect and looks at it for a while: the state must stay, and
// nobody may hammer at the cluster. The longest pause is 100 ms, so that each of 4 workers may
// knock 2 times, each with an identity and a batch; the client tries a connection up to 3 times;
// and somebody looks for leaders each 10 ms at most.
func (r *rig) endure(want deliver.State) {
	r.Helper()
	for late := time.Now().Add(20 * time.Second); time.Now().Before(late); {
		r.state(want)
		before := r.d.Counters().Batches
		c0, q0 := r.traffic()
		others := r.others(want)
		c, q := r.traffic()
		if want != deliver.Flowing && r.d.Counters().Batches != before {
			continue // what was under way before the fault still arrives
		}
		if len(others) > 0 {
			r.Errorf("the state was %v, not %s", others, want)
		}
		if c-c0 > 100 || q-q0 > 200 {
			r.Errorf("%d connections and %d requests in %v", c-c0, q-q0, steady)
		}
		return
	}
	r.Errorf("batches are acknowledged in state %s", want)
}

// traffic returns how many connections the brokers have seen, and how many requests if that is
// known.
func (r *rig) traffic() (connections, requests int) {
	if r.w != nil {
		return r.w.traffic()
	}
	for _, p := range r.p {
		connections += p.Stats().Accepted
	}
	return connections, 0
}

// others watches the state and returns how often it was another than want.
func (r *rig) others(want deliver.State) map[deliver.State]int {
	over := time.After(steady)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	others := map[deliver.State]int{}
	for {
		select {
		case <-over:
			return others
		case <-tick.C:
			if s := r.d.Status(); s.State != want {
				others[s.State]++
			}
		}
	}
}

// finish stops the load, waits for the delivery, and checks the books and the topic.
func (r *rig) finish() deliver.Counters {
	r.Helper()
	close(r.quit)
	r.load.Wait()
	r.d.Finish()
	select {
	case err := <-r.done:
		if err != nil {
			r.Error(err)
		}
	case <-time.After(20 * time.Second):
		r.Fatalf("the delivery does not end: %+v, %+v", r.d.Status(), r.d.Counters())
	}
	n := r.d.Counters()
	dropped := uint64(0)
	for _, d := range n.Dropped {
		dropped += d
	}
	if n.In != uint64(r.next) || n.In != n.Acknowledged+dropped || n.Held != 0 {
		r.Errorf("does not balance: put %d, %+v", r.next, n)
	}
	if free := r.pool.Free(); free != r.pool.Batches() {
		r.Errorf("%d of %d batches are free", free, r.pool.Batches())
	}
	r.compare(append(r.before, r.readBack()...), n)
	return n
}

// readBack reads all there is.
func (r *rig) readBack() []Record {
	r.Helper()
	all := int64(0)
	for _, p := range r.c.PartitionInfos(topic) {
		all += p.HighWatermark
	}
	if all == 0 {
		return nil
	}
	reader, err := r.all.Reader()
	if err != nil {
		r.Fatal(err)
	}
	defer reader.Close()
	return readFrom(r, reader, int(all))
}

// compare compares what was read back with what was counted.
func (r *rig) compare(records []Record, n deliver.Counters) {
	r.Helper()
	times := make([]int, r.next)
	for _, k := range records {
		v, err := strconv.Atoi(string(k.Value))
		if err != nil || v < 0 || v >= r.next {
			r.Fatalf("value %q was never put", k.Value)
		}
		times[v]++
	}
	for v, m := range times {
		switch {
		case m == 0:
			r.missing++
			if r.missing+n.Acknowledged > n.In {
				r.Errorf("record %d is missing", v)
			}
		default:
			r.twice += uint64(m - 1)
		}
	}
	if r.missing > n.In-n.Acknowledged || r.twice > n.Redelivered {
		r.Errorf("%d records are missing and %d are there twice: %+v", r.missing, r.twice, n)
	}
}

// drain lets the load pause and all be acknowledged.
func (r *rig) drain() {
	r.Helper()
	r.pause.Lock()
	until(r, "nothing is held", func() bool { return r.d.Counters().Held == 0 })
}

func (d drill) run(t *testing.T) {
	d.brokers = max(d.brokers, 1)
	if d.partitions == 0 {
		d.partitions = 4
	}
	r := newRig(t, d)
	if d.start != nil {
		d.start(r)
	}
	r.run()
	if d.fault != nil {
		r.acknowledged(10)
		r.state(deliver.Flowing)
	}
	w := watch{drill: d}
	if w.begin(); d.fault != nil {
		d.fault(r)
	}
	if d.want != "" {
		r.state(d.want)
		w.detected()
		r.endure(d.want)
	}
	if w.mended(); d.heal != nil {
		d.heal(r)
	}
	r.acknowledged(20)
	if dropped := r.d.Counters().Dropped; dropped[deliver.TooLarge] > 0 {
		r.state(deliver.RejectedState) // for a while
	} else {
		r.state(deliver.Flowing)
	}
	w.healed()
	n := r.finish()
	if d.after != nil {
		d.after(r, n)
	}
	w.write(r, n)
}
