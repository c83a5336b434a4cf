// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/packet"
)

const (
	topic      = "dns"
	partitions = 3

	// patience is how long a test waits for what must come. Nothing waits that long unless it
	// fails.
	patience = 20 * time.Second
)

var quiet = slog.New(slog.DiscardHandler)

func broker(t *testing.T) []string {
	t.Helper()
	b, err := embedded.Start(topic, partitions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Brokers()
}

// nobody is the address of a broker that is away: its port is free again.
func nobody(t *testing.T) []string {
	t.Helper()
	b, err := embedded.Start(topic, partitions)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return b.Brokers()
}

// settings are those of a sensor that a test has no time to wait for.
func settings(files ...string) Config {
	d := deliver.DefaultConfig()
	d.Linger, d.RequestTimeout = 5*time.Millisecond, 2*time.Second
	d.BackoffMin, d.BackoffMax = 5*time.Millisecond, 50*time.Millisecond
	return Config{
		Sensor: "ns1", Run: "20261122T190000.000000Z", Lanes: 2, Files: files,
		Ports: []uint16{53}, Deliver: d, Memory: memory(), Grace: patience,
	}
}

// memory is enough for a few lanes, however many cores there are.
func memory() int { return 80<<20 + runtime.GOMAXPROCS(0)<<20 }

// build returns a sensor that delivers to brokers.
func build(t *testing.T, cfg Config, brokers []string, log *slog.Logger) *Sensor {
	t.Helper()
	client, err := kafka.New(kafka.Config{Brokers: brokers, Topic: topic, ClientID: "test",
		RequestTimeout: cfg.Deliver.RequestTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s, err := New(cfg, client, log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sent is a record as it came back from the topic.
type sent struct {
	kafka int64 // time stamp, ms
	Lane  int
	Seq   uint64
	TS    time.Time
	about string // all of it that does not say which record it is
}

// readBack returns all that is in the topic.
func readBack(t *testing.T, brokers []string) []sent {
	t.Helper()
	return readBackAs(t, brokers, func(r kafka.Record) sent { return parse(t, r) })
}

// readBackAs does the same for records that parse knows to read.
func readBackAs(t *testing.T, brokers []string, parse func(kafka.Record) sent) []sent {
	t.Helper()
	reader, err := kafka.NewReader(brokers, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []sent
	for n := stored(ctx, t, brokers); len(all) < n; {
		records, err := reader.Read(ctx)
		if err != nil {
			t.Fatalf("%d records of %d came back: %v", len(all), n, err)
		}
		for _, r := range records {
			all = append(all, parse(r))
		}
	}
	return all
}

func parse(t *testing.T, r kafka.Record) sent {
	t.Helper()
	s := sent{kafka: r.Time, about: about(r.Value)}
	if err := json.Unmarshal(r.Value, &s); err != nil {
		t.Fatalf("partition %d, offset %d: %v: %s", r.Partition, r.Offset, err, r.Value)
	}
	return s
}

// about is a record without what names it: the sensor, the run, the lane and the number.
func about(record []byte) string {
	_, rest, _ := bytes.Cut(record, []byte(`,"ts":`))
	return strings.TrimSpace(string(rest))
}

// stored returns how many records the partitions hold.
func stored(ctx context.Context, t *testing.T, brokers []string) int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range int32(partitions) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1 // the end
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			if n += rp.Offset; rp.ErrorCode != 0 || rp.Offset < 0 {
				t.Fatalf("partition %d: error %d, offset %d", rp.Partition, rp.ErrorCode, rp.Offset)
			}
		}
	}
	return int(n)
}

// complete checks the law of the whole: what was acknowledged is in the topic, once, with no
// number missing in any lane, and the ledger says so. It returns how many records each lane has.
func complete(t *testing.T, l ledger.Ledger, records []sent) map[int]uint64 {
	t.Helper()
	balances(t, l)
	if n := uint64(len(records)); l.Records != n || l.Acknowledged != n || l.Dropped != 0 {
		t.Errorf("the topic has %d records, the ledger %d, %d acknowledged, %d dropped", n, l.Records,
			l.Acknowledged, l.Dropped)
	}
	last, seen := map[int]uint64{}, map[[2]uint64]bool{}
	for _, r := range records {
		key := [2]uint64{uint64(r.Lane), r.Seq}
		if seen[key] {
			t.Errorf("lane %d, number %d is there twice", r.Lane, r.Seq)
		}
		seen[key] = true
		last[r.Lane] = max(last[r.Lane], r.Seq)
	}
	for lane, n := range last {
		for seq := range n {
			if !seen[[2]uint64{uint64(lane), seq + 1}] {
				t.Errorf("lane %d: number %d of %d is missing", lane, seq+1, n)
			}
		}
	}
	return last
}

// restartable is a broker on a port of its own that keeps its records on disk.
type restartable struct {
	t       *testing.T
	dir     string
	port    int
	cluster *kfake.Cluster
}

func newRestartable(t *testing.T) *restartable {
	b := &restartable{t: t, dir: t.TempDir()}
	b.start()
	t.Cleanup(func() { b.cluster.Close() })
	return b
}

func (b *restartable) brokers() []string { return b.cluster.ListenAddrs() }

// start starts it, again on the port that it had.
func (b *restartable) start() {
	b.t.Helper()
	c, err := kfake.NewCluster(kfake.Ports(b.port), kfake.SeedTopics(partitions, topic),
		kfake.DataDir(b.dir))
	if err != nil {
		b.t.Fatal(err)
	}
	b.cluster = c
	_, port, err := net.SplitHostPort(c.ListenAddrs()[0])
	if err != nil {
		b.t.Fatal(err)
	}
	if b.port, err = strconv.Atoi(port); err != nil {
		b.t.Fatal(err)
	}
}

// gate is a source that gives so many packets of another, and the rest when it is opened.
type gate struct {
	capture.Source
	before  int // packets
	given   int
	open    chan struct{} // closed when the rest may pass
	closed  chan struct{} // closed when all was read
	drained chan struct{}
	idle    bool
}

func newGate(src capture.Source, before int) *gate {
	return &gate{Source: src, before: before, open: make(chan struct{}),
		closed: make(chan struct{}), drained: make(chan struct{})}
}

// Next implements capture.Source.
func (g *gate) Next(p *packet.Packet) error {
	if g.given < g.before {
		err := g.Source.Next(p)
		if err == nil {
			g.given++
		}
		return err
	}
	if !g.idle { // dry: the first answer comes at once
		g.idle = true
		return capture.ErrIdle
	}
	select {
	case <-g.open:
		return g.Source.Next(p)
	case <-g.drained:
		return io.EOF
	case <-time.After(50 * time.Millisecond):
		return capture.ErrIdle
	}
}

// Drain implements capture.Source; a test drains once.
func (g *gate) Drain() { close(g.drained) }

// Close implements capture.Source.
func (g *gate) Close() error {
	close(g.closed)
	return g.Source.Close()
}

// ear is a log that tells of the first line that has a word in it.
type ear struct {
	slog.Handler
	word  string
	heard chan struct{}
	once  *sync.Once
}

func listen(word string) ear {
	return ear{slog.DiscardHandler, word, make(chan struct{}), new(sync.Once)}
}

// Enabled implements slog.Handler.
func (ear) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (e ear) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	if strings.Contains(text, e.word) {
		e.once.Do(func() { close(e.heard) })
	}
	return nil
}

// await waits for what must happen.
func await(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(patience):
		t.Fatal("waited too long until ", what)
	}
}
