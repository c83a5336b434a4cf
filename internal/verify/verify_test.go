// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// topic is what a test has a checker read.
type topic struct {
	t *testing.T
	*Checker
	offsets map[int32]int64
}

func newTopic(t *testing.T) *topic {
	return &topic{t: t, Checker: New(Options{Topic: "this"}), offsets: map[int32]int64{}}
}

// cut says that a partition is read from the offset 1000 on, and not to its end.
const start, end, far = 1, 2, 1_000_000

func (p *topic) cut(partition int32, where int) {
	e := Partition{Partition: partition, CutStart: where&start != 0, CutEnd: where&end != 0, End: far}
	if e.CutStart {
		e.Start = 1000
	}
	p.offsets[partition] = e.Start
	p.Expect(e)
}

// reached says that all that was added so far is acknowledged.
func (p *topic) reached() string {
	var parts []string
	for n, offset := range p.offsets {
		parts = append(parts, fmt.Sprintf(`{"partition":%d,"end":%d}`, n, offset))
	}
	return `"topic_id":"this","reached":[` + strings.Join(parts, ",") + `],`
}

func (p *topic) value(partition int32, value string) {
	p.t.Helper()
	if err := p.Add(partition, p.offsets[partition], []byte(value)); err != nil {
		p.t.Fatal(err)
	}
	p.offsets[partition]++
}

// records adds the numbers from first to last of a lane of the run r1.
func (p *topic) records(partition int32, lane, first, last uint64) {
	p.t.Helper()
	for n := first; n <= last; n++ {
		p.value(partition, record("r1", lane, n, "query"))
	}
}

func record(run string, lane, seq uint64, kind string) string {
	return fmt.Sprintf(`{"v":1,"sensor":"ns1","run":%q,"lane":%d,"seq":%d,"ts":"2026-11-22T12:00:00Z","kind":%q}`,
		run, lane, seq, kind)
}

// beatLane is the lane of heartbeats in these tests.
const beatLane = 9

// beat adds a heartbeat, ten seconds after the one before. more is the rest of its field.
func (p *topic) beat(run string, seq uint64, more string) {
	p.t.Helper()
	p.value(0, beatOf(run, seq, p.reached()+more))
}

func beatOf(run string, seq uint64, more string) string {
	at := noon.Add(time.Duration(seq) * 10 * time.Second).Format(time.RFC3339)
	return fmt.Sprintf(`{"v":1,"sensor":"ns1","run":%q,"lane":%d,"seq":%d,"ts":%q,"kind":"heartbeat",`+
		`"heartbeat":{"interval_ms":10000,"state":"flowing",%s}}`, run, beatLane, seq, at, more)
}

func lanes(seqAndDropped ...uint64) string {
	var parts []string
	for i := 0; i < len(seqAndDropped); i += 2 {
		parts = append(parts, fmt.Sprintf(`{"lane":%d,"seq":%d,"dropped":%d}`, i/2, seqAndDropped[i], seqAndDropped[i+1]))
	}
	return `"lanes":[` + strings.Join(parts, ",") + `]`
}

// sum is what matters of a report.
type sum struct {
	Verdict                                Verdict
	Missing, Dropped, Waiting, Unexplained uint64
	Unjudged                               uint64
}

func (p *topic) sum(o Options) sum {
	p.t.Helper()
	r := p.Report(o)
	for _, run := range r.Runs {
		for _, l := range run.Lanes {
			if l.Missing != l.Dropped+l.Waiting+l.Unjudged+l.Unexplained {
				p.t.Errorf("run %s, lane %d does not add up: %+v", run.Run, l.Lane, l)
			}
		}
	}
	return sum{r.Verdict, r.Missing, r.Dropped, r.Waiting, r.Unexplained, r.Unjudged}
}

const (
	ended = `"last":true,`
	spool = `"spool":{"records":0,"dropped":0},`
)

