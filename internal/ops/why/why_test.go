// SPDX-License-Identifier: Apache-2.0

package why

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// sensor returns an answer of a sensor in a state; change makes it worse.
func sensor(state string, change func(*ask.Answer)) ask.Answer {
	a := ask.Answer{
		Sensor: "ns1", Run: "r1",
		State: ask.State{Name: state, Since: ago(133 * time.Second), Ready: state == "flowing" || state == "idle",
			Sentence: state + " since 2026-11-22T11:57:47Z: what that means"},
		Ledger: ledger.Of([]ledger.Stage{
			{Stage: "capture", Unit: "packets", In: 1000, Out: 1000, Dropped: map[string]uint64{"kernel": 0}},
			{Stage: "deliver", Unit: "records", In: 900, Out: 900, Detail: map[string]uint64{"failed": 3, "retried": 7}},
		}, ledger.Totals{Packets: 1000, Messages: 900, Records: 900, Acknowledged: 900}),
		Detail: ask.Detail{
			Time: now, Started: ago(time.Hour),
			Process: ask.Process{Limit: 96 << 20, Resident: 48 << 20},
			Lanes:   []ask.Lane{{Lane: 0, Interface: "eth2", Received: 1000}},
			Delivery: ask.Delivery{LastAck: ago(2 * time.Second), Waiting: 1, Free: 40,
				Leaders: []ask.Partition{{Partition: 0, Leader: 1}}},
			Connections: []ask.Connection{{Broker: 1, Remote: "10.0.0.1:9092", Since: ago(time.Hour),
				Kernel: &ask.Kernel{State: "established", RTT: 1234 * time.Microsecond}}},
		},
	}
	if change != nil {
		change(&a)
	}
	return a
}

