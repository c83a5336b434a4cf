// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// away closes the ports of all brokers and breaks what is connected.
func away(r *rig) {
	for _, p := range r.p {
		p.Refuse()
		p.Break(faultproxy.RST)
	}
}

// back ends what away or the rules of proxies began.
func back(r *rig) {
	for _, p := range r.p {
		until(r, "the port is free", patience, func() bool { return p.Heal() == nil })
	}
}

// failing lets brokers answer batches with an error until mended, or count times.
func failing(err *kerr.Error, count int) func(*rig) {
	return faulty(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: count})
}

func faulty(f kfake.Fault) func(*rig) {
	return func(r *rig) {
		h := r.c.Fault(f)
		r.Cleanup(h.Remove)
		if f.Count > 0 {
			until(r, "the brokers have answered so", patience, func() bool { return h.Hits() >= f.Count })
			return
		}
		r.mend = append(r.mend, h.Remove)
	}
}

func mended(r *rig) {
	for _, mend := range r.mend {
		mend()
	}
}

// lossless demands that nothing was lost.
func lossless(r *rig, o outcome) {
	r.Helper()
	if o.Lost != 0 {
		r.Errorf("%d are lost: %+v", o.Lost, o.ledger)
	}
}

// exact demands that nothing was lost and nothing is there twice.
func exact(r *rig, o outcome) {
	r.Helper()
	lossless(r, o)
	if o.Duplicated != 0 {
		r.Errorf("%d are there twice", o.Duplicated)
	}
}

// batchOf returns the batch of a request.
func batchOf(req kmsg.Request) []byte {
	p, ok := req.(*kmsg.ProduceRequest)
	if !ok || len(p.Topics) == 0 || len(p.Topics[0].Partitions) == 0 {
		return nil
	}
	return p.Topics[0].Partitions[0].Records
}

func create(r *rig) {
	if err := r.c.CreateTopic(topic, 3, nil); err != nil {
		r.Fatal(err)
	}
}

// plain lets batches go as they are, so that their size and content can be looked at.
func plain(r *rig) { r.cfg.Deliver.Codec = record.None }

// poison is the number of the query that no broker takes.
const poison = 1500

