// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/broker"
	"github.com/dnsluice/dnsluice/bench/compare/sender"
	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// command also is the helpers that the comparison starts as processes of their own: making the
// capture here would make this process large, and every child would be said to be as large.
func command(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "broker" {
		port := 0
		if len(args) > 1 {
			if _, err := fmt.Sscan(args[1], &port); err != nil {
				return fmt.Errorf("broker: port %q: %w", args[1], err)
			}
		}
		return broker.Serve(port, os.Stdout, os.Stdin)
	}
	if len(args) > 0 && args[0] == "generate" {
		return generate(args[1:])
	}
	if len(args) > 0 && args[0] == "curves" {
		o, err := parseGrowth(args[1:])
		if err != nil {
			return err
		}
		return within(ctx, o.within, o.measure)
	}
	if len(args) > 0 && args[0] == "lanes" {
		o, err := parseLanes(args[1:])
		if err != nil {
			return err
		}
		return within(ctx, o.within, o.measure)
	}
	if len(args) > 0 && args[0] == "profile" {
		o, err := parseProfile(args[1:])
		if err != nil {
			return err
		}
		return within(ctx, o.within, o.measure)
	}
	if len(args) == 3 && args[0] == "send" {
		return sender.Serve(args[1], args[2], os.Stdin, os.Stdout)
	}
	if len(args) > 0 && args[0] == "live" {
		return live(ctx, args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return within(ctx, o.within, o.compare)
}

// within does something that must not take longer than it may.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("not done within %v (-within)", limit))
	defer cancel()
	err := do(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return errors.Join(cause, err)
	}
	return err
}

// generate writes a capture, and its manifest as JSON to standard output.
func generate(args []string) error {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	var shape traffic.Shape
	flags.Uint64Var(&shape.Seed, "seed", 1, "`number` that the capture follows from")
	flags.IntVar(&shape.Messages, "n", 2_000_000, "DNS `messages`")
	flags.IntVar(&shape.Clients, "clients", 0, "clients, in turn, or 0: as at a resolver")
	flags.IntVar(&shape.Names, "names", 0, "names, in turn, or 0")
	flags.IntVar(&shape.Streams, "streams", 0, "TCP connections open at a time, for all messages, or 0")
	flags.IntVar(&shape.Open, "open", 0, "queries that wait for their responses at a time, or 0")
	out := flags.String("o", "capture.pcap", "`file` to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	f, err := os.Create(*out)
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	m, err := traffic.Write(f, shape)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("generate %s: %w", *out, err)
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// options are those of the comparison.
type options struct {
	seed     uint64
	messages int
	rounds   int
	limits   limits
	within   time.Duration
	binaries binaries
	kafka    string
	dir      string
	out      string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.Uint64Var(&o.seed, "seed", 1, "`number` that the capture follows from")
	f.IntVar(&o.messages, "n", 2_000_000, "DNS `messages` in the capture")
	f.IntVar(&o.rounds, "rounds", 5, "runs of each sensor")
	o.binaries.flags(f)
	f.StringVar(&o.binaries.sketch, "sketch", "", "`binary` of a yardstick, which takes "+
		"-f -enc -comp -topic and sends to "+sketchBroker)
	f.StringVar(&o.kafka, "brokers", "", "`host:port` of a real Kafka on this machine, as a sink too")
	f.StringVar(&o.dir, "dir", "", "`folder` for the capture and the records, removed at the end")
	f.StringVar(&o.out, "o", "", "Markdown `file` to write the result into, between its marks")
	f.DurationVar(&o.limits.run, "limit", 10*time.Minute, "how long one run may take")
	f.DurationVar(&o.limits.quiet, "quiet", 5*time.Second,
		"how long a sensor may rest at the end before it is ended")
	f.DurationVar(&o.within, "within", 4*time.Hour, "how long all of it may take")
	o.limits.look, o.limits.patience = 100*time.Millisecond, 15*time.Second
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if o.binaries.dnsluice == "" {
		return o, errors.New("the other sensors are compared with dnsluice: -dnsluice must be given")
	}
	if o.rounds < 1 || o.messages < 1 {
		return o, errors.New("-rounds and -n must be at least 1")
	}
	if o.kafka != "" {
		return o, broker.Loopback(o.kafka)
	}
	return o, nil
}

// compare is the whole of it.
func (o options) compare(ctx context.Context) (err error) {
	o.binaries, err = o.binaries.absolute()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "dnsluice-compare-")
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// A child's open files are known by the name that has no symbolic link in it.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	r := report{rounds: o.rounds, sensors: o.binaries.sensors()}
	capture := filepath.Join(dir, "capture.pcap")
	shape := traffic.Shape{Seed: o.seed, Messages: o.messages}
	if r.manifest, err = generated(ctx, shape, capture); err != nil {
		return err
	}
	c := contest{capture: capture, messages: o.messages, dir: dir, rounds: o.rounds,
		partitions: partitions, limits: o.limits, progress: os.Stderr}
	if r.fields, err = o.contests(ctx, c, r.sensors); err != nil {
		return err
	}
	for _, f := range r.fields {
		fmt.Printf("\nTo %s, medians of %d:\n\n%s%s", f.sink, o.rounds, f.table().text(), f.notes())
	}
	if o.out == "" {
		return nil
	}
	text, err := r.markdown()
	if err != nil {
		return err
	}
	return write(o.out, ofCompare, text)
}

// contests holds one contest for each sink.
func (o options) contests(ctx context.Context, c contest, all []sensor) ([]field, error) {
	var fields []field
	to := func(s sink, address string, takes func(sensor) bool) error {
		var some []sensor
		for _, sensor := range all {
			if takes(sensor) {
				some = append(some, sensor)
			}
		}
		f, err := c.hold(ctx, s, some, address)
		fields = append(fields, f)
		return err
	}
	if err := to(toFile, "", func(s sensor) bool { return s.file }); err != nil {
		return nil, err
	}
	port := "0"
	if o.binaries.sketch != "" {
		port = sketchBroker[strings.LastIndexByte(sketchBroker, ':')+1:]
	}
	b, err := embedded(ctx, port)
	if err != nil {
		return nil, err
	}
	err = to(toEmbedded, b.address, func(s sensor) bool { return !s.file })
	if err := errors.Join(err, b.stop()); err != nil {
		return nil, err
	}
	if o.kafka == "" {
		return fields, nil
	}
	return fields, to(toKafka, o.kafka, func(s sensor) bool {
		return !s.file && (s.broker == "" || s.broker == o.kafka)
	})
}

// generated has a capture made, by a process of its own.
func generated(ctx context.Context, s traffic.Shape, path string) (traffic.Manifest, error) {
	fmt.Fprintf(os.Stderr, "making a capture of %d messages\n", s.Messages)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "generate", "-seed", fmt.Sprint(s.Seed),
		"-n", fmt.Sprint(s.Messages), "-clients", fmt.Sprint(s.Clients), "-names", fmt.Sprint(s.Names),
		"-streams", fmt.Sprint(s.Streams), "-open", fmt.Sprint(s.Open), "-o", path)
	cmd.Stderr = os.Stderr
	var m traffic.Manifest
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		return m, fmt.Errorf("capture: %w", err)
	}
	return m, nil
}

