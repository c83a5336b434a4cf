// SPDX-License-Identifier: Apache-2.0

package match

import (
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// reorder is how long a response waits for a query that comes after it. Switches and receive
// queues change the order of what is microseconds apart. A longer wait would give a duplicate of
// a response to the next query of a client that uses port and id again at once.
const reorder = 2e6 // nanoseconds

// earlyShare is the part of the memory for responses that wait for their queries.
const earlyShare = 8

// Matcher joins the messages of one lane. Only the lane's goroutine may use it.
type Matcher struct {
	parse    func(*dnsmsg.Message)
	emit     func(*dnsmsg.Transaction)
	counters Counters
	clock    clock
	keys     keys
	retries  *Retries
	window   int64 // for retries, nanoseconds

	queries table // that wait for their responses
	early   table // responses that wait for their queries

	// What is emitted, and what it is made of.
	transaction dnsmsg.Transaction
	waited      dnsmsg.Message
	tap         dnsmsg.DNSTap // of waited
	scratch     []byte        // bytes of waited, or of what is about to wait
}

// New returns a Matcher that calls emit for each transaction, or the error of cfg.Validate. parse
// fills in what the Wire of a message says, as it was when the message came. New allocates all
// memory that cfg allows; the system gives it as it is used.
func New(cfg Config, parse func(*dnsmsg.Message),
	emit func(*dnsmsg.Transaction)) (*Matcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Retries == nil {
		cfg.Retries = NewRetries()
	}
	wait := cfg.Timeout.Nanoseconds()
	early := cfg.Memory / earlyShare
	return &Matcher{
		parse:   parse,
		emit:    emit,
		clock:   clock{step: wait},
		keys:    cfg.Retries.keys,
		retries: cfg.Retries,
		window:  wait,
		queries: newTable(cfg.Memory-early, wait),
		early:   newTable(early, reorder),
	}, nil
}

// Message takes the next message. It copies what it keeps, and calls emit, before it returns, for
// each transaction that is complete now: all in it is valid until emit returns.
func (m *Matcher) Message(msg *dnsmsg.Message) {
	m.counters.Messages++
	m.clock.at(msg.Time)
	m.expire()
	k, ok := m.keys.message(msg)
	switch {
	case isGroup(msg.Dst):
		m.alone(msg, dnsmsg.Multicast)
	case !ok:
		m.alone(msg, dnsmsg.Paired)
	case msg.Response():
		m.response(k, msg)
	case msg.Fault.Reason == dnsmsg.OK:
		m.query(k, msg)
	default:
		m.alone(msg, dnsmsg.Paired)
	}
}

// Turn tells the matcher that its lane has nothing to read at now, in nanoseconds on any clock
// that runs evenly. What waits runs into its timeout by that as well. It is for lanes whose packets
// come as they are sent; where they were captured before, silence says nothing of their time.
func (m *Matcher) Turn(now int64) {
	m.clock.turn(now)
	m.expire()
}

// Flush emits all that waits, the oldest first. Its queries may yet have been answered, so that none
// of them is called unanswered.
func (m *Matcher) Flush() {
	for m.early.count > 0 {
		m.noQuery(m.early.oldest)
	}
	for m.queries.count > 0 {
		m.noResponse(m.queries.oldest, dnsmsg.KindQuery, dnsmsg.End)
	}
}

// Counters returns a copy of the counters.
func (m *Matcher) Counters() Counters { return m.counters }

// expire emits what has waited long enough.
func (m *Matcher) expire() {
	for i := m.early.due(m.clock.now); i != none; i = m.early.due(m.clock.now) {
		m.noQuery(i)
	}
	for i := m.queries.due(m.clock.now); i != none; i = m.queries.due(m.clock.now) {
		m.noResponse(i, dnsmsg.KindUnanswered, dnsmsg.Paired)
	}
}

// query takes a query without fault: it joins a response that came before it, or is the
// retransmission of one that waits, or waits itself.
func (m *Matcher) query(k key, q *dnsmsg.Message) {
	if m.early.count > 0 {
		if i := m.early.find(k); i != none {
			m.counters.Reordered++
			m.counters.Held--
			r := m.view(&m.early, i)
			m.early.remove(i)
			m.pair(k.question, q, r, 0)
			return
		}
	}
	same, crowd := m.queries.same(k, q)
	if same != none {
		m.counters.Held++
		m.counters.Retransmits++
		m.queries.entries[same].retransmits++
		return
	}
	if crowd != none {
		m.noResponse(crowd, dnsmsg.KindQuery, dnsmsg.Crowded)
	}
	n := size(q)
	if !m.queries.takes(n) {
		m.alone(q, dnsmsg.Full)
		return
	}
	for !m.queries.fits(n) {
		m.noResponse(m.queries.oldest, dnsmsg.KindQuery, dnsmsg.Full)
	}
	m.queries.add(k, q, m.stored(q), m.clock.now)
	m.counters.Held++
}

// size returns how many bytes of memory for bytes m takes while it waits.
func size(m *dnsmsg.Message) int {
	n := len(m.Wire)
	if m.DNSTap != nil {
		n += tapLen(m.DNSTap)
	}
	return n
}

// stored returns the bytes to store of msg. They are borrowed.
func (m *Matcher) stored(msg *dnsmsg.Message) []byte {
	if msg.DNSTap == nil {
		return msg.Wire
	}
	m.scratch = appendTap(append(m.scratch[:0], msg.Wire...), msg.DNSTap)
	return m.scratch
}

// response takes a response whose question can be read: it joins its query, or waits for it, or
// is a response alone.
func (m *Matcher) response(k key, r *dnsmsg.Message) {
	i := m.queries.find(k)
	if i == none && k.bare {
		i = m.queries.only(k.flow)
	}
	if i != none {
		e := &m.queries.entries[i]
		m.counters.Held -= 1 + uint64(e.retransmits)
		q := m.view(&m.queries, i)
		m.queries.remove(i)
		m.pair(e.question, q, r, e.retransmits)
		return
	}
	// Over TCP both directions are put in order by their acknowledgements, and the messages of a
	// zone transfer, which find no query after the first, are large.
	if r.Transport != dnsmsg.UDP || r.Fault.Reason != dnsmsg.OK {
		m.alone(r, dnsmsg.Paired)
		return
	}
	if i := m.early.crowd(k.flow); i != none {
		m.noQuery(i)
	}
	n := size(r)
	if !m.early.takes(n) {
		m.alone(r, dnsmsg.Paired)
		return
	}
	for !m.early.fits(n) {
		m.noQuery(m.early.oldest)
	}
	m.early.add(k, r, m.stored(r), m.clock.now)
	m.counters.Held++
}

// pair emits a query and its response.
func (m *Matcher) pair(question uint64, q, r *dnsmsg.Message, retransmits uint32) {
	t := &m.transaction
	*t = dnsmsg.Transaction{}
	t.Kind, t.Query, t.Response, t.Retransmits = dnsmsg.KindTransaction, q, r, retransmits
	if t.Latency = r.Time - q.Time; t.Latency < 0 {
		t.Latency, t.Reversed = 0, true
		m.counters.Reversed++
	}
	if q.Transport == dnsmsg.TCP {
		t.Retry = m.retry(question, q)
	}
	if r.Fault.Reason != dnsmsg.OK {
		t.Kind = dnsmsg.KindMalformed
	}
	if r.Transport == dnsmsg.UDP && r.Flags&dnsmsg.FlagTC != 0 {
		m.retries.note(m.keys.retry(q, question), r)
	}
	m.send()
}

// retry looks for the truncated response that q, a query over TCP, repeats.
func (m *Matcher) retry(question uint64, q *dnsmsg.Message) dnsmsg.Retry {
	r := m.retries.take(m.keys.retry(q, question), q.Time, m.window)
	if r.After > 0 {
		m.counters.Retries++
	}
	return r
}

// noResponse emits the query in entry i as one that has none.
func (m *Matcher) noResponse(i uint32, kind dnsmsg.Kind, why dnsmsg.Unpaired) {
	e := &m.queries.entries[i]
	m.counters.Held -= 1 + uint64(e.retransmits)
	q := m.view(&m.queries, i)
	m.queries.remove(i)
	t := &m.transaction
	*t = dnsmsg.Transaction{}
	t.Kind, t.Unpaired, t.Query, t.Retransmits = kind, why, q, e.retransmits
	if q.Transport == dnsmsg.TCP {
		t.Retry = m.retry(e.question, q)
	}
	m.send()
}

// noQuery emits the response in entry i of those that came early: it has no query.
func (m *Matcher) noQuery(i uint32) {
	m.counters.Held--
	r := m.view(&m.early, i)
	m.early.remove(i)
	m.alone(r, dnsmsg.Paired)
}

// alone emits a message that is not matched.
func (m *Matcher) alone(msg *dnsmsg.Message, why dnsmsg.Unpaired) {
	t := &m.transaction
	*t = dnsmsg.Transaction{}
	t.Kind, t.Unpaired = dnsmsg.KindQuery, why
	if msg.Response() {
		t.Kind, t.Response = dnsmsg.KindResponse, msg
	} else {
		t.Query = msg
	}
	if msg.Fault.Reason != dnsmsg.OK {
		t.Kind = dnsmsg.KindMalformed
	}
	m.send()
}

func (m *Matcher) send() {
	t := &m.transaction
	m.counters.Transactions++
	m.counters.Kinds[t.Kind]++
	m.counters.Unpaired[t.Unpaired]++
	m.counters.Left += t.Messages()
	m.emit(t)
}

// isGroup tells whether an address is one of many: multicast, or the broadcast address of the
// local network (RFC 919, section 7).
func isGroup(a netip.Addr) bool { return a.IsMulticast() || a == broadcast }

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
