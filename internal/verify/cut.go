// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"math"
	"slices"
	"time"
)

// Where a partition was not read whole, what is missing may simply lie in the rest of it. Numbers
// and offsets do not tell: what comes back from disk, by way of this run or a later one, lies
// anywhere behind where it would have been, and what was acknowledged may come again. So nothing is
// made of the order of what was read. Heartbeats say how far each partition had come when they were
// made, and that proves two things:
//
//   - Which had come to the start of what was read in every partition: what is numbered later is
//     not before that start. It was not yet there.
//   - Which had not come behind the end of what was read in any partition: what was acknowledged
//     by then is not behind that end. All else that was numbered by then is dropped, held or on
//     disk, and the heartbeat says how much that is.
//
// What is numbered between the first heartbeat of the one kind and the last of the other is judged
// as if all were read. Whatever else seems to be missing is unjudged.

// place finds out what b, whose reach was just read, proves of the range, and forgets the reach.
func (c *Checker) place(b *beat) {
	if b.TopicID != "" && b.TopicID == c.topic {
		clear(c.reached)
		for _, r := range b.Reached {
			c.reached[r.Partition] = r.End
		}
		b.starts, b.ends, b.everywhere = true, true, true
		for n, p := range c.partitions {
			end, ok := c.reached[uint64(n)]
			if p.CutStart && (!ok || end < uint64(p.Start)) {
				b.starts = false
			}
			if p.CutEnd && ok && end > uint64(p.End) {
				b.ends = false
			}
			if p.CutEnd && !ok {
				b.everywhere = false
			}
		}
	}
	b.TopicID, b.Reached = "", nil
}

// Skip says that a partition has no record any more between what was read of it and offset: they
// were deleted meanwhile, or compacted away. What was read before proves nothing then.
func (c *Checker) Skip(partition int32, offset int64) {
	p := c.partition(partition)
	p.Start, p.CutStart = max(p.Start, offset), true
	for _, r := range c.runs {
		for i := range r.beats {
			r.beats[i].starts = false
		}
	}
	for _, t := range p.tracks {
		t.first = 0
	}
}

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

// scope is what of a run can be judged: all that was numbered behind one heartbeat, as far as
// another.
type scope struct {
	from  beat   // the first says nothing when the run is judged from its beginning
	beats []beat // behind it; the last is the other, unless open
	open  bool   // to the end of the run
	none  bool   // nothing can be judged
	owes  bool   // what is newer may be on a disk of which no later run has told
}

// scope returns what of r can be judged. next is what is known from other runs of the sensor.
func (c *Checker) scope(r *run, next others) scope {
	s := scope{beats: r.beats, open: !c.cut(false) || next.over}
	if c.cut(true) && !next.begun {
		i := slices.IndexFunc(s.beats, func(b beat) bool { return b.starts })
		if i < 0 {
			return scope{none: true}
		}
		s.from, s.beats = s.beats[i], s.beats[i+1:]
	}
	if !s.open {
		for len(s.beats) > 0 && !s.beats[len(s.beats)-1].ends {
			s.beats = s.beats[:len(s.beats)-1]
		}
		s.none = len(s.beats) == 0
	}
	last := s.last()
	s.owes = s.open && last.Spool != nil && !last.Last && !next.known
	return s
}

// last returns the last heartbeat that counts.
func (s *scope) last() *beat {
	if n := len(s.beats); n > 0 {
		return &s.beats[n-1]
	}
	return &s.from
}

// settled returns the last number of a lane of which it is known that it did not wait when the last
// heartbeat was made, nor anything before it.
func (s *scope) settled(l *lane) uint64 {
	for i := len(l.run.beats) - 1; i >= 0 && !s.none; i-- {
		if b := &l.run.beats[i]; b.seq <= s.last().Settled {
			said, _ := b.of(l.lane)
			return said.Seq
		}
	}
	return 0
}

// of returns the numbers of a lane that can be judged. There are none when last is before first.
func (s *scope) of(l *lane) (first, last uint64) {
	from, ok := s.from.of(l.lane)
	if s.none || !ok && s.from.seq > 0 || from.Seq == math.MaxUint64 {
		return 1, 0
	}
	to, _ := s.last().of(l.lane)
	if s.open {
		_, high := l.seen.bounds()
		to.Seq = max(to.Seq, high)
	}
	return from.Seq + 1, to.Seq
}

// window returns the numbers of a lane that one would expect in the range: from the first in each
// partition that was cut there, to the last. What lacks among them may have a reason, but it is
// said; what is outside is what every range has at its edges. There are none when last is before
// first.
func (c *Checker) window(l *lane) (first, last uint64) {
	first, last = l.seen.bounds()
	if last == 0 {
		return l.said()
	}
	if !c.cut(true) {
		first = 1
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

// said returns what the heartbeats that were read say a lane has numbered between the first of them
// and the last.
func (l *lane) said() (first, last uint64) {
	n := len(l.run.beats)
	if n == 0 {
		return 1, 0
	}
	from, _ := l.run.beats[0].of(l.lane)
	to, _ := l.run.beats[n-1].of(l.lane)
	if from.Seq == math.MaxUint64 {
		return 1, 0
	}
	return from.Seq + 1, to.Seq
}

// others is what other runs of a sensor say of one.
type others struct {
	// begun: it began in the range. An earlier one sent a heartbeat that had come to the start.
	begun bool
	// over: it has ended in the range. A later one was there long after its last heartbeat, and
	// sent something to every partition.
	over bool

	known   bool   // a later one has a spool, perhaps with records of this one
	records uint64 // in it when the newest of them spoke last
	dropped uint64 // of earlier runs that they have lost there
}

// othersOf sums up what runs, which are in order, say of the one at i.
func (c *Checker) othersOf(runs []*run, i int) (out others) {
	r := runs[i]
	for _, e := range runs[:i] {
		at := slices.IndexFunc(e.beats, func(b beat) bool { return b.starts })
		if e.sensor == r.sensor && at >= 0 {
			out.begun = out.begun || r.began().After(e.beats[at].silent())
		}
	}
	for _, next := range runs[i+1:] {
		if next.sensor != r.sensor {
			continue
		}
		b := c.lastWord(next)
		if b == nil {
			continue
		}
		if b.Spool != nil {
			out.known, out.records = true, b.Spool.Records
			out.dropped = plus(out.dropped, b.Spool.Dropped)
		}
		if n := len(r.beats); n > 0 && b.ends && b.everywhere {
			last := &r.beats[n-1]
			out.over = out.over || b.time.After(last.silent()) && (last.Spool == nil || b.Spool != nil)
		}
	}
	return out
}

// lastWord returns the last heartbeat of a run behind which nothing was cut off, or nil.
func (c *Checker) lastWord(r *run) *beat {
	for i := len(r.beats) - 1; i >= 0; i-- {
		if !c.cut(false) || r.beats[i].ends {
			return &r.beats[i]
		}
	}
	return nil
}

// began returns when the run began, which is its name; the zero time when it is not.
func (r *run) began() time.Time {
	at, err := time.Parse("20060102T150405Z0700", r.runID.run) // a fraction is read, too
	if err != nil {
		return time.Time{}
	}
	return at
}
