// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"
)

// laneResult is one run of one setting.
type laneResult struct {
	wall   time.Duration
	cpu    time.Duration // of the sensor, all of its processes
	broker time.Duration // of the broker
	rss    int64         // bytes, all of its processes
}

// laneReport is the page that it results in. Each second setting is compared with the one before.
type laneReport struct {
	laneOptions
	settings []laneSetting
	results  [][]laneResult // by setting, then round
}

func (s laneSetting) name() string {
	to, lanes := "standard output", "one lane, one core"
	if s.broker {
		to = "embedded broker"
	}
	if s.lanes > 1 {
		lanes = "two lanes, two cores"
	}
	return to + ", " + lanes
}

// table sums up: medians over the rounds, and medians of the ratios of each round.
func (r laneReport) table() table {
	perMillion := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(r.messages) }
	wall := func(l laneResult) time.Duration { return l.wall }
	cpu := func(l laneResult) time.Duration { return l.cpu }
	t := table{{"records to", "messages/s", "÷ one lane", "CPU s per million", "÷ one lane",
		"broker's CPU s per million", "peak RSS MB"}}
	for i, s := range r.settings {
		rs, one := r.results[i], r.results[i-i%2]
		broker := "-"
		if s.broker {
			broker = fmt.Sprintf("%.2f", median(rs, func(l laneResult) float64 {
				return perMillion(l.broker)
			}))
		}
		t = append(t, []string{s.name(),
			thousands(int64(median(rs, func(l laneResult) float64 {
				return float64(r.messages) / l.wall.Seconds()
			}))),
			fmt.Sprintf("%.2f", ratios(one, rs, wall)),
			fmt.Sprintf("%.2f", median(rs, func(l laneResult) float64 { return perMillion(l.cpu) })),
			fmt.Sprintf("%.2f", ratios(rs, one, cpu)),
			broker,
			fmt.Sprintf("%.0f", median(rs, func(l laneResult) float64 { return float64(l.rss) / 1e6 })),
		})
	}
	return t
}

// ratios returns the median over the rounds of one setting's time divided by another's.
func ratios(of, by []laneResult, what func(laneResult) time.Duration) float64 {
	var all []float64
	for round := range of {
		all = append(all, float64(what(of[round]))/float64(what(by[round])))
	}
	return middle(all)
}

// markdown returns machine, version, table and commands.
func (r laneReport) markdown(binary string) (string, error) {
	v, err := version(binary)
	if err != nil {
		return "", err
	}
	var sensors []sensor
	for _, s := range r.settings {
		sensors = append(sensors, s.sensors...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s. Version: %s. Captures: seeds %d and %d, %s messages each. "+
		"Rounds: %d.\n\n%s\n", machine(), v, r.seed, r.seed+1, thousands(int64(r.messages/2)),
		r.rounds, r.table().markdown())
	text, err := commands(sensors)
	return b.String() + text, err
}
