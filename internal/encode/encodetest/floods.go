// SPDX-License-Identifier: Apache-2.0

package encodetest

import (
	"strings"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// fill repeats an entry until a message is as large as one can be, and returns how many fit.
func fill(entry string, used int) (string, int) {
	n := (65535 - used) / len(entry)
	return strings.Repeat(entry, n), n
}

// Flood is a message of 64 KiB that consists of the same thing over and over.
type Flood struct {
	Name  string
	Wire  []byte
	Whole bool // all of it fits a record
}

// Floods returns what makes the largest records.
func Floods() []Flood {
	const head = dnsmsg.HeaderLen
	question := Longest + "\x00\x01\x00\x01"
	long := head + len(question)
	var f []Flood
	add := func(name string, whole bool, wire []byte) { f = append(f, Flood{name, wire, whole}) }

	body, n := fill("\x00\xff\xff\xff\xff", head)
	add("questions for the root", false, Header(Query, n, 0, 0, 0, body))
	body, n = fill("\xc0\x0c\x00\x01\x00\x01", long)
	add("questions for a long name", false, Header(Query, n+1, 0, 0, 0, question, body))
	body, n = fill(Record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01"), head+len(ToExample))
	add("addresses, as of a zone", true, Header(Response, 1, n, 0, 0, ToExample, body))
	body, n = fill(Record("\x00", 65535, 65535, ""), head)
	add("records of nothing", true, Header(Response, 0, n, 0, 0, body))
	body, n = fill(Record("\xc0\x0c", 5, 1, "\xc0\x0c"), long)
	add("long owners in the answer", false, Header(Response, 1, n, 0, 0, question, body))
	add("long owners in all sections", false, Header(Response, 1, 9, 100, n-109, question, body))
	add("long owners that end with the first section", false,
		Header(Response, 1, 190, n-190, 0, question, body))
	add("questions and records", false,
		Header(Response, 201, 0, n-200, 0, question,
			strings.Repeat("\xc0\x0c\x00\x01\x00\x01", 200), body[:(n-200)*14]))

	binary := Record("\x00", 16, 1, strings.Repeat("\xff"+strings.Repeat("\x01", 255), 253))
	add("text of bytes that do not print", true, Header(Response, 0, 1, 0, 0, binary))
	bitmap := "\x00"
	for window := range 64 {
		bitmap += string([]byte{byte(window), 32}) + strings.Repeat("\xff", 32)
	}
	nsec := Record("\x00", 47, 1, bitmap)
	add("a quarter of all types, seven times", false,
		Header(Response, 0, 7, 0, 0, strings.Repeat(nsec, 7)))

	for name, one := range map[string]string{
		"options of nothing": Option(65535, ""), "extended errors": Option(15, "\x00\x1b"),
		"cookies": Option(10, "12345678"), "subnets": Option(8, "\x00\x02\x00\x00"),
	} {
		body, _ = fill(one, head+11)
		add(name, true, Header(Response, 0, 0, 0, 1, OPT(EDNS0+body)))
		body, _ = fill(one, long+11+400*14)
		add(name+" after long owners", false, Header(Response, 1, 400, 0, 1, question,
			strings.Repeat(Record("\xc0\x0c", 5, 1, "\xc0\x0c"), 400), OPT(EDNS0+body)))
	}
	add("one extended error that does not print", true,
		Header(Response, 0, 0, 0, 1, OPT(EDNS0+Option(15, strings.Repeat("\xff", 65400)))))
	add("one extended error after long owners", false, Header(Response, 1, 400, 0, 1, question,
		strings.Repeat(Record("\xc0\x0c", 5, 1, "\xc0\x0c"), 400),
		OPT(EDNS0+Option(15, strings.Repeat("\xff", 59000)))))
	return f
}