// server is the embedded broker, a process of its own.
type server struct {
	address string
	cmd     *exec.Cmd
	in      io.Closer
}

// embedded starts the embedded broker.
func embedded(ctx context.Context, port string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, "/proc/self/exe", "broker", port)}
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	s.address, err = bufio.NewReader(out).ReadString('\n')
	if err == io.EOF {
		err = errors.New("it ended at once")
	}
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", errors.Join(err, s.stop()))
	}
	s.address = strings.TrimSpace(s.address)
	return s, nil
}

// stop ends the broker.
func (s *server) stop() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }

// flags are those that name the sensors.
func (b *binaries) flags(f *flag.FlagSet) {
	f.StringVar(&b.dnsluice, "dnsluice", "", "`binary` of dnsluice")
	f.StringVar(&b.dnsmonster, "dnsmonster", "", "`binary` of dnsmonster")
	f.StringVar(&b.collector, "dnscollector", "", "`binary` of DNS-collector")
}

// absolute returns the binaries by names that hold in any folder, and fails if one is not there.
func (b binaries) absolute() (binaries, error) {
	for _, path := range []*string{&b.dnsluice, &b.dnsmonster, &b.collector, &b.sketch} {
		if *path == "" {
			continue
		}
		found, err := exec.LookPath(*path)
		if err == nil {
			found, err = filepath.Abs(found)
		}
		if err != nil {
			return b, fmt.Errorf("binary: %w", err)
		}
		*path = found
	}
	return b, nil
}
