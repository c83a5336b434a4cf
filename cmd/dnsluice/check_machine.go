// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/check"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// machineChecks look at what a sensor of this configuration wants of this machine.
func (o checkOptions) machineChecks(cfg config.Config) []check.Check {
	m := check.ThisMachine()
	m.Listen = func(ctx context.Context, name string, long time.Duration) (check.Heard, error) {
		ctx, cancel := context.WithTimeout(ctx, long)
		defer cancel()
		h, err := sensor.Listen(ctx, sensor.Config{Interfaces: []string{name}, Ports: cfg.Capture.Ports,
			Lanes: 1, Promiscuous: cfg.Capture.Promiscuous})
		return check.Heard(h), err
	}
	m.Capture, m.DeadLetter = beginning, deliver.CheckDeadLetter
	m.Socket = func(listen string) error { return tryDNSTap(cfg.Capture.DNSTap, listen) }
	s := check.Settings{
		Interfaces: cfg.Capture.Interfaces, Files: cfg.Capture.Read, Memory: int64(cfg.Ops.Memory),
		Listen: o.listen, Spool: spoolSettings(cfg), Sockets: cfg.Capture.DNSTap.Listen,
		Ledger: cfg.Ops.Ledger,
	}
	if cfg.Deliver.DeadLetter != "" { // otherwise it is in the spool, or given up
		s.DeadLetter = deadLetterFile(cfg)
	}
	if cfg.Ops.HTTP != config.Off {
		s.HTTP = cfg.Ops.HTTP
	}
	return m.Checks(s)
}

// spoolSettings is what the spool wants of the machine.
func spoolSettings(cfg config.Config) check.Spool {
	if cfg.Deliver.Mode == config.AtMostOnce {
		return check.Spool{}
	}
	return check.Spool{Dir: cfg.Spool.Dir, Max: int64(cfg.Spool.Max),
		MinFree: int64(cfg.Spool.MinFree)}
}

// beginning reads the first packet of a capture file. A file that cannot be read twice is left to
// the sensor.
func beginning(path string) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return err
	}
	src, err := pcapfile.New(path), capture.ErrIdle
	for err == capture.ErrIdle { // of a slow disk
		err = src.Next(new(packet.Packet))
	}
	if err == io.EOF {
		err = nil // a capture of nothing is one
	}
	return errors.Join(err, src.Close())
}

// tryDNSTap listens on one of the sockets as the sensor would, and stops. A sensor that has a unix
// socket already is only asked whether it is there.
func tryDNSTap(cfg config.DNSTap, listen string) error {
	if path, ok := strings.CutPrefix(listen, "unix://"); ok {
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			return errors.Join(fmt.Errorf("dnstap: %s: %w", listen, syscall.EADDRINUSE), c.Close())
		}
	}
	cfg.Listen = []string{listen}
	sockets, err := dnstapConfig(cfg)
	if err != nil {
		return err
	}
	src, err := dnstap.New(sockets[0])
	if err != nil {
		return err
	}
	return errors.Join(src.Open(), src.Close())
}
