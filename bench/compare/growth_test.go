// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

func TestEachAxisMeasuresSixPointsOrSo(t *testing.T) {
	for _, a := range axes() {
		points, shapes := a.shapes(1, 2_000_000)
		if len(points) < 5 || len(points) != len(a.points) || len(shapes) != len(points) {
			t.Errorf("%s: points %v", a.name, points)
		}
		if few, _ := a.shapes(1, 1000); len(few) == 0 || a.shape != nil && len(few) >= len(points) {
			t.Errorf("%s with 1000 messages: points %v", a.name, few)
		}
	}
}

func TestDnsluiceIsGivenTheSettingsOfTheAxis(t *testing.T) {
	a := axis{name: "x", args: []string{"--key", "client_ip"}, settings: "ops: {memory: 1GiB}\n"}
	j := job{capture: "c.pcap", dir: t.TempDir(), broker: "b", topic: "t"}
	s := a.sensor("dnsluice")
	if _, err := s.prepare(j); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(j.dir, "dnsluice.yml"))
	if err != nil || string(text) != a.settings {
		t.Errorf("settings %q, error %v", text, err)
	}
	if args := strings.Join(s.args(j), " "); !strings.Contains(args, j.dir+"/dnsluice.yml --read c.pcap") ||
		!strings.HasSuffix(args, "--key client_ip") {
		t.Errorf("arguments %s", args)
	}
}

func TestCapturesThatAreNotWantedAnyMoreAreRemoved(t *testing.T) {
	dir := t.TempDir()
	all := captures{dir: dir, made: map[traffic.Shape]string{}}
	a, b := traffic.Shape{Clients: 1}, traffic.Shape{Clients: 2}
	for _, s := range []traffic.Shape{a, b} {
		all.made[s] = filepath.Join(dir, string(rune('0'+s.Clients)))
		if err := os.WriteFile(all.made[s], nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := all.keep([]traffic.Shape{b}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "2" || len(all.made) != 1 {
		t.Errorf("left %v and %v, error %v", left, all.made, err)
	}
}

// grown are two curves of a million messages a run: one that is flat, and one that bends.
func grown() []curve {
	at := func(cpu ...time.Duration) (rs []result) {
		for _, cpu := range cpu {
			rs = append(rs, result{arrived: 1e6, usage: usage{cpu: cpu, rss: 32 << 20}})
		}
		return rs
	}
	return []curve{
		{axis{name: "flat", points: []int{1, 10}, color: "#123456"}, 1e6,
			[][]result{at(2*time.Second, 9*time.Second, time.Second), at(2 * time.Second)}},
		{axis{name: "bent", points: []int{1, 10, 1000}, color: "#654321", dashed: true}, 1e6,
			[][]result{at(time.Second), at(time.Second), at(2 * time.Second)}},
	}
}

func TestTheTableSaysWhichCurveBends(t *testing.T) {
	const want = `| what grows | at | records | CPU s per million messages | ÷ median | peak RSS MiB |
|---|---:|---:|---:|---:|---:|
| flat | 1 | 1,000,000 | 2.00 | 1.00 | 32 |
| flat | 10 | 1,000,000 | 2.00 | 1.00 | 32 |
| bent | 1 | 1,000,000 | 1.00 | 1.00 | 32 |
| bent | 10 | 1,000,000 | 1.00 | 1.00 | 32 |
| bent | 1,000 | 1,000,000 | 2.00 | 2.00 (bends) | 32 |
`
	if got := growthTable(grown()).markdown(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestThePlotIsWellFormedAndStaysWithinItself(t *testing.T) {
	for name, curves := range map[string][]curve{"measured": grown(), "empty": nil} {
		text := growthPlot(curves)
		d := xml.NewDecoder(strings.NewReader(text))
		circles := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", name, err, text)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
				circles++
			}
		}
		points := 0
		for _, c := range curves {
			points += len(c.points)
		}
		if circles != 2*points { // one in each panel
			t.Errorf("%s: %d circles for %d points", name, circles, points)
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") || strings.Contains(text, "%!") {
			t.Errorf("%s: no numbers in\n%s", name, text)
		}
	}
}

func TestThePlotPutsValuesWhereTheyBelong(t *testing.T) {
	p := panel{lines: []line{{dots: []dot{{1, 0.5}, {1000, 3}}}}}
	x, y := p.across(), p.up()
	for _, c := range []struct{ got, want float64 }{
		{x.at(1), plotLeft}, {x.at(1000), plotRight}, {x.at(10), plotLeft + (plotRight-plotLeft)/3.0},
		{y.at(0), panelTop + panelHeight}, {y.at(3), panelTop}, {y.at(1.5), panelTop + panelHeight/2.0},
	} {
		if diff := c.got - c.want; diff > 0.01 || diff < -0.01 {
			t.Errorf("at %.2f, want %.2f", c.got, c.want)
		}
	}
	p.doubling = true
	p.lines[0].dots[0].y, p.lines[0].dots[1].y = 20, 100
	if y := p.up(); y.at(16) != panelTop+panelHeight || y.at(128) != panelTop ||
		len(y.ticks) != 4 {
		t.Errorf("from 20 to 100: %+v", y)
	}
}

func TestNumbersAtAnAxisAreShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", 1000: "1000", 1024: "1024", 1e4: "10k",
		1e5: "100k", 1e6: "1M"} {
		if got := short(v); got != want {
			t.Errorf("%g is %s, want %s", v, got, want)
		}
	}
}

// point runs a script in the place of dnsluice.
func runPoint(t *testing.T, script string, joined bool) error {
	t.Helper()
	b, err := os.Create(filepath.Join(t.TempDir(), "dnsluice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.WriteString("#!/bin/sh\n" + script); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Chmod(0o700), b.Close()); err != nil {
		t.Fatal(err)
	}
	// A sensor that writes a file: what arrives is counted as lines, with no broker.
	s := axis{}.sensor(b.Name())
	s.file, s.prints = true, true
	c := contest{capture: "none", messages: 4, dir: t.TempDir(), limits: brief}
	r, err := c.one(context.WithoutCancel(t.Context()), s, "")
	if err != nil {
		t.Fatal(err)
	}
	return complete(r, axis{joined: joined}, 4)
}

func TestAPointThatFailedOrIsNotCompleteIsNotTaken(t *testing.T) {
	for _, c := range []struct {
		name, script string
		joined, ok   bool
	}{
		{"all records", "echo a; echo b; echo c; echo d", false, true},
		{"one is missing", "echo a; echo b; echo c", false, false},
		{"pairs", "echo a; echo b", true, true},
		{"one pair is missing", "echo a", true, false},
		{"it failed", "echo a; echo b; echo c; echo d; exit 1", false, false},
	} {
		if err := runPoint(t, c.script, c.joined); (err == nil) != c.ok {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func TestOptionsOfCurvesThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "-dnsluice must be given",
		"-dnsluice x -rounds 0":    "at least 1",
		"-dnsluice x -n 0":         "at least 1",
		"-dnsluice x unexpected":   "unexpected",
		"-dnsluice x -only nobody": "no axis",
	} {
		if _, err := parseGrowth(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}
