// SPDX-License-Identifier: Apache-2.0

package tcpstream

import "testing"

// TestTheFirstSegmentIsNoBeginning has streams of which the capture began somewhere.
func TestTheFirstSegmentIsNoBeginning(t *testing.T) {
	// Two bytes into this one begins what could be a message of 40000 bytes: without questions, and
	// with records of which the first has a name that goes on behind it.
	reverse := "\x9c\x40\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" +
		"\x03192\x010\x012\x03192\x07in-addr\x04arpa\x00\x00\x0c\x00\x01"
	second := 1000 + uint32(len(reverse))
	run(t, []streamCase{
		{
			name: "a message of which the length was a segment of its own",
			steps: []step{
				{seq: 1000, data: reverse, want: Partial},
				{seq: second, data: framed(reverse)[:prefix], want: Held},
				{seq: second + prefix, data: reverse, want: OK},
			},
			want: whole(0, reverse),
			end:  settledAs(1, OK),
		},
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
			name: "swapped with the one before it",
			steps: []step{
				{seq: 1021, data: framed(b), want: OK},
				{seq: 1000, data: framed(a), want: OK},
				{seq: 1000, data: framed(a), want: Duplicate},
				{seq: uint32(1000 + ab), data: framed(c), want: OK},
				{seq: 1021, data: framed(b), want: Duplicate},
				{seq: 979, data: framed(a), want: OK},
			},
			want: whole(0, b, a, c, a),
		},
		{
			name: "swapped with one that is no message, or is not the one before it",
			steps: []step{
				{seq: 1021, data: framed(a), want: OK},
				{seq: 1000, data: garbage(21), want: Duplicate},
				{seq: 999, data: framed(a), want: Duplicate},
				{seq: 721, data: framed(b)[2:], want: Duplicate},
			},
			want: whole(0, a),
		},
		{
			name: "sent again after the SYN was seen",
			steps: opened(
				step{seq: 1000, data: framed(a), want: OK},
				step{seq: 979, data: framed(a), want: Duplicate}),
			want: whole(0, a),
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
