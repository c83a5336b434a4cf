// SPDX-License-Identifier: Apache-2.0

// Package top draws the sensor as text that fits a terminal: what moves, what waits, what was
// lost, by stage, lane and broker. It makes frames out of what a sensor says (package ask); the
// terminal is its caller's business.
package top

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// View makes one frame after the other. Rates are between two answers.
type View struct {
	Address string // of the sensor, as the user gave it

	last, before ask.Answer
	answers      int
	err          error     // why the newest question has no answer
	missed       time.Time // the first of these
}

// Answer takes what the sensor says now.
func (v *View) Answer(a ask.Answer) {
	if v.answers > 0 && v.last.Run != a.Run {
		v.answers = 0 // it was started again: its counters begin anew
	}
	v.before, v.last = v.last, a
	v.answers++
	v.err, v.missed = nil, time.Time{}
}

// Fail takes that the sensor does not answer.
func (v *View) Fail(err error, now time.Time) {
	v.err = err
	if v.missed.IsZero() {
		v.missed = now
	}
}

// Frame returns the lines of a terminal of so many columns and rows. None is longer, and there are
// no more. What matters most stands first; what does not fit is counted in the last line. A common
// sensor, with three brokers and two lanes, fits 80 by 24 whole.
func (v *View) Frame(columns, rows int, now time.Time) []string {
	var lines []string
	switch {
	case v.answers == 0 && v.err == nil:
		lines = []string{"asking the sensor at " + v.Address}
	case v.answers == 0:
		lines = []string{printable(v.err.Error()), "", "asking again; q ends"}
	default:
		lines = v.head(columns, now)
		if v.err != nil {
			lines = append(lines, fmt.Sprintf("! it has not answered for %s; this is old",
				now.Sub(v.missed).Round(time.Second)))
		}
		lines = append(lines, "")
		lines = append(lines, v.rates()...)
		lines = append(lines, "")
		lines = append(lines, v.stages()...)
		lines = append(lines, "")
		lines = append(lines, v.brokers()...)
		lines = append(lines, "")
		lines = append(lines, v.lanes()...)
	}
	return Fit(lines, columns, rows)
}

// Fit cuts lines to a terminal of so many columns and rows. Empty lines give way first.
func Fit(lines []string, columns, rows int) []string {
	columns, rows = max(columns, 1), max(rows, 1)
	if len(lines) > rows {
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	}
	if len(lines) > rows {
		more := len(lines) - rows + 1
		lines = append(lines[:rows-1:rows-1], fmt.Sprintf("... %d more lines; a larger terminal shows them", more))
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		runes := []rune(printable(line))
		if len(runes) > columns {
			runes = append(runes[:columns-1:columns-1], '~')
		}
		out[i] = string(runes)
	}
	return out
}

// wrap breaks text between words, or where there are none, into lines of so many columns: a few,
// for what a broker says may be long.
func wrap(text string, columns int) []string {
	const few, indent = 4, "  "
	columns = max(columns, 20)
	var lines []string
	rest := []rune(printable(text))
	for len(rest) > columns && len(lines) < few-1 {
		end := columns
		for i := columns; i > columns/2; i-- {
			if rest[i] == ' ' {
				end = i
				break
			}
		}
		lines = append(lines, string(rest[:end]))
		rest = []rune(indent + strings.TrimLeft(string(rest[end:]), " "))
	}
	return append(lines, string(rest))
}

