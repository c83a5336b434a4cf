// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"reflect"
	"testing"
)

// TestEachCounterIsAddedUp gives each counter a number of its own: one that is left out, or added to
// another, makes no line of the ledger wrong until it counts something in several lanes.
func TestEachCounterIsAddedUp(t *testing.T) {
	lane := func(factor uint64) (t tally) {
		n := uint64(0)
		next := func() uint64 { n++; return n * factor }
		for _, counters := range []any{&t.capture, &t.decode, &t.match, &t.records} {
			number(reflect.ValueOf(counters).Elem(), next)
		}
		return t
	}
	sum := lane(1)
	sum.add(lane(10))
	if want := lane(11); sum != want {
		t.Errorf("got  %+v\nwant %+v", sum, want)
	}
}

// number sets all numbers in v.
func number(v reflect.Value, next func() uint64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			number(v.Field(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			number(v.Index(i), next)
		}
	default:
		v.SetUint(next())
	}
}
