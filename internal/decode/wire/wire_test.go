// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// head returns a header with id 0x1234, flags 0x8180 and the counts given.
func head(qd, an, ns, ar uint8) string {
	return "\x12\x34\x81\x80" + string([]byte{0, qd, 0, an, 0, ns, 0, ar})
}

const (
	example  = "\x07example\x00" // 9 bytes
	inA      = "\x00\x01\x00\x01"
	question = example + inA // at offset 12; what follows it is at 25
	ttl      = "\x00\x00\x0e\x10"
)

func TestParseKeepsAllSections(t *testing.T) {
	wire := head(1, 2, 1, 2) + question +
		"\xc0\x0c" + inA + ttl + "\x00\x04\xc0\x00\x02\x01" + // at 25, data at 37
		"\x03www\xc0\x0c" + "\x00\x1c\x00\x01" + ttl + "\x00\x00" + // at 41, data at 57
		"\xc0\x29" + "\x00\x02\x00\x01" + ttl + "\x00\x02\xc0\x0c" + // at 57, data at 69
		"\x00" + "\x00\x29\x04\xd0\x01\x00\x80\x00\x00\x00" + // at 71, data at 82
		"\x00" + "\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00" + // at 82, data at 93
		"trailing"
	got := dnsmsg.Message{Wire: []byte(wire), OPT: 99, Fault: dnsmsg.Fault{Reason: dnsmsg.Cut}}
	Parse(&got)
	want := dnsmsg.Message{
		Wire: []byte(wire),
		ID:   0x1234, Flags: 0x8180, QD: 1, AN: 2, NS: 1, AR: 2,
		Questions: []dnsmsg.Question{{Name: 12, Type: 1, Class: 1}},
		RRs: []dnsmsg.RR{
			{TTL: 3600, Name: 25, Type: 1, Class: 1, Data: 37, Len: 4},
			{TTL: 3600, Name: 41, Type: 28, Class: 1, Data: 57},
			{TTL: 3600, Name: 57, Type: 2, Class: 1, Data: 69, Len: 2, Section: dnsmsg.Authority},
			{TTL: 1<<24 | 0x8000, Name: 71, Type: 41, Class: 1232, Data: 82, Section: dnsmsg.Additional},
			{Name: 82, Type: 41, Class: 4096, Data: 93, Section: dnsmsg.Additional},
		},
		OPT: 3,
	}
	if diff := cmp.Diff(got.Questions, want.Questions); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(got.RRs, want.RRs); diff != "" {
		t.Error(diff)
	}
	got.Questions, got.RRs, want.Questions, want.RRs = nil, nil, nil, nil
	if diff := cmp.Diff(got, want, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestParseFindsOPTInTheAdditionalSectionAlone(t *testing.T) {
	opt := "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
	m := dnsmsg.Message{Wire: []byte(head(0, 1, 1, 0) + opt + opt)}
	if Parse(&m); m.OPT != -1 || m.Fault.Reason != dnsmsg.OK || len(m.RRs) != 2 {
		t.Errorf("OPT %d, fault %v, %d records", m.OPT, m.Fault, len(m.RRs))
	}
}

// name returns a name of n bytes, its root included, in labels as long as they may be.
func name(n int) string {
	var b strings.Builder
	for n--; n > 0; {
		label := min(n, 1+maxLabel)
		b.WriteByte(byte(label - 1))
		b.WriteString(strings.Repeat("a", label-1))
		n -= label
	}
	return b.String() + "\x00"
}

// chain returns a question for the root, to stand at offset 12, and n questions after it, each of
// which points to the name of the one before.
func chain(n int) string {
	b := []byte("\x00" + inA)
	for i, target := 0, 12; i < n; i++ {
		at := 12 + len(b)
		b = append(b, pointerBits|byte(target>>8), byte(target))
		b = append(b, inA...)
		target = at
	}
	return string(b)
}

func TestParseNames(t *testing.T) {
	for _, test := range []struct {
		name      string
		wire      string
		fault     dnsmsg.Reason
		at        int
		questions int
		records   int
	}{
		{name: "no question", wire: head(0, 0, 0, 0)},
		{name: "two questions", wire: head(2, 0, 0, 0) + question + "\xc0\x0c" + inA, questions: 2},
		{name: "the root", wire: head(1, 0, 0, 0) + "\x00" + inA, questions: 1},
		{name: "a name of 255 bytes", wire: head(1, 0, 0, 0) + name(255) + inA, questions: 1},
		{
			name: "a name of 127 labels", questions: 1,
			wire: head(1, 0, 0, 0) + strings.Repeat("\x01a", 127) + "\x00" + inA,
		},
		{
			name: "a name of 255 bytes through a pointer", questions: 2,
			wire: head(2, 0, 0, 0) + name(253) + inA + "\x01a\xc0\x0c" + inA,
		},
		{
			name: "a pointer to the middle of a name", questions: 2,
			wire: head(2, 0, 0, 0) + "\x01a" + question + "\xc0\x0e" + inA,
		},
		{
			name: "the owner of the record before, by its pointer", questions: 1, records: 3,
			wire: head(1, 3, 0, 0) + "\x01a" + question +
				strings.Repeat("\xc0\x0e"+inA+ttl+"\x00\x00", 3),
		},
		{
			name: "no terminator", fault: dnsmsg.NameTruncated, at: 20,
			wire: head(1, 0, 0, 0) + "\x07example",
		},
		{
			name: "a label that is not all there", fault: dnsmsg.NameTruncated, at: 14,
			wire: head(1, 0, 0, 0) + "\x01a" + "\x07exampl",
		},
		{
			name: "no name", fault: dnsmsg.NameTruncated, at: 25, questions: 1,
			wire: head(2, 0, 0, 0) + question,
		},
		{
			name: "no owner name", fault: dnsmsg.NameTruncated, at: 25, questions: 1,
			wire: head(1, 0, 1, 0) + question,
		},
		{
			name: "half a pointer", fault: dnsmsg.NameTruncated, at: 25, questions: 1,
			wire: head(1, 1, 0, 0) + question + "\xc0",
		},
		{
			name: "a name of 256 bytes", fault: dnsmsg.NameTooLong, at: 12 + 255,
			wire: head(1, 0, 0, 0) + name(256) + inA,
		},
		{
			name: "a name of 128 labels", fault: dnsmsg.NameTooLong, at: 12 + 2*127,
			wire: head(1, 0, 0, 0) + strings.Repeat("\x01a", 128) + "\x00" + inA,
		},
		{
			name: "a name of 256 bytes through a pointer", fault: dnsmsg.NameTooLong,
			at: 12 + 253, questions: 1,
			wire: head(2, 0, 0, 0) + name(254) + inA + "\x01a\xc0\x0c" + inA,
		},
		{
			name: "labels of type 01", fault: dnsmsg.NameLabel, at: 14,
			wire: head(1, 0, 0, 0) + "\x01a" + "\x41\x00" + inA,
		},
		{
			name: "labels of type 10", fault: dnsmsg.NameLabel, at: 12,
			wire: head(1, 0, 0, 0) + "\x80\x00" + inA,
		},
		{
			name: "a pointer to itself", fault: dnsmsg.NamePointer, at: 12,
			wire: head(1, 0, 0, 0) + "\xc0\x0c" + inA,
		},
		{
			name: "a first owner name that is a pointer to itself", fault: dnsmsg.NamePointer, at: 12,
			wire: head(0, 1, 0, 0) + "\xc0\x0c" + inA + ttl + "\x00\x00",
		},
		{
			name: "a pointer forwards", fault: dnsmsg.NamePointer, at: 12,
			wire: head(1, 0, 0, 0) + "\xc0\x0e" + "\x00" + inA,
		},
		{
			name: "a pointer to the labels before it", fault: dnsmsg.NamePointer, at: 12 + 64,
			wire: head(1, 0, 0, 0) + "\x3f" + strings.Repeat("a", 63) + "\xc0\x0c" + inA,
		},
		{
			name: "a pointer into the labels before it", fault: dnsmsg.NamePointer, at: 16,
			wire: head(1, 0, 0, 0) + "\x03\x01a\x00" + "\xc0\x0d" + inA,
		},
		{
			name: "as many pointers as are followed", questions: dnsmsg.MaxPointers + 1,
			wire: head(dnsmsg.MaxPointers+1, 0, 0, 0) + chain(dnsmsg.MaxPointers),
		},
		{
			name: "one pointer more", fault: dnsmsg.NamePointer, at: 12 + 5, questions: dnsmsg.MaxPointers + 1,
			wire: head(dnsmsg.MaxPointers+2, 0, 0, 0) + chain(dnsmsg.MaxPointers+1),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := dnsmsg.Message{Wire: []byte(test.wire)}
			Parse(&m)
			if want := (dnsmsg.Fault{Reason: test.fault, Offset: test.at}); m.Fault != want {
				t.Errorf("fault %v at %d, want %v at %d",
					m.Fault.Reason, m.Fault.Offset, want.Reason, want.Offset)
			}
			if len(m.Questions) != test.questions || len(m.RRs) != test.records {
				t.Errorf("%d questions and %d records, want %d and %d",
					len(m.Questions), len(m.RRs), test.questions, test.records)
			}
		})
	}
}

func TestParseRecordFaults(t *testing.T) {
	a := "\xc0\x0c" + inA + ttl + "\x00\x04\xc0\x00\x02\x01"
	for _, test := range []struct {
		name  string
		wire  string
		cut   bool
		fault dnsmsg.Fault
	}{
		{
			name: "an empty message", wire: "",
			fault: dnsmsg.Fault{Reason: dnsmsg.ShortHeader},
		},
		{
			name: "eleven bytes", wire: head(1, 0, 0, 0)[:11],
			fault: dnsmsg.Fault{Reason: dnsmsg.ShortHeader},
		},
		{
			name: "a pointer and no type", wire: head(2, 0, 0, 0) + question + "\xc0\x0c",
			fault: dnsmsg.Fault{Reason: dnsmsg.QuestionShort, Offset: 27},
		},
		{
			name: "no class", wire: head(1, 0, 0, 0) + question[:12],
			fault: dnsmsg.Fault{Reason: dnsmsg.QuestionShort, Offset: 21},
		},
		{
			name: "no data length", wire: head(1, 1, 0, 0) + question + a[:11],
			fault: dnsmsg.Fault{Reason: dnsmsg.RecordShort, Offset: 27},
		},
		{
			name: "an owner name alone", wire: head(1, 1, 0, 0) + question + "\x00",
			fault: dnsmsg.Fault{Reason: dnsmsg.RecordShort, Offset: 26},
		},
		{
			name: "less data than its length", wire: head(1, 1, 0, 0) + question + a[:15],
			fault: dnsmsg.Fault{Reason: dnsmsg.DataTruncated, Offset: 37},
		},
		{
			name: "a count that is a lie", wire: head(1, 1, 0, 255) + question + a,
			fault: dnsmsg.Fault{Reason: dnsmsg.NameTruncated, Offset: 41},
		},
		{
			name: "cut in the header", wire: head(1, 0, 0, 0)[:5], cut: true,
			fault: dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: 5},
		},
		{
			name: "cut in a name", wire: head(1, 0, 0, 0) + question[:3], cut: true,
			fault: dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: 15},
		},
		{
			name: "cut in a question", wire: head(1, 0, 0, 0) + question[:12], cut: true,
			fault: dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: 24},
		},
		{
			name: "cut in a record", wire: head(1, 1, 0, 0) + question + a[:11], cut: true,
			fault: dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: 36},
		},
		{
			name: "cut in data", wire: head(1, 1, 0, 0) + question + a[:15], cut: true,
			fault: dnsmsg.Fault{Reason: dnsmsg.Cut, Offset: 40},
		},
		{
			name: "broken before the cut", wire: head(1, 1, 0, 0) + "\x80", cut: true,
			fault: dnsmsg.Fault{Reason: dnsmsg.NameLabel, Offset: 12},
		},
		{name: "cut after the last record", wire: head(1, 1, 0, 0) + question + a, cut: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := dnsmsg.Message{Wire: []byte(test.wire), Cut: test.cut, ID: 99, QD: 99}
			if Parse(&m); m.Fault != test.fault {
				t.Errorf("fault %v at %d, want %v at %d",
					m.Fault.Reason, m.Fault.Offset, test.fault.Reason, test.fault.Offset)
			}
		})
	}
}

