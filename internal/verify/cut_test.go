// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatARangeCutsOffIsNotJudged(t *testing.T) {
	const start, end = 1, 2 // cut there
	for _, c := range []struct {
		name string
		cut  int
		fill func(*topic)
		want sum
	}{
		{"a run that began in the range, and dropped before its first heartbeat", start, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 13, 20)
			p.beat("r1", 1, `"dropped":2,`+lanes(20, 0))
			p.beat("r1", 2, ended+`"dropped":2,`+lanes(20, 0))
		}, sum{Verdict: Explained, Missing: 2, Dropped: 2}},
		{"the same, and one more is missing", start, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 14, 20)
			p.beat("r1", 1, ended+`"dropped":2,`+lanes(20, 0))
		}, sum{Verdict: Gaps, Missing: 3, Dropped: 2, Unexplained: 1}},
		{"one that began before: what was dropped may have been there", start, func(p *topic) {
			p.records(0, 0, 101, 110)
			p.records(0, 0, 113, 120)
			p.beat("r1", 7, ended+`"dropped":2,`+lanes(120, 0))
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"the same, dropped by the lane", start, func(p *topic) {
			p.records(0, 0, 101, 110)
			p.records(0, 0, 113, 120)
			p.beat("r1", 7, ended+`"dropped":2,`+lanes(120, 2))
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"more were dropped than there are below", start, func(p *topic) {
			p.records(0, 0, 2, 10)
			p.records(0, 0, 13, 20)
			p.beat("r1", 1, ended+`"dropped":2,`+lanes(20, 0))
		}, sum{Verdict: Unjudged, Missing: 2, Dropped: 1, Unjudged: 1}},
		{"what the first heartbeat knows does not explain what came later", start, func(p *topic) {
			p.records(0, 0, 101, 120)
			p.beat("r1", 7, `"dropped":2,`+lanes(120, 0))
			p.records(0, 0, 123, 130)
			p.beat("r1", 8, ended+`"dropped":2,`+lanes(130, 0))
		}, sum{Verdict: Gaps, Missing: 2, Unexplained: 2}},
		{"dropped between two heartbeats", start, func(p *topic) {
			p.records(0, 0, 101, 120)
			p.beat("r1", 7, `"dropped":2,`+lanes(120, 0))
			p.records(0, 0, 123, 130)
			p.beat("r1", 8, ended+`"dropped":4,`+lanes(130, 0))
		}, sum{Verdict: Explained, Missing: 2, Dropped: 2}},
		{"a lane that was quiet in the range", start, func(p *topic) {
			p.beat("r1", 7, lanes(100, 0))
			p.beat("r1", 8, ended+lanes(100, 0))
		}, sum{Verdict: Complete}},
		{"and one of which all is missing", start, func(p *topic) {
			p.beat("r1", 7, lanes(100, 0))
			p.beat("r1", 8, ended+lanes(103, 0))
		}, sum{Verdict: Gaps, Missing: 3, Unexplained: 3}},
		{"what was numbered after the last heartbeat", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, lanes(10, 0))
			p.records(0, 0, 13, 20)
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"what waited at the last heartbeat", end, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.beat("r1", 1, `"held":2,`+lanes(10, 0))
			p.records(0, 0, 11, 20)
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"what is missing before the last heartbeat", end, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.beat("r1", 1, lanes(10, 0))
			p.records(0, 0, 11, 20)
		}, sum{Verdict: Gaps, Missing: 2, Unexplained: 2}},
		{"a range before the first heartbeat", end, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 0, 11, 20)
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"a run that was killed long before the end", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, `"held":2,`+lanes(10, 0))
			p.records(0, 0, 13, 20)
			p.beat("r2", 60, lanes())
			for seq := uint64(1); seq < 60; seq++ {
				p.beat("r2", seq, lanes())
			}
		}, sum{Verdict: Gaps, Missing: 2, Unexplained: 2}},
		{"a run that ended in the range", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 13, 20)
			p.beat("r1", 1, ended+lanes(20, 0))
		}, sum{Verdict: Gaps, Missing: 2, Unexplained: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTopic(t)
			p.Expect(Partition{CutStart: c.cut == start, CutEnd: c.cut == end})
			c.fill(p)
			if diff := cmp.Diff(c.want, p.sum(Options{Now: noon.Add(24 * time.Hour)})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheTextSaysWhatTheRangeCutsOff(t *testing.T) {
	p := newTopic(t)
	p.Expect(Partition{CutEnd: true})
	p.records(0, 0, 1, 10)
	p.beat("r1", 1, lanes(10, 0))
	p.records(0, 0, 13, 20)
	var text strings.Builder
	if err := p.Report(Options{Now: noon.Add(time.Hour)}).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"unjudged", "ns1, run r1 goes on behind the range",
		"2 cannot be judged, for the range cuts off what may explain them"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("it does not say %q:\n%s", words, text.String())
		}
	}
}

