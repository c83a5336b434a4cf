// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

// profileOptions are those of the command that takes the profile which dnsluice is built with.
type profileOptions struct {
	alone
	span time.Duration // of one profile
}

func parseProfile(args []string) (profileOptions, error) {
	o := profileOptions{alone: alone{messages: 2_000_000, rounds: 2, within: 10 * time.Minute,
		limits: limits{run: 2 * time.Minute, patience: 5 * time.Second}}, span: 5 * time.Second}
	f := flag.NewFlagSet("compare profile", flag.ContinueOnError)
	o.flags(f)
	f.DurationVar(&o.span, "for", o.span, "how long each profile is taken, in whole seconds")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	switch {
	case o.out == "":
		return o, errors.New("-o must be given: the folder for the profiles, one for each run")
	case o.span < time.Second:
		return o, errors.New("-for must be at least a second")
	}
	return o, nil
}

// measure runs dnsluice over a capture, again and again, into the embedded broker, and takes a
// profile of the processor in the middle of each run. Both formats have as many runs.
func (o profileOptions) measure(ctx context.Context) error {
	b, err := binaries{dnsluice: o.binary}.absolute()
	if err != nil {
		return err
	}
	return inFolder(o.dir, func(dir string) (err error) {
		capture := filepath.Join(dir, "capture.pcap")
		shape := traffic.Shape{Seed: o.seed, Messages: o.messages}
		if _, err := generated(ctx, shape, capture); err != nil {
			return err
		}
		server, err := embedded(ctx, "0")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		for round := range o.rounds {
			for _, format := range []string{"json", "protobuf"} {
				name := filepath.Join(o.out, fmt.Sprintf("%s-%d.pprof", format, round))
				err := inFolder(dir, func(run string) error {
					j := job{capture: capture, dir: run, topic: filepath.Base(run), broker: server.address}
					return o.one(ctx, b.dnsluice, format, j, name)
				})
				if err != nil {
					return fmt.Errorf("profile of %s: %w", format, err)
				}
			}
		}
		return nil
	})
}

// one takes the profile of one run and ends it.
func (o profileOptions) one(ctx context.Context, binary, format string, j job, name string) error {
	address, err := unused()
	if err != nil {
		return err
	}
	s := sensor{program: "dnsluice", binary: binary,
		args: func(j job) []string {
			args := []string{"run", "--config", j.config(), "--brokers", j.broker, "--topic", j.topic,
				"--format", format, "--http", address}
			for range 1000 { // it is stopped long before
				args = append(args, "--read", j.capture)
			}
			return args
		},
		prepare: func(j job) (string, error) { return j.configure("ops:\n  pprof: true\n") }}
	if _, err := s.prepare(j); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.limits.run,
		fmt.Errorf("not done within %v (-limit)", o.limits.run))
	defer cancel()
	return intoTopic(ctx, j, partitions, func(arrived count) error {
		c, err := start(ctx, s, j, o.limits.patience)
		if err != nil {
			return err
		}
		defer c.stop()
		for n := int64(0); n == 0; time.Sleep(100 * time.Millisecond) {
			if n, err = arrived(ctx); err != nil {
				return errors.Join(err, context.Cause(ctx))
			}
			select {
			case <-c.ended:
				return fmt.Errorf("dnsluice ended: %s", c.lastWords())
			default:
			}
		}
		return fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address,
			int(o.span.Seconds())), name)
	})
}

// unused returns an address of loopback that nobody listens on at the moment.
func unused() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// fetch writes what url answers to a file.
func fetch(ctx context.Context, url, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}
