// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
)

func TestLargeMessagesFitAndSayWhatWasLeftOut(t *testing.T) {
	for _, f := range floods() {
		t.Run(f.Name, func(t *testing.T) {
			m := message(f.Wire, nil)
			if len(f.Wire) > 65535 || m.Fault.Reason != dnsmsg.OK {
				t.Fatalf("%d bytes: %v", len(f.Wire), m.Fault)
			}
			v := value(m)
			sound(t, v, m)
			var got struct{ Omitted int }
			if err := stdjson.Unmarshal(v, &got); err != nil {
				t.Fatal(err)
			}
			if whole := got.Omitted == 0; whole != f.Whole {
				t.Errorf("%d omitted of %d bytes", got.Omitted, len(v))
			}
			// What is left out is left out because there is no room, not before.
			if !f.Whole && len(v) < encode.MaxValue/4 {
				t.Errorf("%d bytes, and %d omitted", len(v), got.Omitted)
			}
		})
	}
}

func TestALargeMessageLeavesNoTraceInTheNext(t *testing.T) {
	enc := json.New(lane3)
	small := message(header(aResponse, 1, 1, 0, 0, toExample,
		record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01")), nil)
	want := string(value(small))
	for _, f := range floods() {
		both := enc.Append(nil, 1, message(f.Wire, nil))
		first := len(both)
		both = enc.Append(both, 42, small)
		if got := string(both[first:]); got != want {
			t.Errorf("after %s:\n%s\nwant\n%s", f.Name, got, want)
		}
	}
}

func TestNamesThatPointIntoEachOther(t *testing.T) {
	address := func(owner string) string { return record(owner, 1, 1, "\xc0\x00\x02\x01") }
	// The question is at 12, its second label at 14, the first record at 27.
	m := message(header(aResponse, 1, 10, 0, 0, "\x01a\x07example\x00\x00\x01\x00\x01",
		address("\xc0\x0c"),      // at 27: a.example
		address("\xc0\x1b"),      // at 43: a pointer to the pointer of the first record
		address("\x01b\xc0\x0c"), // at 59: b.a.example
		address("\xc0\x3b"),      // at 77: b.a.example
		address("\xc0\x3d"),      // at 93: the pointer within b.a.example
		address("\xc0\x0e"),      // at 109: example
		address("\xc0\x3b"),      // at 125: b.a.example again
		address("\xc0\x7d"),      // at 141: the pointer of the record before, b.a.example
		address("\x00"),          // at 157: the root
		address("\xc0\x9d"),      // at 172: the root of the record before
	), nil)
	sound(t, value(m), m)
	var got lists
	if err := stdjson.Unmarshal(value(m), &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got.Answers {
		names = append(names, r.Name)
	}
	const want = "a.example a.example b.a.example b.a.example a.example example b.a.example " +
		"b.a.example . ."
	if all := strings.Join(names, " "); all != want {
		t.Errorf("got  %s\nwant %s", all, want)
	}
}

func TestNamesThatPointFarBack(t *testing.T) {
	// A pointer reaches 16,383 bytes; with one bit less of it this one would reach the question.
	const far = 1<<13 + dnsmsg.HeaderLen
	gap := record("\x00", 10, 1, strings.Repeat("x", far-dnsmsg.HeaderLen-len(toExample)-11))
	m := message(header(aResponse, 1, 3, 0, 0, toExample, gap,
		record("\x03far\x00", 10, 1, ""), record("\xe0\x0c", 10, 1, "")), nil)
	v := value(m)
	sound(t, v, m)
	if n := strings.Count(string(v), `"name":"far"`); n != 2 || int(m.RRs[1].Name) != far {
		t.Errorf("%d records of the name at %d", n, m.RRs[1].Name)
	}
}

func TestOptionsOnBothSidesOfATransactionDoNotMakeARecordThatNoBatchHolds(t *testing.T) {
	ede := encodetest.Option(15, "\x00\x00"+strings.Repeat("\xff", 65_000))
	q := message(header(aQuery, 1, 0, 0, 1, toExample, opt(encodetest.EDNSDO+ede)), nil)
	r := message(header(aResponse, 1, 0, 0, 1, toExample, opt(encodetest.EDNSDO+ede)), nil)
	v := json.New(lane3).AppendTransaction(nil, 1, &dnsmsg.Transaction{
		Kind: dnsmsg.KindTransaction, Query: q, Response: r})
	var got struct{ Omitted int }
	if err := stdjson.Unmarshal(v, &got); err != nil {
		t.Fatal(err)
	}
	if len(v) > encode.MaxValue+8<<10 || got.Omitted != 1 {
		t.Errorf("%d bytes, %d omitted", len(v), got.Omitted)
	}
	alone := json.New(lane3).AppendTransaction(nil, 1, &dnsmsg.Transaction{
		Kind: dnsmsg.KindUnanswered, Query: q})
	if len(alone) < 300_000 {
		t.Errorf("the query alone has %d bytes", len(alone))
	}
}
