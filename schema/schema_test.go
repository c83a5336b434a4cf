// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheTablesKeepTheirRules(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	var check func(within string, fields []Field)
	check = func(within string, fields []Field) {
		seen := map[string]bool{}
		for i, f := range fields {
			what := within + f.Name
			switch {
			case !name.MatchString(f.Name):
				t.Errorf("%s is no name for a field", what)
			case seen[f.Name]:
				t.Errorf("%s is there twice", what)
			case f.Doc == "" || strings.Contains(f.Doc, "\n") || strings.HasSuffix(f.Doc, "."):
				t.Errorf("%s: its text is not one line without a full stop: %q", what, f.Doc)
			case (f.Type == Object || f.Type == Array) != (len(f.Of) > 0):
				t.Errorf("%s: %s with %d fields", what, f.Type, len(f.Of))
			case i == 0 && f.Presence != Always:
				t.Errorf("%s: the first key has no comma before it, so it must always be there", what)
			}
			seen[f.Name] = true
			check(what+".", f.Of)
		}
	}
	check("", Fields())
}

func TestFieldsAreThoseOfTheGroupsInOrder(t *testing.T) {
	n := 0
	all := Fields()
	for _, g := range Groups {
		for _, f := range g.Fields {
			if n >= len(all) || all[n].Name != f.Name {
				t.Fatalf("%s is not field %d", f.Name, n)
			}
			n++
		}
	}
	if n != len(all) {
		t.Errorf("%d fields, %d in groups", len(all), n)
	}
}

// TestNumbersAreForGood holds the table against a list that is only ever added to, by hand: what
// was written with a number must be read as the same field for ever.
func TestNumbersAreForGood(t *testing.T) {
	file, err := os.ReadFile("testdata/numbers.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(file)) {
		if !strings.HasPrefix(line, "#") {
			listed[strings.TrimSpace(line)] = true
		}
	}
	var check func(within string, fields []Field)
	check = func(within string, fields []Field) {
		taken := map[int]string{}
		for _, f := range fields {
			line := fmt.Sprintf("%s%s %d", within, f.Name, f.Number)
			if !listed[line] {
				t.Errorf("%s is not in numbers.txt: a new field goes to its end", line)
			}
			delete(listed, line)
			// The bounds and the gap are those of the language (protobuf.dev, proto3, numbers).
			if other, again := taken[f.Number]; again || f.Number < 1 || f.Number > 18999 {
				t.Errorf("%s: the number is that of %q, or cannot be", line, other)
			}
			taken[f.Number] = f.Name
			check(within+f.Name+".", f.Of)
		}
	}
	check("", Fields())
	for line := range listed {
		t.Errorf("%s has gone, or has another number: a field that is no longer written stays, "+
			"as Reserved", line)
	}
}
