// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/supervise"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/record"
)

// willing is a producer that takes everything, or fails, or does not come back.
type willing struct {
	fault *deliver.Fault
	deaf  chan struct{} // Produce returns when it is closed; nil: at once
}

func (w *willing) failure() error {
	if w.fault == nil {
		return nil
	}
	return w.fault
}

func (w *willing) Leaders(context.Context) ([]int32, error) { return []int32{0}, w.failure() }

func (w *willing) Identity(context.Context) (record.Producer, error) {
	return record.Producer{ID: 1}, w.failure()
}

func (w *willing) Produce(context.Context, int32, int32, []byte) error {
	if w.deaf != nil {
		<-w.deaf
	}
	return w.failure()
}

func (*willing) Close() {}

// dripping is a source as a slow pipe or a quiet interface is: it is idle, and gives the same
// packet now and then.
type dripping struct {
	packet   packet.Packet
	every    time.Duration // between two packets; 0: none, unless flows
	flows    atomic.Bool
	last     time.Time
	read     atomic.Uint64
	received atomic.Uint64 // what the kernel says, besides what was read
	hang     chan struct{} // Next returns when it is closed; nil: as it should
	drained  atomic.Bool
}

// Next implements capture.Source.
func (d *dripping) Next(p *packet.Packet) error {
	if d.hang != nil {
		<-d.hang
	}
	if d.drained.Load() {
		return io.EOF
	}
	if d.flows.Load() || d.every > 0 && time.Since(d.last) >= d.every {
		d.last, *p = time.Now(), d.packet
		d.read.Add(1)
		time.Sleep(time.Millisecond) // virtual
		return nil
	}
	time.Sleep(50 * time.Millisecond) // virtual
	return capture.ErrIdle
}

// Drain implements capture.Source.
func (d *dripping) Drain() { d.drained.Store(true) }

// Stats implements capture.Source.
func (d *dripping) Stats() capture.Stats {
	n := d.read.Load()
	return capture.Stats{Received: n + d.received.Load(), Read: n}
}

// Close implements capture.Source.
func (*dripping) Close() error { return nil }

// onePacket returns a packet with a message in it. It is called outside of bubbles, which have no
// time for files.
func onePacket(t *testing.T) packet.Packet {
	t.Helper()
	src := pcapfile.New("../../testdata/bind-types.pcap")
	defer src.Close()
	var p packet.Packet
	err := capture.ErrIdle
	for err == capture.ErrIdle {
		err = src.Next(&p)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Data = bytes.Clone(p.Data)
	return p
}

// guarded is a sensor under its watchdog, in a bubble.
type guarded struct {
	*Sensor
	t       *testing.T
	log     bytes.Buffer
	stop    context.CancelFunc
	ran     chan error
	watched chan error
}

func guard(t *testing.T, src capture.Source, p deliver.Producer) *guarded {
	t.Helper()
	cfg := settings()
	cfg.Sources = []capture.Source{src}
	g := &guarded{t: t, ran: make(chan error, 1), watched: make(chan error, 1)}
	var err error
	if g.Sensor, err = New(cfg, p, quiet); err != nil {
		t.Fatal(err)
	}
	g.cfg.Interfaces = []string{"eth2"} // so that the kernel's counters are looked at
	ctx, stop := context.WithCancel(t.Context())
	g.stop = stop
	dog := supervise.New(supervise.DefaultConfig(), supervise.Hooks{
		Vitals: func() (all []supervise.Vital) {
			for _, v := range g.Vitals() {
				all = append(all, supervise.Vital(v))
			}
			return all
		},
		Blind: supervise.Vital(Blind()),
		Alarm: func(f *supervise.Finding) {
			if f == nil {
				g.Alarm(nil)
				return
			}
			g.Alarm(&Alarm{State: deliver.State(f.State), Since: f.Since, Sentence: f.Name + ": " + f.Means})
		},
		Dump: io.Discard,
		Log:  slog.New(slog.NewTextHandler(&g.log, nil)),
	})
	go func() { g.ran <- g.Run(ctx) }()
	go func() { g.watched <- dog.Run(ctx) }()
	return g
}

// quietly ends a sensor that the watchdog must have had nothing to say about.
func (g *guarded) quietly() {
	g.t.Helper()
	g.stop()
	<-g.ran
	if err := <-g.watched; err != nil || g.log.Len() > 0 {
		g.t.Errorf("%v, and the log says %q", err, &g.log)
	}
}

func TestNoAlarmOfASensorThatIsWell(t *testing.T) {
	p := onePacket(t)
	for name, c := range map[string]struct {
		every time.Duration
		fault *deliver.Fault
		want  deliver.State
	}{
		"a link without DNS": {want: deliver.Idle},
		"a slow pipe":        {every: 7 * time.Minute, want: deliver.Idle},
		"a cluster that is away for ever": {every: time.Minute, want: deliver.Unreachable,
			fault: &deliver.Fault{State: deliver.Unreachable, Err: errors.New("refused")}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &dripping{packet: p, every: c.every}
				g := guard(t, src, &willing{fault: c.fault})
				time.Sleep(time.Hour)
				if s := g.Status(); s.State != c.want {
					t.Errorf("%s: %s", s.State, s.Sentence)
				}
				g.quietly()
			})
		})
	}
}

