// SPDX-License-Identifier: Apache-2.0

//go:build kafka

package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/sensor"
	"github.com/dnsluice/dnsluice/test/drills/result"
	"github.com/dnsluice/dnsluice/test/kafka/cluster"
)

const (
	// detectWithin is how soon a sensor must say what is wrong.
	detectWithin = 15 * time.Second
	// healWithin is how soon nothing must wait any more when nothing is wrong any more.
	healWithin = time.Minute
	// stallMost is for how long the sensor may keep who reports to it waiting.
	stallMost = time.Second
	// load is how many queries a second a drill delivers.
	load = 1000
	// warm is how many records are acknowledged before anything goes wrong.
	warm = 1500
)

// drill is a sensor with the product's own settings, with a spool, that is delivering numbered
// queries to a topic of its own while something goes wrong.
type drill struct {
	t      *testing.T
	c      *cluster.Cluster
	topic  string
	source *queries // reports to the sensor's socket
	sensor *sensor.Sensor
	spool  *spool.Spool
	stop   context.CancelFunc
	done   chan error
	before [][]byte // what a topic held that is gone
	result result.Result
}

// setup is what differs between drills.
type setup struct {
	number     int    // in the list of drills
	what       string // was done
	topic      string // which is there
	clientID   string
	brokers    []string // empty: those in plain text
	tls        *kafka.TLS
	sasl       *kafka.SASL
	deadLetter string
}

// begin starts the sensor of a drill and waits until it delivers.
func begin(t *testing.T, c *cluster.Cluster, s setup) *drill {
	t.Helper()
	d := &drill{t: t, c: c, topic: s.topic, done: make(chan error, 1),
		result: result.Result{Drill: s.number, What: s.what, Broker: "Kafka 4.3.1 x3"}}
	store := spool.DefaultConfig()
	store.Dir, store.MaxBytes = filepath.Join(t.TempDir(), "spool"), 256<<20
	var err error
	if d.spool, err = spool.Open(store, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.spool.Close(); err != nil {
			t.Error(err)
		}
	})
	if len(s.brokers) == 0 {
		s.brokers = c.Brokers()
	}
	socket := socketOf(t)
	tap := dnstap.DefaultConfig()
	tap.Listen, tap.Connections = "unix://"+socket, 2
	cfg := deliver.DefaultConfig()
	cfg.Spool, cfg.DeadLetter = d.spool, s.deadLetter
	link, err := kafka.NewCluster(kafka.Config{Brokers: s.brokers, Topic: s.topic,
		ClientID: "dnsluice" + s.clientID, RequestTimeout: cfg.RequestTimeout, TLS: s.tls, SASL: s.sasl})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster = link
	client, err := link.Open()
	if err != nil {
		t.Fatal(err)
	}
	d.sensor, err = sensor.New(sensor.Config{Sensor: "drill", Run: "run",
		DNSTap: []dnstap.Config{tap}, Lanes: 1, Ports: []uint16{53}, Deliver: cfg, Memory: 96 << 20,
		Grace: 20 * time.Second}, client, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.sensor.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	d.stop = stop
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.done <- d.sensor.Run(ctx)
	}()
	t.Cleanup(func() { // before the spool is closed
		stop()
		<-ended
		client.Close()
	})
	d.source = dial(t, socket, load)
	d.more(warm)
	d.until("it delivers", detectWithin,
		func() bool { return d.sensor.Status().State == deliver.Flowing })
	return d
}

// socketOf returns the path of a socket, which must be shorter than the names of most tests.
func socketOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "drill")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "tap")
}

// until waits until something is so, and returns how long that took.
func (d *drill) until(what string, within time.Duration, so func() bool) time.Duration {
	d.t.Helper()
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; !so(); <-tick.C {
		if time.Since(began) > within {
			d.t.Fatalf("waited %v until %s: %+v\n%+v", within, what, d.sensor.Status(),
				d.sensor.Ledger().Totals)
		}
	}
	return time.Since(began)
}

// more waits until so many more records are acknowledged.
func (d *drill) more(n uint64) {
	d.t.Helper()
	want := d.sensor.Ledger().Acknowledged + n
	d.until(fmt.Sprint(n, " more records are acknowledged"), healWithin,
		func() bool { return d.sensor.Ledger().Acknowledged >= want })
}

