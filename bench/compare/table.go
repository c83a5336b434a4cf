// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// table is rows of cells; the first row is the heading.
type table [][]string

// table sums up a field: medians over the rounds, and medians of the ratios of each round, which
// say more than the ratio of medians when the machine is not always equally fast.
func (f field) table() table {
	heading := []string{"sensor", "arrived of " + thousands(int64(f.messages)), "lost",
		"CPU s per million", "records/s", "wall s", "peak RSS MB"}
	var measures []int
	for i, s := range f.sensors {
		if s.measure != "" {
			measures = append(measures, i)
			heading = append(heading, "CPU ÷ "+s.measure)
		}
	}
	t := table{heading}
	for i, s := range f.sensors {
		rs := f.results[i]
		row := []string{s.name(), spread(rs, result.count), f.lost(rs), "-", "-", "-",
			fmt.Sprintf("%.0f", median(rs, func(r result) float64 { return float64(r.usage.rss) / 1e6 }))}
		arrived := !slices.ContainsFunc(rs, func(r result) bool { return r.arrived == 0 })
		if arrived {
			row[3] = fmt.Sprintf("%.2f", median(rs, result.perMillion))
			row[4] = thousands(int64(median(rs, result.rate)))
			row[5] = fmt.Sprintf("%.1f", median(rs, func(r result) float64 { return r.wall.Seconds() }))
		}
		for _, m := range measures {
			cell := "-"
			if arrived {
				cell = fmt.Sprintf("%.2f", f.ratio(i, m))
			}
			row = append(row, cell)
		}
		t = append(t, row)
	}
	return t
}

// rate returns the records a second until the last arrived.
func (r result) rate() float64 {
	if r.wall <= 0 {
		return 0
	}
	return float64(r.arrived) / r.wall.Seconds()
}

// ratio returns the median over the rounds of one sensor's CPU per record to another's.
func (f field) ratio(i, to int) float64 {
	ratios := make([]float64, 0, len(f.results[i]))
	for round, r := range f.results[i] {
		if per := f.results[to][round].perMillion(); per > 0 {
			ratios = append(ratios, r.perMillion()/per)
		}
	}
	return middle(ratios)
}

// lost says how many messages of the capture did not arrive, in the best and in the worst round.
func (f field) lost(rs []result) string {
	return percent(rs, func(r result) float64 {
		return float64(int64(f.messages)-r.arrived) / float64(f.messages)
	})
}

// percent writes shares, from the least to the most.
func percent[R any](rs []R, of func(R) float64) string {
	least, most := extremes(rs, of)
	switch {
	case least == 0 && most == 0:
		return "none"
	case least == most:
		return fmt.Sprintf("%.3g %%", 100*least)
	}
	return fmt.Sprintf("%.3g to %.3g %%", 100*least, 100*most)
}

func (r result) count() int64 { return r.arrived }

// spread writes counts, from the least to the most.
func spread[R any](rs []R, of func(R) int64) string {
	least, most := extremes(rs, of)
	if least == most {
		return thousands(least)
	}
	return thousands(least) + " to " + thousands(most)
}

func extremes[R any, N int64 | float64](rs []R, of func(R) N) (least, most N) {
	for i, r := range rs {
		n := of(r)
		if i == 0 {
			least, most = n, n
		}
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

func median[R any](rs []R, of func(R) float64) float64 {
	values := make([]float64, len(rs))
	for i, r := range rs {
		values[i] = of(r)
	}
	return middle(values)
}

// middle returns the median, of an even number the mean of the two in the middle.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 0 {
		return (values[half-1] + values[half]) / 2
	}
	return values[half]
}

// thousands writes a number with separators.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// text returns the table for a terminal: columns in line, numbers to the right.
func (t table) text() string {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, row := range t {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// markdown returns the table for a page.
func (t table) markdown() string {
	var b strings.Builder
	for i, row := range t {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(row)-1) + "\n")
		}
	}
	return b.String()
}
