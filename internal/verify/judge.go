// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// A number that is missing is looked for in this order:
//
//  1. What the lane dropped before it was in a batch. Two heartbeats say how many of the numbers
//     between them that was, so the gap is explained where it is.
//  2. What delivery dropped: refused by a broker, pushed out of the spool, given up at the end.
//     Delivery does not know numbers, so this is a sum for the whole run.
//  3. What waits: in memory, or in the spool, when the last heartbeat was made.
//  4. Of a run that goes on: what is newer than its last heartbeat. It may be on its way. Of one that
//     has fallen silent and has a spool it may be there, which cannot be judged.
//
// What is left is unexplained. Where the range that is read cuts a run, only a part of it can be
// judged; cut.go says which.

// State is what is known of the end of a run.
type State string

// The states of a run.
const (
	Ended   State = "ended"   // its last heartbeat says that it is the last
	Running State = "running" // its last heartbeat is recent
	Cut     State = "cut"     // it goes on behind what was read
	Silent  State = "silent"  // it is not, and no heartbeat says that there will be no more
	Unknown State = "unknown" // there is no heartbeat: nobody can say what came after the last record
)

// Run is the account of one run of one sensor.
type Run struct {
	Sensor string `json:"sensor"`
	Run    string `json:"run"`
	State  State  `json:"state"`
	Says   string `json:"says,omitempty"` // the sensor's own state, in its last heartbeat
	Counts
	Lanes []Lane `json:"lanes"`
}

// Lane is the account of one lane.
type Lane struct {
	Lane  uint64 `json:"lane"`
	First uint64 `json:"first"` // the numbers that were to be there
	Last  uint64 `json:"last"`
	Counts
	Gaps     []Range `json:"gaps"`      // in what is judged, the first maxGaps of them
	MoreGaps uint64  `json:"more_gaps"` // how many others there are
}

// Counts are records. Missing = Dropped + Waiting + Unjudged + Unexplained.
type Counts struct {
	Records    uint64 `json:"records"` // that were read, each once
	Duplicates uint64 `json:"duplicates"`
	Malformed  uint64 `json:"malformed"` // of DNS that is malformed, which is data
	Heartbeats uint64 `json:"heartbeats"`

	Missing     uint64 `json:"missing"`
	Dropped     uint64 `json:"dropped"`     // missing, and dropped as the heartbeats say
	Waiting     uint64 `json:"waiting"`     // missing, and may still come
	Unjudged    uint64 `json:"unjudged"`    // missing, and may be, or be explained, where nothing was read
	Unexplained uint64 `json:"unexplained"` // missing, and nobody says why
}

func (c *Counts) add(d Counts) {
	c.Records += d.Records
	c.Duplicates += d.Duplicates
	c.Malformed += d.Malformed
	c.Heartbeats += d.Heartbeats
	c.Missing = plus(c.Missing, d.Missing)
	c.Dropped = plus(c.Dropped, d.Dropped)
	c.Waiting = plus(c.Waiting, d.Waiting)
	c.Unjudged = plus(c.Unjudged, d.Unjudged)
	c.Unexplained = plus(c.Unexplained, d.Unexplained)
}

// plus adds up what records claim, as far as it goes: they may have been written to deceive, and no
// number of records that are missing comes to none.
func plus(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}

// move turns up to n unexplained numbers of c into what to points to, and returns how many.
func (c *Counts) move(to *uint64, n uint64) uint64 {
	n = min(n, c.Unexplained)
	c.Unexplained -= n
	*to += n
	return n
}

// maxGaps is how many gaps of a lane are named.
const maxGaps = 100

// account is a lane under judgement.
type account struct {
	Lane
	*lane
	settled uint64 // unexplained, and did not wait when the last heartbeat was made
}

// judge makes the account of the run. next is what other runs of the sensor say of it.
func (c *Checker) judge(r *run, o Options, next others) Run {
	state, says := c.state(r, o)
	out := Run{Sensor: r.sensor, Run: r.runID.run, State: state, Says: says}
	judged := c.scope(r, next)
	var accounts []*account
	for _, l := range r.all() {
		accounts = append(accounts, c.judgeLane(l, &judged, state))
	}
	slices.SortFunc(accounts, func(a, b *account) int { return cmp.Compare(a.Lane.Lane, b.Lane.Lane) })
	if !judged.none && len(r.beats) > 0 {
		explain(accounts, c.allowance(&judged, state, next))
	}
	for _, a := range accounts {
		out.Lanes = append(out.Lanes, a.Lane)
		out.add(a.Counts)
	}
	return out
}

// allowance is how many records the heartbeats of a run explain, without saying which.
type allowance struct {
	dropped  uint64 // by delivery
	lost     uint64 // of what waited, by later runs
	waiting  uint64 // in memory or on disk
	unjudged uint64 // that waited when the range ended
}

// allowance returns what is explained of the part of a run that is judged.
func (c *Checker) allowance(judged *scope, state State, next others) (out allowance) {
	last := judged.last()
	before, dropped := judged.from.elsewhere(), last.elsewhere()
	out.dropped = dropped - min(before, dropped)
	waiting := plus(last.Held, last.Spooled)
	left := waiting // at the most, in later runs: of a run that was killed nobody has said how much
	if !last.Last {
		left = math.MaxUint64
	}
	switch {
	case !judged.open:
		out.unjudged = waiting
	case state == Running:
		out.waiting = waiting
	case last.Spool == nil: // what was in memory is gone
	case !next.known:
		out.waiting = waiting
	default:
		out.lost = min(left, next.dropped)
		out.waiting = min(left, next.records)
		if c.cut(false) {
			out.unjudged, out.waiting = out.waiting, 0
		}
	}
	return out
}