var table = []drill{
	{number: 2, what: "leaders of all partitions move, again and again", brokers: 3, fault: func(r *rig) {
		for range 20 {
			r.c.ShufflePartitionLeaders()
			r.acknowledged(50)
		}
	}, after: exact},
	{number: 3, what: "all brokers are away, and come back", brokers: 3, fault: away,
		want: deliver.Unreachable, during: func(r *rig) {
			n := uint64(3000)
			if !testing.Short() {
				n = 60 * 2000 // a minute of them
			}
			before := r.spool.Stats().Bytes
			r.spooled(n)
			if r.spool.Stats().Bytes <= before {
				r.Error("the spool does not grow")
			}
			r.state(deliver.Unreachable)
		}, heal: back, after: exact},
	{number: 4, what: "the brokers are away for longer than the spool has room", rate: 10_000,
		config: func(r *rig) {
			plain(r)
			r.disk.MaxBytes, r.disk.Segment = 4<<20, 1<<20
		}, fault: away, during: func(r *rig) {
			until(r, "the spool is full", patience, func() bool {
				return r.spool.Stats().OwnDropped[deliver.SpoolFull] > 5000
			})
			r.state(deliver.Dropping)
		}, heal: back, after: func(r *rig, o outcome) {
			if o.Lost == 0 {
				r.Error("nothing is lost: the drill was none")
			}
			for lane, f := range r.flows {
				if m := o.missing(lane); len(m) > 0 && uint64(m[len(m)-1])+1000 > f.given.Load() {
					r.Errorf("lane %d lost %d, of the newest", lane, m[len(m)-1])
				}
			}
		}},
	{number: 3, what: "all brokers are away, and one stays away: with keys", brokers: 3, parts: 12,
		config: func(r *rig) { r.cfg.Key = sensor.QName }, fault: away, want: deliver.Unreachable,
		during: func(r *rig) {
			r.spooled(3000)
			for _, f := range r.flows {
				f.set(0)
			}
			all := r.p
			r.p = all[1:]
			back(r)
			r.p = all
			// What is for the other two, half of it at least, does not wait for the third.
			until(r, "the backlog of the others is delivered", patience, func() bool {
				l := r.s.Ledger()
				return l.Held+l.Spooled < l.Records/2
			})
		}, heal: func(r *rig) {
			for _, f := range r.flows {
				f.set(1000)
			}
			back(r)
		}, after: exact},
	{number: 7, what: "nothing passes any more while batches are in flight", brokers: 3, fault: func(r *rig) {
		for _, p := range r.p {
			p.Both(faultproxy.Rule{Hold: true})
		}
	}, want: deliver.NoAnswer, during: func(r *rig) { r.spooled(2000) }, heal: back, after: lossless},
	{number: 10, what: "the topic does not exist at the start", parts: -1, want: deliver.TopicMissing,
		during: func(r *rig) { r.spooled(1000) }, heal: create, after: exact},
	{number: 11, what: "the topic is deleted and made anew", fault: func(r *rig) {
		for _, f := range r.flows {
			f.set(0)
		}
		until(r, "nothing is held", patience, func() bool {
			l := r.s.Ledger()
			return l.Held == 0 && l.Spooled == 0 && l.Packets == l.Records
		})
		r.before = readBack(r, r.c, topic, r.c.ListenAddrs())
		if err := r.c.DeleteTopic(topic); err != nil {
			r.Fatal(err)
		}
		for _, f := range r.flows {
			f.set(1000)
		}
	}, want: deliver.TopicMissing, during: func(r *rig) { r.spooled(1000) }, heal: create, after: lossless},
	{number: 12, what: "partitions are added while one has no leader", brokers: 3,
		fault: faulty(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0},
			Err: kerr.NotLeaderForPartition, Count: -1}),
		during: func(r *rig) {
			until(r, "it is seen", promptly, func() bool {
				return r.s.Status().Leaders[0].State == deliver.NoLeaderState
			})
			grow(r, 12)
		}, heal: mended, after: exact},
	{number: 13, what: "the right to write is revoked", fault: failing(kerr.TopicAuthorizationFailed, -1),
		want: deliver.Unauthorized, during: func(r *rig) { r.spooled(1000) }, heal: mended, after: exact},
	{number: 19, what: "the topic's message size is lowered", config: plain, fault: faulty(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1,
		When: func(req kmsg.Request) bool { return len(batchOf(req)) > 4000 }}),
		during: func(r *rig) {
			r.acknowledged(500)
			away(r) // and what waits on disk meanwhile is too large as well
			r.spooled(1000)
			back(r)
		}, after: exact},
	{number: 20, what: "brokers refuse one record", config: func(r *rig) {
		plain(r)
		r.cfg.Deliver.DeadLetter = r.disk.Dir + "-letters"
	}, fault: func(r *rig) {
		name := make([]byte, numberLen)
		setNumber(name, poison)
		faulty(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1,
			When: func(req kmsg.Request) bool { return bytes.Contains(batchOf(req), name) }})(r)
	}, want: deliver.RejectedState, heal: func(r *rig) { r.passes(3000) }, after: func(r *rig, o outcome) {
		for lane := range r.flows {
			if m := o.missing(lane); len(m) != 1 || m[0] != poison {
				r.Errorf("lane %d lost %v", lane, m)
			}
		}
	}},
	{number: 21, what: "batches arrive corrupted, or fail for no reason", fault: func(r *rig) {
		failing(kerr.CorruptMessage, 20)(r)
		failing(kerr.UnknownServerError, -1)(r)
	}, want: deliver.BrokerError, during: func(r *rig) { r.spooled(1000) }, heal: mended, after: exact},
	{number: 22, what: "brokers forget, fence or mistake the producer", fault: func(r *rig) {
		for _, err := range []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID,
			kerr.InvalidProducerEpoch, kerr.ProducerFenced} {
			failing(err, 8)(r)
			r.acknowledged(100)
		}
	}, after: lossless},
	{number: 23, what: "too few replicas are in sync", fault: failing(kerr.NotEnoughReplicas, -1),
		want: deliver.NotEnoughReplicas, during: func(r *rig) { r.spooled(1000) }, heal: mended, after: exact},
	{number: 34, what: "the client never returns from a request", config: func(r *rig) {
		r.cfg.Deliver.RecycleAfter = time.Second
		var deaf atomic.Bool
		r.spoil = deaf.Store
		r.wrap = func(p deliver.Producer) deliver.Producer {
			return &deafened{Producer: p, deaf: &deaf, closed: make(chan struct{})}
		}
	}, fault: func(r *rig) { r.spoil(true) }, want: deliver.NoAnswer, during: func(r *rig) {
		r.spoil(false) // what is deaf remains so: only another client gets through
		until(r, "the client is replaced", patience, func() bool { return r.s.Status().Recycled > 0 })
	}, after: lossless},
	{number: 35, what: "goroutines that send panic", config: func(r *rig) {
		var left atomic.Int64
		r.wrap = func(p deliver.Producer) deliver.Producer {
			return spoilt{p, func() {
				if left.Add(-1) >= 0 {
					panic("a mistake that the drill makes")
				}
			}}
		}
		r.spoil = func(bool) { left.Store(20) }
	}, fault: func(r *rig) {
		r.spoil(true)
		until(r, "panics are counted", patience, func() bool { return r.detail("panics") >= 20 })
	}, after: lossless},
	{number: 32, what: "the clock of the capture jumps by hours and years", fault: func(r *rig) {
		for _, by := range []time.Duration{2 * time.Hour, -2 * time.Hour, 10 * 365 * 24 * time.Hour} {
			for _, f := range r.flows {
				f.ahead.Store(int64(by))
			}
			r.acknowledged(500)
		}
		for _, f := range r.flows {
			f.ahead.Store(0)
		}
	}, after: func(r *rig, o outcome) {
		exact(r, o)
		now, ahead := time.Now(), 0
		for _, s := range o.records {
			if s.TS.Year() > now.Year()+5 {
				ahead++
			}
			if at := time.UnixMilli(s.kafka); at.Sub(now) > time.Hour {
				r.Fatalf("a broker was told %v", at)
			}
		}
		if ahead == 0 {
			r.Error("no record has the time of its packet")
		}
	}},
	{number: 39, what: "no DNS at all", config: func(r *rig) { r.cfg.Heartbeat = 100 * time.Millisecond },
		fault: func(r *rig) {
			for _, f := range r.flows {
				f.set(0)
			}
		}, during: func(r *rig) {
			until(r, "heartbeats arrive", patience, func() bool {
				l := r.s.Ledger()
				return l.Acknowledged > l.Messages+10
			})
			if s := r.s.Status(); !s.State.Ready() {
				r.Errorf("silence is an alarm: %+v", s)
			}
			for _, f := range r.flows {
				f.set(1000)
			}
		}, after: func(r *rig, o outcome) {
			exact(r, o)
			if o.beats < 10 {
				r.Errorf("%d heartbeats", o.beats)
			}
		}},
}

