// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/dnsluice/dnsluice/schema"
)

// rule is the part of JSON Schema that dns.schema.json uses.
type rule struct {
	Type                 string
	Format               string
	Minimum              *float64
	Properties           map[string]rule
	Required             []string
	AdditionalProperties *bool
	Items                *rule
}

// check returns what is wrong with a value.
func (r rule) check(at string, value any) error {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range r.Required {
			if _, ok := v[key]; !ok {
				return fmt.Errorf("%s: no %s", at, key)
			}
		}
		for key, field := range v {
			known, ok := r.Properties[key]
			if !ok && r.AdditionalProperties != nil && !*r.AdditionalProperties {
				return fmt.Errorf("%s: %s is not in the schema", at, key)
			}
			if err := known.check(at+"."+key, field); err != nil {
				return err
			}
		}
		return r.is(at, "object")
	case []any:
		for i, item := range v {
			if r.Items == nil {
				return fmt.Errorf("%s: a list", at)
			}
			if err := r.Items.check(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
				return err
			}
		}
		return r.is(at, "array")
	case string:
		if _, err := time.Parse(time.RFC3339Nano, v); r.Format == "date-time" && err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		return r.is(at, "string")
	case bool:
		return r.is(at, "boolean")
	case float64:
		if r.Minimum != nil && v < *r.Minimum || r.Type == "integer" && v != float64(int64(v)) {
			return fmt.Errorf("%s: %v", at, v)
		}
		return r.is(at, "integer")
	}
	return fmt.Errorf("%s: %v", at, value)
}

func (r rule) is(at, kind string) error {
	if r.Type != kind {
		return fmt.Errorf("%s: %s, want %s", at, kind, r.Type)
	}
	return nil
}

func TestRecordsAreAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	var record rule
	if err := json.Unmarshal(schema.JSON, &record); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(captures + "*.pcap*")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".tsv") })
	r := execute(t, program(t, append([]string{"read", "--sensor", "ns1"}, files...)...)).expect(t, 0)
	kinds := map[string]int{}
	for line := range strings.Lines(r.stdout) {
		var value map[string]any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if err := record.check("record", value); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if value["sensor"] != "ns1" {
			t.Fatalf("not from ns1: %s", line)
		}
		kinds[value["kind"].(string)]++
	}
	for _, kind := range []string{"query", "response", "malformed"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}
}

func TestTheSchemaIsNotJustAnything(t *testing.T) {
	t.Parallel()
	var record rule
	if err := json.Unmarshal(schema.JSON, &record); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{`{}`, `[]`, `{"v":1,"more":1}`} {
		var value any
		if err := json.Unmarshal([]byte(wrong), &value); err != nil {
			t.Fatal(err)
		}
		if record.check("record", value) == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}

// runOf is what differs between two runs over the same capture.
var runOf = regexp.MustCompile(`"run":"[^"]*"`)

func TestCapturesAreReadHoweverTheyCome(t *testing.T) {
	t.Parallel()
	plain, err := os.ReadFile(captures + "bind-types.pcap")
	if err != nil {
		t.Fatal(err)
	}
	var zipped, standard bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	zs, err := zstd.NewWriter(&standard)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{gz, zs} {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	records := func(cmd *exec.Cmd) string {
		return runOf.ReplaceAllString(execute(t, cmd).expect(t, 0).stdout, "")
	}
	want := records(program(t, "read", captures+"bind-types.pcap"))
	if n := strings.Count(want, "\n"); n != messages(t, "bind-types.pcap") {
		t.Fatalf("%d records", n)
	}
	for name, data := range map[string][]byte{
		"plain": plain, "gzip": zipped.Bytes(), "zstd": standard.Bytes(),
	} {
		file := program(t, "read", write(t, "no-name-tells", data))
		if diff := cmp.Diff(records(file), want); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		stdin := program(t, "read", "-")
		stdin.Stdin = bytes.NewReader(data)
		if diff := cmp.Diff(records(stdin), want); diff != "" {
			t.Errorf("%s, standard input: %s", name, diff)
		}
	}
}

func TestReadTakesThePortsItIsTold(t *testing.T) {
	t.Parallel()
	cmd := program(t, "read", "--ports", "5353,5355", captures+"bind-types.pcap")
	if r := execute(t, cmd).expect(t, 0); r.stdout != "" {
		t.Errorf("records of port 53: %s", r.stdout)
	} else if !strings.Contains(r.stderr, "no DNS message in 146 packets") ||
		!strings.Contains(r.stderr, "port 146") {
		t.Errorf("why there is nothing is not said: %s", r.stderr)
	}
}

// lateFragment is a query in two fragments, a minute apart.
func lateFragment(t *testing.T) []byte {
	t.Helper()
	capture := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
		1, 0, 0, 0}
	for i, packet := range []string{
		"02000000000202000000000108004500002400052000401146c20a0000010a000002" +
			"00359c40002500000007818000010000",
		"02000000000202000000000108004500002900050002401166bb0a0000010a000002" +
			"0000000003616765076578616d706c650000010001",
	} {
		data, err := hex.DecodeString(packet)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1_700_000_000 + 60*i, 0, len(data), len(data)} {
			capture = binary.LittleEndian.AppendUint32(capture, uint32(n))
		}
		capture = append(capture, data...)
	}
	return capture
}

func TestReadTakesTheBoundsItIsTold(t *testing.T) {
	t.Parallel()
	capture := write(t, "late.pcap", lateFragment(t))
	if r := execute(t, program(t, "read", capture)).expect(t, 0); r.stdout != "" {
		t.Errorf("a fragment waited for a minute: %s", r.stdout)
	}
	file := write(t, "config.yaml", []byte("decode: {fragment_age: 5m}\n"))
	inFile := program(t, "read", "--config", file, capture)
	inVariable := program(t, "read", capture)
	inVariable.Env = append(inVariable.Env, "DNSLUICE_DECODE_FRAGMENT_AGE=5m")
	for _, cmd := range []*exec.Cmd{inFile, inVariable} {
		if r := execute(t, cmd).expect(t, 0); strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("%s%s", r.stdout, r.stderr)
		}
	}
}

func TestTheFormatOfReadIsNoChoice(t *testing.T) {
	t.Parallel()
	if help := execute(t, program(t, "read", "--help")).expect(t, 0).stdout; strings.Contains(help, "--format") {
		t.Errorf("it offers one:\n%s", help)
	}
	execute(t, program(t, "read", "--format", "json", captures+"chaos.pcap")).expect(t, 0)
}
