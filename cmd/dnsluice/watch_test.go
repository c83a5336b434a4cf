// SPDX-License-Identifier: Apache-2.0

package main

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
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/supervise"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// absent is a cluster that is away.
type absent struct{}

var errAbsent = &deliver.Fault{State: deliver.Unreachable, Err: errors.New("refused")}

func (absent) Leaders(context.Context) ([]int32, error)            { return nil, errAbsent }
func (absent) Identity(context.Context) (record.Producer, error)   { return record.NoProducer, errAbsent }
func (absent) Produce(context.Context, int32, int32, []byte) error { return errAbsent }
func (absent) Close()                                              {}

// sleeper is a source without packets, that may not come back.
type sleeper struct {
	hang    atomic.Pointer[chan struct{}]
	drained atomic.Bool
}

func (s *sleeper) Next(*packet.Packet) error {
	if hang := s.hang.Load(); hang != nil {
		<-*hang
	}
	if s.drained.Load() {
		return io.EOF
	}
	time.Sleep(50 * time.Millisecond) // virtual
	return capture.ErrIdle
}
func (s *sleeper) Drain()             { s.drained.Store(true) }
func (*sleeper) Stats() capture.Stats { return capture.Stats{} }
func (*sleeper) Close() error         { return nil }

// serve returns a service with that source, whose log goes to the same place as the dump.
func serve(t *testing.T, src capture.Source, out *bytes.Buffer) service {
	t.Helper()
	cfg := config.Default()
	cfg.Sensor = "ns1"
	settings, err := sensorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	settings.Sources, settings.Lanes, settings.Heartbeat = []capture.Source{src}, 1, 0
	s, err := sensor.New(settings, absent{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return service{cfg: cfg, sensor: s, id: settings.Run, log: slog.New(slog.NewTextHandler(out, nil))}
}

func TestAStuckLaneEndsTheServiceWithAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		src, hang := &sleeper{}, make(chan struct{})
		s := serve(t, src, &out)
		time.AfterFunc(time.Minute, func() { src.hang.Store(&hang) })
		start := time.Now()
		err := s.watched(t.Context(), &out)
		f, ok := errors.AsType[*supervise.Finding](err)
		if !ok || f.Name != "lane 0" || blind(err) {
			t.Errorf("it returned %v", err)
		}
		// A minute well, 10 s until it is found, 30 s to heal, the grace period and 10 s more.
		if took := time.Since(start); took < 100*time.Second || took > 130*time.Second {
			t.Errorf("after %s", took)
		}
		if state := s.state(); state.Name != "lane_stuck" || state.Ready {
			t.Errorf("%+v", state)
		}
		for _, want := range []string{"lane_stuck: lane 0 stands still", "goroutine ", "(*sleeper).Next"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in the log:\n%s", want, &out)
			}
		}
		close(hang)
		synctest.Wait()
	})
}

func TestAServiceThatIsWellEndsWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := serve(t, &sleeper{}, &out)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.watched(ctx, &out); err != nil || out.Len() > 0 {
			t.Errorf("%v: %s", err, &out)
		}
	})
}
