// SPDX-License-Identifier: Apache-2.0

// Package why answers the question why nothing, or less, reaches Kafka: in one sentence, with the
// evidence under it and what the operator can do next. It judges what a sensor says of itself
// (package ask) and asks nobody.
package why

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// Explanation is the answer.
type Explanation struct {
	OK       bool     `json:"ok"` // records get through, or there are none
	State    string   `json:"state"`
	Sentence string   `json:"sentence"`
	Evidence []Fact   `json:"evidence"`
	Next     []string `json:"next"` // what can be done; empty if nothing need be
}

// Fact is one line of the evidence.
type Fact struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Explain returns why a sensor is as it is.
func Explain(a ask.Answer) Explanation {
	e := Explanation{OK: a.State.Ready, State: a.State.Name, Evidence: evidence(a), Next: next(a)}
	clauses := []string{fmt.Sprintf("%s is %s, for %s now: %s", a.Sensor, a.State.Name,
		age(a, a.State.Since), meaning(a.State))}
	if !told(a) {
		clauses[0] = fmt.Sprintf("%s is %s: %s", a.Sensor, a.State.Name, a.State.Sentence)
	}
	if w := waiting(a); w != "" {
		clauses = append(clauses, w)
	}
	if lost := records(a); lost > 0 {
		clauses = append(clauses, "lost so far: "+number(lost, "record"))
	}
	if k := kernel(a); k > 0 {
		clauses = append(clauses, fmt.Sprintf("the kernel has dropped %s of %s", number(k, "packet"),
			ledger.Number(a.Ledger.Packets)))
	}
	e.Sentence = printable(strings.Join(clauses, "; "))
	for i := range e.Evidence {
		e.Evidence[i].Text = printable(e.Evidence[i].Text)
	}
	return e
}

// told tells whether the sensor said more than its state.
func told(a ask.Answer) bool { return !a.Detail.Time.IsZero() }

// meaning is the sentence of the state without the state and its time, which stand before it, and
// without what waits on disk, which follows.
func meaning(s ask.State) string {
	words := s.Sentence
	if rest, ok := strings.CutPrefix(words, s.Name+" since "); ok {
		if _, rest, ok = strings.Cut(rest, "Z: "); ok {
			words = rest
		}
	}
	if i := strings.LastIndex(words, "; "); i >= 0 && strings.HasSuffix(words, " records wait on disk") {
		words = words[:i]
	}
	return words
}

// waiting says what is not acknowledged yet.
func waiting(a ask.Answer) string {
	onDisk := a.Ledger.Spooled
	if s := a.Detail.Delivery.Spool; s != nil {
		onDisk = s.Records // those of earlier runs as well
	}
	if a.Ledger.Held+onDisk == 0 || a.State.Ready && onDisk == 0 {
		return ""
	}
	text := fmt.Sprintf("%s wait in memory", number(a.Ledger.Held, "record"))
	if onDisk > 0 {
		text += fmt.Sprintf(" and %s on disk", ledger.Number(onDisk))
	}
	if oldest := a.Detail.Delivery.OldestAge; oldest > 0 {
		text += ", the oldest for " + seconds(oldest)
	}
	if s := a.Detail.Delivery.Spool; s != nil && s.FullIn > 0 {
		text += ", and the spool is full in " + seconds(s.FullIn)
	}
	return text
}

// records returns how many records are lost.
func records(a ask.Answer) uint64 { return a.Ledger.Dropped }

// kernel returns how many packets the kernel has dropped.
func kernel(a ask.Answer) (n uint64) {
	for _, s := range a.Ledger.Stages {
		if s.Stage == "capture" {
			n += s.Dropped["kernel"]
		}
	}
	return n
}

// WriteText writes the answer for people. It returns w's error.
func (e Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	b.WriteString(e.Sentence + "\n\n")
	width := 0
	for _, f := range e.Evidence {
		width = max(width, len(f.Name))
	}
	last := ""
	for _, f := range e.Evidence {
		name := f.Name
		if name == last {
			name = ""
		}
		fmt.Fprintf(&b, "  %-*s  %s\n", width, name, f.Text)
		last = f.Name
	}
	if len(e.Next) > 0 {
		b.WriteString("\nwhat to do next:\n")
		for _, n := range e.Next {
			b.WriteString("- " + n + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// age is for how long something has been so, by the sensor's own clock.
func age(a ask.Answer, since time.Time) string {
	if since.IsZero() || a.Detail.Time.IsZero() {
		return "an unknown time"
	}
	return seconds(a.Detail.Time.Sub(since).Seconds())
}

// seconds is a duration as people say it.
func seconds(s float64) string {
	d := time.Duration(min(max(s, 0), 1e9) * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// bytes is a size as people say it.
func bytes(n uint64) string {
	size, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1000 && len(units) > 1 {
		size, units = size/1024, units[1:]
	}
	if units[0] == "B" || size >= 100 {
		return fmt.Sprintf("%.0f %s", size, units[0])
	}
	return fmt.Sprintf("%.1f %s", size, units[0])
}

func number(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return ledger.Number(n) + " " + what + "s"
}

// printable makes what brokers have said fit for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// sortedReasons returns the reasons of drops, the most frequent first.
func sortedReasons(dropped map[string]uint64) []string {
	var all []string
	for reason, n := range dropped {
		if n > 0 {
			all = append(all, reason)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		if dropped[a] != dropped[b] {
			if dropped[a] > dropped[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return all
}
