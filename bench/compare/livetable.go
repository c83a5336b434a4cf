// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// liveField is sensors that were sent the same, over all rounds.
type liveField struct {
	rate    int
	sensors []sensor
	results [][]liveResult // by sensor, then round
}

// speed returns the packets a second that the sender reached.
func (r liveResult) speed() float64 {
	if r.wall <= 0 {
		return 0
	}
	return float64(r.sent) / r.wall.Seconds()
}

// perMillion returns the CPU seconds for a million packets.
func (r liveResult) perMillion() float64 {
	if r.sent == 0 {
		return 0
	}
	return r.usage.cpu.Seconds() * 1e6 / float64(r.sent)
}

// table sums up a field. Losses are those of the best and of the worst round, the rest medians.
// Cost is divided by what arrived too: to lose packets is cheap.
func (f liveField) table() table {
	t := table{{"sensor", "packets/s", "packets sent", "kernel dropped", "records arrived", "lost",
		"CPU s per million packets", "CPU s per million records", "peak RSS MB"}}
	for i, s := range f.sensors {
		rs := f.results[i]
		dropped := "not said"
		if least, _ := extremes(rs, liveResult.dropped); least != unknown {
			dropped = spread(rs, liveResult.dropped)
		}
		records := "-"
		if least, _ := extremes(rs, liveResult.count); least > 0 {
			records = fmt.Sprintf("%.2f", median(rs, liveResult.perRecords))
		}
		t = append(t, []string{s.name(),
			thousands(int64(median(rs, liveResult.speed))),
			thousands(int64(median(rs, liveResult.packets))),
			dropped,
			thousands(int64(median(rs, liveResult.records))),
			percent(rs, liveResult.lost),
			fmt.Sprintf("%.2f", median(rs, liveResult.perMillion)),
			records,
			fmt.Sprintf("%.0f", median(rs, liveResult.megabytes)),
		})
	}
	return t
}

// perRecords returns the CPU seconds for a million records that arrived.
func (r liveResult) perRecords() float64 { return r.result.perMillion() }

func (r liveResult) packets() float64 { return float64(r.sent) }

func (r liveResult) records() float64 { return float64(r.arrived) }

func (r liveResult) megabytes() float64 { return float64(r.usage.rss) / 1e6 }

func (f liveField) heading() string {
	if f.rate == 0 {
		return "As fast as the sender can"
	}
	return "At " + rateName(f.rate)
}

func (r liveResult) dropped() int64 { return r.kernel }

func (f liveField) notes() string {
	return notes(f.sensors, f.results, func(r liveResult) string { return r.note })
}

// foundTable is what each sensor sustains on one core.
func (r liveReport) foundTable() table {
	t := table{{"sensor", "packets/s without loss", "least to most"}}
	for i, s := range r.alone {
		rs := r.found[i]
		if len(rs) == 0 {
			continue // it was not its turn yet when the search was ended
		}
		middle := int64(median(rs, func(f sustained) float64 { return float64(f.rate) }))
		cell := thousands(middle)
		switch {
		case slices.ContainsFunc(rs, func(f sustained) bool { return f.bySender }):
			cell += " or more: the sender's limit"
		case middle == 0:
			cell = "less than " + thousands(searchLeast)
		}
		t = append(t, []string{s.name(), cell,
			spread(rs, func(f sustained) int64 { return int64(f.rate) })})
	}
	return t
}

// part is a table with its heading.
type part struct {
	heading string
	table   table
	notes   string
}

func (r liveReport) parts() []part {
	var parts []part
	for _, f := range r.fields {
		parts = append(parts, part{f.heading(), f.table(), f.notes()})
	}
	if len(r.rings.sensors) > 0 {
		parts = append(parts, part{"Rings, at " + rateName(r.rings.rate), r.rings.table(),
			r.rings.notes()})
	}
	if len(r.alone) > 0 {
		parts = append(parts, part{"What one core sustains", r.foundTable(),
			notes(r.alone, r.found, func(f sustained) string { return f.above })})
	}
	return parts
}

// text returns the tables for a terminal.
func (r liveReport) text() string {
	var b strings.Builder
	for _, p := range r.parts() {
		fmt.Fprintf(&b, "%s:\n\n%s%s\n", p.heading, p.table.text(), p.notes)
	}
	return b.String()
}

// markdown returns machine, versions, tables, notes and commands.
func (r liveReport) markdown() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s.\n\n", machine())
	m := r.manifest
	fmt.Fprintf(&b, "Frames: seed %d, %s messages in %s packets, over and over for %v. "+
		"Rounds: %d.\n\n", m.Seed, thousands(int64(m.Messages)), thousands(int64(m.Packets)), r.last, r.rounds)
	if err := versions(&b, r.sensors); err != nil {
		return "", err
	}
	for _, p := range r.parts() {
		fmt.Fprintf(&b, "\n### %s\n\n%s%s", p.heading, p.table.markdown(), p.notes)
	}
	commands, err := commands(r.sensors)
	return b.String() + "\n### Commands on an interface\n\n" + commands, err
}
