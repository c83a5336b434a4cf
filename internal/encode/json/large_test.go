// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/json"
)

// fill repeats an entry until a message is as large as one can be, and returns how many fit.
func fill(entry string, used int) (string, int) {
	n := (65535 - used) / len(entry)
	return strings.Repeat(entry, n), n
}

// flood is a message of 64 KiB that consists of the same thing over and over.
type flood struct {
	name  string
	wire  []byte
	whole bool // all of it fits a record
}

func floods() []flood {
	const head = dnsmsg.HeaderLen
	question := longest + "\x00\x01\x00\x01"
	long := head + len(question)
	var f []flood
	add := func(name string, whole bool, wire []byte) { f = append(f, flood{name, wire, whole}) }

	body, n := fill("\x00\xff\xff\xff\xff", head)
	add("questions for the root", false, header(aQuery, n, 0, 0, 0, body))
	body, n = fill("\xc0\x0c\x00\x01\x00\x01", long)
	add("questions for a long name", false, header(aQuery, n+1, 0, 0, 0, question, body))
	body, n = fill(record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01"), head+len(toExample))
	add("addresses, as of a zone", true, header(aResponse, 1, n, 0, 0, toExample, body))
	body, n = fill(record("\x00", 65535, 65535, ""), head)
	add("records of nothing", true, header(aResponse, 0, n, 0, 0, body))
	body, n = fill(record("\xc0\x0c", 5, 1, "\xc0\x0c"), long)
	add("long owners in the answer", false, header(aResponse, 1, n, 0, 0, question, body))
	add("long owners in all sections", false, header(aResponse, 1, 9, 100, n-109, question, body))
	add("long owners that end with the first section", false,
		header(aResponse, 1, 190, n-190, 0, question, body))
	add("questions and records", false,
		header(aResponse, 201, 0, n-200, 0, question,
			strings.Repeat("\xc0\x0c\x00\x01\x00\x01", 200), body[:(n-200)*14]))

	binary := record("\x00", 16, 1, strings.Repeat("\xff"+strings.Repeat("\x01", 255), 253))
	add("text of bytes that do not print", true, header(aResponse, 0, 1, 0, 0, binary))
	bitmap := "\x00"
	for window := range 64 {
		bitmap += string([]byte{byte(window), 32}) + strings.Repeat("\xff", 32)
	}
	nsec := record("\x00", 47, 1, bitmap)
	add("a quarter of all types, seven times", false,
		header(aResponse, 0, 7, 0, 0, strings.Repeat(nsec, 7)))

	for name, one := range map[string]string{
		"options of nothing": option(65535, ""), "extended errors": option(15, "\x00\x1b"),
		"cookies": option(10, "12345678"), "subnets": option(8, "\x00\x02\x00\x00"),
	} {
		body, _ = fill(one, head+11)
		add(name, true, header(aResponse, 0, 0, 0, 1, opt(edns0+body)))
		body, _ = fill(one, long+11+400*14)
		add(name+" after long owners", false, header(aResponse, 1, 400, 0, 1, question,
			strings.Repeat(record("\xc0\x0c", 5, 1, "\xc0\x0c"), 400), opt(edns0+body)))
	}
	add("one extended error that does not print", true,
		header(aResponse, 0, 0, 0, 1, opt(edns0+option(15, strings.Repeat("\xff", 65400)))))
	add("one extended error after long owners", false, header(aResponse, 1, 400, 0, 1, question,
		strings.Repeat(record("\xc0\x0c", 5, 1, "\xc0\x0c"), 400),
		opt(edns0+option(15, strings.Repeat("\xff", 59000)))))
	return f
}

func TestLargeMessagesFitAndSayWhatWasLeftOut(t *testing.T) {
	for _, f := range floods() {
		t.Run(f.name, func(t *testing.T) {
			m := message(f.wire, nil)
			if len(f.wire) > 65535 || m.Fault.Reason != dnsmsg.OK {
				t.Fatalf("%d bytes: %v", len(f.wire), m.Fault)
			}
			v := value(m)
			sound(t, v, m)
			var got struct{ Omitted int }
			if err := stdjson.Unmarshal(v, &got); err != nil {
				t.Fatal(err)
			}
			if whole := got.Omitted == 0; whole != f.whole {
				t.Errorf("%d omitted of %d bytes", got.Omitted, len(v))
			}
			// What is left out is left out because there is no room, not before.
			if !f.whole && len(v) < encode.MaxValue/4 {
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
		both := enc.Append(nil, 1, message(f.wire, nil))
		first := len(both)
		both = enc.Append(both, 42, small)
		if got := string(both[first:]); got != want {
			t.Errorf("after %s:\n%s\nwant\n%s", f.name, got, want)
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
	ede := option(15, "\x00\x00"+strings.Repeat("\xff", 65_000))
	q := message(header(aQuery, 1, 0, 0, 1, toExample, opt(ednsDO+ede)), nil)
	r := message(header(aResponse, 1, 0, 0, 1, toExample, opt(ednsDO+ede)), nil)
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
