// SPDX-License-Identifier: Apache-2.0

package tcpstream

import "testing"

func TestResets(t *testing.T) {
	half := step{seq: 1000, data: framed(b)[:100], want: Held}
	rest := step{seq: 1100, data: framed(b)[100:], want: OK}
	reply := step{seq: 5000, data: framed(b)[:100], server: true, want: Held}
	run(t, []streamCase{
		{
			name:  "in the window, but not at the next byte",
			steps: opened(half, step{seq: 801_000, flags: rst, want: Empty}, rest),
			want:  whole(0, b),
			end:   settledAs(1, OK),
		},
		{
			name:  "one byte too far",
			steps: opened(half, step{seq: 1101, flags: rst, want: Empty}, rest),
			want:  whole(0, b),
			end:   settledAs(1, OK),
		},
		{
			name:  "at a byte that was there before",
			steps: opened(half, step{seq: 1000, flags: rst, want: Empty}, rest),
			want:  whole(0, b),
			end:   settledAs(1, OK),
		},
		{
			name: "in a gap",
			steps: opened(step{seq: 1100, data: abc[100:], want: Held},
				step{seq: 1050, flags: rst, want: Empty},
				step{seq: 1000, data: abc[:100], want: OK}),
			want: whole(0, a, b, c),
			end:  settledAs(1, OK),
		},
		{
			name: "that nobody believes leaves the other side alone",
			steps: opened(half, reply, step{seq: 4000, flags: rst, server: true, want: Empty}, rest,
				step{seq: 5100, data: framed(b)[100:], server: true, want: OK}),
			want: []emitted{{Wire: b, Port: 1000}, {Wire: b, Port: 53}},
			end:  settledAs(2, OK),
		},
		{
			name: "at the next byte ends both sides",
			steps: opened(half, reply, step{seq: 5100, flags: rst, server: true, want: Empty},
				step{seq: 1100, data: framed(b)[100:], want: Rest}),
			end: settledAs(2, Closed),
		},
		{
			name: "behind a FIN, which has a number of its own",
			steps: opened(reply, step{seq: 1000, flags: fin, want: Empty},
				step{seq: 1001, flags: rst, want: Empty}),
			end: settledAs(1, Closed),
		},
	})
}
