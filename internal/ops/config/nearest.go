// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
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
