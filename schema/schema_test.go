// SPDX-License-Identifier: Apache-2.0

package schema

import (
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
