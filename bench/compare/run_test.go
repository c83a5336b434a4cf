// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell is a sensor that is a script; it finds capture and folder in $1 and $2.
func shell(script string) sensor {
	return sensor{program: "shell", setting: "test", binary: "/bin/sh", file: true, prints: true,
		args: func(j job) []string { return []string{"-c", script, "sh", j.capture, j.dir} }}
}

func runShell(t *testing.T, s sensor, l limits) (result, error) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	capture := filepath.Join(dir, "capture.pcap")
	if err := os.WriteFile(capture, []byte("a capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := contest{capture: capture, messages: 3, dir: dir, rounds: 1, limits: l}
	r, err := c.one(t.Context(), s, "")
	left, globErr := filepath.Glob(filepath.Join(dir, "run-*"))
	if globErr != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, globErr)
	}
	return r, err
}

// brief are limits under which nothing here is slow.
var brief = limits{run: time.Minute, quiet: 200 * time.Millisecond, look: 10 * time.Millisecond,
	patience: 200 * time.Millisecond}

func TestASensorEndsOrIsEnded(t *testing.T) {
	for _, c := range []struct {
		name, script string
		change       func(*limits)
		arrived      int64
		note         string
	}{
		{"one that ends by itself", "echo a; echo; echo b; echo c", nil, 3, ""},
		{"one that fails", "echo a; echo no broker >&2; exit 3", nil, 1, "no broker"},
		{"one that rests at the end", "echo a; exec sleep 600", nil, 1, endedQuiet},
		{"one that does not listen", "trap '' TERM; echo a; while :; do sleep 0.05; done", nil, 1, endedQuiet},
		{"one that holds the capture and never reads it", "exec 3<$1; echo a; exec sleep 600",
			func(l *limits) { l.run = 600 * time.Millisecond }, 1, endedLate},
		{"one that has read the capture and holds it", "exec 3<$1; cat <&3 >/dev/null; echo a; exec sleep 600",
			nil, 1, endedQuiet},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := brief
			if c.change != nil {
				c.change(&l)
			}
			r, err := runShell(t, shell(c.script), l)
			if err != nil {
				t.Fatal(err)
			}
			if r.arrived != c.arrived || !strings.Contains(r.note, c.note) || c.note == "" && r.note != "" {
				t.Errorf("%d records arrived, note %q; want %d, %q", r.arrived, r.note, c.arrived, c.note)
			}
			if r.usage.rss <= 0 || r.wall < 0 || r.wall > 30*time.Second {
				t.Errorf("cost %+v, wall %v", r.usage, r.wall)
			}
		})
	}
}

func TestTheCostIsTheChilds(t *testing.T) {
	r, err := runShell(t, shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo a"), brief)
	if err != nil {
		t.Fatal(err)
	}
	if r.usage.cpu < time.Millisecond {
		t.Errorf("%v of processor time for a hundred thousand turns", r.usage.cpu)
	}
}

func TestAnInterruptEndsTheChild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	j := job{capture: filepath.Join(dir, "none"), dir: dir}
	s := shell("echo $$ > $2/pid; exec sleep 600")
	s.prints = false
	asked := func(context.Context) (int64, error) {
		if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
			cancel()
		}
		return 0, nil
	}
	l := brief
	l.quiet = time.Minute
	if _, err := run(ctx, s, j, arrivals{progress: asked, records: asked}, l); err == nil {
		t.Error("an interrupted run has a result")
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
		t.Error("the child lives on")
	}
}

func TestABaselineThatFailsFailsTheComparison(t *testing.T) {
	s := shell("exit 1")
	s.measure = "it"
	c := contest{capture: "none", messages: 3, dir: t.TempDir(), rounds: 1, limits: brief, progress: os.Stderr}
	if _, err := c.hold(t.Context(), toFile, []sensor{s}, ""); err == nil {
		t.Error("a baseline that failed was taken")
	}
}

func TestLinesAreCountedAcrossReadsAndEmptyOnesAreNot(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	for text, want := range map[string]int64{
		"":                             0,
		"\n\n\n":                       0,
		"a\nb\n":                       2,
		"a\n\n\nb\n":                   2,
		"cut off":                      0,
		long + "\n" + long + "\n\nz\n": 3,
		strings.Repeat("y\n", 200<<10): 200 << 10,
		strings.Repeat("y", 256<<10-1) + "\n\nz\n": 2,
		strings.Repeat("y", 256<<10) + "\nz\n":     2,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := lines(dir); err != nil || n != want {
			t.Errorf("%d lines in %.20q... of %d bytes, want %d, error %v", n, text, len(text), want, err)
		}
	}
}
