// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dnsluice/dnsluice"
	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/replay"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/logging"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// demoTopic and demoPartitions are what the embedded broker has.
const (
	demoTopic      = "dns"
	demoPartitions = 4
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	length  time.Duration
	rate    int
	capture []string
}

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole job with nothing else installed",
		Long: "Start a Kafka broker in this process, replay real captures, deliver them to it, and read the\n" +
			"records back from the topic. The end compares what was acknowledged with what was read: the\n" +
			"exit status is 0 only if every record came back, and came once.",
		Example: "  dnsluice demo --for 10s\n  sudo dnsluice demo --capture eth0",
		Args:    usageArgs(noArgs),
	}
	c.Flags().DurationVar(&o.length, "for", time.Minute, "How long; 0 is until a signal.")
	c.Flags().IntVar(&o.rate, "rate", 500, "Packets a second to replay.")
	c.Flags().StringArrayVar(&o.capture, "capture", nil, "Sniff on this interface instead of replaying (repeatable).")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.rate < 1 || o.rate > 1_000_000 {
			return usageError{fmt.Errorf("dnsluice demo: --rate %d: must be 1 to 1000000", o.rate)}
		}
		if o.length < 0 {
			return usageError{fmt.Errorf("dnsluice demo: --for %s: must not be below 0", o.length)}
		}
		return demo(c.Context(), o, c.OutOrStdout())
	}
	return c
}

func demo(ctx context.Context, o demoOptions, out io.Writer) error {
	broker, err := embedded.Start(demoTopic, demoPartitions)
	if err != nil {
		return err
	}
	defer broker.Close()
	cfg := config.Default()
	cfg.Deliver.Brokers, cfg.Deliver.Topic = broker.Brokers(), demoTopic
	cfg.Capture.Interfaces = o.capture
	producer, err := newProducer(cfg)
	if err != nil {
		return err
	}
	defer producer.Close()
	settings, err := sensorConfig(cfg)
	if err != nil {
		return err
	}
	if len(o.capture) == 0 {
		if settings.Sources, err = replayed(o.rate); err != nil {
			return err
		}
	}
	screen := newScreen(out)
	// The screen shows the state; a log would tear it.
	log, err := logging.New(screen.log, cfg.Ops.LogLevel, cfg.Ops.LogFormat)
	if err != nil {
		return err
	}
	s, err := sensor.New(settings, producer, log)
	if err != nil {
		return err
	}
	if err := s.Open(); err != nil {
		return err
	}
	debug.SetMemoryLimit(s.HeapLimit())
	if o.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.length)
		defer cancel()
	}
	return showAndCompare(ctx, s, broker.Brokers(), screen)
}

// replayed returns a source of the project's own captures.
func replayed(rate int) ([]capture.Source, error) {
	names, err := fs.Glob(dnsluice.Captures, "testdata/*")
	if err != nil {
		return nil, err
	}
	var captures []replay.Capture
	for _, name := range names {
		data, err := dnsluice.Captures.ReadFile(name)
		if err != nil {
			return nil, err
		}
		captures = append(captures, replay.Capture{Name: name, Data: data})
	}
	return []capture.Source{replay.New(captures, rate)}, nil
}

// showAndCompare runs the sensor, reads the topic meanwhile, and compares the two at the end.
func showAndCompare(ctx context.Context, s *sensor.Sensor, brokers []string, screen *screen) error {
	back, err := startReadBack(brokers, demoTopic)
	if err != nil {
		return err
	}
	defer back.stop()
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	tick := time.NewTicker(screen.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			screen.draw(s, back)
		case err := <-ran:
			if err != nil {
				return err
			}
			acknowledged := s.Ledger().Acknowledged
			comparison := back.waitFor(acknowledged)
			screen.draw(s, back)
			return errors.Join(comparison.err(), screen.last(s, comparison))
		}
	}
}

// newScreen returns a screen that repaints a terminal, or prints a line a second elsewhere.
func newScreen(out io.Writer) *screen {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &screen{out: out, every: 250 * time.Millisecond, log: io.Discard,
			size: func() (columns, rows int) {
				if columns, rows, err := term.GetSize(int(f.Fd())); err == nil {
					return columns, rows
				}
				return 80, 24
			}}
	}
	return &screen{out: out, every: time.Second, log: os.Stderr}
}
