// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const whole = `{"v":1,"sensor":"ns1","run":"r1","lane":3,"seq":42,"ts":"t","kind":"query","x":[1,{"a":null}]}`

// named is what scan is to find.
type named struct {
	V, Lane, Seq      uint64
	Sensor, Run, Kind string
}

// reference does by encoding/json what scan does. Keys count as they are written, so it reads
// them as those of a map, which a struct would not.
func reference(value []byte) (n named, ok bool) {
	var all map[string]json.RawMessage
	if json.Unmarshal(value, &all) != nil || all == nil {
		return n, false
	}
	for key, to := range map[string]any{"v": &n.V, "lane": &n.Lane, "seq": &n.Seq,
		"sensor": &n.Sensor, "run": &n.Run, "kind": &n.Kind} {
		if raw, there := all[key]; !there || string(raw) == "null" || json.Unmarshal(raw, to) != nil {
			return named{}, false
		}
	}
	return n, true
}

func scanned(value []byte) (n named, ok bool) {
	var f fields
	if !scanJSON(value, &f) {
		return n, false
	}
	return named{f.version, f.lane, f.seq, string(f.sensor), string(f.run), string(f.kind)}, true
}

var scanCases = []struct{ name, value string }{
	{"a record", whole},
	{"in another order", `{"kind":"query","seq":42,"lane":3,"run":"r1","sensor":"ns1","v":1}`},
	{"with space everywhere", " {\t\"v\" : 1 ,\n\"sensor\":\"ns1\",\r\"run\":\"r1\",\"lane\":3,\"seq\": 42 , \"kind\":\"query\" , \"x\" : [ 1 , { } , [ ] ] } \n"},
	{"nothing", ``}, {"an array", `[]`}, {"an empty object", `{}`}, {"a number", `1`}, {"null", `null`},
	{"no sensor", strings.Replace(whole, `"sensor":"ns1",`, ``, 1)},
	{"no kind", strings.Replace(whole, `"kind":"query",`, ``, 1)},
	{"null for the lane", strings.Replace(whole, `"lane":3`, `"lane":null`, 1)},
	{"the lane twice, a number the last", strings.Replace(whole, `"lane":3`, `"lane":null,"lane":4`, 1)},
	{"the lane twice, null the last", strings.Replace(whole, `"lane":3`, `"lane":4,"lane":null`, 1)},
	{"a string for the number", strings.Replace(whole, `"seq":42`, `"seq":"42"`, 1)},
	{"a number for the string", strings.Replace(whole, `"run":"r1"`, `"run":1`, 1)},
	{"a fraction", strings.Replace(whole, `"seq":42`, `"seq":42.0`, 1)},
	{"an exponent", strings.Replace(whole, `"seq":42`, `"seq":4e1`, 1)},
	{"a negative number", strings.Replace(whole, `"seq":42`, `"seq":-42`, 1)},
	{"minus zero", strings.Replace(whole, `"seq":42`, `"seq":-0`, 1)},
	{"a zero before the number", strings.Replace(whole, `"seq":42`, `"seq":042`, 1)},
	{"zero", strings.Replace(whole, `"seq":42`, `"seq":0`, 1)},
	{"the largest number", strings.Replace(whole, `"seq":42`, `"seq":18446744073709551615`, 1)},
	{"one more", strings.Replace(whole, `"seq":42`, `"seq":18446744073709551616`, 1)},
	{"a hundred digits", strings.Replace(whole, `"seq":42`, `"seq":`+strings.Repeat("9", 100), 1)},
	{"escapes in a value", strings.Replace(whole, `ns1`, `n\u00e9\ud834\udd1e\"\\\/\b\f\n\r\t`, 1)},
	{"half a surrogate", strings.Replace(whole, `ns1`, `n\ud834`, 1)},
	{"escapes in a key", strings.Replace(whole, `"seq"`, `"s\u0065q"`, 1)},
	{"another case of a key", strings.Replace(whole, `"seq"`, `"Seq"`, 1)},
	{"bytes that are no UTF-8", strings.Replace(whole, `ns1`, "n\xff", 1)},
	{"UTF-8", strings.Replace(whole, `ns1`, "é𝄞", 1)},
	{"a control character", strings.Replace(whole, `ns1`, "n\x1f", 1)},
	{"a delete character", strings.Replace(whole, `ns1`, "n\x7f", 1)},
	{"an escape that is none", strings.Replace(whole, `ns1`, `n\x`, 1)},
	{"an escape of too few digits", strings.Replace(whole, `ns1`, `n\u12`, 1)},
	{"an escape of no hex", strings.Replace(whole, `ns1`, `n\u12g4`, 1)},
	{"an escape at the end", `{"v":1,"sensor":"\`}, {"an escape of digits at the end", `{"v":1,"sensor":"\u1`},
	{"a key that is no string", `{v:1}`}, {"a key without a value", `{"v"}`}, {"a comma too many", `{"v":1,}`},
	{"a comma too few", `{"v":1 "lane":1}`}, {"bytes after the end", whole + "x"}, {"two objects", whole + whole},
	{"nested fields", `{"x":` + whole + `}`}, {"words cut short", `{"x":tru}`}, {"words that run on", `{"x":truest}`},
	{"other numbers", strings.Replace(whole, `[1,`, `[-1.5e+10,0.1E-2,0,-0,1e5,`, 1)},
	{"a point without digits", `{"x":1.}`}, {"an exponent without digits", `{"x":1e}`}, {"a minus alone", `{"x":-}`},
}

func TestScanDoesWhatEncodingJSONDoes(t *testing.T) {
	cases := scanCases
	for n := range whole { // cut anywhere, it is no record
		cases = append(cases, struct{ name, value string }{"cut", whole[:n]})
	}
	records := 0
	for _, c := range cases {
		want, wantOK := reference([]byte(c.value))
		got, ok := scanned([]byte(c.value))
		if diff := cmp.Diff(want, got); ok != wantOK || diff != "" {
			t.Errorf("%s: a record is %v, want %v: %s\n%s", c.name, ok, wantOK, c.value, diff)
		}
		if wantOK {
			records++
		}
	}
	if records < 10 {
		t.Errorf("only %d of the values are records", records)
	}
}

func TestScanGivesUpOnWhatIsTooDeep(t *testing.T) {
	deep := strings.Replace(whole, `[1,`, strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,[1,`, 1)
	deep = strings.Replace(deep, `"x":`, `"x":[`, 1)
	deep = deep[:len(deep)-1] + `]}`
	if _, ok := reference([]byte(deep)); !ok {
		t.Fatal("the value is no JSON")
	}
	if _, ok := scanned([]byte(deep)); ok {
		t.Error("a hundred brackets deep")
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	value, f := []byte(whole), &fields{}
	if n := testing.AllocsPerRun(100, func() { scan(value, f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzScan(f *testing.F) {
	for _, c := range scanCases {
		f.Add([]byte(c.value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		want, wantOK := reference(value)
		got, ok := scanned(value)
		if wantOK && !ok && bytes.Count(value, []byte("["))+bytes.Count(value, []byte("{")) > maxDepth {
			return // too deep, perhaps
		}
		if ok != wantOK || got != want {
			t.Errorf("%q: %+v, %v, want %+v, %v", value, got, ok, want, wantOK)
		}
	})
}

// BenchmarkScan reads the golden records of the encoder.
func BenchmarkScan(b *testing.B) {
	data, err := os.ReadFile("../encode/json/testdata/records.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	var records [][]byte
	size := 0
	for line := range bytes.Lines(data) {
		if line[0] == '{' && len(line) < 2000 {
			records = append(records, line)
			size += len(line)
		}
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, r := range records {
			if _, ok := scanned(r); !ok {
				b.Fatalf("no record: %s", r)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds()/1e6, "M/s")
}
