// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

// laneOptions are those of the command that compares two lanes with one.
type laneOptions struct{ alone }

func parseLanes(args []string) (laneOptions, error) {
	o := laneOptions{alone{messages: 4_000_000, rounds: 5, within: 20 * time.Minute,
		limits: limits{run: 2 * time.Minute, patience: 5 * time.Second}}}
	f := flag.NewFlagSet("compare lanes", flag.ContinueOnError)
	o.flags(f)
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	if o.messages < 2 {
		return o, errors.New("two captures need messages: -n 2 at least")
	}
	return o, nil
}

// The two captures, in the folder of the first.
const firstFile, secondFile = "first.pcap", "second.pcap"

// laneSetting is one of the things compared: how many lanes, on how many processors.
type laneSetting struct {
	lanes int
	// sensors run at the same time. To standard output a process has one lane, for its lines are in
	// the order of the files; so two lanes are two processes there, on a processor each.
	sensors []sensor
	broker  bool // on the same processors as the sensor, of which there are as many as lanes
}

// laneSettings returns pairs of one lane and two.
func laneSettings(binary string) []laneSetting {
	return []laneSetting{
		{lanes: 1, sensors: []sensor{laneReader(binary, "one lane", firstFile, secondFile)}},
		{lanes: 2, sensors: []sensor{laneReader(binary, "two lanes, the first", firstFile),
			laneReader(binary, "two lanes, the second", secondFile)}},
		{lanes: 1, sensors: []sensor{laneRunner(binary, "one lane", 1)}, broker: true},
		{lanes: 2, sensors: []sensor{laneRunner(binary, "two lanes", 2)}, broker: true},
	}
}

// laneReader writes lines that nobody reads.
func laneReader(binary, setting string, files ...string) sensor {
	return sensor{program: "dnsluice", setting: "standard output, " + setting, binary: binary,
		prints: true,
		args: func(j job) []string {
			args := []string{"read"}
			for _, file := range files {
				args = append(args, filepath.Join(filepath.Dir(j.capture), file))
			}
			return args
		},
		prepare: func(j job) (string, error) {
			err := errors.Join(os.MkdirAll(j.records(), 0o700),
				os.Symlink(os.DevNull, filepath.Join(j.records(), "records.json")))
			return "", err
		}}
}

func laneRunner(binary, setting string, lanes int) sensor {
	return sensor{program: "dnsluice", setting: "embedded broker, " + setting, binary: binary,
		args: func(j job) []string {
			folder := filepath.Dir(j.capture)
			return []string{"run", "--config", j.config(), "--read", filepath.Join(folder, firstFile),
				"--read", filepath.Join(folder, secondFile), "--brokers", j.broker, "--topic", j.topic,
				"--http", "off"}
		},
		prepare: func(j job) (string, error) {
			return j.configure(fmt.Sprintf("capture:\n  lanes: %d\n", lanes))
		}}
}

// measure is the whole of it.
func (o laneOptions) measure(ctx context.Context) error {
	b, err := binaries{dnsluice: o.binary}.absolute()
	if err != nil {
		return err
	}
	cpus, err := allowed()
	if err != nil {
		return err
	}
	if len(cpus) < 2 {
		return errors.New("two lanes need two processors")
	}
	r := laneReport{laneOptions: o, settings: laneSettings(b.dnsluice)}
	r.results = make([][]laneResult, len(r.settings))
	err = inFolder(o.dir, func(dir string) error { return o.hold(ctx, dir, cpus, &r) })
	if err != nil {
		return err
	}
	fmt.Print("\n", r.table().text())
	if o.out == "" {
		return nil
	}
	text, err := r.markdown(b.dnsluice)
	if err != nil {
		return err
	}
	return write(o.out, ofLanes, text)
}

// hold runs every setting once a round, in turns as contest.hold does.
func (o laneOptions) hold(ctx context.Context, dir string, cpus []int, r *laneReport) error {
	for i, file := range []string{firstFile, secondFile} {
		shape := traffic.Shape{Seed: o.seed + uint64(i), Messages: o.messages / 2}
		if _, err := generated(ctx, shape, filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		for _, i := range turn(round, len(r.settings)) {
			s := r.settings[i]
			var got laneResult
			err := inFolder(dir, func(run string) (err error) {
				j := job{capture: filepath.Join(dir, firstFile), dir: run, topic: filepath.Base(run)}
				got, err = o.one(ctx, s, j, cpus[len(cpus)-s.lanes:])
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s: %.2f CPU s, %.2f of the broker, %.2f s\n",
				round+1, o.rounds, s.name(), got.cpu.Seconds(), got.broker.Seconds(), got.wall.Seconds())
			r.results[i] = append(r.results[i], got)
		}
	}
	return nil
}

// one runs a setting once.
func (o laneOptions) one(ctx context.Context, s laneSetting, j job, cpus []int) (
	r laneResult, err error) {
	if !s.broker {
		return together(ctx, s.sensors, j, cpus, o.limits)
	}
	var b *server
	if err := pinned(cpus, func() (err error) {
		b, err = embedded(ctx, "0")
		return err
	}); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	j.broker = b.address
	err = intoTopic(ctx, j, partitions, func(arrived count) error {
		before := spent(b.cmd.Process.Pid)
		if r, err = together(ctx, s.sensors, j, cpus, o.limits); err != nil {
			return err
		}
		r.broker = spent(b.cmd.Process.Pid) - before
		n, err := arrived(ctx)
		if want := int64(o.messages / 2 * 2); err == nil && n != want {
			err = fmt.Errorf("%d records of %d messages arrived", n, want)
		}
		return err
	})
	return r, err
}

// together runs sensors at the same time, to their ends: one on all of the processors, or each on
// one of them.
func together(ctx context.Context, sensors []sensor, j job, cpus []int, l limits) (
	r laneResult, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.run,
		fmt.Errorf("not done within %v (-limit)", l.run))
	defer cancel()
	jobs := make([]job, len(sensors))
	for i, s := range sensors {
		jobs[i] = j
		jobs[i].dir = filepath.Join(j.dir, strconv.Itoa(i))
		if err := os.Mkdir(jobs[i].dir, 0o700); err != nil {
			return r, fmt.Errorf("folder of a run: %w", err)
		}
		if _, err := s.prepare(jobs[i]); err != nil {
			return r, err
		}
	}
	var children []*child
	defer func() {
		for _, c := range children {
			c.stop()
		}
	}()
	begun := time.Now()
	for i, s := range sensors {
		its := cpus
		if len(sensors) > 1 {
			its = cpus[i : i+1]
		}
		if err := pinned(its, func() error {
			c, err := start(ctx, s, jobs[i], l.patience)
			if err == nil {
				children = append(children, c)
			}
			return err
		}); err != nil {
			return r, err
		}
	}
	for _, c := range children {
		<-c.ended
	}
	r.wall = time.Since(begun)
	for _, c := range children {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		if !c.cmd.ProcessState.Success() {
			return r, fmt.Errorf("failed: %v: %s", c.cmd.ProcessState, c.lastWords())
		}
		u, err := c.usage()
		if err != nil {
			return r, err
		}
		r.cpu, r.rss = r.cpu+u.cpu, r.rss+u.rss
	}
	return r, nil
}
