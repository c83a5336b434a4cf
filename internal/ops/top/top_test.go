// SPDX-License-Identifier: Apache-2.0

package top

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// answer is what a sensor says after so many seconds, at 1,000 packets a second in each of two
// lanes.
func answer(second int) ask.Answer {
	n := uint64(1000 * second)
	at := noon.Add(time.Duration(second) * time.Second)
	return ask.Answer{
		Version: "1.2.3", Sensor: "ns1", Run: "r1",
		State: ask.State{Name: "flowing", Since: noon, Sentence: "flowing since 2026-11-22T12:00:00Z: all is well"},
		Ledger: ledger.Of([]ledger.Stage{
			{Stage: "capture", Unit: "packets", In: 2 * n, Out: 2*n - 5, Dropped: map[string]uint64{"kernel": 5}},
			{Stage: "deliver", Unit: "records", In: n, Out: n},
		}, ledger.Totals{Packets: 2 * n, Messages: n, Records: n, Acknowledged: n}),
		Detail: ask.Detail{
			Time: at, Started: noon, Process: ask.Process{Limit: 96 << 20, Resident: 50 << 20, CPU: 0.25 * float64(second)},
			Lanes: []ask.Lane{{Lane: 0, Interface: "eth2", Received: n}, {Lane: 1, Interface: "eth2", Received: n}},
			Delivery: ask.Delivery{LastAck: at, Free: 40, Leaders: []ask.Partition{{Leader: 1}, {Leader: -1}},
				Spool: &ask.Spool{Records: 7, Bytes: 1 << 20, MaxBytes: 1 << 30, FullIn: 90}},
			Connections: []ask.Connection{{Broker: 1, Remote: "10.0.0.1:9092", Sent: 1 << 30,
				Kernel: &ask.Kernel{TotalRetransmits: 3}}, {Broker: -1, Remote: "10.0.0.2:9092"}},
		},
	}
}

func text(v *View, columns, rows int) string {
	return strings.Join(v.Frame(columns, rows, noon.Add(5*time.Second)), "\n")
}

func TestAFrameShowsWhatMoves(t *testing.T) {
	v := &View{Address: "x:1"}
	v.Answer(answer(1))
	if s := text(v, 80, 24); !strings.Contains(s, "packets/s              -") {
		t.Errorf("a rate from one answer:\n%s", s)
	}
	v.Answer(answer(3))
	s := text(v, 80, 24)
	if strings.Contains(s, "~") {
		t.Errorf("80 columns are not enough:\n%s", s)
	}
	for _, words := range []string{
		"dnsluice 1.2.3 on ns1, up 3s, at 12:00:05", "FLOWING for 3.0s: all is well", "packets/s          2,000",
		"acked/s            1,000", "kernel drops           5", "50.0 MiB of 96.0 MiB", "25 % of a core",
		"7 records, 1.0 MiB of 1.0 GiB", "in 1m30s at this rate", "2 partitions, 1 fail", "10.0.0.1:9092", "seed",
		"capture   packets           6,000     2,000",
	} {
		if !strings.Contains(s, words) {
			t.Errorf("it does not show %q:\n%s", words, s)
		}
	}
}

