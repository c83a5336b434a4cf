// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/ops/top"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// screen shows the demo: on a terminal it repaints, elsewhere it prints a line now and then.
type screen struct {
	out   io.Writer
	log   io.Writer
	every time.Duration
	size  func() (columns, rows int) // of the terminal; nil where there is none
}

// What a terminal is told (ECMA-48): the cursor home, erase to the end of the line, of the screen.
const (
	home      = "\x1b[H"
	eraseLine = "\x1b[K"
	eraseRest = "\x1b[J"
)

func (s *screen) draw(sensor *sensor.Sensor, back *readBack) {
	newest, count := back.latest()
	l := sensor.Ledger()
	if s.size == nil {
		fmt.Fprintf(s.out, "%s: %s packets, %s messages, %s acknowledged, %s read back, %s dropped\n",
			sensor.Status().State, ledger.Number(l.Packets), ledger.Number(l.Messages),
			ledger.Number(l.Acknowledged), ledger.Number(count), ledger.Number(l.Dropped))
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "dnsluice demo: captures, through the sensor, into Kafka, and back\n\n")
	fmt.Fprintf(&b, "%s\n\n", sensor.Status().Sentence)
	l.WriteText(&b)
	fmt.Fprintf(&b, "\nread back from the topic: %s records\n\n", ledger.Number(count))
	for _, r := range newest {
		b.WriteString(r.line())
		b.WriteByte('\n')
	}
	io.WriteString(s.out, s.frame(b.String()))
}

// frame is text as it is painted over the one before. It fits the terminal: a line that wraps, or
// one too many, would scroll, and what was painted before would stay.
func (s *screen) frame(text string) string {
	columns, rows := s.size()
	lines := top.Fit(strings.Split(strings.TrimSuffix(text, "\n"), "\n"), columns, rows-1)
	return home + strings.Join(lines, eraseLine+"\n") + eraseLine + "\n" + eraseRest
}

// line is a record in at most 110 columns.
func (r shown) line() string {
	clock := r.Time
	if len(clock) >= 23 {
		clock = clock[11:23]
	}
	text := fmt.Sprintf("%s %-9s %-15s %s %s %s", clock, r.Kind, r.Client, r.Transport, r.Name, r.Type)
	if r.Kind == "response" {
		text += " " + r.Rcode
		if len(r.Answers) > 0 {
			text += " " + r.Answers[0].Data
		}
	}
	if len(text) > 110 {
		text = text[:107] + "..."
	}
	return text
}

// last prints the end of the demo. Its error is that of the output, which nothing before reported.
func (s *screen) last(sensor *sensor.Sensor, c comparison) error {
	fmt.Fprintln(s.out)
	if s.size == nil {
		sensor.Ledger().WriteText(s.out)
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "acknowledged %s, read back %s, more than once %s\n",
		ledger.Number(c.acknowledged), ledger.Number(c.readBack), ledger.Number(c.twice))
	verdict := "every record that was delivered was read back"
	if c.err() != nil {
		verdict = "that does not agree"
	}
	_, err := fmt.Fprintln(s.out, verdict)
	return err
}
