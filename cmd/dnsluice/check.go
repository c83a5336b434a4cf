// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/ops/check"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// checkOptions are the flags of check.
type checkOptions struct {
	json     bool
	noCanary bool
	listen   time.Duration
	timeout  time.Duration
}

func checkCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check",
		Short: "Look at all that a run needs: configuration, machine, cluster",
		Long: "Look at all that a run with the same flags, environment and --config needs: configuration, then\n" +
			"machine, then cluster. Each line is ok, skipped, a warning or a failure, and says what to do.\n" +
			"The exit status is 1 if there is a failure.\n\n" +
			"It captures on the interfaces for a few seconds, beside a sensor that runs, and writes one record\n" +
			"to the topic: a heartbeat of a sensor of its own, whose name ends in /canary.",
		Example: "  dnsluice check --interface eth2 --brokers k1:9092 --topic dns\n" +
			"  dnsluice check --config /etc/dnsluice.yaml --no-canary --json",
		Args: usageArgs(noArgs),
	}
	config.Bind(c.Flags())
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "Print the results as JSON.")
	f.BoolVar(&o.noCanary, "no-canary", false, "Write nothing to the topic.")
	f.DurationVar(&o.listen, "listen", 5*time.Second, "How long to wait on each interface for DNS in both directions.")
	f.DurationVar(&o.timeout, "timeout", 15*time.Second, "How long each of the other checks may take.")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.listen <= 0 || o.timeout <= 0 {
			return usageError{errors.New("dnsluice check: --listen and --timeout must be above 0")}
		}
		loaded, err := config.Load(c.Flags(), os.Environ(), config.ReadFile, config.Config.Runnable, enough)
		return o.check(c.Context(), loaded, err, c.OutOrStdout())
	}
	return c
}

// check makes all checks, of a configuration that was loaded, or of what is wrong with it.
func (o checkOptions) check(ctx context.Context, loaded *config.Loaded, mistaken error, out io.Writer) error {
	checks := configChecks(loaded, mistaken)
	if mistaken == nil {
		checks = append(checks, o.machineChecks(loaded.Config)...)
		cluster, err := o.clusterChecks(loaded.Config)
		if err != nil {
			return err
		}
		checks = append(checks, cluster...)
	}
	var report check.Report
	var written error
	report.Result = check.Run(ctx, checks, o.timeout+o.listen, func(l check.Line) {
		report.Checks = append(report.Checks, l)
		if !o.json {
			written = errors.Join(written, check.WriteText(out, l))
		}
	})
	if o.json {
		written = report.WriteJSON(out)
	} else if _, err := fmt.Fprintln(out, report.Summary()); err != nil {
		written = err
	}
	if written == nil && report.Result == check.Failure {
		return exitStatus(exitFailure)
	}
	return written
}

// configChecks are the configuration as it was read, and a sensor built of it that opens nothing.
func configChecks(loaded *config.Loaded, mistaken error) []check.Check {
	const group = "configuration"
	const advice = "dnsluice config prints the configuration, commented; dnsluice run --help the flags"
	var checks []check.Check
	add := func(name string, level check.Level, found string) {
		checks = append(checks, check.Check{Group: group, Name: name, Advice: advice,
			Run: func(context.Context) check.Result { return check.Result{Level: level, Found: found} }})
	}
	if mistaken != nil {
		mistakes, ok := errors.AsType[config.Mistakes](mistaken)
		if !ok {
			mistakes = config.Mistakes{{What: mistaken.Error()}}
		}
		for _, m := range mistakes {
			add("values", check.Failure, m.String())
		}
		return checks
	}
	for _, w := range loaded.Warnings {
		add("environment", check.Warning, w)
	}
	for _, w := range loaded.Idle() {
		add("values", check.Warning, w)
	}
	add("values", check.OK, "all are valid")
	return append(checks, check.Check{Group: group, Name: "sensor",
		Advice: "give more --memory, or fewer lanes (capture.lanes), or smaller rings (capture.ring_size)",
		Run: func(context.Context) check.Result {
			if err := buildSensor(loaded.Config); err != nil {
				return check.Result{Level: check.Failure, Found: err.Error()}
			}
			return check.Result{Level: check.OK, Found: fmt.Sprintf("it can be built within %s", loaded.Ops.Memory)}
		}})
}

// buildSensor builds what run would run, and starts nothing.
func buildSensor(cfg config.Config) error {
	producer, err := newProducer(cfg)
	if err != nil {
		return err
	}
	defer producer.Close()
	settings, err := sensorConfig(cfg)
	if err != nil {
		return err
	}
	_, err = sensor.New(settings, producer, slog.New(slog.DiscardHandler))
	return err
}

// maxAhead is how far ahead of the clock time stamps may be that deliver sends as they are.
const maxAhead = time.Minute

// clusterWishes is what a sensor of this configuration wants of its cluster.
func (o checkOptions) clusterWishes(cfg config.Config) check.Wishes {
	return check.Wishes{
		Brokers: cfg.Deliver.Brokers, Topic: cfg.Deliver.Topic, AllAcks: cfg.Deliver.Mode == config.AtLeastOnce,
		BatchSize: int64(cfg.Deliver.BatchSize) + batchHeader, MaxAge: cfg.Deliver.TimestampMaxAge,
		MaxAhead: maxAhead, SendCanary: !o.noCanary,
	}
}