// TestNothingIsCutOfABusySensorInAnOutage is the worst hour of a sensor of a common size.
func TestNothingIsCutOfABusySensorInAnOutage(t *testing.T) {
	v := &View{Address: "x:1"}
	for _, second := range []int{1000, 1010} {
		a := answer(second)
		a.State = ask.State{Name: "not_enough_replicas", Since: noon}
		d := &a.Detail.Delivery
		d.LastError = "dial tcp: " + strings.Repeat("words of a broker, ", 9) + "and no more"
		d.Spool = &ask.Spool{Records: 1_234_567_890, Bytes: 999 << 30, MaxBytes: 999 << 30, FullIn: 400_000,
			Error: "write /var/lib/dnsluice/spool/00000000000000000001.seg: no space left on device"}
		d.Waiting, d.Free, d.OldestAge = 120, 100, 123_456
		a.Ledger.Held = 1_234_567
		a.Detail.Connections = append(a.Detail.Connections, ask.Connection{Broker: 1000,
			Remote: "[2001:db8:1111:2222:3333:4444:5555:6666]:9092", Sent: 1 << 40})
		a.Detail.Lanes[0].Interface = "unix:///run/dnsluice.sock"
		for _, name := range []string{"decode", "wire", "match", "encode", "heartbeat", "spool"} {
			a.Ledger.Stages = append(a.Ledger.Stages, ledger.Stage{Stage: name, Unit: "messages",
				In: 1e15 + uint64(second)*1e6, Out: 1e15, Held: 1e12, Dropped: map[string]uint64{"any": 1e13}})
		}
		v.Answer(a)
	}
	s := text(v, 80, 29)
	for _, words := range []string{"and no more", "no space left on device", "in 4d", "666]:9092", "1,000,001 G", "oldest  34h17m36s",
		"1,234,567,890 records, 999 GiB of 999 GiB", "ce.sock", "heartbeat"} {
		if !strings.Contains(s, words) {
			t.Errorf("it does not show %q:\n%s", words, s)
		}
	}
	if strings.Contains(s, "~\n") || strings.Contains(s, "more lines") {
		t.Errorf("something is cut off:\n%s", s)
	}
	a := answer(3) // and on a better day, all of it fits the least of terminals
	a.Ledger.Stages = append(a.Ledger.Stages, make([]ledger.Stage, 6)...)
	a.Detail.Connections = append(a.Detail.Connections, a.Detail.Connections[0])
	v.Answer(a)
	if s := text(v, 80, 24); strings.Contains(s, "~") || strings.Contains(s, "more lines") {
		t.Errorf("80 by 24 is not enough:\n%s", s)
	}
}

func TestEveryFrameFitsItsTerminal(t *testing.T) {
	v := &View{Address: "x:1"}
	v.Answer(answer(1))
	a := answer(2)
	a.Detail.Delivery.LastError = strings.Repeat("é\x1b[31m\n", 100)
	for range 50 {
		a.Detail.Lanes = append(a.Detail.Lanes, a.Detail.Lanes[0])
	}
	v.Answer(a)
	for _, size := range [][2]int{{80, 24}, {40, 10}, {1, 1}, {0, 0}, {200, 100}} {
		lines := v.Frame(size[0], size[1], noon)
		if len(lines) > max(size[1], 1) {
			t.Errorf("%d lines of %d", len(lines), size[1])
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > max(size[0], 1) || strings.ContainsAny(line, "\x1b\n") {
				t.Errorf("%v: %q", size, line)
			}
		}
	}
	if s := text(v, 80, 24); !strings.Contains(s, "more lines") || !strings.Contains(s, "stage") {
		t.Errorf("what is cut off is not said, or the stages are cut off:\n%s", s)
	}
}

func TestASensorThatDoesNotAnswerIsSeen(t *testing.T) {
	v := &View{Address: "x:1"}
	if s := text(v, 80, 24); !strings.Contains(s, "asking the sensor at x:1") {
		t.Error(s)
	}
	v.Fail(errors.New("no sensor answers"), noon)
	if s := text(v, 80, 24); !strings.Contains(s, "no sensor answers") {
		t.Error(s)
	}
	v.Answer(answer(1))
	v.Fail(errors.New("gone"), noon.Add(time.Second))
	v.Fail(errors.New("gone"), noon.Add(4*time.Second))
	if s := text(v, 80, 24); !strings.Contains(s, "it has not answered for 4s") || !strings.Contains(s, "ns1") {
		t.Error(s)
	}
	v.Answer(answer(9))
	if s := text(v, 80, 24); strings.Contains(s, "not answered") {
		t.Error(s)
	}
}

func TestARestartBeginsAnew(t *testing.T) {
	v := &View{}
	v.Answer(answer(5))
	a := answer(1)
	a.Run, a.Detail.Time = "r2", noon.Add(10*time.Second)
	v.Answer(a)
	if s := text(v, 80, 24); !strings.Contains(s, "packets/s              -") {
		t.Errorf("a rate over two runs:\n%s", s)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "0s", 1500 * time.Millisecond: "1.5s", 90 * time.Second: "1m30s",
		200 * time.Hour: "8d"} {
		if got := duration(d); got != want {
			t.Errorf("%v is %q", d, got)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1.0 KiB", 1 << 62: "4.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
