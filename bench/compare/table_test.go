// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ran(arrived int64, cpu, wall time.Duration) result {
	return result{arrived: arrived, wall: wall, usage: usage{cpu: cpu, rss: 20_000_000}}
}

func contested() field {
	return field{sink: toFile, messages: 1000,
		sensors: []sensor{{program: "a", setting: "x", measure: "a x"}, {program: "b", setting: "y"},
			{program: "c", setting: "z"}},
		results: [][]result{
			{ran(1000, time.Second, time.Second), ran(1000, 4*time.Second, 2*time.Second), ran(1000, 2*time.Second, time.Second)},
			// The ratios are 3, 1 and 2 in pairs, while the ratio of the medians is 2.
			{ran(1000, 3*time.Second, time.Second), ran(500, 2*time.Second, time.Second), ran(1000, 4*time.Second, time.Second)},
			{ran(0, time.Second, 0), ran(0, time.Second, 0), ran(0, time.Second, 0)},
		}}
}

func TestTheTableSaysWhatArrivedAndWhatItCost(t *testing.T) {
	const want = `| sensor | arrived of 1,000 | lost | CPU s per million | records/s | wall s | peak RSS MB | CPU ÷ a x |
|---|---:|---:|---:|---:|---:|---:|---:|
| a, x | 1,000 | none | 2000.00 | 1,000 | 1.0 | 20 | 1.00 |
| b, y | 500 to 1,000 | 0 to 50 % | 4000.00 | 1,000 | 1.0 | 20 | 2.00 |
| c, z | 0 | 100 % | - | - | - | 20 | - |
`
	if got := contested().table().markdown(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTheTextHasItsColumnsInLine(t *testing.T) {
	text := strings.Split(strings.TrimSpace(contested().table().text()), "\n")
	for _, line := range text {
		if len([]rune(line)) != len([]rune(text[0])) {
			t.Errorf("%q is not as wide as %q", line, text[0])
		}
	}
}

func TestTheMiddleOfValues(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{5}, 5}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := middle(c.values); got != c.want {
			t.Errorf("of %v: %v, want %v", c.values, got, c.want)
		}
	}
}

func TestNumbersHaveSeparators(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000",
		-999: "-999", 2_000_042: "2,000,042"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestAPageIsWrittenBetweenItsMarks(t *testing.T) {
	markBegin, markEnd := marks("compare")
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+markBegin+"old\n"+markEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := write(page, "compare", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if want := "before\n" + markBegin + "\nnew\n\n" + markEnd + "after\n"; err != nil || string(got) != want {
		t.Errorf("got %q, error %v, want %q", got, err, want)
	}
	if err := os.WriteFile(page, []byte("a page without marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(page, "compare", "new"); err == nil {
		t.Error("a page without marks was overwritten")
	}
}

func TestTheReportNamesVersionsAndCommandsWithoutPaths(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := report{rounds: 1, sensors: binaries{self, self, self, self}.sensors()}
	text, err := r.markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dnsluice read capture.pcap", "watch-dir: captures\n", "go1.",
		"-enc pb -comp snappy", "--kafkacompressiontype snappy", "remote-port: 19092"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, os.TempDir()+"/") {
		t.Errorf("a path of this machine in\n%s", text)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "-dnsluice must be given",
		"-dnsluice x -rounds 0":               "at least 1",
		"-dnsluice x -n -5":                   "at least 1",
		"-dnsluice x stray":                   "stray",
		"-dnsluice x -brokers 192.0.2.1:9092": "loopback",
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}
