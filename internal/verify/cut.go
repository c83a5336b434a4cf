// SPDX-License-Identifier: Apache-2.0

package verify

import "time"

// A range can cut a run in two places, and each takes an explanation with it.
//
// At its start: the first heartbeat that was read says how many were dropped since the run began.
// Some of those are perhaps below what is judged, at most as many as are not there below it. The
// others are not, and explain what is missing. Those may explain only what that heartbeat knows
// of, and whether they do cannot be judged.
//
// At its end: what is newer than the last heartbeat that was read, or waited when it was made, may
// have been dropped, or have come, behind the range. That cannot be judged either.

// cut tells whether any partition was cut: at its start, or at its end.
func (c *Checker) cut(start bool) bool {
	for _, p := range c.partitions {
		if start && p.CutStart || !start && p.CutEnd {
			return true
		}
	}
	return false
}

// newest returns the time of the newest heartbeat, which is about when the range ends.
func (c *Checker) newest() (at time.Time) {
	for _, r := range c.runs {
		for i := range r.beats {
			if t := r.beats[i].time; t.After(at) {
				at = t
			}
		}
	}
	return at
}

// late returns what to count a number as that is missing and newer than the last heartbeat of a
// run in such a state; nil when it is unexplained.
func (c *Checker) late(state State) func(*Counts) *uint64 {
	switch {
	case state == Running:
		return func(n *Counts) *uint64 { return &n.Waiting }
	case state == Cut, state == Unknown && c.cut(false):
		return func(n *Counts) *uint64 { return &n.Unjudged }
	}
	return nil
}

// lowest returns the first number that is to be there of a lane whose start was cut. Of a lane that
// sent nothing it is what comes after the first heartbeat.
func (l *lane) lowest() uint64 {
	if low, _ := l.seen.bounds(); low > 0 {
		return low
	}
	if len(l.run.beats) > 0 {
		said, _ := l.run.beats[0].of(l.lane)
		return said.Seq + 1
	}
	return 1
}

// lacks returns how many of the numbers from first to last are not there.
func (l *lane) lacks(first, last uint64) (n uint64) {
	l.seen.gaps(first, last, func(gap Range) { n += gap.count() })
	return n
}

// dropped returns how many records the heartbeats say delivery has dropped, and how many more
// that may be below what is judged of each lane.
func (r *run) dropped(accounts []*account) (dropped, perhaps uint64) {
	below := uint64(0)
	for _, a := range accounts {
		below += a.lacks(1, a.First-1)
	}
	first, last := r.beats[0].elsewhere(), r.beats[len(r.beats)-1].elsewhere()
	dropped, perhaps = divide(first, below)
	return dropped + last - min(first, last), perhaps
}

// divide parts what was dropped into what must be in the judged part of a run, and what may be
// among so many that are not there below it.
func divide(dropped, below uint64) (here, perhaps uint64) {
	perhaps = min(dropped, below)
	return dropped - perhaps, perhaps
}
