// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

// axis is one thing of which there is more at each point, all else being the same.
type axis struct {
	name   string
	points []int
	// shape is what the capture holds at n, beyond seed and messages; nil is one capture for all.
	shape      func(n int) traffic.Shape
	partitions func(n int) int32 // of the topic; nil is partitions
	args       []string
	settings   string // a configuration file
	color      string
	dashed     bool
	// joined tells that records are transactions, of two messages or of one.
	joined bool
}

// Room for all that is open at the last point of an axis. Without it, the bounds that the sensor has
// by default are reached, and what happens then is measured.
const (
	streamRoom = "decode: {tcp_memory: 64MiB}\nops: {memory: 256MiB}\n"
	openRoom   = "match: {emit: transactions, timeout: 10m, memory: 1GiB}\nops: {memory: 1280MiB}\n"
	openBound  = "match: {emit: transactions, timeout: 10m}\n"
)

// axes returns all that is measured. The colors are legible on white and on black.
func axes() []axis {
	tens := func(from, to int) []int {
		var all []int
		for ; from <= to; from *= 10 {
			all = append(all, from)
		}
		return all
	}
	fours := []int{1, 4, 16, 64, 256}
	count := func(n int) int32 { return int32(n) }
	streams := func(n int) traffic.Shape { return traffic.Shape{Streams: n} }
	open := func(n int) traffic.Shape { return traffic.Shape{Open: n} }
	return []axis{
		{name: "clients", points: tens(10, 1e6), color: "#3b82c4",
			shape: func(n int) traffic.Shape { return traffic.Shape{Clients: n} }},
		{name: "names", points: tens(10, 1e6), color: "#d9822b",
			shape: func(n int) traffic.Shape { return traffic.Shape{Names: n} }},
		{name: "partitions", points: fours, partitions: count, color: "#2f9e6e"},
		{name: "partitions, key client_ip", points: fours, partitions: count, color: "#2f9e6e",
			dashed: true, args: []string{"--key", "client_ip"}},
		{name: "TCP connections", points: tens(1, 1e5), shape: streams, color: "#d1495b"},
		{name: "TCP connections, room for all", points: tens(1, 1e5), shape: streams,
			settings: streamRoom, color: "#d1495b", dashed: true},
		{name: "open transactions", points: tens(1, 1e6), shape: open, joined: true,
			settings: openBound, color: "#8a63c9"},
		{name: "open transactions, room for all", points: tens(1, 1e6), shape: open, joined: true,
			settings: openRoom, color: "#8a63c9", dashed: true},
	}
}

// sensor returns dnsluice as it is run at each point.
func (a axis) sensor(binary string) sensor {
	config := func(j job) string { return filepath.Join(j.dir, "dnsluice.yml") }
	return sensor{program: "dnsluice", setting: a.name, binary: binary,
		args: func(j job) []string {
			return append([]string{"run", "--config", config(j), "--read", j.capture,
				"--brokers", j.broker, "--topic", j.topic, "--http", "off"}, a.args...)
		},
		prepare: func(j job) (string, error) {
			if err := os.WriteFile(config(j), []byte(a.settings), 0o600); err != nil {
				return "", fmt.Errorf("configuration of dnsluice: %w", err)
			}
			return a.settings, nil
		}}
}

// growth are the options of the command that measures all axes.
type growth struct {
	alone
	plot string
	only string
}

func parseGrowth(args []string) (growth, error) {
	o := growth{alone: alone{messages: 2_000_000, rounds: 3, within: time.Hour,
		limits: limits{run: 5 * time.Minute, look: 100 * time.Millisecond, patience: 15 * time.Second}}}
	f := flag.NewFlagSet("compare curves", flag.ContinueOnError)
	o.flags(f)
	f.StringVar(&o.plot, "plot", "", "SVG `file` to draw the result into")
	f.StringVar(&o.only, "only", "", "measure only axes whose names begin with this `text`")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	o.limits.quiet = o.limits.run // dnsluice ends by itself
	if len(o.axes()) == 0 {
		return o, fmt.Errorf("-only %q: no axis has such a name", o.only)
	}
	return o, nil
}

// axes returns those that are wanted.
func (o growth) axes() []axis {
	return slices.DeleteFunc(axes(), func(a axis) bool { return !strings.HasPrefix(a.name, o.only) })
}

// measure is the whole of it.
func (o growth) measure(ctx context.Context) (err error) {
	found, err := binaries{dnsluice: o.binary}.absolute()
	if err != nil {
		return err
	}
	o.binary = found.dnsluice
	dir, err := os.MkdirTemp(o.dir, "dnsluice-curves-")
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	b, err := embedded(ctx, "0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	all := captures{dir: dir, made: map[traffic.Shape]string{}}
	var curves []curve
	for _, a := range o.axes() {
		c, err := o.along(ctx, a, all, b.address)
		if err != nil {
			fmt.Print("\n", growthTable(curves).text()) // those before it
			return fmt.Errorf("%s: %w", a.name, err)
		}
		curves = append(curves, c)
	}
	fmt.Print("\n", growthTable(curves).text())
	return o.report(curves)
}

// report writes the page and the plot, if they are wanted.
func (o growth) report(curves []curve) error {
	if o.plot != "" {
		if err := os.WriteFile(o.plot, []byte(growthPlot(curves)), 0o644); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
	}
	if o.out == "" {
		return nil
	}
	v, err := version(o.binary)
	if err != nil {
		return err
	}
	return write(o.out, ofCurves, fmt.Sprintf("Machine: %s. Version: %s. Captures of %s messages, "+
		"seed %d, medians of %d.\n\n%s", machine(), v, thousands(int64(o.messages)), o.seed, o.rounds,
		growthTable(curves).markdown()))
}

// captures are those that there are, made when they are first wanted.
type captures struct {
	dir  string
	made map[traffic.Shape]string // paths
}

// of returns the path of a capture.
func (c captures) of(ctx context.Context, s traffic.Shape) (string, error) {
	path, ok := c.made[s]
	if !ok {
		path = filepath.Join(c.dir, fmt.Sprintf("capture-%d-%d-%d-%d.pcap",
			s.Clients, s.Names, s.Streams, s.Open))
		c.made[s] = path
		if _, err := generated(ctx, s, path); err != nil {
			return "", err
		}
	}
	return path, nil
}

// keep removes all other captures: those of one axis are some gigabytes.
func (c captures) keep(wanted []traffic.Shape) error {
	for s, path := range c.made {
		if slices.Contains(wanted, s) {
			continue
		}
		delete(c.made, s)
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("capture: %w", err)
		}
	}
	return nil
}

