// SPDX-License-Identifier: Apache-2.0

package match

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// view makes v the message that waits in entry i. It is borrowed until the next add or view.
//
// Of a message only the bytes and how it travelled were stored. What was found in them is found
// again here: that takes less time than keeping it, and no memory.
func (m *Matcher) view(t *table, i uint32) *dnsmsg.Message {
	e, v := &t.entries[i], &m.waited
	questions, rrs := v.Questions, v.RRs
	*v = e.message
	v.Questions, v.RRs = questions, rrs
	v.Wire, m.scratch = t.cells.get(e.first, int(e.length+e.tap), m.scratch)
	if e.tap > 0 {
		readTap(&m.tap, v.Wire[e.length:])
		v.Wire, v.DNSTap = v.Wire[:e.length:e.length], &m.tap
	}
	m.parse(v)
	return v
}
