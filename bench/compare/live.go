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
	"strconv"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/sender"
	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

// liveOptions are those of the comparison on an interface.
type liveOptions struct {
	seed     uint64
	messages int
	rounds   int
	rates    []int // packets a second; 0 is as fast as the sender can
	last     time.Duration
	rings    []int // MiB for each lane
	ringRate int
	search   time.Duration
	limits   limits
	within   time.Duration
	binaries binaries
	dir      string
	out      string
}

func parseLive(args []string) (liveOptions, error) {
	o := liveOptions{rates: []int{100_000, 250_000, 500_000, 0}, rings: []int{2, 4, 8, 32}}
	f := flag.NewFlagSet("live", flag.ContinueOnError)
	f.Uint64Var(&o.seed, "seed", 1, "`number` that the frames follow from")
	f.IntVar(&o.messages, "n", 200_000, "DNS `messages` in the frames, which are sent over and over")
	f.IntVar(&o.rounds, "rounds", 3, "runs of each sensor")
	list(f, &o.rates, "rates", "packets a second, as 250k,max", parseRate)
	f.DurationVar(&o.last, "for", 8*time.Second, "how long frames are sent in a run")
	list(f, &o.rings, "rings", "rings to try, in `MiB` for each lane; none if empty", strconv.Atoi)
	f.IntVar(&o.ringRate, "ring-rate", 250_000, "packets a second when rings are tried")
	f.DurationVar(&o.search, "search", 4*time.Second,
		"how long each rate is tried to find the highest that a core sustains; 0 is not at all")
	o.binaries.flags(f)
	f.StringVar(&o.dir, "dir", "", "`folder` for frames, logs and settings, removed at the end")
	f.StringVar(&o.out, "o", "", "Markdown `file` to write the result into, between its marks")
	f.DurationVar(&o.limits.quiet, "quiet", 3*time.Second,
		"how long nothing may arrive before it counts as all")
	f.DurationVar(&o.within, "within", time.Hour, "how long all of it may take")
	o.limits.look, o.limits.patience = 50*time.Millisecond, 15*time.Second
	o.limits.run = 20 * time.Second // until the first record
	o.limits.late = time.Minute     // a ring and queues of some hundred thousand packets
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	case o.binaries.dnsluice == "":
		return o, errors.New("the other sensors are compared with dnsluice: -dnsluice must be given")
	case o.rounds < 1 || o.messages < 1 || o.ringRate < 1 || o.last <= 0 || o.search < 0:
		return o, errors.New("-rounds, -n, -ring-rate and -for must be more than nothing")
	}
	return o, nil
}

// list is a flag that holds values with commas between them.
func list(f *flag.FlagSet, to *[]int, name, help string, parse func(string) (int, error)) {
	f.Func(name, help, func(text string) error {
		*to = nil
		for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			n, err := parse(item)
			if err != nil || n < 0 {
				return fmt.Errorf("%q is none", item)
			}
			*to = append(*to, n)
		}
		return nil
	})
}

// parseRate reads 250000, 250k or max.
func parseRate(text string) (int, error) {
	if text == "max" {
		return 0, nil
	}
	number, thousands := strings.CutSuffix(text, "k")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("rate %q: must be a number, with k for thousands, or max", text)
	}
	if thousands {
		n *= 1000
	}
	return n, nil
}

func rateName(rate int) string {
	if rate == 0 {
		return "as fast as the sender can"
	}
	return thousands(int64(rate)) + " packets a second"
}

// live runs the comparison on an interface.
func live(ctx context.Context, args []string) error {
	o, err := parseLive(args)
	if err != nil {
		return err
	}
	if o.binaries, err = o.binaries.absolute(); err != nil {
		return err
	}
	if os.Getenv(isolated) == "" {
		return isolate(args)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.within,
		fmt.Errorf("not done within %v (-within)", o.within))
	defer cancel()
	err = inFolder(o.dir, func(dir string) error { return o.run(ctx, dir) })
	if cause := context.Cause(ctx); cause != nil {
		return errors.Join(cause, err)
	}
	return err
}

// run is the whole of it, in a namespace of its own.
func (o liveOptions) run(ctx context.Context, dir string) error {
	if err := sender.Up("lo"); err != nil {
		return err
	}
	r := liveReport{rounds: o.rounds, last: o.last, search: o.search, sensors: o.binaries.live()}
	err := o.measure(ctx, dir, &r)
	fmt.Print("\n" + r.text()) // also of a part
	if err != nil || o.out == "" {
		return err
	}
	text, err := r.markdown()
	if err != nil {
		return err
	}
	return write(o.out, ofLive, text)
}

