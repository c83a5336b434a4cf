// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
)

// scattered returns a spool in which every frame was handed out and all but a few, here and there,
// are settled, and the names of those, with one that waits behind them.
func scattered(t *testing.T) (r *rig, kept []string, refs []deliver.Ref) {
	r = opened(t, small())
	for range 200 { // over several segments
		r.spill(1, 1000)
	}
	for i := range 200 {
		ref, name := r.next()
		if i%41 == 7 {
			kept, refs = append(kept, name), append(refs, ref)
			continue
		}
		r.s.Settle(ref)
	}
	kept = append(kept, r.spill(1, 1000))
	pass(2 * time.Second) // the cursor is saved
	return r, kept, refs
}

func TestOfFramesBehindTheReaderThoseAloneThatAreNotSettledComeAgain(t *testing.T) {
	for name, again := range map[string]func(*rig){
		"after a kill": (*rig).kill,
		"after a clean end": func(r *rig) {
			r.close()
			r.open()
		},
		"after two": func(r *rig) {
			r.kill()
			pass(2 * time.Second)
			r.kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				r, kept, _ := scattered(t)
				again(r)
				equal(t, "recovered", uint64(len(kept)), r.s.Stats().Recovered)
				equal(t, "waiting", uint64(len(kept)), r.s.Stats().Records)
				left := uint64(0)
				if err := spool.Inspect(r.disk, spool.Visitor{Segment: func(s spool.Segment) error {
					left += s.Records - s.SettledRecords
					return nil
				}}); err != nil {
					t.Error(err)
				}
				equal(t, "not settled as inspected", uint64(len(kept)), left)
				equal(t, "handed out", kept, r.drain())
				pass(15 * time.Second)
				equal(t, "segments that are left", []string{}, r.disk.Segments())
				r.close()
			})
		})
	}
}

func TestWhenAKeptFrameIsNotThereAllComesAgainFromThereOn(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r, kept, refs := scattered(t)
		r.die(r.disk.Kill)
		data, _ := r.disk.Get(firstSegment)
		data[refs[0].Offset] ^= 1
		r.disk.Put(firstSegment, data)
		r.open()
		got := r.drain()
		for _, name := range kept[1:] {
			if !slices.Contains(got, name) {
				t.Errorf("%s did not come again", name)
			}
		}
		if st := r.s.Stats(); st.Corrupt.Records != 1 || len(got) < 40 {
			t.Errorf("%d came again, %d are corrupt", len(got), st.Corrupt.Records)
		}
		r.close()
	})
}

func TestACursorThatKeepsNonsenseIsDamaged(t *testing.T) {
	virtual(t, func(t *testing.T) {
		data, names := specimen(t, true)
		id := spool.ID(data)
		end := int64(len(data))
		for _, keeps := range [][]int64{{-1}, {end}, {end + 1}, {200, 100}, {0, 0}} {
			r := newRig(t, small())
			r.disk.Put(firstSegment, data)
			r.disk.Put("cursor", spool.FormatCursor(
				spool.Mark{Number: 1, ID: id, Offset: end, Kept: keeps}))
			r.open()
			equal(t, fmt.Sprint("handed out when these are kept: ", keeps), names, r.drain())
			r.close()
		}
	})
}