func TestEveryExplanationSaysWhatMatters(t *testing.T) {
	for _, c := range []struct {
		name string
		a    ask.Answer
		ok   bool
		says []string // in the sentence
		has  []string // in the text
		not  []string // nowhere
	}{
		{"all is well", sensor("flowing", nil), true,
			[]string{"ns1 is flowing, for 2m13s now: what that means"},
			[]string{"last acknowledgement  2s ago, of 900 records", "1, all with a leader, none fails",
				"broker 1 at 10.0.0.1:9092: open for 1h0m", "round trip 1.23ms", "there is none", "lost", "nothing",
				"48.0 MiB of 96.0 MiB"},
			[]string{"what to do next", "wait in memory", "lost so far"}},
		{"all is well, and records are on their way", sensor("flowing", func(a *ask.Answer) {
			a.Ledger.Held = 20
		}), true, nil, []string{"20 records in memory"}, []string{"wait in memory"}},
		{"no broker answers, without a spool", sensor("unreachable", func(a *ask.Answer) {
			a.Ledger.Held, a.Detail.Delivery.OldestAge = 12345, 130
			a.Detail.Delivery.LastError = "dial tcp 10.0.0.1:9092: connection refused\x1b[2J"
			a.Detail.Delivery.LastAck = time.Time{}
			a.Detail.Delivery.Probe = &ask.Probe{At: ago(3 * time.Second), Error: "refused as well"}
			a.Detail.Delivery.Recycled = 2
			a.Detail.Delivery.Leaders, a.Detail.Connections = nil, nil
		}), false, []string{"12,345 records wait in memory, the oldest for 2m10s"},
			[]string{"connection refused?[2J", "none since the start of the sensor, 1h0m ago", "3 calls failed",
				"client replaced 2 times; a connection of its own failed 3s ago: refused as well", "none is open",
				"unknown: the cluster has not told them yet", "nc -vz"},
			[]string{"\x1b"}},
		{"a spool that fills", sensor("unreachable", func(a *ask.Answer) {
			a.Detail.Delivery.Spool = &ask.Spool{Records: 1_000_000, Bytes: 2 << 30, MaxBytes: 10 << 30,
				Free: 50 << 30, Oldest: ago(2 * time.Minute), FullIn: 480}
		}), false, []string{"0 records wait in memory and 1,000,000 on disk, and the spool is full in 8m0s"},
			[]string{"1,000,000 records, 2.0 GiB of 10.0 GiB; 50.0 GiB free on its disk; full in 8m0s at the present rate",
				"the oldest is there for 2m0s", "the spool is full within the hour"}, nil},
		{"what waits on disk is told once", sensor("unreachable", func(a *ask.Answer) {
			a.State.Sentence += "; 12345 records wait on disk"
			a.Ledger.Held, a.Detail.Delivery.Spool = 7, &ask.Spool{Records: 12345, Bytes: 1000, MaxBytes: 1 << 20}
		}), false, []string{"what that means; 7 records wait in memory and 12,345 on disk"}, nil,
			[]string{"12345"}},
		{"a disk that fills before the spool is at its limit", sensor("unreachable", func(a *ask.Answer) {
			a.Detail.Delivery.Spool = &ask.Spool{Records: 9, MaxBytes: 10 << 30, Free: 1 << 20, FullIn: 9}
		}), false, nil, []string{"free space on its disk, or bring"}, []string{"--spool-max"}},
		{"a broker that is only known by its address", sensor("flowing", func(a *ask.Answer) {
			a.Detail.Connections[0].Broker = -2147483647
		}), true, nil, []string{"a broker to begin with at 10.0.0.1:9092: open"}, []string{"-2147483647"}},
		{"records of an earlier run", sensor("flowing", func(a *ask.Answer) {
			a.Ledger.Stages[1].Detail["replayed"] = 33310
		}), true, nil, []string{"of 900 records so far, and 33,310 of earlier runs"}, nil},
		{"a full spool, and why", sensor("dropping", func(a *ask.Answer) {
			a.Detail.Delivery.Behind = []string{"disk_full", "unreachable"}
			lost := map[string]uint64{"spool_full": 5}
			a.Ledger.Stages[1].Dropped = lost
			a.Ledger.Stages = append(a.Ledger.Stages, ledger.Stage{Stage: "spool", Unit: "records", Dropped: lost})
		}), false, nil, []string{"free space where the spool is", "nc -vz", "lost                  spool: 5 records of spool_full"},
			[]string{"deliver: 5 records"}},
		{"a spool that was corrupt when it was opened", sensor("flowing", func(a *ask.Answer) {
			a.Ledger.Stages = append(a.Ledger.Stages, ledger.Stage{Stage: "spool", Unit: "records",
				Dropped: map[string]uint64{"spool_corrupt": 2}, Detail: map[string]uint64{"corrupt_records": 42}})
		}), true, nil, []string{"spool: 2 records of spool_corrupt, spool: 40 records of earlier runs, corrupt when it was opened"}, nil},
		{"records that are dropped at most once", sensor("dropping", func(a *ask.Answer) {
			a.Detail.Delivery.Once = true
		}), false, nil, []string{"more room loses less: --memory; ", "--delivery at-least-once"}, []string{"--spool"}},
		{"records that are dropped without a spool", sensor("dropping", nil), false, nil,
			[]string{"more room loses less: --spool-dir, or --memory"}, []string{"--spool-max"}},
		{"records that are dropped with a spool", sensor("dropping", func(a *ask.Answer) {
			a.Detail.Delivery.Spool = &ask.Spool{MaxBytes: 1 << 20}
		}), false, nil, []string{"more room loses less: --spool-max, or --memory"}, []string{"--spool-dir"}},
		{"records that are dropped because the disk is full", sensor("dropping", func(a *ask.Answer) {
			a.Detail.Delivery.Spool = &ask.Spool{MaxBytes: 1 << 20, Error: "no space left on device"}
		}), false, nil, []string{"more room loses less: on the disk of the spool, or --memory"}, []string{"--spool-max"}},
		{"a backlog while all flows", sensor("flowing", func(a *ask.Answer) {
			a.Detail.Delivery.Spool = &ask.Spool{Records: 10, Bytes: 1000, MaxBytes: 1 << 20}
		}), true, []string{"10 on disk"}, []string{"10 records, 1.0 KiB of 1.0 MiB"}, nil},
		{"a disk that cannot be written", sensor("disk_full", func(a *ask.Answer) {
			a.Detail.Delivery.Spool = &ask.Spool{Error: "no space left on device"}
		}), false, nil, []string{"it cannot be written: no space left on device", "free space where the spool is"}, nil},
		{"one partition that fails among many", sensor("no_answer", func(a *ask.Answer) {
			a.Detail.Delivery.Leaders = []ask.Partition{{Partition: 0, Leader: 1}, {Partition: 1, Leader: -1},
				{Partition: 2, Leader: 3, Failing: 61, State: "no_answer", LastError: "broker 3: i/o timeout"}}
			a.Detail.Delivery.Leaderless = 1
			a.Detail.Connections[0].Kernel.Queued, a.Detail.Connections[0].Kernel.Retransmits = 900_000, 7
		}), false, nil, []string{"3, of which 2 fail and 1 have no leader", "1 (no leader)",
			"2 (leader 3) fails for 1m1s: no_answer: broker 3: i/o timeout", "879 KiB not acknowledged",
			"(7 in a row)"}, nil},
		{"a broker that takes connections and says nothing", sensor("no_answer", func(a *ask.Answer) {
			talks := a.Detail.Connections[0]
			talks.Broker, talks.Received = 2, 10
			a.Detail.Connections = append(a.Detail.Connections, talks)
		}), false, nil, []string{"(0 in a row), nothing received, round trip", "(0 in a row), last received 0s ago"}, nil},
		{"records that were lost, and a kernel that drops", sensor("dropping", func(a *ask.Answer) {
			a.Ledger.Dropped = 1
			a.Ledger.Stages[0].Dropped["kernel"] = 20
			a.Ledger.Stages[1].Dropped = map[string]uint64{"memory_full": 1}
			a.Detail.Lanes[0].Kernel = 20
		}), false, []string{"lost so far: 1 record", "the kernel has dropped 20 packets of 1,000"},
			[]string{"deliver: 1 record of memory_full", "lane 0 on eth2: the kernel dropped 20 packets of 1,000",
				"the kernel has dropped 2.0 % of the packets since the start", "--spool-dir"}, nil},
		{"a kernel that has dropped packets, and nothing else was lost", sensor("flowing", func(a *ask.Answer) {
			a.Ledger.Stages[0].Dropped["kernel"] = 20
		}), true, nil, []string{"lost                  nothing of what the kernel has handed over"}, nil},
		{"too many open files", sensor("unreachable", func(a *ask.Answer) {
			a.Detail.Delivery.LastError = "dial tcp 10.0.0.1:9092: socket: too many open files"
		}), false, nil, []string{"do next:\n- raise how many files the sensor may open: LimitNOFILE=1024"}, nil},
		{"plain text to a port for TLS", sensor("unreachable", func(a *ask.Answer) {
			a.Detail.Delivery.LastError = "the broker closed the connection before it answered: is TLS expected on this port? (EOF)"
		}), false, nil, []string{"do next:\n- if the brokers want TLS on this port, give --tls"}, nil},
		{"TLS to a port for plain text", sensor("no_answer", func(a *ask.Answer) {
			a.Detail.Delivery.LastError = "the TLS handshake was not answered in time: the port may not speak TLS"
		}), false, nil, []string{"do next:\n- name the port that speaks TLS"}, nil},
		{"a socket that no name server has found", sensor("idle", func(a *ask.Answer) {
			a.Detail.Lanes[0].Interface = "unix:///run/dnsluice.sock"
		}), true, nil, []string{"dnstap                no name server has connected yet"}, nil},
		{"name servers of which some are refused", sensor("flowing", func(a *ask.Answer) {
			a.Detail.Lanes[0].Interface = "tls://[::]:6000"
			a.Ledger.Stages[0].Detail = map[string]uint64{"bytes": 5, "connections": 20, "ended.stop": 1, "ended.lost": 2,
				"ended.drained": 0, "ended.tls": 4, "ended.limit": 9, "ended.cut": 0}
		}), true, nil, []string{"dnstap                20 connections of name servers so far, 4 open now, 9 ended by limit, " +
			"4 ended by tls\n"}, nil},
		{"a state of a later version", sensor("asleep", nil), false, []string{"ns1 is asleep"},
			[]string{"dnsluice check"}, nil},
		{"a sensor that says no more than its state", ask.Answer{Sensor: "ns1", State: ask.State{Name: "idle", Ready: true,
			Sentence: "words"}}, true, []string{"ns1 is idle: words"}, []string{"the sensor does not give them"}, []string{"nothing waits"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Explain(c.a)
			if e.OK != c.ok || strings.Contains(e.Sentence, "\n") {
				t.Errorf("ok is %v: %s", e.OK, e.Sentence)
			}
			var b strings.Builder
			if err := e.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			for _, words := range c.says {
				if !strings.Contains(e.Sentence, words) {
					t.Errorf("the sentence does not say %q: %s", words, e.Sentence)
				}
			}
			for _, words := range c.has {
				if !strings.Contains(b.String(), words) {
					t.Errorf("it does not say %q:\n%s", words, b.String())
				}
			}
			for _, words := range c.not {
				if strings.Contains(b.String(), words) {
					t.Errorf("it says %q:\n%s", words, b.String())
				}
			}
			if e.OK && len(e.Next) > 0 && !strings.Contains(c.name, "kernel") {
				t.Errorf("all is well, and yet: %v", e.Next)
			}
		})
	}
}