// TestParseReadsWhatThereIsOfAHeader has each prefix of one, after the header of another message.
func TestParseReadsWhatThereIsOfAHeader(t *testing.T) {
	wire := []byte{0x12, 0x34, 0x85, 0x83, 0, 1, 0, 2, 0, 3, 0, 4}
	for n := range len(wire) {
		m := dnsmsg.Message{Wire: wire[:n], ID: 99, Flags: 99, QD: 99, AN: 99, NS: 99, AR: 99}
		Parse(&m)
		got := [...]uint16{m.ID, m.Flags, m.QD, m.AN, m.NS, m.AR}
		want := [...]uint16{0x1234, 0x8583, 1, 2, 3, 4}
		clear(want[n/2:])
		if got != want || m.HeaderFields() != n/2 || m.Fault.Reason != dnsmsg.ShortHeader {
			t.Errorf("%d bytes: %x of %d, want %x; %v", n, got, m.HeaderFields(), want, m.Fault)
		}
	}
}

func TestParseKeepsOffsetsInSixteenBits(t *testing.T) {
	// Records without data up to the last byte that a length prefix can describe.
	b := []byte("\x12\x34\x81\x80\x00\x00\xff\xff\x00\x00\x00\x00")
	for len(b)+11 <= maxMessage {
		b = append(b, "\x00"+inA+ttl+"\x00\x00"...)
	}
	records := (len(b) - 12) / 11
	b = append(b, make([]byte, 1<<16)...)
	m := dnsmsg.Message{Wire: b}
	Parse(&m)
	if len(m.RRs) != records {
		t.Errorf("%d records, want %d", len(m.RRs), records)
	}
	last := m.RRs[len(m.RRs)-1]
	if want := uint16(12 + 11*records); last.Data != want || m.Fault.Reason != dnsmsg.RecordShort {
		t.Errorf("data at %d, want %d; fault %v", last.Data, want, m.Fault.Reason)
	}
}
