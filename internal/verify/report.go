// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"fmt"
	"slices"
)

// Verdict is the one word of a report.
type Verdict string

// The verdicts.
const (
	Complete  Verdict = "complete"  // nothing is missing
	Explained Verdict = "explained" // what is missing was dropped and said to be, or may still come
	Unjudged  Verdict = "unjudged"  // what else is missing may be, or be explained, where nothing was read
	Gaps      Verdict = "gaps"      // something is missing and nobody says why
	Empty     Verdict = "empty"     // there is no record
)

// Report is what was proven.
type Report struct {
	Verdict  Verdict `json:"verdict"`
	Sentence string  `json:"sentence"`
	Counts
	Foreign    uint64      `json:"foreign"` // values that are no records of dnsluice
	Partitions []Partition `json:"partitions"`
	Runs       []Run       `json:"runs"`

	foreignAt string
	cut       bool
}

// Report judges what was added. It may be called again after more was.
func (c *Checker) Report(o Options) Report {
	out := Report{Partitions: []Partition{}, Runs: []Run{}, Foreign: c.foreign,
		foreignAt: c.where.in(o.Files), cut: c.cut(true) || c.cut(false)}
	for _, p := range c.partitions {
		out.Partitions = append(out.Partitions, p.Partition)
	}
	slices.SortFunc(out.Partitions, func(a, b Partition) int {
		return cmp.Compare(a.Partition, b.Partition)
	})
	runs := make([]*run, 0, len(c.runs))
	for _, r := range c.runs {
		sortBeats(r.beats)
		runs = append(runs, r)
	}
	slices.SortFunc(runs, compareRuns)
	for i, r := range runs {
		out.Runs = append(out.Runs, c.judge(r, o, c.othersOf(runs, i)))
		out.add(out.Runs[i].Counts)
	}
	out.Verdict = out.verdict()
	out.Sentence = out.sentence()
	return out
}

func (r *Report) verdict() Verdict {
	switch {
	case r.Unexplained > 0:
		return Gaps
	case r.Unjudged > 0:
		return Unjudged
	case r.Missing > 0:
		return Explained
	case r.Records == 0:
		return Empty
	}
	return Complete
}

func (r *Report) sentence() string {
	runs := fmt.Sprintf("%d runs", len(r.Runs))
	if len(r.Runs) == 1 {
		runs = "1 run"
	}
	switch r.Verdict {
	case Gaps:
		return fmt.Sprintf("%s of %s records of %s are missing, and nobody says why",
			number(r.Unexplained), number(r.Records+r.Missing), runs)
	case Unjudged:
		return fmt.Sprintf("%s records of %s; %s are missing: %s were dropped, as the heartbeats "+
			"say, %s wait, and %s cannot be judged, for they may be where nothing was read",
			number(r.Records), runs, number(r.Missing), number(r.Dropped), number(r.Waiting),
			number(r.Unjudged))
	case Explained:
		return fmt.Sprintf("%s records of %s; %s are missing: %s were dropped, as the heartbeats "+
			"say, and %s wait", number(r.Records), runs, number(r.Missing), number(r.Dropped),
			number(r.Waiting))
	case Empty:
		return "there is no record of dnsluice to verify"
	}
	return fmt.Sprintf("all %s records of %s are there", number(r.Records), runs)
}
