// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/sensor"
	"github.com/dnsluice/dnsluice/test/drills/result"
)

const (
	topic = "dns"
	lanes = 2

	// patience is how long a drill waits for what must come. Nothing waits that long unless it
	// fails.
	patience = 30 * time.Second

	// promptly is how soon the state must be right.
	promptly = 5 * time.Second

	// stall is for how long nobody may come for the next packet.
	stall = time.Second

	// memory is what a sensor may use.
	memory = 96 << 20
)

// drill is a fault that a whole sensor must survive.
type drill struct {
	number  int
	what    string
	brokers int   // 1 if not given
	parts   int32 // partitions; 3 if not given, none for no topic
	rate    float64
	listen  func(network, address string) (net.Listener, error) // of brokers; local if not given
	config  func(*rig)
	fault   func(*rig)
	want    deliver.State // that the fault leads to; any if empty
	during  func(*rig)
	heal    func(*rig)
	after   func(*rig, outcome)
}

// outcome is what the oracle found.
type outcome struct {
	found
	result.Result
	records []sent
	ledger  ledger.Ledger
}

// rig is a whole sensor, what goes into it, and what it delivers to.
type rig struct {
	testing.TB
	c      *kfake.Cluster
	p      []*faultproxy.Proxy
	past   map[string]string // from the address of each proxy to that of its broker
	listen func(network, address string) (net.Listener, error)
	wire   func(net.Conn) net.Conn // of what brokers accept; nil: as it is
	cfg    sensor.Config
	disk   spool.Config
	open   func(spool.Config) (*spool.Spool, error)
	wrap   func(deliver.Producer) deliver.Producer // of each client
	flows  []*flow                                 // the sources of the sensor, if it has no interface
	opened func()                                  // when the interface is captured

	s     *sensor.Sensor
	spool *spool.Spool
	stop  context.CancelFunc
	ran   chan error

	before  []sent // read back from a topic that is no more
	mend    []func()
	spoil   func(on bool) // of a drill that wraps clients
	base    int           // goroutines
	heap    uint64        // bytes, before
	dropped uint64        // of records that earlier runs left on disk, and by earlier runs
	peak    uint64
}

func newRig(t testing.TB, d drill) *rig {
	r := &rig{TB: t, listen: d.listen}
	var opts []kfake.Opt
	if d.parts >= 0 {
		opts = append(opts, kfake.SeedTopics(max(d.parts, 1), topic))
	}
	r.cluster(d.brokers, opts...)
	dc := deliver.DefaultConfig()
	dc.Linger, dc.RequestTimeout, dc.MetadataMaxAge = 20*time.Millisecond, time.Second, 200*time.Millisecond
	dc.BackoffMin, dc.BackoffMax = 10*time.Millisecond, 100*time.Millisecond
	dc.SpoolAfter, dc.BatchSize = 200*time.Millisecond, deliver.MinBatchSize
	r.cfg = sensor.Config{Sensor: "drill", Lanes: lanes, Endless: true, Ports: []uint16{53},
		Deliver: dc, Memory: memory, Grace: stall}
	r.disk = spool.DefaultConfig()
	r.disk.Dir = filepath.Join(t.TempDir(), "spool")
	r.disk.MaxBytes, r.disk.MinFree = 256<<20, 1
	r.open = func(c spool.Config) (*spool.Spool, error) { return spool.Open(c, quiet) }
	for i := range lanes {
		r.flows = append(r.flows, newFlow(i+1, d.rate/lanes))
	}
	if d.config != nil {
		d.config(r)
	}
	return r
}

var quiet = slog.New(slog.DiscardHandler)

// cluster starts brokers.
func (r *rig) cluster(brokers int, opts ...kfake.Opt) {
	r.past = map[string]string{}
	listen := r.listen
	if listen == nil {
		listen = r.proxied
	}
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(max(brokers, 1)), kfake.ListenFn(listen))...)
	if err != nil {
		r.Fatal(err)
	}
	r.c = c
	r.Cleanup(func() {
		for _, p := range r.p {
			p.Close()
		}
		c.Close()
	})
}

// proxied listens with a fault proxy before it, whose address it gives as its own.
func (r *rig) proxied(network, address string) (net.Listener, error) {
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	p, err := faultproxy.New(ln.Addr().String())
	if err != nil {
		return nil, err
	}
	r.p = append(r.p, p)
	r.past[p.Addr()] = ln.Addr().String()
	at, err := net.ResolveTCPAddr("tcp", p.Addr())
	return fronted{ln, at, r.wire}, err
}

// fronted is a listener that gives another address as its own.
type fronted struct {
	net.Listener
	addr net.Addr
	wire func(net.Conn) net.Conn
}

