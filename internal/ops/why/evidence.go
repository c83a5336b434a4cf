// SPDX-License-Identifier: Apache-2.0

package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// shown is how many partitions, connections and lanes the evidence names.
const shown = 8

// evidence returns the facts, in the order in which one would look at them.
func evidence(a ask.Answer) []Fact {
	if !told(a) {
		return []Fact{{"counters", "the sensor does not give them; it may be stuck where they are kept"}}
	}
	d := a.Detail.Delivery
	facts := []Fact{{"state", fmt.Sprintf("%s since %s (%s)", a.State.Name,
		a.State.Since.UTC().Format(time.RFC3339), age(a, a.State.Since))}}
	add := func(name, format string, args ...any) {
		facts = append(facts, Fact{name, fmt.Sprintf(format, args...)})
	}
	if d.LastError != "" {
		add("last error", "%s", d.LastError)
	}
	if d.LastAck.IsZero() {
		add("last acknowledgement", "none since the start of the sensor, %s ago", age(a, a.Detail.Started))
	} else {
		add("last acknowledgement", "%s ago, of %s so far%s", age(a, d.LastAck),
			number(a.Ledger.Acknowledged, "record"), earlier(a))
	}
	oldest := "nothing waits"
	if d.OldestAge > 0 {
		oldest = "the oldest that is not acknowledged waits for " + seconds(d.OldestAge)
	}
	add("queue", "%s in memory, %d batches under way, room for %d more; %s",
		number(a.Ledger.Held, "record"), d.Waiting, d.Free, oldest)
	facts = append(facts, spool(a)...)
	add("tried", "%s", tried(a))
	facts = append(facts, partitions(d)...)
	facts = append(facts, connections(a)...)
	facts = append(facts, capture(a)...)
	facts = append(facts, dnstap(a)...)
	facts = append(facts, drops(a)...)
	if p := a.Detail.Process; p.Resident > 0 {
		add("memory", "%s of %s", bytes(p.Resident), bytes(p.Limit))
	}
	return facts
}

// earlier says how many records of earlier runs were acknowledged, if there are any.
func earlier(a ask.Answer) string {
	for _, s := range a.Ledger.Stages {
		if n := s.Detail["replayed"]; s.Stage == "deliver" && n > 0 {
			return ", and " + ledger.Number(n) + " of earlier runs"
		}
	}
	return ""
}

func spool(a ask.Answer) []Fact {
	s := a.Detail.Delivery.Spool
	if s == nil {
		return []Fact{{"spool", "there is none"}}
	}
	text := fmt.Sprintf("%s, %s of %s; %s free on its disk", number(s.Records, "record"),
		bytes(s.Bytes), bytes(s.MaxBytes), bytes(s.Free))
	if s.FullIn > 0 {
		text += "; full in " + seconds(s.FullIn) + " at the present rate"
	}
	if !s.Oldest.IsZero() {
		text += "; the oldest is there for " + age(a, s.Oldest)
	}
	if s.Error != "" {
		text += "; it cannot be written: " + s.Error
	}
	return []Fact{{"spool", text}}
}

// tried is what the sensor has done about it.
func tried(a ask.Answer) string {
	d := a.Detail.Delivery
	var detail map[string]uint64
	for _, s := range a.Ledger.Stages {
		if s.Stage == "deliver" {
			detail = s.Detail
		}
	}
	text := fmt.Sprintf("%s failed, %s sent again, client replaced %s",
		number(detail["failed"], "call"), number(detail["retried"]+detail["redelivered"], "record"),
		number(d.Recycled, "time"))
	switch p := d.Probe; {
	case p == nil:
	case p.OK:
		text += fmt.Sprintf("; a connection of its own reached the cluster %s ago", age(a, p.At))
	default:
		text += fmt.Sprintf("; a connection of its own failed %s ago: %s", age(a, p.At), p.Error)
	}
	return text
}

func partitions(d ask.Delivery) []Fact {
	if len(d.Leaders) == 0 {
		return []Fact{{"partitions", "unknown: the cluster has not told them yet"}}
	}
	failing := 0
	var bad []string
	for _, p := range d.Leaders {
		if p.Failing <= 0 && p.Leader >= 0 {
			continue
		}
		if failing++; len(bad) == shown {
			continue
		}
		text := fmt.Sprintf("%d (leader %d)", p.Partition, p.Leader)
		if p.Leader < 0 {
			text = fmt.Sprintf("%d (no leader)", p.Partition)
		}
		if p.Failing > 0 {
			text += fmt.Sprintf(" fails for %s: %s: %s", seconds(p.Failing), p.State, p.LastError)
		}
		bad = append(bad, text)
	}
	facts := []Fact{{"partitions", fmt.Sprintf("%d, of which %d fail and %d have no leader",
		len(d.Leaders), failing, d.Leaderless)}}
	if failing == 0 {
		facts[0].Text = fmt.Sprintf("%d, all with a leader, none fails", len(d.Leaders))
	}
	for _, text := range bad {
		facts = append(facts, Fact{"partitions", text})
	}
	return facts
}