// explain spends what the heartbeats explain on what is missing, so that as little as can be stays
// unexplained: what explains anything goes first to what nothing else does.
func explain(accounts []*account, have allowance) {
	for _, a := range accounts {
		n := a.move(&a.Dropped, min(have.dropped, a.settled))
		have.dropped, a.settled = have.dropped-n, a.settled-n
	}
	for _, a := range accounts {
		a.Unexplained -= a.settled
		have.dropped -= a.move(&a.Dropped, have.dropped)
		have.lost -= a.move(&a.Dropped, have.lost)
		have.waiting -= a.move(&a.Waiting, have.waiting)
		have.unjudged -= a.move(&a.Unjudged, have.unjudged)
		a.Unexplained += a.settled
	}
}

// state returns what is known of the end of the run, and what the sensor said of itself last.
func (c *Checker) state(r *run, o Options) (state State, says string) {
	if len(r.beats) == 0 {
		return Unknown, ""
	}
	going, now := Running, o.Now
	if c.cut(false) {
		going, now = Cut, c.newest()
	}
	switch last := &r.beats[len(r.beats)-1]; {
	case last.Last:
		return Ended, last.State
	case last.alive(now):
		return going, last.State
	default:
		return Silent, last.State
	}
}

// all returns the lanes that sent something and those that only heartbeats know.
func (r *run) all() []*lane {
	all := make([]*lane, 0, len(r.lanes))
	for _, l := range r.lanes {
		all = append(all, l)
	}
	if len(r.beats) > 0 {
		for _, said := range r.beats[len(r.beats)-1].Lanes {
			if r.lanes[said.Lane] == nil && said.Seq > 0 {
				all = append(all, &lane{run: r, lane: said.Lane})
			}
		}
	}
	return all
}

// judgeLane finds what is missing of the lane, and explains it as far as the lane itself can.
func (c *Checker) judgeLane(l *lane, judged *scope, state State) *account {
	out := &account{lane: l, Lane: Lane{Lane: l.lane, Gaps: []Range{}, Counts: Counts{
		Records: l.records, Duplicates: l.duplicates, Malformed: l.malformed, Heartbeats: l.heartbeats}}}
	out.First, out.Last = c.window(l)
	from, to := judged.of(l)
	switch {
	case from > to: // nothing is judged
		from, to = out.Last+1, out.Last
	case out.First > out.Last:
		out.First, out.Last = from, to
	default:
		out.First, out.Last = min(out.First, from), max(out.Last, to)
	}
	marks := l.marks(judged, from, to)
	missing := out.missing(marks)
	newer := len(missing) - 2 // than the last heartbeat
	out.Unexplained = out.Missing
	out.move(&out.Unjudged, missing[0])
	out.move(&out.Unjudged, missing[newer+1])
	settled := judged.settled(l)
	for i, m := range marks[1:newer] {
		n := missing[i+1] - out.move(&out.Dropped, min(missing[i+1], m.Dropped))
		if m.Seq <= settled {
			out.settled += n
		}
	}
	switch {
	case state == Running:
		out.move(&out.Waiting, missing[newer])
	case judged.owes:
		out.move(&out.Unjudged, missing[newer])
	}
	return out
}

// missing finds the gaps of the lane, and counts what is missing up to each mark, and after the
// last. It names those that are judged: between the first mark and the last.
func (out *account) missing(marks []laneBeat) []uint64 {
	missing := make([]uint64, len(marks)+1)
	at := 0
	out.seen.gaps(out.First, out.Last, func(gap Range) {
		out.Missing = plus(out.Missing, gap.count())
		out.name(Range{max(gap.First, marks[0].Seq+1), min(gap.Last, marks[len(marks)-1].Seq)})
		for gap.First <= gap.Last {
			for at < len(marks) && marks[at].Seq < gap.First {
				at++
			}
			part := gap
			if at < len(marks) {
				part.Last = min(part.Last, marks[at].Seq)
			}
			missing[at] += part.count()
			if part.Last == gap.Last {
				return
			}
			gap.First = part.Last + 1
		}
	})
	return missing
}

// name puts a gap on the list, if there is one and room for it.
func (out *account) name(gap Range) {
	switch {
	case gap.First > gap.Last:
	case len(out.Gaps) < maxGaps:
		out.Gaps = append(out.Gaps, gap)
	default:
		out.MoreGaps++
	}
}

// marks returns the numbers at which the judgement changes, in order: behind what is not judged
// below from, those that the heartbeats say the lane had reached, and with each how many were
// dropped since the one before, and to, behind which nothing is judged.
func (l *lane) marks(judged *scope, from, to uint64) []laneBeat {
	marks := []laneBeat{{Seq: from - 1}}
	before, _ := judged.from.of(l.lane)
	for i := range judged.beats {
		said, ok := judged.beats[i].of(l.lane)
		if !ok || said.Seq < before.Seq || said.Dropped < before.Dropped {
			continue // a sensor never says that; another that has its name might
		}
		if said.Seq > to {
			break
		}
		marks = append(marks, laneBeat{Seq: said.Seq, Dropped: said.Dropped - before.Dropped})
		before = said
	}
	return append(marks, laneBeat{Seq: to})
}

// compareRuns puts runs in the order of their names, which is that of time.
func compareRuns(a, b *run) int {
	if n := strings.Compare(a.sensor, b.sensor); n != 0 {
		return n
	}
	return strings.Compare(a.runID.run, b.runID.run)
}
