// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/schema"
)

// rules are the keywords that dns.schema.json uses. Format, the one that is not checked here, is
// checked by ordered.
type rules struct {
	Schema, Title, Description, Format string
	Type                               string
	Properties                         map[string]*rules
	Required                           []string
	AdditionalProperties               *bool
	Items                              *rules
	AnyOf                              []*rules
	If, Then, Else                     *rules
	Const                              *string
	Minimum                            *float64
}

// check tells what a value breaks.
func (r *rules) check(v any) error {
	ok := false
	switch v := v.(type) {
	case map[string]any:
		return r.checkObject(v)
	case []any:
		if r.Items == nil {
			return fmt.Errorf("an array, not %s", r.Type)
		}
		for i, item := range v {
			if err := r.Items.check(item); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		ok = r.Type == "array"
	case string:
		ok = r.Type == "string"
	case bool:
		ok = r.Type == "boolean"
	case float64:
		ok = r.Type == "integer" && v == float64(int64(v)) && r.Minimum != nil && v >= *r.Minimum
	}
	if !ok {
		return fmt.Errorf("%v is not %s", v, r.Type)
	}
	return nil
}

func (r *rules) checkObject(object map[string]any) error {
	if r.If != nil { // the schema has one, about a property's constant
		then := r.Then
		for key, property := range r.If.Properties {
			if object[key] != *property.Const {
				then = r.Else
			}
		}
		if then != nil { // it says of the same object what must be there
			then.Type, then.AdditionalProperties = r.Type, r.AdditionalProperties
			then.Properties = r.Properties
			if err := then.checkObject(object); err != nil {
				return err
			}
		}
	}
	if r.Type != "object" || r.AdditionalProperties == nil || *r.AdditionalProperties {
		return fmt.Errorf("an object, not %s, or one that takes any key", r.Type)
	}
	for _, key := range r.Required {
		if _, ok := object[key]; !ok {
			return fmt.Errorf("no %s", key)
		}
	}
	for key, v := range object {
		property := r.Properties[key]
		if property == nil {
			return fmt.Errorf("%s is no property", key)
		}
		if err := property.check(v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func readSchema(t *testing.T) *rules {
	t.Helper()
	text := bytes.Replace(schema.JSON, []byte("$schema"), []byte("schema"), 1)
	dec := stdjson.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	r := &rules{}
	if err := dec.Decode(r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheSchemaTakesTheGoldenRecords(t *testing.T) {
	r := readSchema(t)
	file := allGolden(t)
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var v any
		if err := stdjson.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if err := r.check(v); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
}

func TestTheSchemaRefusesWhatIsNoRecord(t *testing.T) {
	r := readSchema(t)
	good := string(value(message(header(aResponse, 1, 1, 0, 0, toExample,
		record("\xc0\x0c", 1, 1, "\xc0\x00\x02\x01")), nil)))
	for _, c := range []struct{ name, old, new string }{
		{"a key too many", `"v":1`, `"v":1,"w":1`},
		{"a key missing", `"seq":42,`, ``},
		{"a key missing that heartbeats need not have", `"size":45,`, ``},
		{"a key missing that malformed records need not have", `"rcode":"NOERROR",`, ``},
		{"the kind of a heartbeat, and no heartbeat", `"kind":"response"`, `"kind":"heartbeat"`},
		{"a negative number", `"lane":3`, `"lane":-3`},
		{"a string for a number", `"lane":3`, `"lane":"3"`},
		{"a number for a boolean", `"rd":true`, `"rd":1`},
		{"a key missing in an object of an array", `"ttl":300,`, ``},
		{"an object for an array", `[{"name"`, `{"x":{"name"`},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if strings.HasPrefix(c.new, "{") {
			bad = strings.Replace(bad, "}]", "}}", 1)
		}
		var v any
		if err := stdjson.Unmarshal([]byte(bad), &v); err != nil || bad == good {
			t.Fatalf("%s: %v: %s", c.name, err, bad)
		}
		if r.check(v) == nil {
			t.Errorf("%s is taken", c.name)
		}
	}
}

func allGolden(t *testing.T) (text []byte) {
	t.Helper()
	for _, name := range []string{golden, goldenPairs} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, file...)
	}
	return text
}

// TestTheGoldenRecordsHaveAllFields keeps the other tests from passing because a field never
// came up.
func TestTheGoldenRecordsHaveAllFields(t *testing.T) {
	file := allGolden(t)
	var missing []string
	var look func(fields []schema.Field)
	look = func(fields []schema.Field) {
		for _, f := range fields {
			there := bytes.Contains(file, []byte(`"`+f.Name+`":`))
			if there == (f.Presence == schema.Reserved) {
				missing = append(missing, f.Name)
			}
			look(f.Of)
		}
	}
	look(schema.Fields())
	// The only field that takes a large message.
	if !slices.Equal(missing, []string{"omitted"}) {
		t.Errorf("missing, or written although reserved: %v", missing)
	}
}