func TestHundredsOfPartitionsAreSummedUp(t *testing.T) {
	e := Explain(sensor("no_leader", func(a *ask.Answer) {
		a.Detail.Delivery.Leaders = slices.Repeat([]ask.Partition{{Leader: -1}}, 500)
		a.Detail.Delivery.Leaderless = 500
		a.Detail.Connections = slices.Repeat(a.Detail.Connections, 500)
		a.Detail.Lanes = slices.Repeat([]ask.Lane{{Kernel: 1}}, 500)
	}))
	if len(e.Evidence) > 10+4*shown {
		t.Errorf("%d facts", len(e.Evidence))
	}
}

func TestSizesAndTimesAreAsPeopleSayThem(t *testing.T) {
	for s, want := range map[float64]string{0: "0s", 0.26: "300ms", 59.6: "1m0s", 3700: "1h2m", 1e6: "11 days",
		-5: "0s", 1e300: "11574 days"} {
		if got := seconds(s); got != want {
			t.Errorf("%v s is %q, want %q", s, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 KiB", 5 << 20: "5.0 MiB",
		1 << 63: "8388608 TiB"} {
		if got := bytes(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

// TestEveryActionIsASentence keeps the lists uniform.
func TestEveryActionIsASentence(t *testing.T) {
	for state, all := range actions {
		for _, a := range all {
			if len(a) < 10 || strings.HasSuffix(a, ".") || strings.Contains(a, "\n") {
				t.Errorf("%s: %q", state, a)
			}
		}
	}
}

// TestTheManualHasEveryState keeps docs/operating.md and what an operator is told together.
func TestTheManualHasEveryState(t *testing.T) {
	data, err := os.ReadFile(filepath.FromSlash("../../../docs/operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "| state | means |")
	rest, _, _ = strings.Cut(rest, "\n\n")
	got := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(rest, -1) {
		got[m[1]] = true
	}
	want := map[string]bool{}
	for state := range actions {
		want[state] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}
