// SPDX-License-Identifier: Apache-2.0

// Package ledger is the accounting noun of ops: what became of everything that entered a stage.
// It holds numbers only; the sensor fills them in, metrics and httpd show them, and a run prints
// them at its end.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Stage is one line of the ledger. Its law is In = Out + Held + the sum of Dropped, all counted
// in Unit.
type Stage struct {
	Stage string `json:"stage"` // the stage's path word, such as "capture"
	Unit  string `json:"unit"`  // what is counted: packets, messages or records

	In   uint64 `json:"in"`
	Out  uint64 `json:"out"`
	Held uint64 `json:"held"` // still inside, neither out nor dropped

	Dropped map[string]uint64 `json:"dropped"` // by reason; never null in JSON

	// Detail counts what stands beside the law: bytes, retried, malformed by reason. A name
	// may be given as "name.reason"; metrics makes the reason a label.
	Detail map[string]uint64 `json:"detail,omitempty"`
}

// Totals are the figures of the whole run. Their law is
// Records = Acknowledged + Spooled + Dropped + Held.
type Totals struct {
	Packets      uint64 `json:"packets"`      // that capture was given
	Messages     uint64 `json:"messages"`     // DNS messages found in them
	Records      uint64 `json:"records"`      // made of the messages
	Acknowledged uint64 `json:"acknowledged"` // records that a broker has
	Spooled      uint64 `json:"spooled"`      // records that wait on disk
	Dropped      uint64 `json:"dropped"`      // records lost, each with a reason in its stage
	Held         uint64 `json:"held"`         // records in memory
}

// Ledger is the account of one run, at one moment. While packets move, its counters are read
// one after the other, so only whoever fills it can say whether Balanced means something then;
// at the end of a run it always does.
type Ledger struct {
	Balanced bool `json:"balanced"` // Check found nothing
	Complete bool `json:"complete"` // the run has ended, and this is all of it
	Totals
	Stages []Stage `json:"stages"` // in the order of the path; never null in JSON
}

// Of returns the ledger of the stages and totals given, with Balanced as Check finds it. It keeps
// the slice.
func Of(stages []Stage, t Totals) Ledger {
	l := Ledger{Totals: t, Stages: stages}
	l.Balanced = l.Check() == nil
	return l
}

// Check returns nil when every law holds. Otherwise its error names each stage that does not add
// up, and the numbers.
func (l Ledger) Check() error {
	var errs []error
	for _, s := range l.Stages {
		errs = append(errs, s.check())
	}
	t := l.Totals
	if sum := t.Acknowledged + t.Spooled + t.Dropped + t.Held; t.Records != sum {
		errs = append(errs, fmt.Errorf("ledger: records %d, but acknowledged %d + spooled %d + "+
			"dropped %d + held %d = %d", t.Records, t.Acknowledged, t.Spooled, t.Dropped, t.Held, sum))
	}
	return errors.Join(errs...)
}

func (s Stage) check() error {
	dropped := s.DroppedSum()
	sum := s.Out + s.Held + dropped
	if s.In == sum {
		return nil
	}
	reasons := ""
	if len(s.Dropped) > 0 {
		reasons = " (" + strings.Join(s.reasons(plain), ", ") + ")"
	}
	return fmt.Errorf("ledger: stage %s: in %d, but out %d + held %d + dropped %d%s = %d",
		s.Stage, s.In, s.Out, s.Held, dropped, reasons, sum)
}

// DroppedSum returns the drops of all reasons.
func (s Stage) DroppedSum() uint64 {
	var sum uint64
	for _, n := range s.Dropped {
		sum += n
	}
	return sum
}

// reasons returns "reason n" for each reason that happened, the most frequent first.
func (s Stage) reasons(number func(uint64) string) []string {
	names := make([]string, 0, len(s.Dropped))
	for name, n := range s.Dropped {
		if n > 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		switch x, y := s.Dropped[a], s.Dropped[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = name + " " + number(s.Dropped[name])
	}
	return names
}

// MarshalJSON writes an empty object for no drops: a reader may index it without asking first.
func (s Stage) MarshalJSON() ([]byte, error) {
	type bare Stage // without this method
	if s.Dropped == nil {
		s.Dropped = map[string]uint64{}
	}
	return json.Marshal(bare(s))
}

// MarshalJSON writes an empty list for no stages.
func (l Ledger) MarshalJSON() ([]byte, error) {
	type bare Ledger
	if l.Stages == nil {
		l.Stages = []Stage{}
	}
	return json.Marshal(bare(l))
}