func TestWhatIsMissingIsExplainedOrNot(t *testing.T) {
	for _, c := range []struct {
		name string
		now  time.Time // zero: long after
		fill func(*topic)
		want sum
	}{
		{"nothing at all", noon, func(*topic) {}, sum{Verdict: Empty}},
		{"all is there", noon, func(p *topic) { p.records(0, 0, 1, 100); p.beat("r1", 1, ended+lanes(100, 0)) },
			sum{Verdict: Complete}},
		{"over partitions and out of order", noon, func(p *topic) {
			p.records(2, 0, 51, 100)
			p.records(1, 0, 1, 50)
		}, sum{Verdict: Complete}},
		{"a gap without heartbeats", noon, func(p *topic) { p.records(0, 0, 1, 10); p.records(0, 0, 13, 20) },
			sum{Gaps, 2, 0, 0, 2, 0}},
		{"the first are missing", noon, func(p *topic) { p.records(0, 0, 4, 10) },
			sum{Gaps, 3, 0, 0, 3, 0}},
		{"the last are missing, as the last heartbeat says", noon, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, ended+lanes(15, 0))
		}, sum{Gaps, 5, 0, 0, 5, 0}},
		{"a lane of which nothing came", noon, func(p *topic) { p.beat("r1", 1, ended+lanes(3, 0)) },
			sum{Gaps, 3, 0, 0, 3, 0}},
		{"dropped by the lane", noon, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 13, 20)
			p.beat("r1", 1, ended+`"dropped":2,`+lanes(20, 2))
		}, sum{Explained, 2, 2, 0, 0, 0}},
		{"one more than was dropped", noon, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 14, 20)
			p.beat("r1", 1, ended+`"dropped":2,`+lanes(20, 2))
		}, sum{Gaps, 3, 2, 0, 1, 0}},
		{"as many as were dropped, but elsewhere: between other heartbeats", noon, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, lanes(20, 0)) // 11 to 12 are lost before anything was dropped
			p.records(0, 0, 13, 40)
			p.beat("r1", 2, ended+`"dropped":2,`+lanes(40, 2))
		}, sum{Gaps, 2, 0, 0, 2, 0}},
		{"as many as were dropped, but of another lane", noon, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 1, 1, 10)
			p.beat("r1", 1, ended+`"dropped":2,`+lanes(10, 0, 10, 2))
		}, sum{Gaps, 2, 0, 0, 2, 0}},
		{"a gap over two heartbeats", noon, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.beat("r1", 1, `"dropped":5,`+lanes(15, 5))
			p.beat("r1", 2, `"dropped":10,`+lanes(20, 10))
			p.records(0, 0, 21, 30)
			p.beat("r1", 3, ended+`"dropped":10,`+lanes(30, 10))
		}, sum{Explained, 10, 10, 0, 0, 0}},
		{"dropped by delivery, which does not know lanes", noon, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 1, 1, 9)
			p.beat("r1", 1, ended+`"dropped":3,`+lanes(10, 0, 10, 0))
		}, sum{Explained, 3, 3, 0, 0, 0}},
		{"a run that goes on: what is on its way", noon.Add(15 * time.Second), func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 0, 14, 20)
			p.beat("r1", 1, `"held":2,`+lanes(10, 0)) // 9, 10 then, and 11 to 13 came later
		}, sum{Explained, 5, 0, 5, 0, 0}},
		{"a run that goes on: more is missing than was on its way", noon.Add(15 * time.Second), func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 0, 14, 20)
			p.beat("r1", 1, `"held":1,`+lanes(10, 0))
		}, sum{Gaps, 5, 0, 4, 1, 0}},
		{"the same run, fallen silent", noon.Add(time.Hour), func(p *topic) {
			p.records(0, 0, 1, 8)
			p.records(0, 0, 14, 20)
			p.beat("r1", 1, `"held":2,`+lanes(10, 0))
		}, sum{Gaps, 5, 0, 0, 5, 0}},
		{"a run that ended and left records in its spool", noon, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.beat("r1", 1, ended+spool+`"spooled":12,`+lanes(20, 0))
		}, sum{Explained, 12, 0, 12, 0, 0}},
		{"a later run that has emptied the spool", noon, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.beat("r1", 1, ended+spool+`"spooled":12,`+lanes(20, 0))
			p.records(0, 0, 9, 19)
			p.beat("r2", 1, ended+spool+lanes())
		}, sum{Gaps, 1, 0, 0, 1, 0}},
		{"a later run that had to give up some of it", noon, func(p *topic) {
			p.records(0, 0, 1, 8)
			p.beat("r1", 1, ended+spool+`"spooled":12,`+lanes(20, 0))
			p.records(0, 0, 13, 20)
			p.beat("r2", 1, ended+`"spool":{"records":0,"dropped":4},`+lanes())
		}, sum{Explained, 4, 4, 0, 0, 0}},
		{"a heartbeat is missing", noon, func(p *topic) {
			p.beat("r1", 1, lanes())
			p.beat("r1", 3, ended+lanes())
		}, sum{Gaps, 1, 0, 0, 1, 0}},
		{"heartbeats that came twice and out of order", noon, func(p *topic) {
			p.records(0, 0, 1, 10)
			p.records(0, 0, 13, 30)
			p.beat("r1", 3, ended+`"dropped":2,`+lanes(30, 2))
			p.beat("r1", 2, `"dropped":2,`+lanes(20, 2))
			p.beat("r1", 1, lanes(10, 0))
			p.beat("r1", 2, `"dropped":2,`+lanes(20, 2))
		}, sum{Explained, 2, 2, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTopic(t)
			c.fill(p)
			if diff := cmp.Diff(c.want, p.sum(Options{Now: c.now})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestALaneIsJudgedWithinWhatWasRead(t *testing.T) {
	for _, c := range []struct {
		name string
		cuts []int // of the partitions
		fill func(*topic)
		want sum
	}{
		{"the oldest are deleted, in one partition later than in the other",
			[]int{start, start},
			func(p *topic) { p.records(0, 0, 11, 20); p.records(1, 0, 31, 40); p.records(0, 0, 41, 50) },
			sum{Verdict: Complete}},
		{"a gap after that is one, behind a heartbeat", []int{start, start},
			func(p *topic) {
				p.records(0, 0, 11, 20)
				p.records(1, 0, 31, 40)
				p.beat("r1", 7, lanes(40, 0))
				p.records(0, 0, 42, 50)
			},
			sum{Gaps, 1, 0, 0, 1, 0}},
		{"without one it may lie before", []int{start, start},
			func(p *topic) { p.records(0, 0, 11, 20); p.records(1, 0, 31, 40); p.records(0, 0, 42, 50) },
			sum{Verdict: Unjudged, Missing: 1, Unjudged: 1}},
		{"read to a time", []int{end, end},
			func(p *topic) {
				p.records(0, 0, 1, 20)
				p.records(1, 0, 31, 40)
				p.value(0, beatOf("r1", 1, `"topic_id":"this","reached":[{"partition":1,"end":1000001}],`+lanes(100, 0)))
			},
			sum{Verdict: Complete}},
		{"a lane whose first is missing, while the topic has all from its start", []int{0},
			func(p *topic) { p.records(0, 0, 2, 20) }, sum{Gaps, 1, 0, 0, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTopic(t)
			for n, where := range c.cuts {
				p.cut(int32(n), where)
			}
			c.fill(p)
			if diff := cmp.Diff(c.want, p.sum(Options{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryRecordIsCounted(t *testing.T) {
	p := newTopic(t)
	p.records(0, 0, 1, 5)
	p.records(1, 0, 4, 5) // twice
	p.value(0, record("r1", 0, 6, "malformed"))
	p.value(0, record("r1", 0, 0, "query")) // there is no number 0
	p.value(1, "not a record")
	p.value(1, strings.Replace(record("r1", 0, 7, "query"), `"v":1`, `"v":2`, 1))
	p.value(1, strings.Replace(record("r1", 0, 7, "heartbeat"), `"v":1`, `"v":1,"heartbeat":7`, 1))
	p.beat("r1", 1, ended+lanes(6, 0))
	r := p.Report(Options{})
	want := Counts{Records: 7, Duplicates: 2, Malformed: 1, Heartbeats: 1}
	if diff := cmp.Diff(want, r.Counts); diff != "" || r.Foreign != 4 {
		t.Errorf("%d foreign: %s", r.Foreign, diff)
	}
	if r.Partitions[0].Records != 8 || r.Partitions[1].Records != 5 {
		t.Errorf("%+v", r.Partitions)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"ns1", "4 values are no records of dnsluice, the first at partition 0, offset 6",
		"all 7 records of 1 run are there", "9 (beats)"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("it does not say %q:\n%s", words, text.String())
		}
	}
}

func TestTheTextNamesGapsAndWhoIsSilent(t *testing.T) {
	p := newTopic(t)
	for n := uint64(1); n < 100; n += 2 {
		p.records(0, 0, n, n)
	}
	p.beat("r1", 1, lanes(99, 0))
	p.value(0, strings.Replace(record("r2", 0, 1, "query"), "ns1", `\u001b[31m`, 1))
	var text strings.Builder
	if err := p.Report(Options{Now: noon.Add(time.Hour)}).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"lane 0 lacks 2, 4, 6, 8, 10, 12, 14, 16, and 41 more gaps",
		"ns1, run r1 is silent", "has no heartbeat", "49 of 101 records of 2 runs are missing", `"\x1b[31m"`} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("it does not say %q:\n%s", words, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Error("text from the topic reaches the terminal as it is")
	}
}

// TestManyRecordsFitAndTheGapsAreExact reads twelve partitions one after the other, and
// leaves out some records.
func TestManyRecordsFitAndTheGapsAreExact(t *testing.T) {
	const n, batch, partitions = 500_000, 2000, 12
	random := rand.New(rand.NewPCG(1, 2))
	lost := map[uint64]bool{}
	for range 50 {
		lost[1+random.Uint64N(n)] = true
	}
	delete(lost, n) // which nobody could know of
	c := New(Options{Memory: 1 << 18})
	value := []byte(record("r1", 0, 1_000_000_000, "query"))
	at, blank := strings.Index(string(value), "1000000000"), strings.Repeat(" ", 10)
	for p := range uint64(partitions) {
		for first := p * batch; first < n; first += partitions * batch {
			for seq := first + 1; seq <= min(first+batch, n); seq++ {
				if lost[seq] {
					continue
				}
				copy(value[at:], blank) // space may follow a number
				strconv.AppendUint(value[:at], seq, 10)
				if err := c.Add(int32(p), int64(seq), value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	r := c.Report(Options{})
	if r.Unexplained != uint64(len(lost)) || r.Records != n-uint64(len(lost)) {
		t.Errorf("%d records, %d unexplained, want %d", r.Records, r.Unexplained, len(lost))
	}
	for _, g := range r.Runs[0].Lanes[0].Gaps {
		for seq := g.First; seq <= g.Last; seq++ {
			if !lost[seq] {
				t.Errorf("%d is there", seq)
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := New(Options{Memory: 1 << 20})
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 1_000_000 {
		value := record(fmt.Sprintf("r%d", n%3), random.Uint64N(5), random.Uint64()|1, "query")
		if err := c.Add(0, int64(n), []byte(value)); err != nil {
			if !errors.Is(err, ErrMemory) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("a million scattered numbers in 1 MiB")
}

func TestAddAllocatesNothing(t *testing.T) {
	c, value := New(Options{}), []byte(record("r1", 0, 1, "query"))
	if n := testing.AllocsPerRun(100, func() {
		if c.Add(0, 0, value) != nil {
			t.Fatal("no memory")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestHeartbeatsThatSayNothingNewAreForgotten reads those of three days and more.
func TestHeartbeatsThatSayNothingNewAreForgotten(t *testing.T) {
	p := &topic{t: t, Checker: New(Options{Topic: "this", Memory: 3 << 20}), offsets: map[int32]int64{}}
	const n = 30_000
	for seq := uint64(1); seq <= n; seq++ {
		switch seq {
		case 20_000: // 3 are dropped, as it says
			p.beat("r1", seq, `"dropped":3,`+lanes(3, 3))
		default:
			dropped := uint64(0)
			if seq > 20_000 {
				dropped = 3
			}
			p.beat("r1", seq, fmt.Sprintf(`"dropped":%d,`, dropped)+lanes(dropped, dropped))
		}
	}
	if got := p.sum(Options{}); got != (sum{Verdict: Explained, Missing: 3, Dropped: 3}) || len(p.runs) != 1 {
		t.Errorf("%+v", got)
	}
	for _, r := range p.runs {
		if len(r.beats) > 2*thinFrom {
			t.Errorf("%d heartbeats are kept", len(r.beats))
		}
	}
}

func TestWhatIsClaimedToDeceiveDoesNotComeToNothing(t *testing.T) {
	p := newTopic(t)
	for lane := range uint64(3) {
		p.value(0, record("r1", lane, math.MaxUint64, "query"))
	}
	p.beat("r1", math.MaxUint64, ended+`"held":18446744073709551615,"spooled":1,"dropped":18446744073709551615,`+
		lanes(math.MaxUint64, 0, 5, 7))
	for _, where := range []int{0, end} {
		p.cut(0, where)
		if got := p.Report(Options{}); got.Missing != math.MaxUint64 || got.Verdict == Complete {
			t.Errorf("%d: %s: %+v", where, got.Sentence, got.Counts)
		}
	}
}

// TestTheTextFitsATerminal of 80 columns, with as much as a busy topic as a rule has to say.
func TestTheTextFitsATerminal(t *testing.T) {
	p := newTopic(t)
	p.cut(0, start|end)
	const run = "20261122T120000.000000Z"
	for seq := uint64(123_000_001); seq <= 123_000_100; seq += 3 {
		p.of(run, seq, seq)
	}
	p.beat(run, 1_000_000, lanes(123_000_050, 0))
	p.beat(run, 1_000_001, lanes(123_000_099, 0))
	p.value(0, "foreign")
	var text strings.Builder
	if err := p.Report(Options{}).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	for _, line := range lines[:len(lines)-2] { // the last is the sentence, for programs as well
		if len(line) > 80 && !strings.Contains(line, " lacks ") {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