func TestALaneThatDoesNotTurnIsStuckAndEndsTheSensor(t *testing.T) {
	p := onePacket(t)
	synctest.Test(t, func(t *testing.T) {
		src := &dripping{packet: p, hang: make(chan struct{})}
		g := guard(t, src, &willing{})
		time.Sleep(20 * time.Second)
		s := g.Status()
		if s.State != LaneStuck || s.State.Ready() || !strings.Contains(s.Sentence, "lane 0: a lane reads no packets any more") {
			t.Errorf("%s: %s", s.State, s.Sentence)
		}
		if err := <-g.watched; err == nil || !strings.Contains(err.Error(), "lane_stuck: lane 0 stands still") {
			t.Errorf("the watchdog returned %v", err)
		}
		close(src.hang)
		g.stop()
		<-g.ran
	})
}

func TestALaneThatTheKernelGivesNothingIsStarved(t *testing.T) {
	p := onePacket(t)
	synctest.Test(t, func(t *testing.T) {
		src := &dripping{packet: p}
		g := guard(t, src, &willing{})
		time.Sleep(time.Minute)
		src.received.Store(1000)
		time.Sleep(15 * time.Second)
		if s := g.Status(); s.State != Starved {
			t.Errorf("%s: %s", s.State, s.Sentence)
		}
		src.flows.Store(true)
		time.Sleep(5 * time.Second)
		if s := g.Status(); s.State == Starved {
			t.Errorf("still %s: %s", s.State, s.Sentence)
		}
		g.stop()
		<-g.ran
		if err := <-g.watched; err != nil {
			t.Error(err)
		}
	})
}

func TestAWorkerThatDoesNotComeBackIsFound(t *testing.T) {
	p := onePacket(t)
	synctest.Test(t, func(t *testing.T) {
		to := &willing{deaf: make(chan struct{})}
		g := guard(t, &dripping{packet: p, every: time.Second}, to)
		err := <-g.watched
		if err == nil || !strings.Contains(err.Error(), "delivery_stuck: worker of partition 0 stands still") {
			t.Errorf("the watchdog returned %v", err)
		}
		if s := g.Status(); s.State != DeliveryStuck {
			t.Errorf("%s: %s", s.State, s.Sentence)
		}
		close(to.deaf)
		g.stop()
		<-g.ran
	})
}

func TestABlindAlarmAsksNobody(t *testing.T) {
	s := &Sensor{} // without a delivery: whoever asks it panics
	since := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s.Alarm(&Alarm{State: DeliveryStuck, Since: since, Sentence: "a lock", Blind: true})
	if got := s.Status(); got.Sentence != "delivery_stuck since 2026-11-22T12:00:00Z: a lock" || got.State.Ready() {
		t.Errorf("%+v", got)
	}
}
