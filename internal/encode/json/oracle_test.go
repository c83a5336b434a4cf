// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/schema"
)

// maxFixed is what a value may have beside questions, records and options: the name of the
// question at its longest, the options' names, the first bytes of a malformed message, the rest.
const maxFixed = 8 << 10

// sound checks all that holds of every value: it is one line of ASCII and one JSON object with
// the keys of the field table in its order, it is not too large, and what it says is what the
// message says.
func sound(t testing.TB, value []byte, m *dnsmsg.Message) {
	t.Helper()
	for i, c := range value {
		if c < ' ' || c > '~' {
			t.Fatalf("byte %#x at %d of %.200s", c, i, value)
		}
	}
	if len(value) > encode.MaxValue+maxFixed {
		t.Errorf("a value of %d bytes", len(value))
	}
	if err := ordered(value, schema.OfMessages); err != nil {
		t.Fatalf("%v in %.2000s", err, value)
	}
	if err := headed(value, m); err != nil {
		t.Errorf("%v in %.2000s", err, value)
	}
	agrees(t, value, m)
}

// headed tells whether a value has of the header what the message has, and nothing else.
func headed(value []byte, m *dnsmsg.Message) error {
	var got map[string]any
	if err := stdjson.Unmarshal(value, &got); err != nil {
		return err
	}
	for i, keys := range [][]string{{"id"}, {"opcode", "rcode", "aa", "tc", "rd", "ra", "ad", "cd"},
		{"qdcount"}, {"ancount"}, {"nscount"}, {"arcount"}} {
		for _, key := range keys {
			want := len(m.Wire) >= 2*i+2
			if i >= 2 && m.Fault.Reason == dnsmsg.OK { // said when something is left out
				want = got["omitted"] != nil
			}
			if (got[key] != nil) != want {
				return fmt.Errorf("%s is %v, of a message of %d bytes", key, got[key], len(m.Wire))
			}
		}
	}
	return nil
}

// ordered checks a value against the field table.
func ordered(value []byte, scope schema.Scope) error {
	dec := stdjson.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	if err := object(dec, schema.FieldsOf(scope)); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the object: %w", err)
	}
	return nil
}

func object(dec *stdjson.Decoder, fields []schema.Field) error {
	if open, err := dec.Token(); err != nil || open != stdjson.Delim('{') {
		return fmt.Errorf("%v instead of an object: %w", open, err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		for len(fields) > 0 && fields[0].Name != key {
			if fields[0].Presence == schema.Always {
				return fmt.Errorf("%v instead of %s", key, fields[0].Name)
			}
			fields = fields[1:]
		}
		if len(fields) == 0 || fields[0].Presence == schema.Reserved {
			return fmt.Errorf("%v comes out of order, twice, or is not a field", key)
		}
		if err := fieldValue(dec, fields[0]); err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
		fields = fields[1:]
	}
	for _, f := range fields {
		if f.Presence == schema.Always {
			return fmt.Errorf("no %s", f.Name)
		}
	}
	_, err := dec.Token()
	return err
}

func fieldValue(dec *stdjson.Decoder, f schema.Field) error {
	switch f.Type {
	case schema.Object:
		return object(dec, f.Of)
	case schema.Array:
		if open, err := dec.Token(); err != nil || open != stdjson.Delim('[') || !dec.More() {
			return fmt.Errorf("%v instead of an array that is not empty: %w", open, err)
		}
		for dec.More() {
			if err := object(dec, f.Of); err != nil {
				return err
			}
		}
		_, err := dec.Token()
		return err
	}
	token, err := dec.Token()
	if err != nil {
		return err
	}
	ok := false
	switch v := token.(type) {
	case string:
		ok = f.Type == schema.String || f.Type == schema.Address || f.Type == schema.Time
		if f.Type == schema.Address {
			_, err = netip.ParseAddr(v)
		}
		if f.Type == schema.Time {
			_, err = time.Parse("2006-01-02T15:04:05.000000000Z", v)
		}
	case bool:
		ok = f.Type == schema.Boolean
	case stdjson.Number:
		ok = (f.Type == schema.Integer || f.Type == schema.Long) && strings.Trim(v.String(), "0123456789") == ""
	}
	if err != nil || !ok {
		return fmt.Errorf("%v is no %s: %w", token, f.Type, err)
	}
	return nil
}

// The parts of a record that show a list, as another JSON library reads them.
type (
	question struct{ Name, Type, Class string }
	rr       struct {
		Name, Type, Class string
		TTL               uint32
		Data              string
	}
	lists struct {
		Qname, Qtype, Qclass           *string
		Questions                      []question
		Answers, Authority, Additional []rr
		Omitted                        int
		Qdcount                        *uint16
		EDNS                           *struct {
			Ede, Options []struct{ Name, Data string }
			Rest         string
		}
	}
)

// agrees reads a value back and compares it with what package dnsmsg says of the message.
func agrees(t testing.TB, value []byte, m *dnsmsg.Message) {
	t.Helper()
	var got lists
	if err := stdjson.Unmarshal(value, &got); err != nil {
		t.Fatal(err)
	}
	var want []question
	all := m.Questions
	if len(all) > 1 {
		for _, q := range all[:min(len(got.Questions), len(all))] {
			want = append(want, questionOf(m, q))
		}
	}
	if !slices.Equal(want, got.Questions) {
		t.Errorf("questions (-want +got):\n%s", cmp.Diff(want, got.Questions))
	}
	if len(all) > 0 {
		first := question{*got.Qname, *got.Qtype, *got.Qclass}
		if diff := cmp.Diff(questionOf(m, all[0]), first); diff != "" {
			t.Errorf("the first question (-want +got):\n%s", diff)
		}
	}
	shown, omitted := [][]rr{got.Answers, got.Authority, got.Additional}, 0
	if len(all) > 1 {
		omitted = len(all) - len(got.Questions)
	}
	for i := range m.RRs {
		list := &shown[m.RRs[i].Section]
		switch {
		case i == m.OPT:
		case len(*list) == 0 || omitted > 0:
			omitted++
		default:
			if want := rrOf(m, &m.RRs[i]); want != (*list)[0] {
				t.Errorf("record %d (-want +got):\n%s", i, cmp.Diff(want, (*list)[0]))
			}
			*list = (*list)[1:]
		}
	}
	if left := len(shown[0]) + len(shown[1]) + len(shown[2]); left > 0 {
		t.Errorf("%d records too many", left)
	}
	if got.Omitted != omitted {
		t.Errorf("%d omitted, and %d said to be", omitted, got.Omitted)
	}
	whole := omitted == 0 && m.Fault.Reason == dnsmsg.OK
	if (whole || len(m.Wire) < 6) != (got.Qdcount == nil) {
		t.Errorf("fault %v, %d omitted, counts %v", m.Fault.Reason, omitted, got.Qdcount)
	}
}

func questionOf(m *dnsmsg.Message, q dnsmsg.Question) question {
	name, _ := dnsmsg.AppendQName(nil, m.Wire, int(q.Name))
	return question{string(name), string(dnsmsg.AppendType(nil, q.Type)),
		string(dnsmsg.AppendClass(nil, q.Class))}
}

func rrOf(m *dnsmsg.Message, r *dnsmsg.RR) rr {
	name, _ := dnsmsg.AppendQName(nil, m.Wire, int(r.Name))
	return rr{string(name), string(dnsmsg.AppendType(nil, r.Type)),
		string(dnsmsg.AppendClass(nil, r.Class)), r.TTL, string(m.AppendData(nil, r))}
}
