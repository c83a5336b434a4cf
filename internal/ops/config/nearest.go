// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// nearest returns the key or section that a user may have meant by name in a section, or nothing:
// one that is at most a third different. A key may be meant by its flag as well. Between equals,
// the same section wins.
func (l *loader) nearest(section, name string) string {
	name = plainWord(name)
	limit := max(1, len(name)/3)
	best, least := "", 2*limit+2
	try := func(key, form string, elsewhere int) {
		d := distance(name, plainWord(form))
		if cost := 2*d + elsewhere; d <= limit && cost < least {
			best, least = key, cost
		}
	}
	for _, o := range l.options {
		in, last := split(o.key)
		elsewhere := 0
		if in != section {
			elsewhere = 1
		}
		try(o.key, last, elsewhere)
		try(o.key, o.key, elsewhere)
		try(o.key, o.flag, elsewhere)
	}
	for _, s := range slices.Sorted(maps.Keys(sections)) {
		try(s, s, 0)
	}
	return best
}

// Hint says what somebody may have meant by a flag that fs does not have: another flag of fs, or, if
// fs has --config, a key that has no flag. It is empty when nothing is near.
func Hint(fs *pflag.FlagSet, name string) string {
	best, least := "", max(1, len(name)/3)+1
	fs.VisitAll(func(f *pflag.Flag) {
		if d := distance(name, f.Name); d < least {
			best, least = f.Name, d
		}
	})
	scratch := Default()
	l := loader{options: options(&scratch)}
	if slices.ContainsFunc(l.options, func(o option) bool { return o.flag == name }) {
		return "" // it is one, and not for this command
	}
	if o, ok := l.option(l.nearest("", name)); ok && best == "" && fs.Lookup(fileFlag) != nil {
		if o.flag == "" {
			return o.key + " has no flag: set it in the file (--config), or as " + o.env()
		}
		if fs.Lookup(o.flag) != nil {
			best = o.flag
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean --" + best + "?"
}

// plainWord returns s as the keys are written, whatever it stood between.
func plainWord(s string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(s))
}

// distance returns how many letters must be put in, left out or changed to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the letters of a so far to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
