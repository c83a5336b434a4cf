// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"time"
)

// alone are the options of a command that measures dnsluice without other sensors.
type alone struct {
	seed     uint64
	messages int
	rounds   int
	limits   limits
	within   time.Duration
	binary   string
	dir      string
	out      string
}

// flags declares them. What they are already is their default.
func (o *alone) flags(f *flag.FlagSet) {
	f.Uint64Var(&o.seed, "seed", 1, "`number` that the captures follow from")
	f.IntVar(&o.messages, "n", o.messages,
		"DNS `messages`: for curves in each capture, and points that need more are left out; "+
			"for lanes in both captures together")
	f.IntVar(&o.rounds, "rounds", o.rounds, "runs at each point, or of each setting")
	f.StringVar(&o.binary, "dnsluice", "", "`binary` of dnsluice")
	f.StringVar(&o.dir, "dir", "", "`folder` for the captures, removed at the end")
	f.StringVar(&o.out, "o", "", "Markdown `file` to write the result into, between its marks")
	f.DurationVar(&o.limits.run, "limit", o.limits.run, "how long one run may take")
	f.DurationVar(&o.within, "within", o.within, "how long all of it may take")
}

// parse reads args and checks what the commands have in common.
func (o *alone) parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("unknown argument %q", f.Arg(0))
	case o.binary == "":
		return errors.New("-dnsluice must be given")
	case o.rounds < 1 || o.messages < 1:
		return errors.New("-rounds and -n must be at least 1")
	}
	return nil
}
