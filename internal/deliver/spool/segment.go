// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const suffix = ".spool"

// fileName returns the name of a segment.
func fileName(number uint64) string { return fmt.Sprintf("%020d%s", number, suffix) }

// segmentNumber returns the number of a segment from its name. Number 0, and those that would
// leave none for what comes after, are nobody's.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0 && n < math.MaxInt64
}

// tally counts frames, and what is in them.
type tally struct {
	frames, records uint64
	bytes           int64
}

func (t *tally) add(o tally) {
	t.frames += o.frames
	t.records += o.records
	t.bytes += o.bytes
}

// sub takes o away, down to nothing: what a segment was said to hold may be less than what is
// found in it.
func (t *tally) sub(o tally) {
	t.frames -= min(o.frames, t.frames)
	t.records -= min(o.records, t.records)
	t.bytes -= min(o.bytes, t.bytes)
}

// segment is one file, as memory knows it: the same small amount however much is in it. Spool.mu
// guards it, but for what only Append touches, which says so.
type segment struct {
	number uint64
	id     uint64 // random, in every header of the file
	own    bool   // written since opening
	size   int64  // of the file
	start  int64  // everything before was settled at opening
	end    int64  // of the frames: behind it is the seal, or nothing
	total  tally  // since the segment was begun
	begun  time.Time
	since  time.Time // when the first frame was appended after all before it were settled
	last   time.Time // when its last frame was appended

	// wait counts the frames that the reader has not come to, and that nobody holds or has
	// settled. The frames behind the reader are held or done with.
	wait tally
	held int    // frames of Spool.holdings
	read uint32 // the number of the first frame that the reader has not come to

	// settled has a bit for every frame that was settled before the reader came to it, by its
	// number in the segment; nil for none. It is the only thing that grows with the backlog: by
	// a bit for a frame, and only where frames were settled while older ones waited.
	settled []uint64

	file    File  // the one segment that is appended to; else nil
	retired error // why nothing more may be appended to it
	dirty   bool  // something was written since the last Sync
	covered bool  // the cursor says that all of it is settled
}

func (s *segment) name() string { return fileName(s.number) }

// done tells whether nothing in the segment is needed any more. Only Append knows whether there
// will be something.
func (s *segment) done() bool { return s.wait.frames == 0 && s.held == 0 }

func (s *segment) settle(frame uint32) {
	i := int(frame / 64)
	for len(s.settled) <= i {
		s.settled = append(s.settled, 0)
	}
	s.settled[i] |= 1 << (frame % 64)
}

func (s *segment) isSettled(frame uint32) bool {
	i := int(frame / 64)
	return i < len(s.settled) && s.settled[i]&(1<<(frame%64)) != 0
}

// place is where a frame is. The zero place is before all of them.
type place struct {
	segment uint64
	offset  int64
}

func (p place) before(q place) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

// comparePlaces orders places for package slices.
func comparePlaces(p, q place) int {
	switch {
	case p.before(q):
		return -1
	case q.before(p):
		return 1
	}
	return 0
}

// holding is one frame that has a copy in memory, or had one until a moment ago.
type holding struct {
	segment  *segment // nil when the segment was given up
	frame    uint32
	tally    tally // its records are those not settled yet
	own      bool  // appended since opening, and no rest of what was not
	returned bool  // released: waits in Spool.returned
	aside    bool  // waits for Recall
	again    bool  // was set aside once
	lost     lossReason
}