func (o liveOptions) measure(ctx context.Context, dir string, r *liveReport) error {
	capture := filepath.Join(dir, "frames.pcap")
	var err error
	if r.manifest, err = generated(ctx, traffic.Shape{Seed: o.seed, Messages: o.messages}, capture); err != nil {
		return err
	}
	all := o.place(dir, capture, nil, nil)
	err = all(ctx, func(st stage) error { return o.fields(ctx, st, r) })
	if err != nil || o.search == 0 {
		return err
	}
	cpus, err := allowed()
	if err != nil {
		return err
	}
	if len(cpus) < 2 {
		return errors.New("what a core sustains needs another for the sender: -search 0")
	}
	last := len(cpus) - 1
	apart := o.place(dir, capture, cpus[:last], cpus[last:])
	return apart(ctx, func(st stage) error {
		st.limits.late = late
		return o.searches(ctx, st, r)
	})
}

// place returns what makes a stage, does something there and clears it away: with broker and sender
// on some processors, and the sensor on others.
func (o liveOptions) place(dir, capture string, theirs, sensors []int) func(
	context.Context, func(stage) error) error {
	return func(ctx context.Context, do func(stage) error) (err error) {
		st := stage{dir: dir, limits: o.limits, cpus: sensors}
		var b *server
		if err := pinned(theirs, func() (err error) {
			b, err = embedded(ctx, "0")
			return err
		}); err != nil {
			return err
		}
		st.broker = b.address
		defer func() { err = errors.Join(err, b.stop()) }()
		if st.source, err = newSource(ctx, capture, theirs); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.source.stop()) }()
		return do(st)
	}
}

// fields runs the sensors at each rate, and then dnsluice with each ring.
func (o liveOptions) fields(ctx context.Context, st stage, r *liveReport) error {
	for _, rate := range o.rates {
		f, err := o.hold(ctx, st, r.sensors, rate)
		if err != nil {
			return err
		}
		r.fields = append(r.fields, f)
	}
	if len(o.rings) == 0 {
		return nil
	}
	var rings lineup
	for _, ring := range o.rings {
		rings.add(o.binaries.dnsluice, liveLuice(1, ring))
	}
	var err error
	r.rings, err = o.hold(ctx, st, rings, o.ringRate)
	return err
}

// hold runs every sensor once a round, in turns as contest.hold does.
func (o liveOptions) hold(ctx context.Context, st stage, sensors []sensor, rate int) (
	liveField, error) {
	f := liveField{rate: rate, sensors: sensors, results: make([][]liveResult, len(sensors))}
	for round := range o.rounds {
		for _, i := range turn(round, len(sensors)) {
			r, err := st.one(ctx, sensors[i], sender.Request{Rate: rate, For: o.last})
			if err != nil {
				return f, err
			}
			fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s: %s\n", rateName(rate), round+1, o.rounds,
				sensors[i].name(), r)
			f.results[i] = append(f.results[i], r)
		}
	}
	return f, nil
}

// String is a line of progress.
func (r liveResult) String() string {
	return fmt.Sprintf("%d of %d arrived, %d dropped by the kernel, %.2f CPU s, %.0f packets "+
		"a second%s", r.arrived, r.messages, r.kernel, r.usage.cpu.Seconds(), r.speed(),
		prefixed("; ", r.note))
}

// searches finds what each sensor sustains on one core. Two lanes on one core are none.
func (o liveOptions) searches(ctx context.Context, st stage, r *liveReport) error {
	r.alone = slices.DeleteFunc(slices.Clone(r.sensors), func(s sensor) bool {
		return s.program == "dnsluice" && s.setting != r.sensors[0].setting
	})
	r.found = make([][]sustained, len(r.alone))
	for round := range o.rounds {
		for _, i := range turn(round, len(r.alone)) {
			s := r.alone[i]
			top := searchTop
			if round > 0 {
				top = r.found[i][round-1].next()
			}
			found, err := search(top, func(rate int) (int, string, error) {
				got, err := st.one(ctx, s, sender.Request{Rate: rate, For: o.search})
				if err != nil {
					return 0, "", err
				}
				fmt.Fprintf(os.Stderr, "one core, round %d of %d: %s at %d: %s\n", round+1, o.rounds,
					s.name(), rate, got)
				return int(got.speed()), got.loss(), nil
			})
			if err != nil {
				return err
			}
			r.found[i] = append(r.found[i], found)
		}
	}
	return nil
}

// liveReport is the page that it results in.
type liveReport struct {
	manifest traffic.Manifest
	rounds   int
	last     time.Duration
	search   time.Duration
	sensors  []sensor
	fields   []liveField
	rings    liveField // without sensors if none were tried
	alone    []sensor
	found    [][]sustained // of alone, by round
}