// Accept implements net.Listener.
func (f fronted) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err == nil && f.wire != nil {
		conn = f.wire(conn)
	}
	return conn, err
}

func (f fronted) Addr() net.Addr { return f.addr }

// clients is a cluster whose clients are wrapped.
type clients struct {
	*kafka.Cluster
	wrap func(deliver.Producer) deliver.Producer
}

// Open implements deliver.Cluster.
func (c clients) Open() (deliver.Producer, error) {
	p, err := c.Cluster.Open()
	if err == nil && c.wrap != nil {
		p = c.wrap(p)
	}
	return p, err
}

// start starts a sensor. There may have been one before, on the same spool and the same flows.
func (r *rig) start() {
	r.Helper()
	all, err := kafka.NewCluster(kafka.Config{Brokers: r.c.ListenAddrs(), Topic: topic, ClientID: "drill",
		RequestTimeout: r.cfg.Deliver.RequestTimeout})
	if err != nil {
		r.Fatal(err)
	}
	cluster := clients{all, r.wrap}
	producer, err := cluster.Open()
	if err != nil {
		r.Fatal(err)
	}
	if r.spool, err = r.open(r.disk); err != nil {
		r.Fatal(err)
	}
	cfg := r.cfg
	cfg.Run = sensor.RunID(time.Now())
	cfg.Deliver.Cluster, cfg.Deliver.Spool = cluster, r.spool
	for _, f := range r.flows {
		if len(cfg.Interfaces) == 0 {
			cfg.Sources = append(cfg.Sources, f)
		}
	}
	if r.s, err = sensor.New(cfg, producer, quiet); err != nil {
		r.Fatal(err)
	}
	if err := r.s.Open(); err != nil {
		r.Fatal(err)
	}
	if r.opened != nil {
		r.opened()
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ran = stop, make(chan error, 1)
	r.Cleanup(stop)
	s, ran := r.s, r.ran
	go func() {
		err := s.Run(ctx)
		producer.Close()
		ran <- err
	}()
}

// end ends the sensor and returns its ledger.
func (r *rig) end() ledger.Ledger {
	r.Helper()
	r.stop()
	select {
	case err := <-r.ran:
		if err != nil {
			r.Error(err)
		}
	case <-time.After(2 * patience):
		r.Fatalf("the sensor does not end: %+v", r.s.Status())
	}
	if err := r.spool.Close(); err != nil {
		r.Error(err)
	}
	l := r.s.Ledger()
	if err := l.Check(); err != nil {
		r.Error(err)
	}
	return l
}

// again ends the sensor, does something between, and starts another with the same spool. Flows
// that were drained are followed by others that go on counting.
func (r *rig) again(between func()) {
	r.Helper()
	l := r.end()
	r.dropped += l.Dropped
	between()
	for i, f := range r.flows {
		next := newFlow(i+1, f.rate)
		next.first = f.given.Load()
		next.given.Store(next.first)
		next.worst.Store(f.worst.Load())
		r.flows[i] = next
	}
	r.start()
}

// until waits for what must come.
func until(t testing.TB, what string, limit time.Duration, happened func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		if time.Since(begun) > limit {
			t.Fatalf("waited %v until %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(begun)
}

// acknowledged waits until n more records are.
func (r *rig) acknowledged(n uint64) {
	r.Helper()
	want := r.s.Ledger().Acknowledged + n
	until(r, fmt.Sprintf("%d more records are acknowledged, %+v", n, r.s.Status()), patience,
		func() bool { return r.s.Ledger().Acknowledged >= want })
}

// spooled waits until n records are on disk, which at the rate of a drill takes its time.
func (r *rig) spooled(n uint64) {
	r.Helper()
	until(r, fmt.Sprintf("%d records are on disk", n), patience+time.Duration(n)*time.Millisecond,
		func() bool { return r.spool.Stats().Records >= n })
}

// passes waits while so many more queries come in.
func (r *rig) passes(n uint64) {
	r.Helper()
	want := r.given() + n
	until(r, "more queries came in", patience, func() bool { return r.given() >= want })
}

func (r *rig) given() (n uint64) {
	for _, f := range r.flows {
		n += f.given.Load()
	}
	return n
}

// asked is how many of these are for the sensor that runs now.
func (r *rig) asked() (n uint64) {
	for _, f := range r.flows {
		n += f.given.Load() - f.first
	}
	return n
}

// rate changes the rate of all flows together.
func (r *rig) rate(n float64) {
	for _, f := range r.flows {
		f.set(n / float64(len(r.flows)))
	}
}

// state waits for a state, and fails when it takes too long.
func (r *rig) state(want deliver.State) time.Duration {
	r.Helper()
	var got deliver.Status
	defer func() {
		if r.Failed() {
			r.Logf("want %s, got %+v", want, got)
		}
	}()
	return until(r, "state "+string(want), promptly, func() bool {
		got = r.s.Status()
		return got.State == want
	})
}

// detail is a number of the ledger that stands beside the law.
func (r *rig) detail(name string) (n uint64) {
	for _, s := range r.s.Ledger().Stages {
		n += s.Detail[name]
	}
	return n
}

// settled waits until nothing waits any more.
func (r *rig) settled() time.Duration {
	r.Helper()
	limit := 2*patience + time.Duration(r.spool.Stats().Segments)*100*time.Millisecond
	return until(r, "nothing waits", limit, func() bool {
		s := r.s.Status()
		healthy := s.State.Ready() || s.State == deliver.RejectedState || s.State == deliver.Dropping
		return healthy && r.spool.Stats().Records == 0 && s.OldestAge < 1
	})
}

// calm stops the flows and waits until everything is acknowledged.
func (r *rig) calm() {
	r.Helper()
	r.rate(0)
	var l ledger.Ledger
	defer func() {
		if r.Failed() {
			r.Logf("%+v %+v %+v", l, r.s.Status(), r.spool.Stats())
		}
	}()
	until(r, "all is settled", 2*patience, func() bool {
		l = r.s.Ledger()
		return l.Held == 0 && l.Spooled == 0 && r.spool.Stats().Records == 0 &&
			l.Packets >= r.asked() && l.Packets <= l.Records+l.Stages[0].DroppedSum()
	})
}

// run is the drill from its beginning to its judgement.
func (d drill) run(t *testing.T) {
	if d.parts == 0 {
		d.parts = 3
	}
	if d.rate == 0 {
		d.rate = 2000
	}
	r := newRig(t, d)
	r.base, r.heap = settle(), heap()
	r.start()
	res := result.Result{Drill: d.number, What: d.what, Broker: "fake", State: string(d.want)}
	if d.parts > 0 {
		r.acknowledged(200)
	}
	if d.fault != nil {
		d.fault(r)
	}
	if d.want != "" {
		res.Detect = r.state(d.want)
	}
	if d.during != nil {
		d.during(r)
	}
	r.peak = heap()
	if d.heal != nil {
		d.heal(r)
	}
	res.Heal = r.settled()
	r.acknowledged(200)
	r.calm()
	o := r.judge(r.end(), res)
	if d.after != nil {
		d.after(r, o)
	}
	result.Write(t, o.Result)
}

// judge is the oracle.
func (r *rig) judge(l ledger.Ledger, res result.Result) outcome {
	r.Helper()
	asked := map[string]uint64{}
	for i, f := range r.flows {
		asked[fmt.Sprintf("192.0.2.%d", i+1)] = f.given.Load()
		if worst := time.Duration(f.worst.Load()); worst > stall {
			r.Errorf("lane %d stood still for %v", i, worst)
		}
	}
	o := outcome{Result: res, ledger: l}
	o.records = append(r.before, readBack(r, r.c, topic, r.c.ListenAddrs())...)
	o.found = judge(r, o.records, asked)
	dropped := r.dropped + l.Dropped + l.Stages[0].DroppedSum() + r.inherited()
	o.In, o.Lost = r.given(), r.given()-o.there
	o.Dropped, o.Duplicated = dropped, o.duplicated
	if o.Lost != o.Dropped {
		r.Errorf("%d of %d are lost, %d are reported as dropped: %+v", o.Lost, o.In, dropped, l)
	}
	if r.peak > r.heap+memory+64<<20 {
		r.Errorf("the heap had %d MiB during the fault and %d before", r.peak>>20, r.heap>>20)
	}
	until(r, fmt.Sprintf("%d goroutines are left, not %d", r.base, runtime.NumGoroutine()), patience,
		func() bool { return runtime.NumGoroutine() <= r.base })
	return o
}

// inherited is what was lost of the records that an earlier run left on disk.
func (r *rig) inherited() uint64 {
	st := r.spool.Stats()
	n := st.Corrupt.Records // also those of which only a header was left at the start
	for _, why := range []deliver.Reason{deliver.SpoolFull, deliver.SpoolAge} {
		n += st.Dropped[why] - st.OwnDropped[why]
	}
	return n
}

// settle waits until the goroutines of earlier drills have ended.
func settle() int {
	least := runtime.NumGoroutine()
	for range 20 {
		<-time.After(5 * time.Millisecond)
		least = min(least, runtime.NumGoroutine())
	}
	return least + 2 // a proxy and a broker notice the end of a connection one after the other
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// missing are the numbers of a lane that are not in the topic.
func (o outcome) missing(lane int) (all []int) {
	for n, there := range o.seen[fmt.Sprintf("192.0.2.%d", lane+1)] {
		if !there {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

var _ capture.Source = (*flow)(nil)
