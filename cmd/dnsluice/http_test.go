// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

func TestTheSpoolHasGauges(t *testing.T) {
	values := func(s *deliver.SpoolStatus) map[string]float64 {
		got := map[string]float64{}
		for _, g := range spoolGauges(s) {
			got[g.Name] = g.Value
		}
		return got
	}
	if got := values(nil); len(got) != 0 {
		t.Errorf("without a spool: %v", got)
	}
	want := map[string]float64{"spool_bytes": 1, "spool_max_bytes": 2, "spool_disk_free_bytes": 3,
		"spool_segments": 4, "spool_degraded": 0}
	s := deliver.SpoolStatus{Bytes: 1, MaxBytes: 2, Free: 3, Segments: 4}
	if diff := cmp.Diff(want, values(&s)); diff != "" {
		t.Errorf("an empty one (-want +got):\n%s", diff)
	}
	s.Oldest, s.FullIn, s.Error = time.Unix(7, 0), 60, "no space left on device"
	maps.Copy(want, map[string]float64{"spool_oldest_timestamp_seconds": 7, "spool_full_in_seconds": 60,
		"spool_degraded": 1})
	if diff := cmp.Diff(want, values(&s)); diff != "" {
		t.Errorf("one that fills on a disk that fails (-want +got):\n%s", diff)
	}
}
