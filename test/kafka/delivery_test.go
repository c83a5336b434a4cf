// SPDX-License-Identifier: Apache-2.0

//go:build kafka

// Package kafka holds what must be true of a real Kafka: whatever the sensor delivers is read back
// whole by Kafka's own consumer and by librdkafka, and the brokers' segments are valid.
package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice"
	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/replay"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/internal/sensor"
	"github.com/dnsluice/dnsluice/test/kafka/cluster"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// config is a sensor that delivers to one topic with one codec.
func config(codec record.Codec) sensor.Config {
	d := deliver.DefaultConfig()
	d.Codec = codec
	d.RequestTimeout = 5 * time.Second
	return sensor.Config{
		Sensor: "test", Run: "run", Lanes: 2, Ports: []uint16{53},
		Deliver: d, Memory: 96 << 20, Grace: time.Minute,
	}
}

// captures are the project's own that are plain pcap; each ends without an error.
func captures(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("../../testdata/*.pcap")
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	return names
}

// deliverAll runs a sensor to its end and returns its ledger, which must balance with every
// record acknowledged.
func deliverAll(t *testing.T, ctx context.Context, cfg sensor.Config, brokers []string, topic string) ledger.Ledger {
	t.Helper()
	s := start(t, ctx, cfg, brokers, topic)
	return s.wait()
}

// running is a sensor under way.
type running struct {
	t      *testing.T
	sensor *sensor.Sensor
	client *kafka.Client
	done   chan error
}

func start(t *testing.T, ctx context.Context, cfg sensor.Config, brokers []string, topic string) *running {
	t.Helper()
	client, err := kafka.New(kafka.Config{Brokers: brokers, Topic: topic, ClientID: "test",
		RequestTimeout: cfg.Deliver.RequestTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s, err := sensor.New(cfg, client, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, sensor: s, client: client, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	return r
}

func (r *running) wait() ledger.Ledger {
	r.t.Helper()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Fatal(err)
		}
	case <-time.After(3 * time.Minute):
		r.t.Fatalf("not done: %+v", r.sensor.Status())
	}
	l := r.sensor.Ledger()
	if err := l.Check(); err != nil {
		r.t.Error(err)
	}
	if l.Records == 0 || l.Acknowledged != l.Records || l.Messages != l.Records || l.Held != 0 {
		r.t.Errorf("not every record was acknowledged: %+v", l.Totals)
	}
	return l
}

// acknowledged waits until so many records are.
func (r *running) acknowledged(n uint64) {
	r.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.sensor.Ledger().Acknowledged < n {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d records acknowledged, waited for %d: %+v",
				r.sensor.Ledger().Acknowledged, n, r.sensor.Status())
		}
		<-tick.C
	}
}

// complete checks that values are n records of the sensor, each once, with the numbers of each
// lane from 1 on without a gap.
func complete(t *testing.T, reader string, values [][]byte, n uint64) {
	t.Helper()
	seen := map[string]bool{}
	highest := map[int]uint64{}
	for _, v := range values {
		var r struct {
			Sensor string `json:"sensor"`
			Lane   int    `json:"lane"`
			Seq    uint64 `json:"seq"`
		}
		if err := json.Unmarshal(v, &r); err != nil || r.Sensor != "test" {
			t.Fatalf("%s: not a record of ours: %q: %v", reader, v, err)
		}
		id := fmt.Sprint(r.Lane, "/", r.Seq)
		if seen[id] {
			t.Errorf("%s: record %s is there twice", reader, id)
		}
		seen[id] = true
		highest[r.Lane] = max(highest[r.Lane], r.Seq)
	}
	sum := uint64(0)
	for _, h := range highest {
		sum += h
	}
	if uint64(len(values)) != n || sum != n {
		t.Errorf("%s: %d records, numbers up to %v; want %d", reader, len(values), highest, n)
	}
}

// valid checks the brokers' segments.
func valid(t *testing.T, c *cluster.Cluster, topic string, n uint64, copies int) {
	t.Helper()
	total := 0
	for node, dump := range c.DumpLog(topic) {
		total += dump.Records
		for _, line := range dump.Invalid {
			t.Errorf("node %d: %s", node, line)
		}
	}
	if uint64(total) != n*uint64(copies) {
		t.Errorf("the segments of %s hold %d records, want %d", topic, total, n*uint64(copies))
	}
}

func TestOneNode(t *testing.T) {
	c := cluster.Start(t, 1)

	for _, codec := range []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		t.Run("every client reads "+codec.String(), func(t *testing.T) {
			topic := "codec-" + codec.String()
			c.CreateTopic(topic, 3, 1, nil)
			cfg := config(codec)
			cfg.Files = captures(t)
			l := deliverAll(t, t.Context(), cfg, c.Brokers(), topic)
			complete(t, "console consumer", c.Consume(topic), l.Records)
			complete(t, "kcat", c.Kcat(topic), l.Records)
			valid(t, c, topic, l.Records, 1)
		})
	}

	t.Run("a broker that is killed and comes back", func(t *testing.T) {
		const topic = "killed"
		c.CreateTopic(topic, 4, 1, nil)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		cfg := config(record.Snappy)
		cfg.Sources = []capture.Source{replay.New(replayed(t), 2000)}
		s := start(t, ctx, cfg, c.Brokers(), topic)
		s.acknowledged(2000)
		c.Kill(0)
		before := s.sensor.Ledger().Acknowledged
		c.Restart(0)
		s.acknowledged(before + 2000)
		stop()
		l := s.wait()
		complete(t, "console consumer", c.Consume(topic), l.Records)
		complete(t, "kcat", c.Kcat(topic), l.Records)
		valid(t, c, topic, l.Records, 1)
	})

	t.Run("a topic that is created after the start", func(t *testing.T) {
		const topic = "later"
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		cfg := config(record.Snappy)
		cfg.Sources = []capture.Source{replay.New(replayed(t), 500)}
		s := start(t, ctx, cfg, c.Brokers(), topic)
		state(t, s, deliver.TopicMissing)
		c.CreateTopic(topic, 2, 1, nil)
		s.acknowledged(500)
		stop()
		l := s.wait()
		complete(t, "console consumer", c.Consume(topic), l.Records)
	})
}

// state waits until delivery is in the state.
func state(t *testing.T, r *running, want deliver.State) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.sensor.Status().State != want {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s: %+v", want, r.sensor.Status())
		}
		<-tick.C
	}
}

// replayed are captures to play again and again.
func replayed(t *testing.T) []replay.Capture {
	t.Helper()
	var all []replay.Capture
	for _, name := range []string{"unbound-udp4.pcap", "bind-types.pcap", "knot-dnssec.pcap"} {
		data, err := dnsluice.Captures.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, replay.Capture{Name: name, Data: data})
	}
	return all
}
