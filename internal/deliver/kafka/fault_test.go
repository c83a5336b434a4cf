// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// TestBrokersThatFailEachInTheirWayAreOneState: which of them the client tries last is chance.
func TestBrokersThatFailEachInTheirWayAreOneState(t *testing.T) {
	failures := map[string]error{
		"gone:9092":   &net.DNSError{Err: "no such host", Name: "gone", IsNotFound: true},
		"closed:9092": syscall.ECONNREFUSED,
	}
	for name, brokers := range map[string][]string{
		"the closed port comes last":  {"gone:9092", "closed:9092"},
		"the closed port comes first": {"closed:9092", "gone:9092"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(Config{
				Brokers: brokers, Topic: "dns", RequestTimeout: 10 * time.Second,
				dial: func(_ context.Context, _, address string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: failures[address]}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 5 {
				_, err := c.Leaders(t.Context())
				f, ok := errors.AsType[*deliver.Fault](err)
				if !ok || f.State != deliver.Unreachable || !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// expiring is a context whose time is over when it is told.
type expiring struct {
	context.Context
	over chan struct{}
}

func (l expiring) Done() <-chan struct{} { return l.over }

func (l expiring) Err() error {
	select {
	case <-l.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestABrokerThatWantsAPauseIsNotSaidToBeSilent: what was under way when it said so is not read
// before the pause is over, and may be given up before.
func TestABrokerThatWantsAPauseIsNotSaidToBeSilent(t *testing.T) {
	o, first := newOffice(t)
	ctx := expiring{t.Context(), make(chan struct{})}
	o.answer(1)
	if err := <-first[0]; err != nil {
		t.Fatal(err)
	}
	var outcome chan error
	o.written(func() { outcome = o.produce(ctx, inFlight) })
	o.cl.link.throttled(0, time.Hour)
	close(ctx.over)
	f := faultOf(t, <-outcome)
	if f.State != deliver.Throttled || f.Verdict != deliver.Unknown || !errors.Is(f, context.DeadlineExceeded) {
		t.Errorf("%+v", f)
	}
}
