// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// shownGaps is how many gaps of a lane the text names.
const shownGaps = 8

// WriteText writes the report for people: a table of the lanes, the gaps that nobody explains,
// notes, and the verdict. It returns w's error.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.table(&b)
	r.gaps(&b)
	r.notes(&b)
	fmt.Fprintf(&b, "%s\n", r.Sentence)
	_, err := io.WriteString(w, b.String())
	return err
}

// column is one of the table.
type column struct {
	name string
	of   func(*Counts) uint64
}

// columns are those that say something: of most topics nothing is missing, and a terminal is narrow.
func (r *Report) columns() (all []column) {
	for _, c := range []column{
		{"twice", func(c *Counts) uint64 { return c.Duplicates }},
		{"malformed", func(c *Counts) uint64 { return c.Malformed }},
		{"missing", func(c *Counts) uint64 { return c.Missing }},
		{"dropped", func(c *Counts) uint64 { return c.Dropped }},
		{"waiting", func(c *Counts) uint64 { return c.Waiting }},
		{"unjudged", func(c *Counts) uint64 { return c.Unjudged }},
		{"unexplained", func(c *Counts) uint64 { return c.Unexplained }},
	} {
		if c.of(&r.Counts) > 0 || c.name == "missing" {
			all = append(all, c)
		}
	}
	return all
}

// table has a part for each run, with a line for each lane.
func (r *Report) table(b *strings.Builder) {
	columns := r.columns()
	for _, run := range r.Runs {
		fmt.Fprintf(b, "%s, run %s (%s)\n", printable(run.Sensor), printable(run.Run), run.State)
		head := []string{"lane", "records", "first", "last"}
		for _, c := range columns {
			head = append(head, c.name)
		}
		rows := [][]string{head}
		for _, l := range run.Lanes {
			name := strconv.FormatUint(l.Lane, 10)
			if l.Heartbeats > 0 {
				name += " (beats)"
			}
			row := []string{name, number(l.Records), number(l.First), number(l.Last)}
			for _, c := range columns {
				row = append(row, number(c.of(&l.Counts)))
			}
			rows = append(rows, row)
		}
		writeTable(b, rows, 1)
		b.WriteString("\n")
	}
}

// gaps names what is missing where that is not explained.
func (r *Report) gaps(b *strings.Builder) {
	any := false
	for _, run := range r.Runs {
		for _, l := range run.Lanes {
			if l.Unexplained == 0 {
				continue
			}
			any = true
			fmt.Fprintf(b, "%s, run %s, lane %d lacks %s\n", printable(run.Sensor),
				printable(run.Run), l.Lane, l.ranges())
		}
	}
	if any {
		b.WriteString("\n")
	}
}

// ranges names the first gaps of the lane.
func (l *Lane) ranges() string {
	var parts []string
	for _, g := range l.Gaps[:min(len(l.Gaps), shownGaps)] {
		if g.First == g.Last {
			parts = append(parts, number(g.First))
		} else {
			parts = append(parts, number(g.First)+" to "+number(g.Last))
		}
	}
	text := strings.Join(parts, ", ")
	if more := uint64(len(l.Gaps)-len(parts)) + l.MoreGaps; more > 0 {
		text += fmt.Sprintf(", and %s more gaps", number(more))
	}
	return text
}

// notes says what the numbers alone do not, in lines that fit a terminal if the names do.
func (r *Report) notes(b *strings.Builder) {
	for _, run := range r.Runs {
		who, says := fmt.Sprintf("%s, run %s", printable(run.Sensor), printable(run.Run)), printable(run.Says)
		switch run.State {
		case Running:
			fmt.Fprintf(b, "%s goes on and says that it is %s\n", who, says)
		case Cut:
			fmt.Fprintf(b, "%s goes on behind the range;\n  its last heartbeat there says that it is %s\n",
				who, says)
		case Silent:
			fmt.Fprintf(b, "%s is silent:\n  its last heartbeat is old and was not to be the last; it said %s\n",
				who, says)
		case Unknown:
			fmt.Fprintf(b, "%s has no heartbeat:\n  what it numbered after its last record is unknown\n", who)
		case Ended:
		}
	}
	if r.cut {
		b.WriteString("the topic was not read whole: a lane is judged between two heartbeats, the first\n" +
			"  that had come to where each partition was begun, and the last that had come\n" +
			"  beyond the end of none\n")
	}
	switch {
	case r.Foreign == 1:
		fmt.Fprintf(b, "1 value is no record of dnsluice, at %s\n", r.foreignAt)
	case r.Foreign > 1:
		fmt.Fprintf(b, "%s values are no records of dnsluice, the first at %s\n",
			number(r.Foreign), r.foreignAt)
	}
}

// printable is text from a topic as a terminal may have it.
func printable(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	for _, c := range s {
		if c < ' ' || c > '~' {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

// number returns n with a comma between each three digits.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// writeTable writes rows with aligned columns: the first left of them to the left, the others to
// the right.
func writeTable(b *strings.Builder, rows [][]string, left int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < left {
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
