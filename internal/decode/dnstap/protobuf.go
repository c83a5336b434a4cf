// SPDX-License-Identifier: Apache-2.0

package dnstap

import "encoding/binary"

// The wire types of protobuf (https://protobuf.dev/programming-guides/encoding). 3 and 4, the
// groups that were given up before this schema was made, are not read.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// reader walks the fields of one protobuf message.
type reader struct {
	rest []byte
	bad  bool // the last next returned false because the bytes are no protobuf message

	// The field that next has found.
	tag   uint64 // number<<3 | wire type
	value uint64 // of a varint, fixed32 or fixed64
	data  []byte // of bytes, never nil; its capacity ends where it ends
}

// next goes to the next field. It returns false at the end, or where bad says so.
func (r *reader) next() bool {
	if len(r.rest) == 0 || !r.varint(&r.tag) {
		return false
	}
	if r.tag>>3 == 0 || r.tag>>32 != 0 { // field numbers are 1 to 1<<29-1
		return r.fail()
	}
	switch r.tag & 7 {
	case wireVarint:
		return r.varint(&r.value)
	case wireFixed64:
		if len(r.rest) < 8 {
			return r.fail()
		}
		r.value, r.rest = binary.LittleEndian.Uint64(r.rest), r.rest[8:]
	case wireBytes:
		var n uint64
		if !r.varint(&n) {
			return false
		}
		if n > uint64(len(r.rest)) {
			return r.fail()
		}
		r.data, r.rest = r.rest[:n:n], r.rest[n:]
	case wireFixed32:
		if len(r.rest) < 4 {
			return r.fail()
		}
		r.value, r.rest = uint64(binary.LittleEndian.Uint32(r.rest)), r.rest[4:]
	default:
		return r.fail()
	}
	return true
}

// varint reads a number of at most ten bytes. One that exceeds 64 bits is malformed.
func (r *reader) varint(v *uint64) bool {
	if len(r.rest) > 0 && r.rest[0] < 0x80 { // as nearly all are
		*v, r.rest = uint64(r.rest[0]), r.rest[1:]
		return true
	}
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		return r.fail()
	}
	*v, r.rest = x, r.rest[n:]
	return true
}

func (r *reader) fail() bool {
	r.bad = true
	return false
}