// head says who it is and how it is.
func (v *View) head(columns int, now time.Time) []string {
	a := &v.last
	up := "?"
	if d := a.Detail; !d.Started.IsZero() && !d.Time.IsZero() {
		up = d.Time.Sub(d.Started).Round(time.Second).String()
	}
	first := fmt.Sprintf("dnsluice %s on %s, up %s, at %s", a.Version, a.Sensor, up, now.Format("15:04:05"))
	state := fmt.Sprintf("%s for %s", strings.ToUpper(a.State.Name), duration(a.Detail.Time.Sub(a.State.Since)))
	_, words, _ := strings.Cut(a.State.Sentence, "Z: ")
	if a.Detail.Delivery.LastError != "" {
		words = a.Detail.Delivery.LastError
	}
	lines := append(wrap(first, columns), wrap(state+": "+words, columns)...)
	if s := a.Detail.Delivery.Spool; s != nil && s.Error != "" && s.Error != words {
		lines = append(lines, wrap("! the spool cannot be written: "+s.Error, columns)...)
	}
	return lines
}

// rates is what moves and what waits: two columns of figures.
func (v *View) rates() []string {
	l, d := &v.last.Ledger, &v.last.Detail
	memory := fmt.Sprintf("%s of %s", size(d.Process.Resident), size(d.Process.Limit))
	if d.Process.Resident == 0 {
		memory = "limit " + size(d.Process.Limit)
	}
	left := [][2]string{
		{"packets/s", v.rate(func(a *ask.Answer) uint64 { return a.Ledger.Packets })},
		{"records/s", v.rate(func(a *ask.Answer) uint64 { return a.Ledger.Records })},
		{"acked/s", v.rate(func(a *ask.Answer) uint64 { return a.Ledger.Acknowledged })},
		{"dropped", figure(l.Dropped, 11)},
		{"kernel drops", figure(kernelDrops(&v.last), 11)},
	}
	right := [][2]string{
		{"memory", memory + ", cpu " + v.cpu()},
		{"queue", fmt.Sprintf("%s records, %d batches, %d free", ledger.Number(l.Held),
			d.Delivery.Waiting, d.Delivery.Free)},
		{"spool", spoolLine(d.Delivery.Spool)},
		{"fills", fills(d.Delivery.Spool)},
		{"oldest", fmt.Sprintf("%s; last ack %s",
			duration(time.Duration(min(d.Delivery.OldestAge, 1e9)*float64(time.Second))), v.lastAck())},
	}
	lines := make([]string, len(left))
	for i := range left {
		lines[i] = fmt.Sprintf("%-12s %11s   %-7s %s", left[i][0], left[i][1], right[i][0], right[i][1])
	}
	return lines
}

func spoolLine(s *ask.Spool) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%s records, %s of %s", ledger.Number(s.Records), size(s.Bytes), size(s.MaxBytes))
}

// fills says when the spool is full.
func fills(s *ask.Spool) string {
	switch {
	case s == nil:
		return "-"
	case s.FullIn > 0:
		return "in " + duration(time.Duration(min(s.FullIn, 1e9)*float64(time.Second))) + " at this rate"
	}
	return "not at this rate"
}

func (v *View) lastAck() string {
	d := &v.last.Detail
	if d.Delivery.LastAck.IsZero() {
		return "never"
	}
	return duration(d.Time.Sub(d.Delivery.LastAck)) + " ago"
}

// stages is the ledger, with how much of each stage comes in.
func (v *View) stages() []string {
	lines := []string{fmt.Sprintf("%-9s %-8s %14s %9s %14s %10s %10s", "stage", "", "in", "/s", "out", "held", "dropped")}
	for i, s := range v.last.Ledger.Stages {
		rate := v.rate(func(a *ask.Answer) uint64 {
			if i < len(a.Ledger.Stages) {
				return a.Ledger.Stages[i].In
			}
			return 0
		})
		lines = append(lines, fmt.Sprintf("%-9s %-8s %14s %9s %14s %10s %10s", s.Stage, s.Unit,
			figure(s.In, 14), rate, figure(s.Out, 14), figure(s.Held, 10), figure(s.DroppedSum(), 10)))
	}
	return lines
}

