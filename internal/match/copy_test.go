// SPDX-License-Identifier: Apache-2.0

package match

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// sameMessage compares messages. A slice of none is as good as one of nothing.
var sameMessage = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(clientAddr)}

// TestWhatWaitedIsWhatCame compares a query that has waited, while its own bytes were overwritten
// and others came and went, with the query that came.
func TestWhatWaitedIsWhatCame(t *testing.T) {
	long := strings.Repeat("x", 63) + "." + strings.Repeat("y", 63)
	tests := []struct {
		name string
		msg  msg
		tap  func() *dnsmsg.DNSTap
	}{
		{"a short one", msg{name: "a"}, nil},
		{"no question", msg{name: "-"}, nil},
		{"with EDNS", msg{edns: true, id: 7, flags: dnsmsg.FlagRD | dnsmsg.FlagCD}, nil},
		{"of several cells", msg{name: long, edns: true}, nil},
		{"of just one cell", msg{name: strings.Repeat("x", 46), typ: 255}, nil},
		{"with records", msg{records: 50, edns: true, flags: opcode5}, nil},
		{"with several questions", msg{name: "a b c.d " + long}, nil},
		{"of 65 KB", msg{records: 4080}, nil},
		{"over TCP on another port", msg{port: 999, transport: dnsmsg.TCP}, nil},
		{"that a server reports", msg{}, fullTap},
		{"of several cells that a server reports", msg{name: long, edns: true}, fullTap},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			build := func() *dnsmsg.Message {
				s := test.msg
				if test.tap != nil {
					s.tap = test.tap()
				}
				return s.build(t)
			}
			left := 0
			m, err := New(DefaultConfig(), wire.Parse, func(x *dnsmsg.Transaction) {
				if x.Unpaired != dnsmsg.End || left > 0 {
					return
				}
				left++
				if diff := cmp.Diff(build(), x.Query, sameMessage); diff != "" {
					t.Errorf("message (-came +waited):\n%s", diff)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			q := build()
			m.Message(q)
			spoil(q)
			for i := range uint16(100) {
				m.Message(msg{id: 100 + i, name: long}.build(t))
				m.Message(msg{id: 100 + i, name: "b", response: true}.build(t))
			}
			m.Flush()
			if left != 1 {
				t.Error("it has not left")
			}
		})
	}
}

// spoil overwrites all that a message borrows.
func spoil(m *dnsmsg.Message) {
	clear(m.Wire)
	clear(m.Questions)
	clear(m.RRs)
	if m.DNSTap != nil {
		for _, text := range texts(m.DNSTap) {
			clear(*text)
		}
		*m.DNSTap = dnsmsg.DNSTap{}
	}
}

func fullTap() *dnsmsg.DNSTap {
	return &dnsmsg.DNSTap{
		Type: 5, HTTP: 2, QueryTime: 1, ResponseTime: -2,
		Identity: []byte("ns1"), Version: []byte("v9"), Extra: []byte("x"), Zone: []byte{0},
		Policy: dnsmsg.Policy{Type: []byte("RPZ"), Rule: []byte("r"), Value: []byte("v"), Action: 3, Match: 1},
	}
}

// TestAbsentTextsStayAbsent is what cmp's EquateEmpty does not see above.
func TestAbsentTextsStayAbsent(t *testing.T) {
	got := *fullTap() // what the message before had
	want := dnsmsg.DNSTap{Type: 1, Extra: []byte{}}
	b := appendTap(nil, &want)
	if len(b) != tapLen(&want) {
		t.Errorf("%d bytes, said to be %d", len(b), tapLen(&want))
	}
	readTap(&got, b)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNothingElseIsBorrowed fails when a noun gets a field with memory behind it that add does
// not copy: it would be read after its owner has filled it anew.
func TestNothingElseIsBorrowed(t *testing.T) {
	got := map[string][]string{}
	var look func(of string, typ reflect.Type)
	look = func(of string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			switch f.Type.Kind() {
			case reflect.Slice, reflect.Pointer, reflect.Map, reflect.Interface, reflect.Chan, reflect.Func:
				got[of] = append(got[of], f.Name)
			case reflect.Struct:
				if f.Type.PkgPath() == reflect.TypeFor[dnsmsg.Message]().PkgPath() {
					look(f.Type.Name(), f.Type)
				}
			}
		}
	}
	look("Message", reflect.TypeFor[dnsmsg.Message]())
	look("DNSTap", reflect.TypeFor[dnsmsg.DNSTap]())
	want := map[string][]string{
		"Message": {"DNSTap", "Wire", "Questions", "RRs"},
		"DNSTap":  {"Identity", "Version", "Extra", "Zone"},
		"Policy":  {"Type", "Rule", "Value"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("match copies these (-) and there are these (+):\n%s", diff)
	}
	// A number that is new in DNSTap would be lost, too.
	if n := reflect.TypeFor[dnsmsg.DNSTap]().NumField(); n != 9 {
		t.Errorf("DNSTap has %d fields, appendTap writes 9", n)
	}
}
