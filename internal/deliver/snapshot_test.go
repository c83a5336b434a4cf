// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// restless is a producer that is told of something new between the first looks at it.
type restless struct {
	Producer
	looks, news int
}

// Reach implements Reacher.
func (r *restless) Reach() Reach {
	r.looks++
	return Reach{Topic: "t", Ends: []End{{Partition: 0, Offset: int64(min(r.looks, r.news))}}}
}

func TestASnapshotIsOfOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		in := r.d.LiveIntake()
		r.run()
		r.put(in, 5)
		for _, c := range []struct {
			news int
			want Reach
		}{
			{1, Reach{Topic: "t", Ends: []End{{Offset: 1}}}},
			{5, Reach{Topic: "t", Ends: []End{{Offset: 5}}}}, // it looks again
			{1000, Reach{}}, // and gives up
		} {
			r.d.mu.Lock()
			own := r.d.producer
			r.d.producer = &restless{own, 0, c.news}
			r.d.mu.Unlock()
			s := r.d.Snapshot([]*Intake{in})
			r.d.mu.Lock()
			r.d.producer = own
			r.d.mu.Unlock()
			if diff := cmp.Diff(c.want, s.Reach); diff != "" {
				t.Errorf("news %d: %s", c.news, diff)
			}
			if s.In != 5 || len(s.Accounts) != 1 || s.Accounts[0] != (Account{Records: 5}) {
				t.Errorf("%+v", s)
			}
		}
		r.finish(in)
	})
}