// grow adds partitions and waits until all but the first are used.
func grow(r *rig, n int32) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.c.ListenAddrs()...))
	if err != nil {
		r.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrCreatePartitionsRequest()
	p := kmsg.NewCreatePartitionsRequestTopic()
	p.Topic, p.Count = topic, n
	req.Topics = append(req.Topics, p)
	if _, err := req.RequestWith(context.Background(), cl); err != nil {
		r.Fatal(err)
	}
	until(r, "all are used", patience, func() bool {
		used := int32(0)
		for i, p := range r.c.PartitionInfos(topic) {
			if i > 0 && p.HighWatermark > 0 {
				used++
			}
		}
		return used == n-1
	})
}

// spoilt is a client that something happens to before each batch.
type spoilt struct {
	deliver.Producer
	before func()
}

// Produce implements deliver.Producer.
func (s spoilt) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	s.before()
	return s.Producer.Produce(ctx, node, partition, batch)
}

// deafened is a client whose requests hang once it is deaf, whatever their context says, until it
// is closed.
type deafened struct {
	deliver.Producer
	deaf   *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

// Produce implements deliver.Producer.
func (d *deafened) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	if d.deaf.Load() {
		<-d.closed
	}
	return d.Producer.Produce(ctx, node, partition, batch)
}

// Close implements deliver.Producer.
func (d *deafened) Close() {
	d.once.Do(func() { close(d.closed) })
	d.Producer.Close()
}

// slow are the drills that only make reliability runs with a whole sensor: internal/deliver/kafka
// has them without one.
var slow = []int{2, 11, 12, 13, 19, 20, 21, 22, 23}

func TestDrills(t *testing.T) {
	for _, d := range table {
		if testing.Short() && slices.Contains(slow, d.number) {
			continue
		}
		t.Run(d.what, func(t *testing.T) { d.run(t) })
	}
}
