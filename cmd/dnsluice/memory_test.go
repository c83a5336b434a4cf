// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// TestTheLeastMemoryIsSaidAtOnce asks with far too little, gives what is then said to be enough, and
// builds the sensor with that, and with less.
func TestTheLeastMemoryIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	files := func(n int) []string { return slices.Repeat([]string{"a.pcap"}, n) }
	for name, with := range map[string]func(*config.Config){
		"a file":                  func(c *config.Config) { c.Capture.Read = files(1) },
		"files side by side":      func(c *config.Config) { c.Capture.Read, c.Capture.Lanes = files(3), 8 },
		"files with heartbeats":   func(c *config.Config) { c.Capture.Read, c.Deliver.Heartbeat = files(1), 1e9 },
		"files, and a spool":      func(c *config.Config) { c.Capture.Read, c.Spool.Dir = files(1), t.TempDir() },
		"an interface":            func(c *config.Config) { c.Capture.Interfaces = []string{"a"} },
		"three lanes on each":     func(c *config.Config) { c.Capture.Interfaces, c.Capture.Lanes = []string{"a", "b"}, 3 },
		"a socket":                func(c *config.Config) { c.Capture.DNSTap.Listen = []string{"unix:///d.sock"} },
		"transactions, with keys": func(c *config.Config) { c.Match.Emit, c.Deliver.Key = "transactions", "qname" },
		"large batches":           func(c *config.Config) { c.Deliver.BatchSize = 64 << 20 },
		"at most once, and a spool that is not used": func(c *config.Config) {
			c.Spool.Dir, c.Deliver.Mode = t.TempDir(), config.AtMostOnce
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Sensor, cfg.Ops.Memory = "ns1", 1<<20
			with(&cfg)
			if len(cfg.Capture.Read)+len(cfg.Capture.Interfaces)+len(cfg.Capture.DNSTap.Listen) == 0 {
				cfg.Capture.Interfaces = []string{"a"}
			}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			said := fmt.Sprint(enough(cfg))
			m := regexp.MustCompile(`ops\.memory: 1MiB is too little for .*; use (\d+)MiB or more`).FindStringSubmatch(said)
			if m == nil {
				t.Fatalf("it says %s", said)
			}
			mib, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				mib  int
				fits bool
			}{{mib, true}, {mib - 1, false}} {
				cfg.Ops.Memory = config.Size(c.mib << 20)
				said, built := enough(cfg), built(t, cfg)
				if (said == nil) != c.fits || (built == nil) != c.fits {
					t.Errorf("with %d MiB: %v; built: %v", c.mib, said, built)
				}
			}
		})
	}
}

// built builds the sensor that run would run, with its spool.
func built(t *testing.T, cfg config.Config) error {
	t.Helper()
	settings, err := sensorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if spooled(cfg) {
		settings.Deliver.Spool = new(spool.Spool)
	}
	_, err = sensor.New(settings, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	return err
}

func TestNoMemoryIsReckonedFromWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, with := range []func(*config.Config){
		func(c *config.Config) { c.Deliver.BatchSize = 1 << 60 },
		func(c *config.Config) { c.Capture.RingSize = -1 << 50 },
		func(c *config.Config) { c.Deliver.Key = "colour" },
	} {
		cfg := config.Default()
		cfg.Sensor, cfg.Ops.Memory = "ns1", 1<<20
		with(&cfg)
		if err := enough(cfg); err != nil {
			t.Error(err)
		}
	}
}
