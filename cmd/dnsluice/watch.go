// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/notify"
	"github.com/dnsluice/dnsluice/internal/ops/supervise"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// lastWords is how long, beyond the grace period, a sensor that the watchdog has given up may
// take to save what it has.
const lastWords = 10 * time.Second

// watched runs the sensor under the watchdog. When that gives up, what can still be delivered or
// spooled within the grace period is, and the process ends with a failure, for the service
// manager to start it again.
func (s service) watched(ctx context.Context, stderr io.Writer) error {
	dog, err := s.watchdog(stderr)
	if err != nil {
		return err
	}
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	ran := make(chan error, 1)
	go func() { ran <- s.sensor.Run(ctx) }()
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- dog.Run(watching) }()
	select {
	case err := <-ran:
		stop()
		<-gaveUp
		return err
	case err = <-gaveUp:
	}
	stop()
	drain()
	long := s.cfg.Deliver.Grace + lastWords
	// Whatever hangs beyond that, be it a defer of main: the process ends.
	time.AfterFunc(2*long, func() { os.Exit(exitFailure) })
	select {
	case also := <-ran:
		return errors.Join(err, also)
	case <-time.After(long):
		return err
	}
}

// watchdog returns the watchdog of the sensor.
func (s service) watchdog(stderr io.Writer) (*supervise.Watchdog, error) {
	hooks := supervise.Hooks{
		Vitals: func() []supervise.Vital {
			vitals := s.sensor.Vitals()
			all := make([]supervise.Vital, len(vitals))
			for i, v := range vitals {
				all[i] = supervise.Vital(v)
			}
			return all
		},
		Blind:   supervise.Vital(sensor.Blind()),
		Alarm:   func(f *supervise.Finding) { s.sensor.Alarm(alarm(f)) },
		Recycle: func(supervise.Finding) { s.sensor.Recycle() },
		Dump:    stderr,
		Log:     s.log,
	}
	every, err := notify.AliveEvery()
	if err != nil {
		return nil, err
	}
	cfg := supervise.DefaultConfig()
	if every > 0 {
		hooks.Feed, cfg.Interval = notify.Alive, min(cfg.Interval, every)
	}
	return supervise.New(cfg, hooks), nil
}

func alarm(f *supervise.Finding) *sensor.Alarm {
	if f == nil {
		return nil
	}
	return &sensor.Alarm{State: deliver.State(f.State), Since: f.Since, Blind: f.Blind,
		Sentence: f.Name + " stands still: " + f.Means}
}

// blind tells whether the watchdog gave up for want of the counters.
func blind(err error) bool {
	f, ok := errors.AsType[*supervise.Finding](err)
	return ok && f.Blind
}
