// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

func (e *Encoder) appendQuestions(dst []byte, m *dnsmsg.Message) []byte {
	if len(m.Questions) == 0 {
		return dst
	}
	q := &m.Questions[0]
	dst = e.appendOwner(append(dst, tagQname...), m, int(q.Name))
	if types := questionTypes.of(q.Type, q.Class); types != nil {
		dst = types.append(dst)
	} else {
		dst = appendTypeClass(dst, tagQtype, tagQclass, q.Type, q.Class)
	}
	if len(m.Questions) == 1 {
		return dst
	}
	for i := range m.Questions {
		q, mark := &m.Questions[i], len(dst)
		opened, at := open(dst, tagQuestions)
		dst = e.appendOwner(append(opened, tagQuestionName...), m, int(q.Name))
		dst = appendTypeClass(dst, tagQuestionType, tagQuestionClass, q.Type, q.Class)
		dst = e.seal(dst, at)
		if dst, e.omitted = e.bound(dst, mark, len(m.Questions)-i); e.omitted > 0 {
			break
		}
	}
	return dst
}

func appendTypeClass(dst []byte, typeTag, classTag string, rrtype, class uint16) []byte {
	dst, at := open(dst, typeTag)
	dst = seal(dnsmsg.AppendType(dst, rrtype), at)
	dst, at = open(dst, classTag)
	return seal(dnsmsg.AppendClass(dst, class), at)
}

// bound takes back what was appended since mark when the value has become too large, and
// returns how many entries, left with those to come, are omitted then. Nothing may look at the
// owner's text after that.
func (e *Encoder) bound(dst []byte, mark, left int) ([]byte, int) {
	if len(dst)-e.start <= e.max {
		return dst, 0
	}
	return dst[:mark], left
}

func (e *Encoder) appendSections(dst []byte, m *dnsmsg.Message, tags *sectionTags) []byte {
	for i := range m.RRs {
		rr := &m.RRs[i]
		if i == m.OPT {
			continue
		}
		if e.omitted > 0 {
			e.omitted++
			continue
		}
		mark := len(dst)
		dst = tags[rr.Section].append(dst)
		dst = e.appendRR(dst, m, rr)
		dst, e.omitted = e.bound(dst, mark, 1)
	}
	return dst
}

// appendRR appends a record from the length of its owner on, and the record's own length before
// that.
func (e *Encoder) appendRR(dst []byte, m *dnsmsg.Message, rr *dnsmsg.RR) []byte {
	at := len(dst) - len(empty+tagRrName)
	dst = e.appendOwner(dst, m, int(rr.Name))
	if types := rrTypes.of(rr.Type, rr.Class); types != nil {
		dst = types.append(dst)
	} else {
		dst = append(appendTypeClass(dst, tagRrType, tagRrClass, rr.Type, rr.Class), tagRrTtl...)
	}
	dst = appendUint(dst, uint64(rr.TTL))
	dst, data := open(dst, tagRrData)
	dst = seal(m.AppendData(dst, rr), data)
	return e.seal(dst, at)
}

// seal does the same as the function, and keeps the owner's place if it moves.
func (e *Encoder) seal(dst []byte, at int) []byte {
	end := len(dst)
	dst = seal(dst, at)
	if moved := len(dst) - end; moved > 0 && e.ownerFrom > at {
		e.ownerFrom, e.ownerTo = e.ownerFrom+moved, e.ownerTo+moved
	}
	return dst
}

// appendOwner appends the length and the text of the name at the offset at. A name that is nothing
// but a pointer is known by where it points.
func (e *Encoder) appendOwner(dst []byte, m *dnsmsg.Message, at int) []byte {
	if w := m.Wire; at+1 < len(w) && w[at] >= 0xc0 {
		at = int(w[at]&0x3f)<<8 | int(w[at+1])
	}
	if at == e.ownerAt {
		return encode.AppendAgain(dst, e.ownerFrom, e.ownerTo)
	}
	from := len(dst)
	dst, _ = dnsmsg.AppendQName(append(dst, empty...), m.Wire, at)
	dst = seal(dst, from)
	e.ownerAt, e.ownerFrom, e.ownerTo = at, from, len(dst)
	return dst
}
