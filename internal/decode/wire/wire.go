// SPDX-License-Identifier: Apache-2.0

// Package wire reads DNS messages as RFC 1035 and its successors put them on the wire. It is the
// innermost layer of stage 2. It owns nothing and drops nothing: of a message that is malformed
// it gives what stands before the fault, and names the fault.
package wire

import (
	"encoding/binary"
	"math/bits"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

const (
	maxMessage = 1<<16 - 1 // what a length prefix can say, and an offset in dnsmsg

	// questionFixed is type and class; recordFixed is type, class, TTL and data length (RFC 1035,
	// sections 4.1.2 and 4.1.3).
	questionFixed = 4
	recordFixed   = 10
)

// Parse reads m.Wire and fills the header, Questions, RRs, OPT and Fault of m. It looks at Wire,
// at Cut, and reuses the memory of Questions and RRs; all else in m is left alone. Every opcode
// has this layout. Bytes after the last record are no fault, and bytes past 65,535 are not there.
//
// The offset of a fault is that of the first part that could not be read: the header, a label
// or pointer, or what follows the name or the fixed part of a record.
func Parse(m *dnsmsg.Message) {
	b := m.Wire
	if len(b) > maxMessage {
		b = b[:maxMessage]
	}
	m.OPT = -1
	m.Questions, m.RRs = m.Questions[:0], m.RRs[:0]
	o, fault := questions(m, b)
	if fault.Reason == dnsmsg.OK {
		fault = records(m, b, o)
	}
	if m.Cut && ranOut(fault.Reason) {
		fault = dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: len(b)}
	}
	m.Fault = fault
}

// ranOut tells the faults that missing bytes explain from those that no further byte would mend.
func ranOut(r dnsmsg.Reason) bool {
	switch r {
	case dnsmsg.ShortHeader, dnsmsg.NameTruncated, dnsmsg.QuestionShort, dnsmsg.RecordShort,
		dnsmsg.DataTruncated:
		return true
	}
	return false
}

// questions reads the header and the question section. It returns the offset after them.
func questions(m *dnsmsg.Message, b []byte) (int, dnsmsg.Fault) {
	if len(b) < dnsmsg.HeaderLen {
		shortHeader(m, b)
		return 0, dnsmsg.Fault{Reason: dnsmsg.ShortHeader}
	}
	m.ID = binary.BigEndian.Uint16(b)
	m.Flags = binary.BigEndian.Uint16(b[2:])
	m.QD = binary.BigEndian.Uint16(b[4:])
	m.AN = binary.BigEndian.Uint16(b[6:])
	m.NS = binary.BigEndian.Uint16(b[8:])
	m.AR = binary.BigEndian.Uint16(b[10:])
	o := dnsmsg.HeaderLen
	for range m.QD {
		next, reason := skipName(b, o)
		if reason != dnsmsg.OK {
			return 0, dnsmsg.Fault{Reason: reason, Offset: next}
		}
		if len(b)-next < questionFixed {
			return 0, dnsmsg.Fault{Reason: dnsmsg.QuestionShort, Offset: next}
		}
		w := b[next : next+questionFixed]
		m.Questions = append(m.Questions, dnsmsg.Question{
			Name:  uint16(o),
			Type:  binary.BigEndian.Uint16(w),
			Class: binary.BigEndian.Uint16(w[2:]),
		})
		o = next + questionFixed
	}
	return o, dnsmsg.Fault{}
}

// shortHeader reads what there is of the header. Half a field is none.
func shortHeader(m *dnsmsg.Message, b []byte) {
	for i, field := range [...]*uint16{&m.ID, &m.Flags, &m.QD, &m.AN, &m.NS, &m.AR} {
		*field = 0
		if len(b) >= 2*i+2 {
			*field = binary.BigEndian.Uint16(b[2*i:])
		}
	}
}

// records reads the three sections of resource records, which start at o. The counts of the
// header are not trusted with memory: each record read has taken at least 11 bytes.
func records(m *dnsmsg.Message, b []byte, o int) (fault dnsmsg.Fault) {
	// Nearly every owner name is a pointer to the first name of the message, or the pointer that
	// the record before has. Both were checked when they were met first.
	const first = pointerBits<<8 | dnsmsg.HeaderLen
	last := uint16(first)
	rrs := m.RRs
	// One loop for the three sections, whose ends are another three each time.
	authority := int(m.AN)
	additional := authority + int(m.NS)
	for i := range additional + int(m.AR) {
		name := o
		var lead uint16
		if len(b)-o >= 2 {
			lead = binary.BigEndian.Uint16(b[o:])
		}
		if (lead == first || lead == last) && o > dnsmsg.HeaderLen {
			o += 2
		} else if o < len(b) && b[o] == 0 { // the root, which OPT records have
			o++
		} else {
			next, reason := skipName(b, o)
			if reason != dnsmsg.OK {
				fault = dnsmsg.Fault{Reason: reason, Offset: next}
				break
			}
			if lead >= pointerBits<<8 {
				last = lead
			}
			o = next
		}
		if len(b)-o < recordFixed {
			fault = dnsmsg.Fault{Reason: dnsmsg.RecordShort, Offset: o}
			break
		}
		w := b[o : o+recordFixed]
		o += recordFixed
		length := int(binary.BigEndian.Uint16(w[8:]))
		if len(b)-o < length {
			fault = dnsmsg.Fault{Reason: dnsmsg.DataTruncated, Offset: o}
			break
		}
		// Filled in place: a literal is built elsewhere and copied, and that copy waits for
		// the small stores before it, a tenth of all the time of this package.
		rrs = append(rrs, dnsmsg.RR{})
		rr := &rrs[len(rrs)-1]
		rr.Name = uint16(name)
		rr.Type = binary.BigEndian.Uint16(w)
		rr.Class = binary.BigEndian.Uint16(w[2:])
		rr.TTL = binary.BigEndian.Uint32(w[4:])
		rr.Data, rr.Len = uint16(o), uint16(length)
		rr.Section = dnsmsg.Answer + after(authority, i) + after(additional, i)
		if rr.Type == dnsmsg.TypeOPT && rr.Section == dnsmsg.Additional && m.OPT < 0 {
			m.OPT = len(rrs) - 1
		}
		o += length
	}
	m.RRs = rrs
	return fault
}

// after returns 1 when i is not below end, without a branch: else 0.
func after(end, i int) dnsmsg.Section { return dnsmsg.Section(uint(end-1-i) >> (bits.UintSize - 1)) }