func connections(a ask.Answer) []Fact {
	var facts []Fact
	for i, c := range a.Detail.Connections {
		if i == shown {
			facts = append(facts, Fact{"connections", fmt.Sprintf("and %d more", len(a.Detail.Connections)-shown)})
			break
		}
		name := fmt.Sprintf("broker %d at %s", c.Broker, c.Remote)
		if c.Broker < 0 {
			name = "a broker to begin with at " + c.Remote
		}
		text := fmt.Sprintf("%s: open for %s", name, age(a, c.Since))
		if c.TLS != "" {
			text += ", " + c.TLS
		}
		if k := c.Kernel; k != nil {
			received := "nothing received" // of which the kernel says that it was when it was opened
			if c.Received > 0 {
				received = "last received " + seconds(k.SinceReceived.Seconds()) + " ago"
			}
			text += fmt.Sprintf(", %s, %s not acknowledged, %d retransmits (%d in a row), "+
				"%s, round trip %s", k.State, bytes(k.Queued), k.TotalRetransmits,
				k.Retransmits, received, k.RTT.Round(10*time.Microsecond))
		}
		facts = append(facts, Fact{"connections", text})
	}
	if len(facts) == 0 {
		return []Fact{{"connections", "none is open"}}
	}
	return facts
}

// capture says what the lanes see, and names the lanes for which the kernel drops.
func capture(a ask.Answer) []Fact {
	facts := []Fact{{"capture", fmt.Sprintf("%s in %s, %s dropped by the kernel, %s of DNS",
		number(a.Ledger.Packets, "packet"), number(uint64(len(a.Detail.Lanes)), "lane"),
		ledger.Number(kernel(a)), number(a.Ledger.Messages, "message"))}}
	for _, l := range a.Detail.Lanes {
		if l.Kernel == 0 {
			continue
		}
		if len(facts) > shown {
			break
		}
		facts = append(facts, Fact{"capture", fmt.Sprintf("lane %d on %s: the kernel dropped %s of %s",
			l.Lane, l.Interface, number(l.Kernel, "packet"), ledger.Number(l.Received))})
	}
	return facts
}

// dnstap says whether name servers are connected, and how connections ended that should not have.
func dnstap(a ask.Answer) []Fact {
	sockets := slices.ContainsFunc(a.Detail.Lanes, func(l ask.Lane) bool {
		return strings.Contains(l.Interface, "://")
	})
	if !sockets {
		return nil
	}
	var detail map[string]uint64
	for _, s := range a.Ledger.Stages {
		if s.Stage == "capture" {
			detail = s.Detail
		}
	}
	all := detail["connections"]
	if all == 0 {
		return []Fact{{"dnstap", "no name server has connected yet"}}
	}
	open := all
	odd := map[string]uint64{}
	for key, n := range detail {
		reason, ended := strings.CutPrefix(key, "ended.")
		if !ended {
			continue
		}
		open -= min(n, open)
		if reason != "stop" && reason != "lost" && reason != "drained" { // as when a server is restarted
			odd[reason] = n
		}
	}
	text := fmt.Sprintf("%s of name servers so far, %s open now", number(all, "connection"), ledger.Number(open))
	for _, reason := range sortedReasons(odd) {
		text += fmt.Sprintf(", %s ended by %s", ledger.Number(odd[reason]), reason)
	}
	return []Fact{{"dnstap", text}}
}

// drops says what was lost, and why.
func drops(a ask.Answer) []Fact {
	var parts []string
	for _, s := range a.Ledger.Stages {
		for _, reason := range sortedReasons(s.Dropped) {
			if s.Stage == "decode" || reason == "kernel" || s.Stage == "deliver" && strings.HasPrefix(reason, "spool_") {
				continue // what is no DNS, or is told above, or by the line of the spool
			}
			parts = append(parts, fmt.Sprintf("%s: %s of %s", s.Stage, number(s.Dropped[reason], strings.TrimSuffix(s.Unit, "s")),
				reason))
		}
		// What was corrupt when the spool was opened never entered this run, so no law has it.
		if n := s.Detail["corrupt_records"]; n > s.Dropped["spool_corrupt"] {
			parts = append(parts, fmt.Sprintf("%s: %s of earlier runs, corrupt when it was opened", s.Stage,
				number(n-s.Dropped["spool_corrupt"], "record")))
		}
	}
	switch {
	case len(parts) == 0 && kernel(a) > 0:
		return []Fact{{"lost", "nothing of what the kernel has handed over"}}
	case len(parts) == 0:
		return []Fact{{"lost", "nothing"}}
	}
	return []Fact{{"lost", strings.Join(parts, ", ")}}
}
