// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"fmt"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/test/drills/result"
)

// numbers are those of the list of forty, of drills that do not begin with theirs.
var numbers = map[string]int{
	"one of three brokers is away":                           1,
	"a broker leaves and another comes":                      1,
	"brokers append batches and the answers are lost":        8,
	"identities are refused once":                            14,
	"identities are refused until the right is granted":      14,
	"connections are cut in the middle of answers":           9,
	"too few replicas are in sync after the append":          23,
	"a topic of fewer partitions takes the place of another": 11,
	"batches are too large after they were appended":         19,
	"the right to see the topic is revoked":                  13,
	"brokers take batches and never answer":                  6,
	"producers are fenced until somebody looks":              22,
	"the partition leaves the broker after the append":       12,
	"connections are cut after the append":                   8,
	"a load balancer takes connections and closes them":      9,
	"leaders move again and again":                           2,
	"replicas do not follow in time":                         8,
	"an error that nobody knows":                             21,
	"no broker is there at the start":                        3,
}

// watch takes the times of a drill.
type watch struct {
	drill        drill
	begun, ended time.Time
	detect, heal time.Duration
}

func (w *watch) begin()    { w.begun = time.Now() }
func (w *watch) detected() { w.detect = time.Since(w.begun) }
func (w *watch) mended()   { w.ended = time.Now() }
func (w *watch) healed()   { w.heal = time.Since(w.ended) }

// write says what came of a drill that has a number, in its name or in that of its test.
func (w *watch) write(r *rig, n deliver.Counters) {
	r.Helper()
	number, what := numbers[w.drill.name], w.drill.name
	if number == 0 {
		if _, err := fmt.Sscanf(what, "%d:", &number); err == nil {
			_, what, _ = strings.Cut(what, ": ")
		} else if _, err := fmt.Sscanf(r.Name(), "TestDrill%d", &number); err != nil {
			return
		} else {
			what = plainWords(strings.TrimLeft(strings.TrimPrefix(r.Name(), "TestDrill"), "0123456789"))
		}
	}
	dropped := uint64(0)
	for _, d := range n.Dropped {
		dropped += d
	}
	result.Write(r, result.Result{Drill: number, What: what, Broker: "fake", In: n.In, Lost: r.missing,
		Dropped: dropped, Duplicated: r.twice, Detect: w.detect, Heal: w.heal, State: string(w.drill.want)})
}

// plainWords makes words of the name of a test.
func plainWords(name string) string {
	var b strings.Builder
	for i, c := range name {
		switch {
		case c == '/':
			b.WriteString(": ")
			continue
		case c == '_':
			c = ' '
		case c >= 'A' && c <= 'Z' && i > 0:
			b.WriteByte(' ')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