// detect waits until the sensor says what is wrong, and notes how long that took. It is called
// when the fault has begun.
func (d *drill) detect(want deliver.State) {
	d.t.Helper()
	d.result.Detect = d.until("the state is "+string(want), detectWithin,
		func() bool { return d.sensor.Status().State == want })
	d.result.State = string(want)
}

// endure watches the fault until so many records wait on disk because of it. The state stays.
func (d *drill) endure(want deliver.State, spooled uint64) {
	d.t.Helper()
	others := map[deliver.State]int{}
	d.until(fmt.Sprint(spooled, " records wait on disk"), healWithin, func() bool {
		s := d.sensor.Status()
		if s.State != want {
			others[s.State]++
		}
		return s.Spool.Records >= spooled
	})
	if len(others) > 0 {
		d.t.Errorf("the state was %v, not %s", others, want)
	}
}

// heal waits until nothing waits but what came just now, and notes how long that took. It is
// called when the fault has ended.
func (d *drill) heal() {
	d.t.Helper()
	d.result.Heal = d.until("nothing waits", healWithin, func() bool {
		s := d.sensor.Status()
		calm := s.State.Ready() || s.State == deliver.RejectedState // which is said for a while
		return calm && s.Spool.Records == 0 && s.OldestAge < 1
	})
	d.more(warm)
}

// finish ends the sensor, holds its account against what is in the topic, and writes the result.
func (d *drill) finish() {
	d.t.Helper()
	d.source.end()
	sent, stall, err := d.source.account()
	if err != nil {
		d.t.Error(err)
	}
	d.until("the sensor has read all", detectWithin,
		func() bool { return d.sensor.Ledger().Records == sent })
	d.stop()
	d.until("the sensor ends", healWithin, func() bool { return len(d.done) > 0 })
	if err := <-d.done; err != nil {
		d.t.Error(err)
	}
	l := d.sensor.Ledger()
	if err := l.Check(); err != nil {
		d.t.Error(err)
	}
	d.result.In, d.result.Dropped = l.Records, l.Dropped
	if l.Records != sent || l.Held != 0 || l.Spooled != 0 {
		d.t.Errorf("%d queries: %+v", sent, l.Totals)
	}
	d.c.WaitInSync(d.topic)
	d.compare(append(d.before, d.c.Kcat(d.topic)...))
	redelivered := d.detail("redelivered")
	if d.result.Lost != l.Dropped || d.result.Duplicated > redelivered {
		d.t.Errorf("%d of %d records are lost and %d there twice, but the sensor says %d and %d",
			d.result.Lost, l.Records, d.result.Duplicated, l.Dropped, redelivered)
	}
	if stall > stallMost {
		d.t.Errorf("the sensor took nothing for %v", stall)
	}
	d.t.Logf("%+v redelivered %d, longest write %v", d.result, redelivered, stall)
	result.Write(d.t, d.result)
}

// compare looks at what is in the topic: each record is one of those that were made, and what is
// there twice has the same name.
func (d *drill) compare(values [][]byte) {
	d.t.Helper()
	names := make([]string, d.result.In)
	owners := map[string]int{}
	for _, v := range values {
		var r struct {
			Sensor, Run, QName string
			Lane, Seq          uint64
		}
		err := json.Unmarshal(v, &r)
		number, ours := strings.CutSuffix(r.QName, suffix)
		n, err2 := strconv.Atoi(number)
		if err != nil || err2 != nil || !ours || r.Sensor != "drill" || r.Run != "run" ||
			n >= len(names) {
			d.t.Fatalf("not a record of ours: %q: %v", v, err)
		}
		name := fmt.Sprintf("%d/%d", r.Lane, r.Seq)
		owner, known := owners[name]
		switch {
		case names[n] == "" && !known:
			names[n], owners[name] = name, n
		case names[n] == name && owner == n:
			d.result.Duplicated++
		default:
			d.t.Errorf("query %d is record %s and record %q; %s is query %d, too", n, name, names[n],
				name, owner)
		}
	}
	for _, name := range names {
		if name == "" {
			d.result.Lost++
		}
	}
}

// detail returns one of the numbers beside the account of delivery.
func (d *drill) detail(name string) uint64 {
	stages := d.sensor.Ledger().Stages
	i := slices.IndexFunc(stages, func(s ledger.Stage) bool { return s.Stage == "deliver" })
	return stages[i].Detail[name]
}
