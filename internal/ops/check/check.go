// SPDX-License-Identifier: Apache-2.0

// Package check looks, before a sensor is started, at all that it needs: configuration, machine,
// cluster. Each check is a row of a table: a name, a function that looks at one thing, and what
// to do when that thing is not as it must be. It changes nothing, but for probe files and sockets
// that it removes again, and one canary record where that is wanted.
package check

import (
	"context"
	"fmt"
	"time"
)

// Level is how well a thing is.
type Level uint8

// The levels, from good to bad.
const (
	OK      Level = iota
	Skipped       // not looked at: it is not configured, or what it needs has failed
	Warning       // a sensor works, and somebody should know
	Failure       // a sensor would not work, or not for long
)

var levelNames = [...]string{OK: "ok", Skipped: "skipped", Warning: "warning", Failure: "failure"}

// String returns the word that is printed.
func (l Level) String() string { return levelNames[l] }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Result is what a check found.
type Result struct {
	Level Level
	Found string // what there is, one line
	Do    string // what to do about it; empty: what the check advises
}

func ok(format string, args ...any) Result { return result(OK, format, args) }

func skipped(format string, args ...any) Result { return result(Skipped, format, args) }

func warning(format string, args ...any) Result { return result(Warning, format, args) }

func failure(format string, args ...any) Result { return result(Failure, format, args) }

func result(level Level, format string, args []any) Result {
	return Result{Level: level, Found: fmt.Sprintf(format, args...)}
}

// but returns r with another advice.
func (r Result) but(format string, args ...any) Result {
	r.Do = fmt.Sprintf(format, args...)
	return r
}

// Check is one thing to look at.
type Check struct {
	Group  string // configuration, machine or cluster
	Name   string
	Needs  string // a check before it without whose success it says nothing new; empty for none
	Run    func(context.Context) Result
	Advice string // what to do when it is not well
}

// Line is a check that was made.
type Line struct {
	Group string        `json:"group"`
	Name  string        `json:"name"`
	Level Level         `json:"level"`
	Found string        `json:"found"`
	Do    string        `json:"do,omitempty"` // only of warnings and failures
	Took  time.Duration `json:"took_ns"`
}

// Run makes the checks, one after the other, each for at most patience, and hands each line on
// as soon as it is there. It returns the worst level of all. A check that does not end in time
// is a failure; its function is left alone then, and must keep to its context.
func Run(ctx context.Context, checks []Check, patience time.Duration, report func(Line)) Level {
	worst := OK
	bad := map[string]bool{} // names of checks that failed or were skipped for that
	for _, c := range checks {
		start := time.Now()
		r := skipped("because of %s", c.Needs)
		if !bad[c.Needs] {
			r = c.within(ctx, patience)
		}
		line := Line{Group: c.Group, Name: c.Name, Level: r.Level, Found: r.Found, Took: time.Since(start)}
		if r.Level >= Warning {
			line.Do = r.Do
			if line.Do == "" {
				line.Do = c.Advice
			}
		}
		if r.Level == Failure || bad[c.Needs] {
			bad[c.Name] = true
		}
		worst = max(worst, r.Level)
		report(line)
	}
	return worst
}

// within makes one check in its time.
func (c Check) within(ctx context.Context, patience time.Duration) Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan Result, 1)
	go func() { done <- c.Run(ctx) }()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
	}
	select {
	case r := <-done: // it ended with the context, and knows more
		return r
	case <-time.After(grace):
		return failure("no result within %s", patience)
	}
}

// grace is for how long a check whose time is over may say what it waited for.
const grace = 200 * time.Millisecond
