// SPDX-License-Identifier: Apache-2.0

package json

import (
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

func (e *Encoder) appendQuestions(dst []byte, m *dnsmsg.Message) []byte {
	if len(m.Questions) == 0 {
		return dst
	}
	q := &m.Questions[0]
	dst = append(dst, keyQname+`"`...)
	dst = e.appendOwner(dst, m, int(q.Name))
	if text := questionTypes.of(q.Type, q.Class); text != nil {
		dst = text.append(dst)
	} else {
		dst = dnsmsg.AppendType(append(dst, `"`+keyQtype+`"`...), q.Type)
		dst = dnsmsg.AppendClass(append(dst, `"`+keyQclass+`"`...), q.Class)
		dst = append(dst, '"')
	}
	if len(m.Questions) == 1 {
		return dst
	}
	dst = append(dst, keyQuestions+`[`...)
	for i := range m.Questions {
		q, mark := &m.Questions[i], len(dst)
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{`+keyQuestionName+`"`...)
		dst = e.appendOwner(dst, m, int(q.Name))
		dst = dnsmsg.AppendType(append(dst, `"`+keyQuestionType+`"`...), q.Type)
		dst = dnsmsg.AppendClass(append(dst, `"`+keyQuestionClass+`"`...), q.Class)
		dst = append(dst, `"}`...)
		if dst, e.omitted = e.bound(dst, mark, len(m.Questions)-i); e.omitted > 0 {
			break
		}
	}
	return append(dst, ']')
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

func (e *Encoder) appendSections(dst []byte, m *dnsmsg.Message, starts *sectionPieces) []byte {
	const none = dnsmsg.Additional + 1
	open := none
	for i := range m.RRs {
		rr := &m.RRs[i]
		if i == m.OPT {
			continue
		}
		mark := len(dst)
		switch {
		case e.omitted > 0:
			e.omitted++
			continue
		case rr.Section == open:
			dst = append(dst, `,{`+keyRrName+`"`...)
		case open != none:
			dst = append(dst, ']')
			fallthrough
		default:
			dst = starts[rr.Section].append(dst)
		}
		dst = e.appendRR(dst, m, rr)
		if dst, e.omitted = e.bound(dst, mark, 1); e.omitted == 0 {
			open = rr.Section
		}
	}
	if open != none {
		dst = append(dst, ']')
	}
	return dst
}

// appendRR appends a record from the text of its owner on.
func (e *Encoder) appendRR(dst []byte, m *dnsmsg.Message, rr *dnsmsg.RR) []byte {
	dst = e.appendOwner(dst, m, int(rr.Name))
	if text := rrTypes.of(rr.Type, rr.Class); text != nil {
		dst = text.append(dst)
	} else {
		dst = dnsmsg.AppendType(append(dst, `"`+keyRrType+`"`...), rr.Type)
		dst = dnsmsg.AppendClass(append(dst, `"`+keyRrClass+`"`...), rr.Class)
		dst = append(dst, `"`+keyRrTtl...)
	}
	dst = appendUint(dst, uint64(rr.TTL))
	dst = append(dst, keyRrData+`"`...)
	data := len(dst)
	dst = m.AppendData(dst, rr)
	if rr.Type != dnsmsg.TypeA || rr.Class != dnsmsg.ClassIN || dst[data] == '\\' {
		dst = escape(dst, data) // only an address is known to have nothing to escape
	}
	return append(dst, `"}`...)
}

// appendOwner appends the name at the offset at. A name that is nothing but a pointer is known
// by where it points.
func (e *Encoder) appendOwner(dst []byte, m *dnsmsg.Message, at int) []byte {
	if w := m.Wire; at+1 < len(w) && w[at] >= 0xc0 {
		at = int(w[at]&0x3f)<<8 | int(w[at+1])
	}
	if at == e.ownerAt {
		return encode.AppendAgain(dst, e.ownerFrom, e.ownerTo)
	}
	from := len(dst)
	dst, _ = dnsmsg.AppendQName(dst, m.Wire, at)
	dst = escape(dst, from)
	e.ownerAt, e.ownerFrom, e.ownerTo = at, from, len(dst)
	return dst
}