// model is a sensor with two lanes whose records get lost in every way that is told, and go to
// three partitions, each slower than the one before.
type model struct {
	rand     *rand.Rand
	seq, own [2]uint64 // numbers given, and those that the lane dropped
	dropped  uint64    // by delivery
	held     uint64
	later    map[int][]func() // what happens, by turn
	log      [3][]string      // the partitions
	beats    uint64
}

const turns = 120

// run makes the topic of a run that goes on.
func (m *model) run() {
	for turn := range turns {
		for lane := range uint64(2) {
			for range m.rand.IntN(4) {
				m.seq[lane]++
				m.record(turn, record("r1", lane, m.seq[lane], "query"))
				if m.rand.IntN(12) == 0 {
					m.seq[lane]++
					m.own[lane]++
				}
			}
		}
		for _, happens := range m.later[turn] {
			m.held--
			happens()
		}
		if turn%10 == 9 {
			m.beat()
		}
	}
}

// record sends a record on its way.
func (m *model) record(turn int, value string) {
	m.held++
	to := m.rand.IntN(len(m.log))
	arrives, happens := turn+3*to, func() { m.log[to] = append(m.log[to], value) }
	if m.rand.IntN(12) == 0 {
		arrives, happens = turn+m.rand.IntN(9), func() { m.dropped++ }
	}
	m.later[arrives] = append(m.later[arrives], happens)
}

func (m *model) beat() {
	m.beats++
	said := fmt.Sprintf(`"held":%d,"dropped":%d,%s`, m.held, m.dropped+m.own[0]+m.own[1],
		lanes(m.seq[0], m.own[0], m.seq[1], m.own[1]))
	m.log[0] = append(m.log[0], beatOf("r1", m.beats, said))
}

// TestNoRangeMakesAReportedDropUnexplained cuts such topics everywhere.
func TestNoRangeMakesAReportedDropUnexplained(t *testing.T) {
	judged := uint64(0)
	for seed := range uint64(400) {
		m := &model{rand: rand.New(rand.NewPCG(seed, 1)), later: map[int][]func(){}}
		m.run()
		p := newTopic(t)
		from, to := m.rand.Float64()/2, 1-m.rand.Float64()/2
		switch seed % 3 { // two thirds are cut at one end alone
		case 0:
			from = 0
		case 1:
			to = 1
		}
		for i, log := range m.log {
			first, last := int(from*float64(len(log))), int(to*float64(len(log)))
			p.Expect(Partition{Partition: int32(i), CutStart: first > 0, CutEnd: last < len(log)})
			for _, value := range log[first:last] {
				p.value(int32(i), value)
			}
		}
		got := p.sum(Options{Now: noon.Add(turns * time.Second)})
		if got.Unexplained > 0 {
			t.Errorf("seed %d, from %.2f to %.2f: %+v", seed, from, to, got)
		}
		judged += got.Dropped
	}
	if judged == 0 {
		t.Error("nothing was explained")
	}
}
