// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/binary"
	"time"
)

// The numbers of the fields in Protobuf (schema.Field.Number).
const (
	numSeq       = 1
	numTs        = 2
	numKind      = 3
	numVersion   = 16
	numSensor    = 17
	numRun       = 18
	numLane      = 19
	numHeartbeat = 74
)

// hasNeeded are the fields without which a Protobuf record is none. Of the six only the lane is
// ever 0, and then whoever wrote the record anew may have left it out.
const hasNeeded = hasAll &^ hasLane

// wireType is how a value is written (protobuf.dev/programming-guides/encoding). Groups, which
// proto3 does not have, are not read.
type wireType uint8

const (
	varint  wireType = 0
	fixed64 wireType = 1
	counted wireType = 2 // a length and so many bytes
	fixed32 wireType = 5
)

// part is one field of a message as it is on the wire.
type part struct {
	number uint64
	wire   wireType
	n      uint64 // a varint or fixed64
	bytes  []byte // borrowed, of counted
}

// scanProto reads the six fields of a Protobuf record, its time, and the heartbeat as it stands,
// and checks that the record is a sequence of fields. What is within the others it does not read.
func scanProto(value []byte, f *fields) bool {
	*f = fields{protobuf: true}
	var p part
	for len(value) > 0 {
		var ok bool
		if value, ok = p.read(value); !ok {
			return false
		}
		switch {
		case p.number == numVersion && p.wire == varint:
			f.version, f.found = p.n, f.found|hasVersion
		case p.number == numSensor && p.wire == counted:
			f.sensor, f.found = p.bytes, f.found|hasSensor
		case p.number == numRun && p.wire == counted:
			f.run, f.found = p.bytes, f.found|hasRun
		case p.number == numLane && p.wire == varint:
			f.lane = p.n
		case p.number == numSeq && p.wire == varint:
			f.seq, f.found = p.n, f.found|hasSeq
		case p.number == numKind && p.wire == counted:
			f.kind, f.found = p.bytes, f.found|hasKind
		case p.number == numTs && p.wire == fixed64:
			f.time = int64(p.n)
		case p.number == numHeartbeat && p.wire == counted:
			f.heartbeat = p.bytes
		}
	}
	return f.found == hasNeeded
}

// read takes the first field of b, and returns what follows it.
func (p *part) read(b []byte) (rest []byte, ok bool) {
	tag, b, ok := readVarint(b)
	p.number, p.wire = tag>>3, wireType(tag&7)
	if !ok || p.number == 0 || p.number >= 1<<29 { // the largest there is
		return nil, false
	}
	size := uint64(0)
	switch p.wire {
	case varint:
		p.n, b, ok = readVarint(b)
		return b, ok
	case fixed64:
		size = 8
	case fixed32:
		size = 4
	case counted:
		if size, b, ok = readVarint(b); !ok {
			return nil, false
		}
	default:
		return nil, false
	}
	if size > uint64(len(b)) {
		return nil, false
	}
	p.bytes, b = b[:size], b[size:]
	if p.wire == fixed64 {
		p.n = binary.LittleEndian.Uint64(p.bytes)
	}
	return b, true
}

func readVarint(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 { // mostly
		return uint64(b[0]), b[1:], true
	}
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

// The numbers of the fields of a heartbeat that matter here, of a lane and of the spool in it.
const (
	beatLast     = 1
	beatInterval = 2
	beatState    = 3
	beatSpooled  = 9
	beatDropped  = 10
	beatHeld     = 11
	beatLanes    = 13
	beatSpool    = 14
	beatTopic    = 15
	beatReached  = 16
	beatSettled  = 17

	laneNumber  = 1
	laneSeq     = 2
	laneDropped = 3

	spoolRecords = 1
	spoolDropped = 2

	reachedPartition = 1
	reachedEnd       = 2
)

// protoBeat reads the heartbeat that scanProto has found.
func protoBeat(f *fields) (b beat, ok bool) {
	b = beat{lane: f.lane, seq: f.seq, time: time.Unix(0, f.time)}
	if f.heartbeat == nil {
		return b, false
	}
	last := uint64(0)
	numbers := map[uint64]*uint64{beatLast: &last, beatInterval: &b.IntervalMs,
		beatSpooled: &b.Spooled, beatDropped: &b.Dropped, beatHeld: &b.Held,
		beatSettled: &b.Settled}
	ok = eachPart(f.heartbeat, numbers, func(p *part) bool {
		switch p.number {
		case beatState:
			b.State = string(p.bytes)
		case beatLanes:
			b.Lanes = append(b.Lanes, laneBeat{})
			at := &b.Lanes[len(b.Lanes)-1]
			return eachPart(p.bytes, map[uint64]*uint64{laneNumber: &at.Lane, laneSeq: &at.Seq,
				laneDropped: &at.Dropped}, nil)
		case beatTopic:
			b.TopicID = string(p.bytes)
		case beatReached:
			b.Reached = append(b.Reached, reached{})
			at := &b.Reached[len(b.Reached)-1]
			return eachPart(p.bytes, map[uint64]*uint64{reachedPartition: &at.Partition,
				reachedEnd: &at.End}, nil)
		case beatSpool:
			b.Spool = &spoolBeat{}
			return eachPart(p.bytes, map[uint64]*uint64{spoolRecords: &b.Spool.Records,
				spoolDropped: &b.Spool.Dropped}, nil)
		}
		return true
	})
	b.Last = last != 0
	return b, ok
}

// eachPart reads a message. Varints go where numbers says, and what has a length to other, unless
// that is nil.
func eachPart(b []byte, numbers map[uint64]*uint64, other func(*part) bool) bool {
	var p part
	for len(b) > 0 {
		var ok bool
		if b, ok = p.read(b); !ok {
			return false
		}
		switch to := numbers[p.number]; {
		case p.wire == varint && to != nil:
			*to = p.n
		case p.wire == counted && other != nil && !other(&p):
			return false
		}
	}
	return true
}