// shapes returns the points of an axis for which there are messages enough, and their captures.
func (a axis) shapes(seed uint64, messages int) (points []int, shapes []traffic.Shape) {
	for _, n := range a.points {
		var s traffic.Shape
		if a.shape != nil {
			s = a.shape(n)
		}
		s.Seed, s.Messages = seed, messages
		if s.Validate() == nil {
			points, shapes = append(points, n), append(shapes, s)
		}
	}
	return points, shapes
}

// along runs the sensor at all points of an axis, in turns: there and back again, so that a
// machine that slows down does not bend the curve.
func (o growth) along(ctx context.Context, a axis, all captures, address string) (curve, error) {
	c := curve{axis: a, messages: o.messages}
	var shapes []traffic.Shape
	c.points, shapes = a.shapes(o.seed, o.messages)
	if err := all.keep(shapes); err != nil {
		return c, err
	}
	c.results = make([][]result, len(c.points))
	for round := range o.rounds {
		for i := range c.points {
			if round%2 == 1 {
				i = len(c.points) - 1 - i
			}
			path, err := all.of(ctx, shapes[i])
			if err != nil {
				return c, err
			}
			r, err := o.point(ctx, a, c.points[i], contest{capture: path, messages: o.messages,
				dir: all.dir, partitions: partitions, limits: o.limits}, address)
			if err != nil {
				return c, fmt.Errorf("at %d: %w", c.points[i], err)
			}
			fmt.Fprintf(os.Stderr, "%s, round %d of %d: at %d: %d arrived, %.2f CPU s, %.1f s, %d MiB\n",
				a.name, round+1, o.rounds, c.points[i], r.arrived, r.usage.cpu.Seconds(), r.wall.Seconds(),
				r.usage.rss>>20)
			c.results[i] = append(c.results[i], r)
		}
	}
	return c, nil
}

// point runs the sensor once, which must be well and complete.
func (o growth) point(ctx context.Context, a axis, n int, c contest, address string) (result, error) {
	if a.partitions != nil {
		c.partitions = a.partitions(n)
	}
	r, err := c.one(ctx, a.sensor(o.binary), address)
	if err != nil {
		return r, err
	}
	return r, complete(r, a, c.messages)
}

// complete returns an error unless the run was well and its records are those of all messages.
func complete(r result, a axis, messages int) error {
	least := messages
	if a.joined {
		least /= 2
	}
	switch {
	case r.note != "":
		return errors.New(r.note)
	case r.arrived < int64(least) || r.arrived > int64(messages):
		return fmt.Errorf("%d records of %d messages arrived", r.arrived, messages)
	}
	return nil
}

// curve is what an axis costs.
type curve struct {
	axis
	messages int
	results  [][]result // by point, then round
}

// cpu returns the median CPU seconds for a million messages of the capture at a point. They are not
// counted as records: two messages may be one.
func (c curve) cpu(i int) float64 {
	return median(c.results[i], func(r result) float64 {
		return r.usage.cpu.Seconds() * 1e6 / float64(c.messages)
	})
}

// rss returns the median peak memory at a point in MiB.
func (c curve) rss(i int) float64 {
	return median(c.results[i], func(r result) float64 { return float64(r.usage.rss) / (1 << 20) })
}

// relative returns the CPU at a point divided by the median of all points.
func (c curve) relative(i int) float64 {
	var all []float64
	for i := range c.results {
		all = append(all, c.cpu(i))
	}
	return c.cpu(i) / middle(all)
}

// bend is how many times the median of its curve a point may cost before the curve bends.
const bend = 1.5

func growthTable(curves []curve) table {
	t := table{{"what grows", "at", "records", "CPU s per million messages", "÷ median", "peak RSS MiB"}}
	for _, c := range curves {
		for i, n := range c.points {
			relative := fmt.Sprintf("%.2f", c.relative(i))
			if c.relative(i) > bend {
				relative += " (bends)"
			}
			t = append(t, []string{c.name, thousands(int64(n)), spread(c.results[i], result.count),
				fmt.Sprintf("%.2f", c.cpu(i)), relative, fmt.Sprintf("%.0f", c.rss(i))})
		}
	}
	return t
}

// growthPlot draws the curves: processor time above, memory below.
func growthPlot(curves []curve) string {
	cpu := panel{title: "CPU seconds per million messages"}
	rss := panel{title: "peak RSS, MiB", doubling: true}
	for _, c := range curves {
		l := line{name: c.name, color: c.color, dashed: c.dashed}
		of := func(value func(int) float64) line {
			l := l
			for i, n := range c.points {
				l.dots = append(l.dots, dot{float64(n), value(i)})
			}
			return l
		}
		cpu.lines, rss.lines = append(cpu.lines, of(c.cpu)), append(rss.lines, of(c.rss))
	}
	return plot(cpu, rss)
}
