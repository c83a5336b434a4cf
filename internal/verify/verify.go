// SPDX-License-Identifier: Apache-2.0

// Package verify proves that nothing is missing between a sensor and whoever reads its topic. It
// stands at the far end of the path, belongs to no stage, and knows the record alone: each is
// named by sensor, run, lane and seq, seq has no gap but where a record was dropped, and the
// sensor's heartbeats say how many were. It reads JSON and Protobuf, each record as it is.
//
// Add takes records in any order over the partitions; Report judges what was added. What is kept
// is which numbers were seen, in at most Options.Memory bytes (see set.go): some 100 bytes for
// each 65,536 records that are all there, one bit a record in the worst case, and the heartbeats,
// 24 bytes for each and for each lane in them.
package verify

import (
	"errors"
	"fmt"
	"time"
)

// DefaultMemory is what Options.Memory is when it is 0: more than a thousand million records.
const DefaultMemory = 256 << 20

// version is that of the records which are understood (schema.Version).
const version = 1

// ErrMemory is the error of Add when what must be kept is too much.
var ErrMemory = errors.New("verify: the records seen are too many and too scattered to remember; " +
	"verify less at a time with --from and --to")

// Options say what is known besides the records.
type Options struct {
	Memory int // bytes for what was seen; 0 is DefaultMemory

	// Files are what the partitions are when files are read, - for standard input; offsets are lines.
	Files []string

	// Topic is the id of the topic that is read, as a heartbeat has it. Without it a topic that was
	// not read whole proves nothing.
	Topic string

	// Now is when the reading ended, to tell a run that goes on from one that has fallen silent.
	// Zero: the records are of no certain time, as those of a file, and no run goes on.
	Now time.Time
}

// Partition is one partition of the topic, as far as it was to be read.
type Partition struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start"` // the first offset to read
	End       int64 `json:"end"`   // the offset after the last one
	Records   int64 `json:"records"`

	// CutStart and CutEnd say that the partition has, or had, records before Start or after End.
	// What a lane has lost cannot be told from what was cut off there.
	CutStart bool `json:"cut_start"`
	CutEnd   bool `json:"cut_end"`
}

// Checker takes records and remembers which it has seen. It is used by one goroutine.
type Checker struct {
	memory     int
	bytes      int // that are kept
	topic      string
	reached    map[uint64]uint64 // by a heartbeat, for a moment
	partitions map[int32]*partition
	runs       map[runID]*run
	foreign    uint64   // values that are no records of ours
	where      position // the first of those
	record     fields
}

type runID struct{ sensor, run string }

// run is one run of one sensor.
type run struct {
	runID
	lanes map[uint64]*lane
	beats []beat
	dense int // how many heartbeats there may be before they are thinned out
}

// lane is one lane of a run.
type lane struct {
	run  *run
	lane uint64
	seen set

	records    uint64 // of different numbers
	duplicates uint64
	malformed  uint64 // of kind malformed
	heartbeats uint64
}

// partition is what was read of one.
type partition struct {
	Partition
	tracks  map[*lane]*track
	current *track // of the last record: mostly that of the next
}

// track is one lane in one partition.
type track struct {
	*lane
	first, last uint64 // numbers, in the order of offsets
}

// Sizes of what is kept besides the sets, roughly: maps have room to spare.
const (
	laneBytes  = 400
	trackBytes = 120
	beatBytes  = 200
)

// New returns a checker that has seen nothing.
func New(o Options) *Checker {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	return &Checker{memory: o.Memory, topic: o.Topic, reached: map[uint64]uint64{},
		partitions: map[int32]*partition{}, runs: map[runID]*run{}}
}

// Expect says how far a partition is going to be read, before any of it is. Without it a partition is
// taken to be read whole.
func (c *Checker) Expect(p Partition) { c.partition(p.Partition).Partition = p }

// Add takes the value of one record. It does not keep it. Its only error is ErrMemory.
func (c *Checker) Add(partition int32, offset int64, value []byte) error {
	p := c.partition(partition)
	p.Records++
	f := &c.record
	if !scan(value, f) || f.version != version || f.seq == 0 {
		c.strange(partition, offset)
		return nil
	}
	var b beat
	isBeat := string(f.kind) == "heartbeat"
	if isBeat {
		var ok bool
		if b, ok = parseBeat(f, value); !ok {
			c.strange(partition, offset)
			return nil
		}
	}
	t := c.track(p, f)
	before := t.seen.bytes
	if t.last = f.seq; t.first == 0 {
		t.first = f.seq
	}
	if t.seen.add(f.seq) {
		t.records++
	} else {
		t.duplicates++
		isBeat = false // which was taken before
	}
	switch {
	case string(f.kind) == "malformed":
		t.malformed++
	case isBeat:
		t.heartbeats++
		c.keep(t.run, b)
	}
	c.bytes += t.seen.bytes - before
	if c.bytes > c.memory {
		return ErrMemory
	}
	return nil
}

// thinFrom is how many heartbeats of a run are kept as they are: half a day of them.
const thinFrom = 4096

// keep keeps a heartbeat.
func (c *Checker) keep(r *run, b beat) {
	c.place(&b)
	r.beats = append(r.beats, b)
	c.bytes += beatBytes + 24*len(b.Lanes)
	if len(r.beats) >= max(r.dense, thinFrom) {
		c.bytes -= r.thin() * (beatBytes + 24*len(b.Lanes))
		r.dense = 2 * len(r.beats)
	}
}

func (c *Checker) strange(partition int32, offset int64) {
	if c.foreign == 0 {
		c.where = position{partition, offset}
	}
	c.foreign++
}

// position is where a value was.
type position struct {
	partition int32
	offset    int64
}

// in says it for people.
func (p position) in(files []string) string {
	switch {
	case int(p.partition) >= len(files):
	case files[p.partition] == "-":
		return fmt.Sprintf("line %d of standard input", p.offset)
	default:
		return fmt.Sprintf("line %d of %s", p.offset, files[p.partition])
	}
	return fmt.Sprintf("partition %d, offset %d", p.partition, p.offset)
}

func (c *Checker) partition(n int32) *partition {
	p := c.partitions[n]
	if p == nil {
		p = &partition{Partition: Partition{Partition: n}, tracks: map[*lane]*track{}}
		c.partitions[n] = p
	}
	return p
}

// track returns where the record belongs.
func (c *Checker) track(p *partition, f *fields) *track {
	if t := p.current; t != nil && t.lane.lane == f.lane && string(f.run) == t.run.runID.run &&
		string(f.sensor) == t.run.sensor {
		return t
	}
	l := c.lane(runID{string(f.sensor), string(f.run)}, f.lane)
	t := p.tracks[l]
	if t == nil {
		t = &track{lane: l}
		p.tracks[l] = t
		c.bytes += trackBytes
	}
	p.current = t
	return t
}

func (c *Checker) lane(id runID, number uint64) *lane {
	r := c.runs[id]
	if r == nil {
		r = &run{runID: id, lanes: map[uint64]*lane{}}
		c.runs[id] = r
		c.bytes += laneBytes + len(id.sensor) + len(id.run)
	}
	l := r.lanes[number]
	if l == nil {
		l = &lane{run: r, lane: number}
		r.lanes[number] = l
		c.bytes += laneBytes
	}
	return l
}
