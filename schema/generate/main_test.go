// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/schema"
)

const root = "../.."

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	all, err := outputs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		have, err := os.ReadFile(filepath.Join(root, o.path))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(o.text), string(have)); diff != "" {
			t.Errorf("%s needs make generate (-want +got):\n%s", o.path, diff)
		}
	}
}

func TestGenerateWritesTheFiles(t *testing.T) {
	dir := t.TempDir()
	all, err := outputs(root)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join(root, goldenRecords))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"internal/encode/json/testdata", "internal/encode/protobuf", "schema", "docs",
	} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, goldenRecords), golden, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := generate(dir); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if got, err := os.ReadFile(filepath.Join(dir, o.path)); !bytes.Equal(got, o.text) {
			t.Errorf("%s: %v", o.path, err)
		}
	}
}

func TestGenerateWritesNothingWithoutTheExample(t *testing.T) {
	dir := t.TempDir()
	if err := generate(dir); err == nil {
		t.Error("no error without golden records")
	}
	var b bytes.Buffer
	if err := manual(&b, []byte("# another name\n{}\n")); err == nil || b.Len() > 0 {
		t.Errorf("error %v, %d bytes", err, b.Len())
	}
}

func TestKeysAreGivenToFieldsThatAreWritten(t *testing.T) {
	var b bytes.Buffer
	if err := keys(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"keyV = `\"v\":`", "keySensor = `,\"sensor\":`", "keyRrName = `\"name\":`",
		"keyRrTtl = `,\"ttl\":`", "keyEdeCode = `\"code\":`",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is there %d times", want, strings.Count(text, want))
		}
	}
	if strings.Contains(text, "asn") {
		t.Error("a key for a reserved field")
	}
}

func TestTagsAreNumberAndWireType(t *testing.T) {
	var b bytes.Buffer
	if err := tags(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		// As protoscope writes them: 1: varint, 2: 64 bits, 10 and 16 on: a length, and two bytes.
		`tagSeq = "\x08" // 1 `, `tagTs = "\x11" // 2 `, `tagQname = "\x52" // 10 `,
		`tagV = "\x80\x01" // 16 `, `tagSensor = "\x8a\x01" // 17 `, `tagRrTtl = "\x20" // 4 `,
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is there %d times", want, strings.Count(text, want))
		}
	}
	if strings.Contains(text, "Asn") {
		t.Error("a tag for a reserved field")
	}
}

func TestTheManualNamesEveryFieldOnce(t *testing.T) {
	var b bytes.Buffer
	if err := manual(&b, []byte(example+"{\"v\":1}\n")); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, f := range schema.Fields() {
		if n := strings.Count(text, "\n| `"+f.Name+"` |"); n != 1 {
			t.Errorf("%s has %d rows", f.Name, n)
		}
	}
	for _, want := range []string{
		"| `query_answers[].ttl` | integer |",
		"| `answers` | array of objects, as in `query_answers` |", "| `query_edns.ede[].code` |", "{\n  \"v\": 1\n}",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is there %d times", want, strings.Count(text, want))
		}
	}
	if strings.Contains(text, "authority[]") {
		t.Error("the fields of records come more than once")
	}
}

func TestTheSchemaHasAllFieldsAndNoOthers(t *testing.T) {
	type object struct {
		Properties           map[string]json.RawMessage
		Required             []string
		AdditionalProperties *bool
		Items                *object
	}
	var check func(name string, o *object, fields []schema.Field)
	check = func(name string, o *object, fields []schema.Field) {
		if o == nil || o.AdditionalProperties == nil || *o.AdditionalProperties {
			t.Fatalf("%s takes any key", name)
		}
		var required []string
		for _, f := range fields {
			if f.Presence == schema.Always {
				required = append(required, f.Name)
			}
			var inner object
			if err := json.Unmarshal(o.Properties[f.Name], &inner); err != nil {
				t.Errorf("%s.%s: %v", name, f.Name, err)
			}
			switch f.Type {
			case schema.Object:
				check(name+"."+f.Name, &inner, f.Of)
			case schema.Array:
				check(name+"."+f.Name, inner.Items, f.Of)
			}
		}
		if diff := cmp.Diff(required, o.Required); diff != "" || len(o.Properties) != len(fields) {
			t.Errorf("%s has %d properties of %d, required (-want +got):\n%s",
				name, len(o.Properties), len(fields), diff)
		}
	}
	var all struct {
		object
		Then, Else object
		If         struct {
			Properties map[string]struct{ Const string }
		}
	}
	if err := json.Unmarshal(schema.JSON, &all); err != nil {
		t.Fatal(err)
	}
	// What is required of a record depends on its kind.
	all.Required = append(append(all.Required, all.Else.Required...), all.Then.Required...)
	check("record", &all.object, schema.Fields())
	want := map[string]string{"kind": "heartbeat"}
	got := map[string]string{}
	for name, p := range all.If.Properties {
		got[name] = p.Const
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
