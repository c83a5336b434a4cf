// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// Somebody empties the directory of a spool in use. What was open can be read on; what is left at the
// end does not wait for the next start, and must not be said to.
func TestWhatWasInFilesThatAreGoneDoesNotWaitForTheNextStart(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 250 {
			r.spill(2, 800)
		}
		r.append(2, 800) // and held
		ref, _ := r.next()
		r.s.Settle(ref)
		for _, name := range r.disk.Names() {
			if name == "cursor" {
				continue
			}
			if err := r.disk.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		err := r.s.Close()
		if err == nil || !strings.Contains(err.Error(), "500 records that waited on disk are lost") {
			t.Errorf("Close: %v", err)
		}
		st := r.s.Stats()
		equal(t, "kept", 0, st.Records)
		equal(t, "lost", 500, st.Dropped[deliver.SpoolCorrupt])
		balanced(t, r.s)
		r.open()
		equal(t, "recovered", 0, r.s.Stats().Records)
	})
}
