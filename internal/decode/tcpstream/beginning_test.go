// SPDX-License-Identifier: Apache-2.0

package tcpstream

import "testing"

// TestTheFirstSegmentIsNoBeginning has streams of which the capture began somewhere.
func TestTheFirstSegmentIsNoBeginning(t *testing.T) {
	run(t, []streamCase{
		{
			name: "a keep-alive, whose byte is none",
			steps: []step{
				{seq: 999, data: "\x00", want: Held},
				{seq: 1000, data: framed(a), want: OK},
				{seq: 1021, data: framed(b), want: OK},
			},
			want: whole(0, a, b),
			end:  settledAs(1, Partial),
		},
		{
			name: "a keep-alive before a message in two segments",
			steps: []step{
				{seq: 999, data: "\x00", want: Held},
				{seq: 1000, data: framed(b)[:100], want: Held},
				{seq: 1100, data: framed(b)[100:], want: OK},
			},
			want: whole(0, b),
			end:  func() (n [NumVerdicts]uint64) { n[Partial], n[OK] = 1, 1; return n }(),
		},
		{
			name: "the first byte of a message",
			steps: []step{
				{seq: 1000, data: framed(b)[:1], want: Held},
				{seq: 1001, data: framed(b)[1:], want: OK},
			},
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
	})
}