func (v *View) brokers() []string {
	d := &v.last.Detail
	failing := 0
	for _, p := range d.Delivery.Leaders {
		if p.Failing > 0 || p.Leader < 0 {
			failing++
		}
	}
	lines := []string{fmt.Sprintf("%-8s %-31s %9s %9s %9s %9s", "broker",
		fmt.Sprintf("%d partitions, %d fail", len(d.Delivery.Leaders), failing),
		"sent", "unacked", "retrans", "heard")}
	if len(d.Connections) == 0 {
		return append(lines, "no connection is open")
	}
	for _, c := range d.Connections {
		unacked, retrans, heard := "?", "?", "?"
		if k := c.Kernel; k != nil {
			unacked, retrans = size(k.Queued), fmt.Sprint(k.TotalRetransmits)
			heard = duration(k.SinceReceived)
		}
		name := fmt.Sprint(c.Broker)
		if c.Broker < 0 {
			name = "seed"
		}
		lines = append(lines, fmt.Sprintf("%-8s %-31s %9s %9s %9s %9s", name, short(c.Remote, 31), size(c.Sent),
			unacked, retrans, heard))
	}
	return lines
}

func (v *View) lanes() []string {
	lines := []string{fmt.Sprintf("%-5s %-15s %11s %11s %11s %9s %9s", "lane", "interface", "packets/s",
		"messages/s", "records/s", "kernel", "dropped")}
	for i, l := range v.last.Detail.Lanes {
		rate := func(of func(*ask.Lane) uint64) string {
			return v.rate(func(a *ask.Answer) uint64 {
				if i < len(a.Detail.Lanes) {
					return of(&a.Detail.Lanes[i])
				}
				return 0
			})
		}
		name := l.Interface
		if name == "" {
			name = "(files)"
		}
		lines = append(lines, fmt.Sprintf("%-5d %-15s %11s %11s %11s %9s %9s", l.Lane, short(name, 15),
			rate(func(l *ask.Lane) uint64 { return l.Received }),
			rate(func(l *ask.Lane) uint64 { return l.Messages }),
			rate(func(l *ask.Lane) uint64 { return l.Records }),
			figure(l.Kernel, 9), figure(l.Dropped, 9)))
	}
	return lines
}

// rate returns how much a counter moves in a second, - before there are two answers.
func (v *View) rate(of func(*ask.Answer) uint64) string {
	over := v.last.Detail.Time.Sub(v.before.Detail.Time).Seconds()
	now, then := of(&v.last), of(&v.before)
	if v.answers < 2 || over <= 0 || now < then {
		return "-"
	}
	return ledger.Number(uint64(float64(now-then)/over + 0.5))
}

// cpu returns how much of one core the sensor takes.
func (v *View) cpu() string {
	over := v.last.Detail.Time.Sub(v.before.Detail.Time).Seconds()
	if v.answers < 2 || over <= 0 || v.last.Detail.Process.CPU == 0 {
		return "-"
	}
	used := v.last.Detail.Process.CPU - v.before.Detail.Process.CPU
	return fmt.Sprintf("%.0f %% of a core", max(0, 100*used/over))
}

// figure is a number in so many characters: one that is too long for that, in thousands.
func figure(n uint64, width int) string {
	text := ledger.Number(n)
	for _, unit := range []string{" K", " M", " G", " T"} {
		if len(text) <= width {
			break
		}
		n /= 1000
		text = ledger.Number(n) + unit
	}
	return text
}

// short is a name in so many characters, its end with the port among them.
func short(name string, width int) string {
	runes := []rune(name)
	if len(runes) <= width {
		return name
	}
	head := width / 2
	return string(runes[:head]) + "~" + string(runes[len(runes)-(width-head-1):])
}

func kernelDrops(a *ask.Answer) (n uint64) {
	for _, s := range a.Ledger.Stages {
		n += s.Dropped["kernel"]
	}
	return n
}

// duration is a time in at most six characters or so.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 100*time.Hour:
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size is a number of bytes in at most eight characters.
func size(n uint64) string {
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for f >= 1000 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	if units[0] == "B" || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[0])
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
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
