// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOptionsOfLive(t *testing.T) {
	o, err := parseLive(strings.Fields("-dnsluice x -rates 100k,2500,max -rings 4,64"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.rates, []int{100_000, 2500, 0}) || !slices.Equal(o.rings, []int{4, 64}) {
		t.Errorf("rates %v, rings %v", o.rates, o.rings)
	}
	if o, err = parseLive([]string{"-dnsluice", "x", "-rings", ""}); err != nil || len(o.rings) > 0 {
		t.Errorf("rings %v, error %v", o.rings, err)
	}
	for args, want := range map[string]string{
		"":                         "-dnsluice must be given",
		"-dnsluice x stray":        "stray",
		"-dnsluice x -rounds 0":    "more than nothing",
		"-dnsluice x -for 0s":      "more than nothing",
		"-dnsluice x -rates 0":     "0",
		"-dnsluice x -rates 10M":   "10M",
		"-dnsluice x -rates -5":    "-5",
		"-dnsluice x -rings -4":    "-4",
		"-dnsluice x -rings large": "large",
	} {
		if _, err := parseLive(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}

func TestPacketsOfAnInterfaceAreRead(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:  120       2    0    0    0     0          0         0      120       2    0    0
nearby: 9 9 9 9 9 9 9 9 9 9 9 9
  near: 5000      37    0    0    0     0          0         0        0       0    0    0
`
	if n, err := receivedOf(text, "near"); err != nil || n != 37 {
		t.Errorf("%d packets, error %v", n, err)
	}
	for _, text := range []string{"", "near:", "near: 1 many"} {
		if _, err := receivedOf(text, "near"); err == nil {
			t.Errorf("%q tells how many packets there were", text)
		}
	}
}

func TestTimeSpentIsRead(t *testing.T) {
	const stat = "77 (a) name 1 2) S 1 77 77 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 5 0 100"
	if got := spentOf(stat); got != 3*time.Second {
		t.Errorf("%v", got)
	}
	for _, text := range []string{"", "77 (a", "77 (a) S 1", strings.Replace(stat, "250", "x", 1)} {
		if got := spentOf(text); got != 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTheLedgerSaysWhatTheKernelDropped(t *testing.T) {
	const text = `{"stages": [
		{"stage": "capture", "dropped": {"kernel": 70, "discarded": 0}},
		{"stage": "decode", "dropped": {"tcp_empty": 5, "truncated": 6000}},
		{"stage": "deliver", "dropped": {"spool_full": 0, "memory_full": 7}}]}`
	got, err := parseAccount([]byte(text))
	want := account{70, "decode dropped 6,000 (truncated), deliver dropped 7 (memory_full)"}
	if err != nil || got != want {
		t.Errorf("got %+v, error %v, want %+v", got, err, want)
	}
	for _, text := range []string{"", `{"stages": []}`} {
		if _, err := parseAccount([]byte(text)); err == nil {
			t.Errorf("%q is a ledger", text)
		}
	}
	if _, told, err := readAccount(job{dir: t.TempDir()}); told || err != nil {
		t.Errorf("a sensor without a ledger: told %v, error %v", told, err)
	}
}

// TestTheSearchFindsTheHighestRateWithoutLoss plays a sensor that loses nothing up to a limit, and
// a sender with a limit of its own.
func TestTheSearchFindsTheHighestRateWithoutLoss(t *testing.T) {
	for _, c := range []struct {
		name           string
		sensor, sender int
		bySender       bool
	}{
		{"a sensor slower than the sender", 300_000, 900_000, false},
		{"a sensor as fast as the sender", 900_000, 900_000, true},
		{"a sensor faster than the sender", 5_000_000, 700_000, true},
		{"a slow sensor", 20_000, 700_000, false},
		{"a sensor that always loses", 0, 700_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			trials := 0
			found, err := search(searchTop, func(rate int) (int, bool, error) {
				trials++
				got := min(rate, c.sender)
				return got, got <= c.sensor, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			limit := min(c.sensor, c.sender)
			off := max(limit/searchStep, searchLeast)
			if found.rate > limit || found.rate < limit-off || found.bySender != c.bySender {
				t.Errorf("found %+v, want %d less %d at most", found, limit, off)
			}
			if trials > 12 {
				t.Errorf("%d trials", trials)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := search(searchTop, func(int) (int, bool, error) { return 0, false, broken }); err != broken {
		t.Errorf("error %v", err)
	}
}

func flown(sent, messages, arrived, kernel int64, cpu time.Duration) liveResult {
	return liveResult{result: ran(arrived, cpu, time.Second), sent: sent, messages: messages, kernel: kernel}
}

func flew() liveReport {
	sensors := []sensor{{program: "a", setting: "x"}, {program: "b", setting: "y"}, {program: "c", setting: "z"}}
	f := liveField{sensors: sensors, results: [][]liveResult{
		{flown(1000, 900, 900, 0, time.Second), flown(1000, 900, 900, 0, 3*time.Second),
			flown(1200, 1000, 750, 250, 2*time.Second)},
		{flown(2000, 1000, 500, unknown, time.Second)},
		{flown(2000, 1000, 0, unknown, time.Second)},
	}}
	return liveReport{sensors: sensors, fields: []liveField{f}, alone: sensors, found: [][]sustained{
		{{rate: 50_000}, {rate: 70_000}, {rate: 60_000}}, {{rate: 90_000, bySender: true}}, {{}}}}
}

func TestTheTablesOfLive(t *testing.T) {
	var got strings.Builder
	for _, p := range flew().parts() {
		fmt.Fprintf(&got, "%s\n%s", p.heading, p.table.markdown())
	}
	const want = `As fast as the sender can
| sensor | packets/s | packets sent | kernel dropped | records arrived | lost | CPU s per million packets | CPU s per million records | peak RSS MB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
| a, x | 1,000 | 1,000 | 0 to 250 | 900 | 0 to 25 % | 1666.67 | 2666.67 | 20 |
| b, y | 2,000 | 2,000 | not said | 500 | 50 % | 500.00 | 2000.00 | 20 |
| c, z | 2,000 | 2,000 | not said | 0 | 100 % | 500.00 | - | 20 |
What one core sustains
| sensor | packets/s without loss | least to most |
|---|---:|---:|
| a, x | 60,000 | 50,000 to 70,000 |
| b, y | 90,000 or more: the sender's limit | 90,000 |
| c, z | less than 5,000 | 0 |
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestTheReportOfLiveNamesSettingsWithoutPaths(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := binaries{dnsluice: self, dnsmonster: self, collector: self}
	text, err := liveReport{rounds: 1, sensors: append(b.live(), liveLuice(1, 32))}.markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--interface near", "lanes: 2\n", "heartbeat: 0s", "ring_size: 32MiB",
		"--devname near --useafpacket", "device: near\n", "compression: snappy"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, os.TempDir()+"/") {
		t.Errorf("a path of this machine in\n%s", text)
	}
}

func TestAChildIsPinnedAndItsParentIsNot(t *testing.T) {
	cpus, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	last := cpus[len(cpus)-1]
	var during unix.CPUSet
	if err := pinned([]int{last}, func() error { return unix.SchedGetaffinity(0, &during) }); err != nil {
		t.Fatal(err)
	}
	if during.Count() != 1 || !during.IsSet(last) {
		t.Errorf("pinned to %v", during)
	}
	after, err := allowed()
	if err != nil || !slices.Equal(after, cpus) {
		t.Errorf("afterwards %v, error %v, want %v", after, err, cpus)
	}
	if err := pinned([]int{1023}, func() error { return nil }); err == nil {
		t.Error("a processor that is not there was taken")
	}
}
