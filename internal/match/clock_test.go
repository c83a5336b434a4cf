// SPDX-License-Identifier: Apache-2.0

package match

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTimeThatJumps gives messages with times of all kinds, and turns.
func TestTimeThatJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	turn := func(r *rig, at time.Duration) { r.Turn(int64(at)) }
	tests := []struct {
		name string
		do   func(r *rig)
		want []string
	}{
		{"a clock that is set back between query and response", func(r *rig) {
			r.take(msg{at: year}, msg{response: true})
		}, []string{"transaction q0:a.example r0:a.example 0s reversed"}},
		{"a file that is older than the one before", func(r *rig) {
			r.take(msg{at: year}, msg{id: 1}, msg{id: 1, at: ms, response: true}, msg{id: 2, at: 6 * second})
		}, []string{"transaction q1:a.example r1:a.example 1ms", "unanswered q0:a.example",
			"query q2:a.example unpaired=end"}},
		{"a little back is reordering, not a new time", func(r *rig) {
			r.take(msg{at: 4 * second}, msg{id: 1}, msg{id: 2, at: 9*second - 1},
				msg{id: 1, at: 9*second - 1, response: true}, msg{id: 3, at: 9 * second})
		}, []string{"transaction q1:a.example r1:a.example 8.999999999s", "unanswered q0:a.example",
			"query q2:a.example unpaired=end", "query q3:a.example unpaired=end"}},
		{"one packet with an absurd time ends only what waits", func(r *rig) {
			r.take(msg{}, msg{id: 1, at: math.MaxInt64}, msg{id: 2, at: second},
				msg{id: 2, at: 2 * second, response: true}, msg{id: 1, at: 2 * second, response: true})
		}, []string{"unanswered q0:a.example", "transaction q2:a.example r2:a.example 1s",
			"transaction q1:a.example r1:a.example 0s reversed"}},
		{"one packet without a time ends nothing", func(r *rig) {
			r.take(msg{at: year}, msg{id: 1, at: 1}, msg{at: year + second, response: true},
				msg{id: 2, at: year + 5*second - 1}, msg{id: 1, at: year + 5*second - 1, response: true})
		}, []string{"transaction q0:a.example r0:a.example 1s",
			"transaction q1:a.example r1:a.example 8760h0m4.999999998s",
			"query q2:a.example unpaired=end"}},
		{"two clocks that take turns run at the pace of one", func(r *rig) {
			for at := time.Duration(0); at < 5*second; at += second {
				r.take(msg{id: 100, at: year + at}, msg{id: uint16(at / second), at: at + second/2})
			}
			r.take(msg{id: 100, at: year + 5*second - 1, response: true},
				msg{id: 0, at: 5*second + second/2 - 1, response: true}, msg{id: 9, at: 7 * second})
		}, []string{"transaction q100:a.example r100:a.example 4.999999999s retransmits=4",
			"transaction q0:a.example r0:a.example 4.999999999s",
			"unanswered q1:a.example", "query q2:a.example unpaired=end",
			"query q3:a.example unpaired=end", "query q4:a.example unpaired=end",
			"query q9:a.example unpaired=end"}},
		{"a clock that stood still while the other ran goes on at once", func(r *rig) {
			r.take(msg{at: year})
			for at := time.Duration(0); at < 100*second; at += second {
				r.take(msg{id: 1, at: at, response: true})
			}
			r.take(msg{id: 2, at: year + second}, msg{id: 3, at: year + 6*second})
			r.got = r.got[len(r.got)-1:]
		}, []string{"unanswered q2:a.example", "query q3:a.example unpaired=end"}},
		{"a third clock takes the place of the one before", func(r *rig) {
			r.take(msg{at: 2 * year}, msg{id: 1, at: year}, msg{id: 2}, msg{id: 3, at: year + second},
				msg{id: 4, at: second}, msg{id: 2, at: 2 * second, response: true},
				msg{id: 5, at: 2*year + ms})
		}, []string{"transaction q2:a.example r2:a.example 2s", "unanswered q0:a.example",
			"unanswered q1:a.example", "unanswered q3:a.example", "unanswered q4:a.example",
			"query q5:a.example unpaired=end"}},
		{"times at both ends of their range", func(r *rig) {
			r.take(msg{at: math.MinInt64}, msg{at: math.MaxInt64, id: 1}, msg{at: math.MinInt64, id: 2})
		}, []string{"query q0:a.example unpaired=end", "query q1:a.example unpaired=end",
			"query q2:a.example unpaired=end"}},
		{"a quiet link: turns alone bring the timeout", func(r *rig) {
			r.take(msg{at: year})
			for at := 7 * second; at < 12*second; at += second {
				turn(r, at)
			}
			if len(r.got) != 0 {
				r.t.Errorf("after 4 s: %q", r.got)
			}
			turn(r, 12*second)
			r.take(msg{at: year + 5*second, response: true})
		}, []string{"unanswered q0:a.example", "response r0:a.example"}},
		{"what turns have brought is not counted again", func(r *rig) {
			r.take(msg{})
			for at := time.Duration(1); at < 4*second; at += second {
				turn(r, at)
			}
			r.take(msg{at: 3 * second, id: 1}, msg{at: 5*second - 1, response: true})
		}, []string{"transaction q0:a.example r0:a.example 4.999999999s",
			"query q1:a.example unpaired=end"}},
		{"a process that stood still is not idle time", func(r *rig) {
			r.take(msg{})
			turn(r, 1)
			turn(r, year)
			r.take(msg{at: 2 * second, response: true})
		}, []string{"transaction q0:a.example r0:a.example 2s"}},
		{"a wall clock that is set back", func(r *rig) {
			r.take(msg{})
			turn(r, year)
			turn(r, 1)
			turn(r, 2)
			r.take(msg{at: 5*second - 1, response: true})
		}, []string{"transaction q0:a.example r0:a.example 4.999999999s"}},
		{"a response that waits for its query leaves on a quiet link", func(r *rig) {
			r.take(msg{response: true})
			turn(r, 1)
			turn(r, 3*ms)
			if len(r.got) != 1 {
				r.t.Errorf("after 3 ms: %q", r.got)
			}
		}, []string{"response r0:a.example"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, DefaultConfig())
			test.do(r)
			if diff := cmp.Diff(test.want, r.end()); diff != "" {
				t.Errorf("transactions (-want +got):\n%s", diff)
			}
		})
	}
}
