// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"fmt"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// putAside has the spool hand out so many frames and sets them aside, and returns their names.
func (r *rig) putAside(n int) (names []string) {
	r.t.Helper()
	for range n {
		ref, name := r.next()
		r.s.SetAside(ref)
		names = append(names, name)
	}
	return names
}

func TestWhatIsSetAsideComesFirstWhenItIsRecalled(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 4 {
			r.spill(2, 500)
		}
		names := r.putAside(3)
		ref, name := r.next()
		names = append(names, name)
		r.s.Release(ref)
		equal(t, "handed out beside it", names[3:], r.drain())
		equal(t, "on disk", 6, r.s.Stats().Records)
		later := r.spill(1, 500)
		r.s.Recall()
		ref, name = r.next()
		if name != names[0] || !ref.Again || ref.Recovered {
			t.Errorf("%s came, %+v", name, ref)
		}
		r.s.Settle(ref)
		equal(t, "then", []string{names[1], names[2], later}, r.drain())
		r.close()
	})
}

func TestWhatIsSetAsideSurvivesTheProcess(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 5 {
			r.spill(1, 500)
		}
		names := r.putAside(2)
		r.drain()
		r.close()
		r.open()
		equal(t, "after a new start", names, r.drain())
		r.close()
	})
}

func TestWhatIsSetAsideIsLostWithItsSegment(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(3, 1000)
		ref, _ := r.next()
		r.s.SetAside(ref)
		for range 2500 {
			r.spill(1, 1000)
		}
		before := r.s.Stats()
		equal(t, "set aside when its segment is gone", 0, before.Aside)
		r.s.Recall()
		equal(t, "lost by the recall", before, r.s.Stats())
		balanced(t, r.s)
		r.close()
	})
}

// rest has a new process hand out a frame of the one before, and writes what is left of it, so many
// records, to a segment of its own.
func (r *rig) rest(records int) (deliver.Ref, string) {
	r.t.Helper()
	r.close()
	r.open()
	of, _ := r.next()
	b, name := r.batch(records, 600)
	ref, err := r.s.AppendRest(of, b)
	if err != nil {
		r.t.Fatal(err)
	}
	r.pool.Put(b)
	r.s.Settle(of)
	r.s.Release(ref)
	return ref, name
}

// TestTheRestOfAFrameOfAnEarlierRunStaysThatOfAnEarlierRun releases it ahead of the reader, where the
// segment is of this run.
func TestTheRestOfAFrameOfAnEarlierRunStaysThatOfAnEarlierRun(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(3, 1000)
		waits := r.spill(1, 1000)
		_, rest := r.rest(2)
		ref, name := r.next()
		if name != rest || !ref.Recovered || ref.Again {
			t.Errorf("%s came, %+v", name, ref)
		}
		r.s.Settle(ref)
		equal(t, "then", []string{waits}, r.drain())
		r.close()
	})
}

// TestTheRestOfAFrameOfAnEarlierRunIsLostAsThatOfAnEarlierRun damages it on disk: what this run appended
// is none of it.
func TestTheRestOfAFrameOfAnEarlierRunIsLostAsThatOfAnEarlierRun(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(3, 1000)
		ref, _ := r.rest(3)
		name := fmt.Sprintf("%020d.spool", ref.Segment)
		data, _ := r.disk.Get(name)
		data[len(data)-1] ^= 1
		r.disk.Put(name, data)
		equal(t, "handed out", nil, r.drain())
		st := r.s.Stats()
		equal(t, "lost", 3, st.Dropped[deliver.SpoolCorrupt])
		equal(t, "lost of this run", 0, st.OwnDropped[deliver.SpoolCorrupt])
		balanced(t, r.s)
		r.close()
	})
}
