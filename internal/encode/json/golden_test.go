// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/schema"
)

var update = flag.Bool("update", false, "write the golden records")

const (
	golden      = "testdata/records.jsonl"
	goldenPairs = "testdata/transactions.jsonl"
)

func TestRecordsAreTheGoldenOnes(t *testing.T) {
	var got bytes.Buffer
	for _, s := range samples(t) {
		t.Run(s.Name, func(t *testing.T) {
			m := message(s.Wire, s.Change)
			v := value(m)
			sound(t, v, m)
			got.WriteString("# " + s.Name + "\n" + string(v) + "\n")
		})
	}
	for _, h := range encodetest.Heartbeats() {
		v := json.New(lane3).AppendHeartbeat(nil, 42, &h.Heartbeat)
		if err := ordered(v, schema.OfHeartbeats); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
		got.WriteString("# " + h.Name + "\n" + string(v) + "\n")
	}
	compareGolden(t, golden, got.Bytes())
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := func(b []byte) []string { return strings.Split(string(b), "\n") }
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("go test -update writes them anew (-want +got):\n%s", diff)
	}
}

func TestTransactionsAreTheGoldenOnes(t *testing.T) {
	var got bytes.Buffer
	all, r := encodetest.Pairs(), readSchema(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v := json.New(lane3).AppendTransaction(nil, 42, all[name])
		var object any
		if err := stdjson.Unmarshal(v, &object); err != nil {
			t.Fatalf("%s: %v: %s", name, err, v)
		}
		if err := r.check(object); err != nil {
			t.Errorf("%s: %v: %s", name, err, v)
		}
		got.WriteString("# " + name + "\n" + string(v) + "\n")
	}
	compareGolden(t, goldenPairs, got.Bytes())
}

func TestEveryReasonHasAGoldenRecord(t *testing.T) {
	seen := map[dnsmsg.Reason]bool{}
	for _, s := range samples(t) {
		seen[message(s.Wire, s.Change).Fault.Reason] = true
	}
	for r := range dnsmsg.NumReasons {
		if !seen[r] {
			t.Errorf("none for %v", r)
		}
	}
}

func TestASensorWithANameToEscape(t *testing.T) {
	id := encode.Identity{Sensor: "a \"b\" \\ é \x00 <&>", Run: "r\"un"}
	m := message(header(aQuery, 1, 0, 0, 0, toExample), nil)
	v := json.New(id).Append(nil, 1<<64-1, m)
	sound(t, v, m)
	const want = `{"v":1,"sensor":"a \"b\" \\ \u00e9 \u0000 <&>","run":"r\"un","lane":0,` +
		`"seq":18446744073709551615,"ts":`
	if !bytes.HasPrefix(v, []byte(want)) {
		t.Errorf("got  %.150s\nwant %s", v, want)
	}
}
