// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// beat is what one heartbeat says, as far as it matters here.
type beat struct {
	lane uint64 // its own
	seq  uint64
	time time.Time
	heartbeat

	// What it proves of a range that was cut, see place.
	starts     bool // what is numbered later is not before the range
	ends       bool // what was acknowledged by then is not behind it
	everywhere bool // something was acknowledged by then in every partition that is cut at its end
}

// heartbeat is the field of the same name; docs/record.md describes it.
type heartbeat struct {
	Last       bool       `json:"last"`
	IntervalMs uint64     `json:"interval_ms"`
	State      string     `json:"state"`
	Spooled    uint64     `json:"spooled"`
	Dropped    uint64     `json:"dropped"`
	Held       uint64     `json:"held"`
	Lanes      []laneBeat `json:"lanes"`
	Spool      *spoolBeat `json:"spool"`
	TopicID    string     `json:"topic_id"`
	Reached    []reached  `json:"reached"`
	Settled    uint64     `json:"settled"`
}

// laneBeat says that the lane has numbered up to Seq, and that Dropped of those numbers were
// dropped before they were in a batch. The two belong together exactly.
type laneBeat struct {
	Lane    uint64 `json:"lane"`
	Seq     uint64 `json:"seq"`
	Dropped uint64 `json:"dropped"`
}

// spoolBeat is the spool on disk, the records of earlier runs included.
type spoolBeat struct {
	Records uint64 `json:"records"`
	Dropped uint64 `json:"dropped"`
}

// reached says that End is the offset behind the newest record of a partition that was acknowledged.
type reached struct {
	Partition uint64 `json:"partition"`
	End       uint64 `json:"end"`
}

// parseBeat reads the heartbeat of which f was scanned. There are few of them.
func parseBeat(f *fields, value []byte) (beat, bool) {
	if f.protobuf {
		return protoBeat(f)
	}
	var v struct {
		Time      time.Time  `json:"ts"`
		Heartbeat *heartbeat `json:"heartbeat"`
	}
	if json.Unmarshal(value, &v) != nil || v.Heartbeat == nil {
		return beat{}, false
	}
	return beat{lane: f.lane, seq: f.seq, time: v.Time, heartbeat: *v.Heartbeat}, true
}

// sortBeats brings heartbeats that came over several partitions into their order.
func sortBeats(beats []beat) {
	slices.SortFunc(beats, func(a, b beat) int { return cmp.Compare(a.seq, b.seq) })
}

// of returns what the heartbeat says of a lane.
func (b *beat) of(lane uint64) (laneBeat, bool) {
	for _, l := range b.Lanes {
		if l.Lane == lane {
			return l, true
		}
	}
	if lane == b.lane && b.seq > 0 {
		return laneBeat{Lane: lane, Seq: b.seq}, true
	}
	return laneBeat{}, false
}

// elsewhere is how many records of the run were dropped after they were in a batch.
func (b *beat) elsewhere() uint64 {
	n := b.Dropped
	for _, l := range b.Lanes {
		n -= min(n, l.Dropped)
	}
	return n
}

// silentAfter is how many intervals without a heartbeat make a run silent. A heartbeat waits with
// all else while the cluster is away, so this is generous.
const silentAfter = 6

// silent is when a run of which this is the last heartbeat has fallen silent.
func (b *beat) silent() time.Time {
	interval := time.Duration(min(b.IntervalMs, 24*3600*1000)) * time.Millisecond
	return b.time.Add(silentAfter * interval)
}

// alive tells whether the run that sent the heartbeat goes on.
func (b *beat) alive(now time.Time) bool {
	return !b.Last && !now.IsZero() && now.Before(b.silent())
}

// keptDense is how many of the newest heartbeats of a run are kept: what had not come then is judged by
// which of them it is older than.
const keptDense = 64

// thin leaves out heartbeats between which nothing was dropped: what is missing there has the same
// reasons, or none, whichever of the numbers it is. It returns how many are left out.
func (r *run) thin() (n int) {
	sortBeats(r.beats)
	kept := r.beats[:0]
	for i, b := range r.beats {
		if len(kept) > 0 && i+keptDense < len(r.beats) && kept[len(kept)-1].like(&b) && b.like(&r.beats[i+1]) {
			continue
		}
		kept = append(kept, b)
	}
	n = len(r.beats) - len(kept)
	clear(r.beats[len(kept):])
	r.beats = kept
	return n
}

// like tells whether no lane dropped anything between two heartbeats of a run, and both prove the
// same. What delivery has dropped counts only from the first heartbeat to the last.
func (b *beat) like(next *beat) bool {
	if b.starts != next.starts || b.ends != next.ends || b.everywhere != next.everywhere ||
		len(b.Lanes) != len(next.Lanes) {
		return false
	}
	for i, l := range b.Lanes {
		if n := next.Lanes[i]; l.Lane != n.Lane || l.Dropped != n.Dropped || l.Seq > n.Seq {
			return false
		}
	}
	return true
}
