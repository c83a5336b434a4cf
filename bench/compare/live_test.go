// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
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
			found, err := search(searchTop, func(rate int) (int, string, error) {
				trials++
				if got := min(rate, c.sender); got > c.sensor {
					return got, "lost", nil
				}
				return min(rate, c.sender), "", nil
			})
			if err != nil {
				t.Fatal(err)
			}
			limit := min(c.sensor, c.sender)
			off := max(limit/searchStep, searchLeast)
			if found.rate > limit || found.rate < limit-off || found.bySender != c.bySender {
				t.Errorf("found %+v, want %d less %d at most", found, limit, off)
			}
			if told := strings.HasSuffix(found.above, " lost"); told != (c.sender > c.sensor) {
				t.Errorf("what was lost above it: %q", found.above)
			}
			if trials > 12 {
				t.Errorf("%d trials", trials)
			}
		})
	}
	for found, want := range map[sustained]int{{rate: 400_000}: 800_000, {rate: 0}: searchAgain,
		{rate: 1_900_000}: searchTop, {rate: 100_000, bySender: true}: searchTop} {
		if got := found.next(); got != want {
			t.Errorf("after %+v the next search begins at %d, want %d", found, got, want)
		}
	}
	broken := errors.New("broken")
	if _, err := search(searchTop, func(int) (int, string, error) { return 0, "", broken }); err != broken {
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
		{{rate: 50_000, above: "at 52,000 it was late"}, {rate: 70_000}, {rate: 60_000}}, {{rate: 90_000, bySender: true}}, {{}}}}
}

func TestTheTablesOfLive(t *testing.T) {
	var got strings.Builder
	for _, p := range flew().parts() {
		fmt.Fprintf(&got, "%s\n%s%s", p.heading, p.table.markdown(), p.notes)
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

- a, x: at 52,000 it was late
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

func TestALossSaysWhatItIs(t *testing.T) {
	for _, c := range []struct {
		kernel, missing int64
		want            string
	}{
		{0, 0, ""},
		{unknown, 1, ""},
		{7, 0, "the kernel dropped 7 of 21,000 packets"},
		{0, 3, "3 records did not arrive in time: a note"},
	} {
		r := flown(21_000, 20_000, 20_000, c.kernel, time.Second)
		r.missing, r.note = c.missing, "a note"
		if got := r.loss(); got != c.want {
			t.Errorf("kernel dropped %d, %d missing: %q, want %q", c.kernel, c.missing, got, c.want)
		}
	}
}

// TestTheKernelSaysWhatItDroppedForAProcess has a socket of this process overflow.
func TestTheKernelSaysWhatItDroppedForAProcess(t *testing.T) {
	if n := droppedFor(os.Getpid()); n != unknown {
		t.Errorf("%d packets were dropped for a process without packet sockets", n)
	}
	if os.Geteuid() != 0 {
		missing(t, "root, for a packet socket: sudo make test-bench")
	}
	const all = 0x0003 // ETH_P_ALL, linux/if_ether.h
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all<<8)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrLinklayer{Ifindex: lo.Index, Protocol: all << 8}
	if err := errors.Join(unix.Bind(fd, to),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)); err != nil {
		t.Fatal(err)
	}
	for range 200 { // of 1000 bytes each, where the least buffer holds some two thousand
		if err := unix.Sendto(fd, make([]byte, 1000), 0, to); err != nil {
			t.Fatal(err)
		}
	}
	if n := droppedFor(os.Getpid()); n < 100 {
		t.Errorf("%d packets were dropped of 200, and next to none fits", n)
	}
}
