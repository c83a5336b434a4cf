// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatARangeCutsOffIsNotJudged(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  int
		fill func(*topic)
		want sum
	}{
		{"a run that began in the range, and dropped before its first heartbeat", start, func(p *topic) {
			p.beat(earlier, 1, ended+lanes())
			p.of(later, 1, 10)
			p.of(later, 13, 20)
			p.beat(later, 1, `"dropped":2,`+lanes(20, 0))
			p.beat(later, 2, ended+`"dropped":2,`+lanes(20, 0))
		}, sum{Verdict: Explained, Missing: 2, Dropped: 2}},
		{"the same, and one more is missing", start, func(p *topic) {
			p.beat(earlier, 1, ended+lanes())
			p.of(later, 1, 10)
			p.of(later, 14, 20)
			p.beat(later, 1, ended+`"dropped":2,`+lanes(20, 0))
		}, sum{Verdict: Gaps, Missing: 3, Dropped: 2, Unexplained: 1}},
		{"one that began so soon that a clock may have been set", start, func(p *topic) {
			p.beat(earlier, 7, ended+lanes())
			p.of(later, 1, 10)
			p.of(later, 14, 20)
			p.beat(later, 1, ended+`"dropped":2,`+lanes(20, 0))
		}, sum{Verdict: Unjudged, Missing: 3, Unjudged: 3}},
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
		{"what came back from disk at the start does not hide what is missing later", start, func(p *topic) {
			p.records(0, 0, 101, 110)
			p.records(0, 0, 5, 8)
			p.beat("r1", 7, lanes(110, 0))
			p.records(0, 0, 113, 120)
			p.beat("r1", 8, ended+lanes(120, 0))
		}, sum{Verdict: Gaps, Missing: 2, Unexplained: 2}},
		{"what came back first does not make a gap of what came before it", start, func(p *topic) {
			p.records(0, 0, 5, 8)
			p.beat("r1", 7, lanes(110, 0))
			p.records(0, 0, 111, 120)
			p.beat("r1", 8, ended+lanes(120, 0))
		}, sum{Verdict: Unjudged, Missing: 102, Unjudged: 102}},
		{"a heartbeat of another topic, whose offsets are not these", start, func(p *topic) {
			p.records(0, 0, 101, 120)
			p.value(0, beatOf("r1", 7, strings.Replace(p.reached(), "this", "that", 1)+lanes(120, 0)))
			p.records(0, 0, 123, 130)
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"one that had not come to the start", start, func(p *topic) {
			p.records(0, 0, 101, 120)
			p.value(0, beatOf("r1", 7, `"topic_id":"this","reached":[{"partition":0,"end":999}],`+lanes(120, 0)))
			p.records(0, 0, 123, 130)
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"a sensor that says nothing of the topic", start, func(p *topic) {
			p.value(0, beatOf("r1", 7, lanes(100, 0)))
			p.value(0, beatOf("r1", 8, ended+lanes(103, 0)))
		}, sum{Verdict: Unjudged, Missing: 3, Unjudged: 3}},
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
		{"a heartbeat that had come further than the range", end, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.value(0, beatOf("r1", 1, `"topic_id":"this","reached":[{"partition":0,"end":1000001}],`+lanes(10, 0)))
			p.records(0, 0, 11, 20)
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"what came back from disk at the end does not hide what is missing before", end, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 0, 11, 20)
			p.beat("r1", 1, lanes(20, 0))
			p.records(0, 0, 3, 4)
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
		{"a sensor that is cut off while another one is not", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, `"held":2,`+lanes(10, 0))
			p.records(0, 0, 13, 20)
			for seq := uint64(1); seq <= 60; seq++ {
				p.value(0, strings.Replace(beatOf("r2", seq, p.reached()+lanes()), "ns1", "ns2", 1))
			}
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"a run that may as well go on beside the next", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, `"held":2,`+lanes(10, 0))
			p.records(0, 0, 13, 20)
			for seq := uint64(1); seq <= 7; seq++ {
				p.beat("r2", seq, lanes())
			}
		}, sum{Verdict: Unjudged, Missing: 2, Unjudged: 2}},
		{"a run that was killed, and whose records the next one finds on disk", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, spool+lanes(10, 0))
			p.records(0, 0, 20, 20)
			p.beat("r2", 60, `"spool":{"records":5,"dropped":3},`+lanes())
			for seq := uint64(1); seq < 60; seq++ {
				p.beat("r2", seq, lanes())
			}
		}, sum{Verdict: Gaps, Missing: 9, Dropped: 3, Unjudged: 5, Unexplained: 1}},
		{"a run that ended in the range", end, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 13, 20)
			p.beat("r1", 1, ended+lanes(20, 0))
		}, sum{Verdict: Gaps, Missing: 2, Unexplained: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTopic(t)
			p.cut(0, c.cut)
			c.fill(p)
			if diff := cmp.Diff(c.want, p.sum(Options{Now: noon.Add(24 * time.Hour)})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheTextSaysWhatTheRangeCutsOff(t *testing.T) {
	p := newTopic(t)
	p.cut(0, end)
	p.records(0, 0, 1, 10)
	p.beat("r1", 1, lanes(10, 0))
	p.records(0, 0, 13, 20)
	var text strings.Builder
	if err := p.Report(Options{Now: noon.Add(time.Hour)}).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"unjudged", "ns1, run r1 goes on behind the range",
		"2 cannot be judged, for they may be where nothing was read"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("it does not say %q:\n%s", words, text.String())
		}
	}
}

// Runs that begin at noon, and two minutes later.
const earlier, later = "20261122T120000.000000Z", "20261122T120200.5Z"

// of adds numbers of a run.
func (p *topic) of(run string, first, last uint64) {
	p.t.Helper()
	for n := first; n <= last; n++ {
		p.value(0, record(run, 0, n, "query"))
	}
}

func TestWhatWasDeletedMeanwhileIsNotMissing(t *testing.T) {
	p := newTopic(t)
	p.cut(0, 0)
	p.records(0, 0, 1, 10)
	p.beat("r1", 1, lanes(10, 0))
	p.offsets[0] += 5
	p.Skip(0, p.offsets[0])
	p.records(0, 0, 13, 20)
	p.beat("r1", 2, lanes(20, 0))
	p.records(0, 0, 23, 30)
	p.beat("r1", 3, ended+lanes(30, 0))
	want := sum{Verdict: Gaps, Missing: 2, Unexplained: 2} // 21 and 22, which were numbered after that
	if diff := cmp.Diff(want, p.sum(Options{})); diff != "" {
		t.Error(diff)
	}
}
