// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
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
//  4. Of a run that goes on: what is newer than its last heartbeat. It may be on its way.
//
// What is left is unexplained. Where the range that is read cuts a run, some of that cannot be
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
	Gaps     []Range `json:"gaps"`      // that are missing, the first maxGaps of them
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
	Unjudged    uint64 `json:"unjudged"`    // missing, and what may explain it was not read
	Unexplained uint64 `json:"unexplained"` // missing, and nobody says why
}

func (c *Counts) add(d Counts) {
	c.Records += d.Records
	c.Duplicates += d.Duplicates
	c.Malformed += d.Malformed
	c.Heartbeats += d.Heartbeats
	c.Missing += d.Missing
	c.Dropped += d.Dropped
	c.Waiting += d.Waiting
	c.Unjudged += d.Unjudged
	c.Unexplained += d.Unexplained
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

// later is what the runs of the same sensor that came after say of the spool that they found.
type later struct {
	known   bool   // there is such a run
	records uint64 // on disk when the newest of them last spoke
	dropped uint64 // that they lost there
}

// account is a lane under judgement.
type account struct {
	Lane
	*lane
	early uint64 // unexplained, and no newer than the first heartbeat that was read
}

// judge makes the account of the run.
func (c *Checker) judge(r *run, o Options, after later) Run {
	state, says := c.state(r, o)
	out := Run{Sensor: r.sensor, Run: r.runID.run, State: state, Says: says}
	var accounts []*account
	for _, l := range r.all() {
		accounts = append(accounts, c.judgeLane(l, c.late(state)))
	}
	slices.SortFunc(accounts, func(a, b *account) int { return cmp.Compare(a.Lane.Lane, b.Lane.Lane) })
	if len(r.beats) > 0 {
		explain(accounts, c.allowance(r, state, after, accounts))
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
	perhaps  uint64 // the same, before the first heartbeat, unless they are below what is judged
	waiting  uint64 // in memory or on disk
	unjudged uint64 // that waited when the range ended
}

// allowance returns what the heartbeats of r, which has some, explain of its lanes.
func (c *Checker) allowance(r *run, state State, after later, accounts []*account) allowance {
	last := &r.beats[len(r.beats)-1]
	var out allowance
	out.dropped, out.perhaps = r.dropped(accounts)
	waiting := last.Held + last.Spooled
	switch {
	case state == Cut:
		out.unjudged, waiting = waiting, 0
	case state == Running:
	case last.Spool == nil:
		waiting = 0 // what was in memory is gone
	case after.known:
		out.dropped += min(waiting, after.dropped)
		waiting = min(waiting, after.records)
	}
	out.waiting = waiting
	return out
}

// explain spends what the heartbeats explain on what is missing, so that as little as can be stays
// unexplained: what explains anything goes first to what nothing else does.
func explain(accounts []*account, have allowance) {
	for _, a := range accounts {
		have.dropped -= a.move(&a.Dropped, min(have.dropped, a.Unexplained-a.early))
	}
	for _, a := range accounts {
		n := a.move(&a.Dropped, min(have.dropped, a.early))
		have.dropped, a.early = have.dropped-n, a.early-n
		have.perhaps -= a.move(&a.Unjudged, min(have.perhaps, a.early))
		have.waiting -= a.move(&a.Waiting, have.waiting)
		have.unjudged -= a.move(&a.Unjudged, have.unjudged)
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

// judgeLane finds what is missing of the lane, and explains it as far as the lane itself can. late
// is what becomes of what is newer than the last heartbeat, or nil.
func (c *Checker) judgeLane(l *lane, late func(*Counts) *uint64) *account {
	out := &account{lane: l, Lane: Lane{Lane: l.lane, Gaps: []Range{}, Counts: Counts{
		Records: l.records, Duplicates: l.duplicates, Malformed: l.malformed, Heartbeats: l.heartbeats}}}
	out.First, out.Last = c.window(l)
	before, marks := l.marks(out.First, out.Last)
	missing := out.missing(marks)
	out.Unexplained = out.Missing
	for i, m := range marks {
		dropped, perhaps := m.Dropped, uint64(0)
		if i == 0 {
			dropped, perhaps = divide(m.Dropped, l.lacks(before+1, out.First-1))
		}
		missing[i] -= out.move(&out.Dropped, min(missing[i], dropped))
		missing[i] -= out.move(&out.Unjudged, min(missing[i], perhaps))
	}
	if len(marks) > 0 {
		if said, ok := l.run.beats[0].of(l.lane); ok && said.Seq >= out.First {
			out.early = missing[0]
		}
	}
	if late != nil {
		out.move(late(&out.Counts), missing[len(marks)])
	}
	return out
}

// missing finds the gaps of the lane, and counts what is missing up to each mark, and after the
// last.
func (out *account) missing(marks []laneBeat) []uint64 {
	missing := make([]uint64, len(marks)+1)
	at := 0
	out.seen.gaps(out.First, out.Last, func(gap Range) {
		out.Missing += gap.count()
		if len(out.Gaps) < maxGaps {
			out.Gaps = append(out.Gaps, gap)
		} else {
			out.MoreGaps++
		}
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

// window returns the numbers that are to be there. Where partitions were cut, it is what lies
// between the cuts: in each cut partition, the lane's first and last record.
func (c *Checker) window(l *lane) (first, last uint64) {
	first = 1
	_, last = l.seen.bounds()
	if n := len(l.run.beats); n > 0 && !c.cut(false) {
		if said, ok := l.run.beats[n-1].of(l.lane); ok {
			last = max(last, said.Seq)
		}
	}
	if c.cut(true) {
		first = l.lowest()
	}
	for _, p := range c.partitions {
		t := p.tracks[l]
		if t == nil {
			continue
		}
		if p.CutStart {
			first = max(first, t.first)
		}
		if p.CutEnd {
			last = min(last, t.last)
		}
	}
	return first, last
}

// marks returns the numbers that the heartbeats say the lane had reached, in order, and with each
// how many were dropped since the one before. Marks outside of the window are left out, but for
// the first after it; from is the number of the last before it, 0 when there is none.
func (l *lane) marks(first, last uint64) (from uint64, marks []laneBeat) {
	var before laneBeat
	for i := range l.run.beats {
		said, ok := l.run.beats[i].of(l.lane)
		if !ok || said.Seq < before.Seq || said.Dropped < before.Dropped {
			continue // a sensor never says that; another that has its name might
		}
		mark := laneBeat{Seq: said.Seq, Dropped: said.Dropped - before.Dropped}
		if said.Seq >= first {
			marks = append(marks, mark)
		} else {
			from = said.Seq
		}
		before = said
		if said.Seq >= last {
			break
		}
	}
	return from, marks
}

// compareRuns puts runs in the order of their names, which is that of time.
func compareRuns(a, b *run) int {
	if n := strings.Compare(a.sensor, b.sensor); n != 0 {
		return n
	}
	return strings.Compare(a.runID.run, b.runID.run)
}
