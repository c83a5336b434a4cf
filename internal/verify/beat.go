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
	seq  uint64
	time time.Time
	heartbeat
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
	return beat{seq: f.seq, time: v.Time, heartbeat: *v.Heartbeat}, true
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

// alive tells whether the run that sent the heartbeat goes on.
func (b *beat) alive(now time.Time) bool {
	interval := time.Duration(min(b.IntervalMs, 24*3600*1000)) * time.Millisecond
	return !b.Last && !now.IsZero() && now.Sub(b.time) < silentAfter*interval
}
