// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

func TestRecordsBesidesOPT(t *testing.T) {
	soa, opt := dnsmsg.RR{Type: dnsmsg.TypeSOA}, dnsmsg.RR{Type: dnsmsg.TypeOPT}
	for _, c := range []struct {
		name string
		rrs  []dnsmsg.RR
		opt  int // where OPT is
		want bool
	}{
		{"none", nil, -1, false},
		{"OPT alone", []dnsmsg.RR{opt}, 0, false},
		{"one, as in a query for IXFR", []dnsmsg.RR{soa}, -1, true},
		{"OPT where it does not count", []dnsmsg.RR{opt}, -1, true},
		{"OPT and another", []dnsmsg.RR{soa, opt}, 1, true},
	} {
		if got := HasRecords(&dnsmsg.Message{RRs: c.rrs, OPT: c.opt}); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestTheServersLatencyIsForWhatHasNoQuery: where there is a query, the packets tell, and a record
// has one latency.
func TestTheServersLatencyIsForWhatHasNoQuery(t *testing.T) {
	q := &dnsmsg.Message{}
	r := &dnsmsg.Message{Flags: dnsmsg.FlagQR, DNSTap: &dnsmsg.DNSTap{QueryTime: 5, ResponseTime: 7}}
	for _, c := range []struct {
		name string
		t    *dnsmsg.Transaction
		want bool
	}{
		{"a message as it comes", nil, true},
		{"a response alone", &dnsmsg.Transaction{Response: r}, true},
		{"a pair", &dnsmsg.Transaction{Query: q, Response: r}, false},
	} {
		if d, ok := Latency(r, c.t); ok != c.want || ok && d != 2*time.Nanosecond {
			t.Errorf("%s: %v, %t", c.name, d, ok)
		}
	}
}
