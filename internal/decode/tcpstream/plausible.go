// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

const (
	// minQuestion and minRecord are the fewest bytes of a question and of a record: the root, and
	// the fixed part (RFC 1035, sections 4.1.2 and 4.1.3).
	minQuestion = 1 + questionFixed
	minRecord   = 1 + recordFixed

	questionFixed = 4
	recordFixed   = 10

	maxName = 255 // RFC 1035, section 2.3.4

	// opcodes has a bit for each opcode that is assigned: QUERY, IQUERY, STATUS, NOTIFY, UPDATE,
	// DSO. likely has those that a stream of more than one segment has.
	opcodes = 1<<0 | 1<<1 | 1<<2 | 1<<4 | 1<<5 | 1<<6
	likely  = 1<<0 | 1<<4 | 1<<5

	// tries is how many places in one segment are read beyond their headers, so that bytes made
	// to look like the beginnings of messages cost no more than so many times their number.
	tries = 16
)

// locate finds where in a segment a message begins, when nothing before it is known: at its start
// or, with stricter rules, anywhere. It returns the offset, or -1, and how sure that is.
func locate(b []byte, size int) (int, mode) {
	if chained(b, size) {
		return 0, synced
	}
	if begins(b, size) {
		return 0, tentative
	}
	left := tries
	for o := 1; left > 0 && o+prefix+dnsmsg.HeaderLen+minQuestion <= len(b); o++ {
		// The bytes that vary least come first: this loop meets every byte of a stream that is
		// not understood.
		h := b[o+prefix : o+prefix+dnsmsg.HeaderLen]
		if h[4] != 0 || h[5] > 1 || h[3]&0x40 != 0 || likely>>(h[2]>>3&15)&1 == 0 {
			continue // QDCOUNT, Z, opcode
		}
		n := int(binary.BigEndian.Uint16(b[o:]))
		m := b[o+prefix : min(len(b), o+prefix+n)]
		if n < dnsmsg.HeaderLen+minQuestion || len(m) < dnsmsg.HeaderLen || !sane(m, n) {
			continue
		}
		left--
		if entries, ok := walk(m, n); ok && entries > 0 {
			return o, tentative
		}
	}
	return -1, lost
}

// chained tells whether a segment is made of whole messages, by their lengths: so a malformed one
// is found even where nothing is known of its stream. The middle of a message looks like that once in
// some 65,000 times, which is too often. So each must have a header that makes sense, or one that
// lies of nothing but its records. Of a segment that the capture cut, only the last message may be
// cut, for the same reason.
func chained(b []byte, size int) bool {
	o := 0
	for o < size {
		if len(b)-o < prefix {
			return false
		}
		n := int(binary.BigEndian.Uint16(b[o:]))
		m := b[o+prefix : min(len(b), o+prefix+n)]
		if n < dnsmsg.HeaderLen || !sane(m, n) && !(assigned(m) && m[4] == 0 && m[5] <= 1) {
			return false
		}
		o += prefix + n
		if o > len(b) && o != size {
			return false
		}
	}
	return o == size
}

// begins tells whether a message begins with b, the start of a segment, as far as b goes: one
// byte could be the first of any.
func begins(b []byte, size int) bool {
	if len(b) < prefix {
		return len(b) == 1 && size == 1
	}
	n := int(binary.BigEndian.Uint16(b))
	m := b[prefix:min(len(b), prefix+n)]
	if !sane(m, n) {
		return false
	}
	_, ok := walk(m, n)
	return ok
}

// assigned tells whether the header that b begins with has an opcode that is assigned.
func assigned(b []byte) bool { return opcodes>>(b[2]>>3&15)&1 != 0 }

// sane tells whether b can be the first bytes of a message of n bytes, by as much of its header as
// is there: its opcode is assigned, and the questions and records that it claims fit.
func sane(b []byte, n int) bool {
	if n < dnsmsg.HeaderLen || len(b) >= 4 && !assigned(b) {
		return false
	}
	if len(b) < dnsmsg.HeaderLen {
		return true
	}
	questions := int(binary.BigEndian.Uint16(b[4:]))
	records := int(binary.BigEndian.Uint16(b[6:])) + int(binary.BigEndian.Uint16(b[8:])) +
		int(binary.BigEndian.Uint16(b[10:]))
	return questions*minQuestion+records*minRecord <= n-dnsmsg.HeaderLen
}

// walk reads the questions and records of b, the first bytes of a message of n bytes, as far as
// they are there. It returns how many are whole, and false when b contradicts itself or, being
// whole, does not end where its last record does.
func walk(b []byte, n int) (entries int, ok bool) {
	if len(b) < dnsmsg.HeaderLen {
		return 0, len(b) < n
	}
	// A query has no response code. It seems to have 1 where b begins two bytes too late, as it does
	// behind a length that was a segment of its own and is lost: the number of questions is there.
	if b[2]&0x80 == 0 && b[3]&0x0f != 0 {
		return 0, false
	}
	questions := int(binary.BigEndian.Uint16(b[4:]))
	total := questions + int(binary.BigEndian.Uint16(b[6:])) +
		int(binary.BigEndian.Uint16(b[8:])) + int(binary.BigEndian.Uint16(b[10:]))
	o := dnsmsg.HeaderLen
	for ; entries < total; entries++ {
		fixed := recordFixed
		if entries < questions {
			fixed = questionFixed
		}
		end := skipName(b, o)
		if end < 0 {
			return entries, false
		}
		if o = end + fixed; o > len(b) {
			return entries, len(b) < n && o <= n
		}
		if entries < questions {
			if !class(binary.BigEndian.Uint16(b[o-2:])) {
				return entries, false
			}
			continue
		}
		if o += int(binary.BigEndian.Uint16(b[o-2:])); o > len(b) {
			return entries, o <= n && len(b) < n
		}
	}
	return entries, o == n
}

// skipName returns the offset behind the name at o, or -1 when it is none. The name may end behind
// b: then so does the offset.
func skipName(b []byte, o int) int {
	for start := o; o < len(b) && o-start < maxName; {
		switch c := int(b[o]); {
		case c == 0:
			return o + 1
		case c >= 0xc0: // a pointer, which points back (RFC 1035, section 4.1.4)
			if o+1 < len(b) && (c&0x3f)<<8|int(b[o+1]) >= o {
				return -1
			}
			return o + 2
		case c >= 0x40:
			return -1
		default:
			o += 1 + c
		}
	}
	if o >= len(b) {
		return max(o, len(b)) + 1
	}
	return -1
}

// class tells whether a question can have class c: IN, CS, CH, HS, NONE and ANY (RFC 6895, section
// 3.2), with or without the bit of multicast (RFC 6762, section 5.4).
func class(c uint16) bool {
	c &^= 1 << 15
	return c >= 1 && c <= 4 || c == 254 || c == 255
}
