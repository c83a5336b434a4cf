// SPDX-License-Identifier: Apache-2.0

package match

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// view makes v the message that waits in entry i. It is borrowed until the next add or view.
//
// Of a message only the header and the bytes were stored. What decode/wire had found in them is
// found again here: that takes less time than keeping it, and no memory.
func (m *Matcher) view(t *table, i uint32) *dnsmsg.Message {
	e, v := &t.entries[i], &m.waited
	questions, rrs := v.Questions[:0], v.RRs[:0]
	*v = e.message
	v.Questions, v.RRs = questions, rrs
	v.Wire, m.scratch = t.cells.get(e.first, int(e.length+e.tap), m.scratch)
	if e.tap > 0 {
		readTap(&m.tap, v.Wire[e.length:])
		v.Wire, v.DNSTap = v.Wire[:e.length:e.length], &m.tap
	}
	walk(v)
	return v
}

// The parts of a question and of a record that have a fixed length (RFC 1035, sections 4.1.2 and
// 4.1.3).
const (
	questionFixed = 4
	recordFixed   = 10
)

// walk fills Questions, RRs and OPT out of Wire and the counts of the header, for a message that
// decode/wire has found without fault. It checks nothing but that it stays inside Wire.
func walk(m *dnsmsg.Message) {
	b, o := m.Wire, dnsmsg.HeaderLen
	m.OPT = -1
	for range m.QD {
		next := skip(b, o)
		if len(b)-next < questionFixed {
			return
		}
		m.Questions = append(m.Questions, dnsmsg.Question{
			Name:  uint16(o),
			Type:  binary.BigEndian.Uint16(b[next:]),
			Class: binary.BigEndian.Uint16(b[next+2:]),
		})
		o = next + questionFixed
	}
	for section, count := range [...]uint16{m.AN, m.NS, m.AR} {
		for range count {
			next := skip(b, o)
			if len(b)-next < recordFixed {
				return
			}
			w := b[next : next+recordFixed]
			rr := dnsmsg.RR{
				Name:    uint16(o),
				Type:    binary.BigEndian.Uint16(w),
				Class:   binary.BigEndian.Uint16(w[2:]),
				TTL:     binary.BigEndian.Uint32(w[4:]),
				Data:    uint16(next + recordFixed),
				Len:     binary.BigEndian.Uint16(w[8:]),
				Section: dnsmsg.Section(section),
			}
			if rr.Type == dnsmsg.TypeOPT && rr.Section == dnsmsg.Additional && m.OPT < 0 {
				m.OPT = len(m.RRs)
			}
			m.RRs = append(m.RRs, rr)
			o = next + recordFixed + int(rr.Len)
		}
	}
}

// skip returns the offset after the name at o, or one beyond b.
func skip(b []byte, o int) int {
	for o < len(b) {
		switch c := b[o]; {
		case c == 0:
			return o + 1
		case c >= pointerBits:
			return o + 2
		default:
			o += int(c) + 1
		}
	}
	return len(b) + 1
}
