// SPDX-License-Identifier: Apache-2.0

package match

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// model is the matcher written the plain way: lists, and keys that are text.
type model struct {
	now            int64
	queries, early []*waiting
	got            []string
}

type waiting struct {
	m              *dnsmsg.Message
	flow, question string
	deadline       int64
	retransmits    uint32
}

func (o *model) emit(x dnsmsg.Transaction) { o.got = append(o.got, say(&x)) }

func (o *model) message(m *dnsmsg.Message, timeout int64) {
	o.now = max(o.now, m.Time)
	o.expire()
	client, port := m.Client()
	server, _ := m.Server()
	w := &waiting{m: m, flow: fmt.Sprint(client, port, server, m.Transport, m.ID, m.Opcode())}
	for _, q := range m.Questions {
		name, _ := dnsmsg.AppendQName(nil, m.Wire, int(q.Name))
		w.question += fmt.Sprint(strings.ToLower(string(name)), q.Type, q.Class, " ")
	}
	switch {
	case len(m.Wire) < dnsmsg.HeaderLen || len(m.Questions) < int(m.QD) ||
		m.Fault.Reason != dnsmsg.OK && !m.Response():
		o.alone(m)
	case m.Response():
		o.response(w)
	default:
		w.deadline = o.now + timeout
		o.query(w)
	}
}

func (o *model) expire() {
	for len(o.early) > 0 && o.early[0].deadline <= o.now {
		o.noQuery(o.early[0])
	}
	for len(o.queries) > 0 && o.queries[0].deadline <= o.now {
		o.noResponse(o.queries[0], dnsmsg.KindUnanswered, dnsmsg.Paired)
	}
}

func with(list []*waiting, flow string) (same []*waiting) {
	for _, w := range list {
		if w.flow == flow {
			same = append(same, w)
		}
	}
	return same
}

func without(list []*waiting, w *waiting) []*waiting {
	i := slices.Index(list, w)
	return slices.Delete(list, i, i+1)
}

func (o *model) query(q *waiting) {
	for _, r := range with(o.early, q.flow) {
		if r.question == q.question {
			o.early = without(o.early, r)
			o.pair(q, r.m)
			return
		}
	}
	crowd := with(o.queries, q.flow)
	for _, w := range crowd {
		if w.question == q.question && string(w.m.Wire) == string(q.m.Wire) {
			w.retransmits++
			return
		}
	}
	if len(crowd) == maxCrowd {
		o.noResponse(crowd[0], dnsmsg.KindQuery, dnsmsg.Crowded)
	}
	o.queries = append(o.queries, q)
}

func (o *model) response(r *waiting) {
	candidates := with(o.queries, r.flow)
	for _, q := range candidates {
		if q.question == r.question || r.question == "" && len(candidates) == 1 {
			o.queries = without(o.queries, q)
			o.pair(q, r.m)
			return
		}
	}
	if r.m.Transport == dnsmsg.TCP || r.m.Fault.Reason != dnsmsg.OK {
		o.alone(r.m)
		return
	}
	if crowd := with(o.early, r.flow); len(crowd) == maxCrowd {
		o.noQuery(crowd[0])
	}
	r.deadline = o.now + reorder
	o.early = append(o.early, r)
}

func (o *model) pair(q *waiting, r *dnsmsg.Message) {
	x := dnsmsg.Transaction{Kind: dnsmsg.KindTransaction, Query: q.m, Response: r,
		Latency: r.Time - q.m.Time, Retransmits: q.retransmits}
	if x.Latency < 0 {
		x.Latency, x.Reversed = 0, true
	}
	if r.Fault.Reason != dnsmsg.OK {
		x.Kind = dnsmsg.KindMalformed
	}
	o.emit(x)
}

func (o *model) alone(m *dnsmsg.Message) {
	x := dnsmsg.Transaction{Kind: dnsmsg.KindQuery, Query: m}
	if m.Response() {
		x = dnsmsg.Transaction{Kind: dnsmsg.KindResponse, Response: m}
	}
	if m.Fault.Reason != dnsmsg.OK {
		x.Kind = dnsmsg.KindMalformed
	}
	o.emit(x)
}

func (o *model) noQuery(w *waiting) {
	o.early = without(o.early, w)
	o.alone(w.m)
}

func (o *model) noResponse(w *waiting, kind dnsmsg.Kind, why dnsmsg.Unpaired) {
	o.queries = without(o.queries, w)
	o.emit(dnsmsg.Transaction{Kind: kind, Unpaired: why, Query: w.m, Retransmits: w.retransmits})
}

func (o *model) flush() {
	for len(o.early) > 0 {
		o.noQuery(o.early[0])
	}
	for len(o.queries) > 0 {
		o.noResponse(o.queries[0], dnsmsg.KindQuery, dnsmsg.End)
	}
}

// anyMsg returns a message out of so few that they meet each other all the time.
func anyMsg(r *rand.Rand, at time.Duration) msg {
	s := msg{
		at: at, response: r.IntN(2) == 0, id: uint16(r.IntN(3)), port: uint16(1 + r.IntN(2)),
		name: []string{"a", "A", "b", "c.D", "C.d", "e", "f", "g", "h", "i", "j", "a b", "-"}[r.IntN(13)],
		edns: r.IntN(3) == 0, fault: r.IntN(12) == 0, records: r.IntN(8),
		transport: dnsmsg.Transport(r.IntN(2)),
	}
	if r.IntN(8) == 0 {
		s.flags = opcode4
	}
	return s
}

// TestAgainstTheModel gives both the same messages, in random order at random times.
func TestAgainstTheModel(t *testing.T) {
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 1))
		// Steps from microseconds, so that crowds grow, to a tenth of the timeout.
		step := []int{10, 100_000, 3_000_000, 1_000_000_000}[seed%4]
		rig := newRig(t, DefaultConfig())
		var o model
		at := time.Hour
		for range 1500 {
			at += time.Duration(r.IntN(step)) - time.Duration(step/10)
			s := anyMsg(r, at)
			rig.take(s)
			o.message(s.build(t), DefaultConfig().Timeout.Nanoseconds())
			if int(rig.Counters().Transactions) != len(o.got) {
				break // the difference is shown below
			}
		}
		o.flush()
		if diff := cmp.Diff(o.got, rig.end()); diff != "" {
			t.Fatalf("seed %d: transactions (-model +matcher):\n%s", seed, diff)
		}
	}
}
