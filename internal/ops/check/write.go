// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// WriteText writes a line as people read it: the level, the check, what was found, and below it
// what to do.
func WriteText(w io.Writer, l Line) error {
	text := fmt.Sprintf("%-8s %-13s %-12s %s\n", l.Level, l.Group, l.Name, oneLine(l.Found))
	if l.Do != "" {
		text += fmt.Sprintf("%-35s -> %s\n", "", oneLine(l.Do))
	}
	_, err := io.WriteString(w, text)
	return err
}

// oneLine joins what errors of several things wrote below each other.
func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

// Report is all lines, as one JSON document.
type Report struct {
	Result Level  `json:"result"` // the worst of all
	Checks []Line `json:"checks"`
}

// WriteJSON writes the report.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Summary returns the last line: how many of each.
func (r Report) Summary() string {
	var n [len(levelNames)]int
	for _, l := range r.Checks {
		n[l.Level]++
	}
	return fmt.Sprintf("%d ok, %d warnings, %d failures, %d skipped", n[OK], n[Warning], n[Failure], n[Skipped])
}
