// SPDX-License-Identifier: Apache-2.0

package match

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

const (
	ms      = time.Millisecond
	second  = time.Second
	opcode4 = uint16(4) << 11 // NOTIFY (RFC 1996)
	opcode5 = uint16(5) << 11 // UPDATE (RFC 2136)
	opcode6 = uint16(6) << 11 // DSO (RFC 8490)
	typeMX  = 15
)

// TestEachCase gives messages in order, flushes, and wants transactions in order.
func TestEachCase(t *testing.T) {
	const left = " unpaired=end"
	longest := strings.Repeat("x", 63)
	tests := []struct {
		name string
		in   []msg
		want []string
	}{
		{"a query and its response", []msg{{}, {at: 3 * ms, response: true}},
			[]string{"transaction q0:a.example r0:a.example 3ms"}},
		{"the name in another case", []msg{{name: "wWw.eXample"}, {name: "WwW.ExAMple", response: true}},
			[]string{"transaction q0:www.example r0:www.example 0s"}},
		{"a query alone", []msg{{}}, []string{"query q0:a.example" + left}},
		{"a response alone", []msg{{response: true}}, []string{"response r0:a.example"}},
		{"a spoofed response with another id", []msg{{}, {id: 9, response: true}, {response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s", "response r9:a.example"}},
		{"a spoofed response for another name", []msg{{}, {name: "b.example", response: true}, {response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s", "response r0:b.example"}},
		{"a spoofed response for another type", []msg{{}, {typ: typeMX, response: true}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a spoofed response to another port", []msg{{}, {port: 4001, response: true}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a response from another server", []msg{{}, {server: "2001:db8::54", response: true}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a response over another transport",
			[]msg{{}, {transport: dnsmsg.TCP, response: true}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a name that differs where letters are 32 apart",
			[]msg{{name: "a@.example"}, {name: "a`.example", response: true}},
			[]string{"response r0:a`.example", `query q0:a\@.example` + left}},
		{"a name that differs behind the longest label",
			[]msg{{name: longest + ".a"}, {name: longest + ".b", response: true}},
			[]string{"response r0:" + longest + ".b", "query q0:" + longest + ".a" + left}},
		{"a response just in time", []msg{{}, {at: 5*second - 1, response: true}},
			[]string{"transaction q0:a.example r0:a.example 4.999999999s"}},
		{"a late response", []msg{{}, {at: 5 * second, response: true}},
			[]string{"unanswered q0:a.example", "response r0:a.example"}},
		{"a timeout that another message brings about", []msg{{}, {at: 6 * second, id: 1}},
			[]string{"unanswered q0:a.example", "query q1:a.example" + left}},
		{"retransmissions", []msg{{}, {at: second}, {at: 2 * second}, {at: 2*second + ms, response: true}},
			[]string{"transaction q0:a.example r0:a.example 2.001s retransmits=2"}},
		{"retransmissions without a response", []msg{{}, {at: second}, {at: 6 * second, id: 1, response: true}},
			[]string{"unanswered q0:a.example retransmits=1", "response r1:a.example"}},
		{"the second response to retransmissions",
			[]msg{{}, {at: second}, {at: 2 * second, response: true}, {at: 3 * second, response: true}},
			[]string{"transaction q0:a.example r0:a.example 2s retransmits=1", "response r0:a.example"}},
		{"the same question with other bytes waits beside it",
			[]msg{{edns: true}, {at: ms}, {at: 3 * ms, response: true}, {at: 4 * ms, response: true}},
			[]string{"transaction q0:a.example r0:a.example 3ms", "transaction q0:a.example r0:a.example 3ms"}},
		{"port and id used again at once",
			[]msg{{}, {at: ms, response: true}, {at: 2 * ms}, {at: 4 * ms, response: true}},
			[]string{"transaction q0:a.example r0:a.example 1ms", "transaction q0:a.example r0:a.example 2ms"}},
		{"several queries of one port, answered in another order",
			[]msg{{id: 1}, {id: 2}, {id: 3}, {id: 3, response: true}, {id: 1, response: true}, {id: 2, response: true}},
			[]string{"transaction q3:a.example r3:a.example 0s", "transaction q1:a.example r1:a.example 0s",
				"transaction q2:a.example r2:a.example 0s"}},
		{"several queries of one id with different names",
			[]msg{{name: "a"}, {name: "b"}, {name: "c"}, {name: "b", response: true},
				{name: "c", response: true}, {name: "a", response: true}},
			[]string{"transaction q0:b r0:b 0s", "transaction q0:c r0:c 0s", "transaction q0:a r0:a 0s"}},
		{"a pipelined connection, answered out of order",
			[]msg{{id: 1, name: "a", transport: dnsmsg.TCP}, {id: 2, name: "b", transport: dnsmsg.TCP},
				{id: 2, name: "b", transport: dnsmsg.TCP, response: true, at: ms},
				{id: 1, name: "a", transport: dnsmsg.TCP, response: true, at: 2 * ms}},
			[]string{"transaction q2:b r2:b 1ms", "transaction q1:a r1:a 2ms"}},
		{"a response that overtook its query by microseconds",
			[]msg{{at: 3, response: true}, {at: 1003}},
			[]string{"transaction q0:a.example r0:a.example 0s reversed"}},
		{"a response that comes before its query and has the later time",
			[]msg{{at: 3000, response: true}, {at: 1000}},
			[]string{"transaction q0:a.example r0:a.example 2µs"}},
		{"a response too long before its query", []msg{{response: true}, {at: 2 * ms}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a response over TCP waits for no query",
			[]msg{{transport: dnsmsg.TCP, response: true}, {transport: dnsmsg.TCP}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a duplicate of a response", []msg{{}, {response: true}, {response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s", "response r0:a.example"}},
		{"a zone transfer: the first message closes it",
			[]msg{{typ: 252, transport: dnsmsg.TCP}, {typ: 252, transport: dnsmsg.TCP, response: true},
				{name: "-", transport: dnsmsg.TCP, response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s", "response r0:-"}},
		{"an error without a question takes the only query",
			[]msg{{}, {name: "-", flags: 1, response: true}},
			[]string{"transaction q0:a.example r0:- 0s"}},
		{"an error without a question takes none of two queries",
			[]msg{{name: "a"}, {name: "b"}, {name: "-", flags: 1, response: true}},
			[]string{"response r0:-", "query q0:a" + left, "query q0:b" + left}},
		{"a query without a question", []msg{{name: "-", flags: opcode6},
			{name: "-", flags: opcode6, response: true}},
			[]string{"transaction q0:- r0:- 0s"}},
		{"a query without a question goes first to a response without one",
			[]msg{{name: "a"}, {name: "-"}, {name: "-", response: true}},
			[]string{"transaction q0:- r0:- 0s", "query q0:a" + left}},
		{"a response with a question to a query without", []msg{{name: "-"}, {response: true}},
			[]string{"response r0:a.example", "query q0:-" + left}},
		{"several questions", []msg{{name: "a b"}, {name: "A B", response: true}},
			[]string{"transaction q0:a r0:a 0s"}},
		{"several questions of which the second differs", []msg{{name: "a b"}, {name: "a c", response: true}},
			[]string{"response r0:a", "query q0:a" + left}},
		{"fewer questions in the response", []msg{{name: "a b"}, {name: "a", response: true}},
			[]string{"response r0:a", "query q0:a" + left}},
		{"NOTIFY", []msg{{flags: opcode4}, {flags: opcode4, response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s"}},
		{"UPDATE, answered by a header", []msg{{flags: opcode5, records: 3}, {flags: opcode5, name: "-", response: true}},
			[]string{"transaction q0:a.example r0:- 0s"}},
		{"another opcode", []msg{{flags: opcode4}, {response: true}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"a response bit that lies, from the client", []msg{{}, {response: true, server: "192.0.2.1"}},
			[]string{"response r0:a.example", "query q0:a.example" + left}},
		{"multicast", []msg{{server: "224.0.0.251"}, {server: "ff02::fb"}, {server: "255.255.255.255"},
			{to: "224.0.0.251", response: true}},
			[]string{"query q0:a.example unpaired=multicast", "query q0:a.example unpaired=multicast",
				"query q0:a.example unpaired=multicast", "response r0:a.example unpaired=multicast"}},
		{"a malformed query is passed on", []msg{{edns: true, fault: true}, {response: true, flags: 1}},
			[]string{"malformed q0:a.example", "response r0:a.example"}},
		{"a malformed response takes its query", []msg{{}, {at: ms, response: true, edns: true, fault: true}},
			[]string{"malformed q0:a.example r0:a.example 1ms"}},
		{"a malformed response whose question cannot be read", []msg{{}, {response: true, fault: true}},
			[]string{"malformed r0:-", "query q0:a.example" + left}},
		{"a retry over TCP", []msg{{id: 5}, {id: 5, response: true, flags: dnsmsg.FlagTC},
			{id: 6, at: 2 * ms, port: 4444, transport: dnsmsg.TCP},
			{id: 6, at: 5 * ms, port: 4444, transport: dnsmsg.TCP, response: true}},
			[]string{"transaction q5:a.example r5:a.example 0s",
				"transaction q6:a.example r6:a.example 3ms retry=5/4000/2ms"}},
		{"a retry over TCP without a response", []msg{{id: 5}, {id: 5, response: true, flags: dnsmsg.FlagTC},
			{id: 6, at: ms, transport: dnsmsg.TCP}, {at: 6 * second, transport: dnsmsg.TCP, response: true}},
			[]string{"transaction q5:a.example r5:a.example 0s", "unanswered q6:a.example retry=5/4000/1ms",
				"response r0:a.example"}},
		{"a second query over TCP is no retry", []msg{{}, {response: true, flags: dnsmsg.FlagTC},
			{transport: dnsmsg.TCP}, {transport: dnsmsg.TCP, response: true},
			{transport: dnsmsg.TCP}, {transport: dnsmsg.TCP, response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s",
				"transaction q0:a.example r0:a.example 0s retry=0/4000/1ns",
				"transaction q0:a.example r0:a.example 0s"}},
		{"a query over TCP for another name is no retry", []msg{{}, {response: true, flags: dnsmsg.FlagTC},
			{name: "b", transport: dnsmsg.TCP}, {name: "b", transport: dnsmsg.TCP, response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s", "transaction q0:b r0:b 0s"}},
		{"a query over TCP long after is no retry", []msg{{}, {response: true, flags: dnsmsg.FlagTC},
			{at: 6 * second, transport: dnsmsg.TCP}, {at: 6 * second, transport: dnsmsg.TCP, response: true}},
			[]string{"transaction q0:a.example r0:a.example 0s", "transaction q0:a.example r0:a.example 0s"}},
		{"a crowd of one port and id: the oldest leaves",
			[]msg{{name: "a"}, {name: "b"}, {name: "c"}, {name: "d"}, {name: "e"}, {name: "f"}, {name: "g"},
				{name: "h"}, {name: "i"}, {name: "i", response: true}},
			[]string{"query q0:a unpaired=crowded", "transaction q0:i r0:i 0s", "query q0:b" + left,
				"query q0:c" + left, "query q0:d" + left, "query q0:e" + left,
				"query q0:f" + left, "query q0:g" + left, "query q0:h" + left}},
		{"DoH, where all ids are 0, is no crowd",
			[]msg{{name: "a", transport: dnsmsg.DoH}, {name: "b", transport: dnsmsg.DoH}, {name: "c", transport: dnsmsg.DoH},
				{name: "d", transport: dnsmsg.DoH}, {name: "e", transport: dnsmsg.DoH}, {name: "f", transport: dnsmsg.DoH},
				{name: "g", transport: dnsmsg.DoH}, {name: "h", transport: dnsmsg.DoH}, {name: "i", transport: dnsmsg.DoH},
				{at: 9 * second, name: "x", transport: dnsmsg.DoH, response: true}},
			[]string{"unanswered q0:a", "unanswered q0:b", "unanswered q0:c", "unanswered q0:d", "unanswered q0:e",
				"unanswered q0:f", "unanswered q0:g", "unanswered q0:h", "unanswered q0:i", "response r0:x"}},
		{"a resolver and the server it asks report the same query",
			[]msg{{tap: &dnsmsg.DNSTap{Type: 3}}, {tap: &dnsmsg.DNSTap{Type: 1}},
				{at: ms, tap: &dnsmsg.DNSTap{Type: 2}, response: true},
				{at: 2 * ms, tap: &dnsmsg.DNSTap{Type: 4}, response: true}},
			[]string{"transaction q0:a.example r0:a.example 1ms", "transaction q0:a.example r0:a.example 2ms"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, DefaultConfig())
			r.take(test.in...)
			if diff := cmp.Diff(test.want, r.end()); diff != "" {
				t.Errorf("transactions (-want +got):\n%s", diff)
			}
		})
	}
}
