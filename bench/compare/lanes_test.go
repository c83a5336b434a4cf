// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOptionsOfLanesThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                       "-dnsluice must be given",
		"-dnsluice x -rounds 0":  "at least 1",
		"-dnsluice x -n 1":       "-n 2",
		"-dnsluice x unexpected": "unexpected",
	} {
		_, err := parseLanes(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}

// paired are two rounds, in the second of which the machine is half as fast.
func paired() laneReport {
	const s = time.Second
	r := laneReport{settings: laneSettings("")[2:], results: [][]laneResult{
		{{4 * s, 3 * s, s, 50e6}, {8 * s, 6 * s, s, 50e6}},
		{{2 * s, 3 * s, s, 60e6}, {5 * s, 9 * s, 2 * s, 70e6}},
	}}
	r.messages = 1e6
	return r
}

func TestTwoLanesAreDividedByOneRoundByRound(t *testing.T) {
	const want = `| records to | messages/s | ÷ one lane | CPU s per million | ÷ one lane | broker's CPU s per million | peak RSS MB |
|---|---:|---:|---:|---:|---:|---:|
| embedded broker, one lane, one core | 187,500 | 1.00 | 4.50 | 1.00 | 1.00 | 50 |
| embedded broker, two lanes, two cores | 350,000 | 1.80 | 6.00 | 1.25 | 1.50 | 65 |
`
	if got := paired().table().markdown(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestEachLaneHasWhatItNeeds(t *testing.T) {
	for _, s := range laneSettings("x") {
		files, dir := "", t.TempDir()
		for i, sensor := range s.sensors {
			j := job{capture: "c/" + firstFile, dir: filepath.Join(dir, string(rune('0'+i)))}
			if err := os.Mkdir(j.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			text, err := sensor.prepare(j)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[int]string{1: "lanes: 1\n", 2: "lanes: 2\n"}[s.lanes]; s.broker &&
				!strings.HasSuffix(text, want) {
				t.Errorf("%s: settings %q, want %q", s.name(), text, want)
			}
			for _, arg := range sensor.args(j) {
				if strings.HasSuffix(arg, ".pcap") {
					files += arg + " "
				}
			}
			out, err := os.Readlink(filepath.Join(j.records(), "records.json"))
			if !s.broker && (err != nil || out != os.DevNull) {
				t.Errorf("%s: prints to %q, error %v", s.name(), out, err)
			}
		}
		if want := "c/" + firstFile + " c/" + secondFile + " "; files != want {
			t.Errorf("%s reads %s, want %s", s.name(), files, want)
		}
	}
}

func scripted(script string) sensor {
	s := shell(script)
	s.prints = false
	s.prepare = func(job) (string, error) { return "", nil }
	return s
}

func TestLanesRunAtTheSameTimeOnAProcessorEach(t *testing.T) {
	cpus, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	if len(cpus) < 2 {
		missing(t, "two processors")
	}
	// Each waits until the other is there, and ends only on a processor of its own.
	meet := `touch $2/here; until [ -e $2/../0/here ] && [ -e $2/../1/here ]; do sleep 0.01; done
		[ $(nproc) = 1 ]`
	l := limits{run: 20 * time.Second, patience: time.Second}
	run := func(scripts ...sensor) (laneResult, error) {
		return together(t.Context(), scripts, job{dir: t.TempDir()}, cpus[:2], l)
	}
	r, err := run(scripted(meet), scripted(meet))
	if err != nil || r.wall <= 0 || r.rss <= 0 {
		t.Errorf("%+v, error %v", r, err)
	}
	if _, err := run(scripted("[ $(nproc) = 2 ]")); err != nil {
		t.Error(err)
	}
}

func TestALaneThatFailsOrDoesNotEndHasNoResult(t *testing.T) {
	cpus, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	l := limits{run: 200 * time.Millisecond, patience: time.Second}
	for script, want := range map[string]string{
		"echo no room >&2; exit 3": "no room",
		"exec sleep 600":           "not done within 200ms",
	} {
		_, err := together(t.Context(), []sensor{scripted(script)}, job{dir: t.TempDir()}, cpus[:1], l)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", script, err, want)
		}
	}
}

// missing skips a test for want of something, which is a failure where all must run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}
