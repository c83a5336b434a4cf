// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSegment(t *testing.T) {
	one := strings.Repeat("1", 12)
	two := strings.Repeat("2", 300)
	type message struct {
		Wire string
		Size int
	}
	for _, test := range []struct {
		name    string
		payload string
		flags   uint8
		beyond  int // bytes that the capture cut off the end
		want    []message
		verdict Verdict
	}{
		{name: "no data", verdict: Empty},
		{name: "a reset with a text", payload: "\x00\x0c" + one, flags: FlagRST, verdict: Empty},
		{name: "one message", payload: "\x00\x0c" + one, want: []message{{one, 12}}},
		{
			name:    "two messages",
			payload: "\x00\x0c" + one + "\x01\x2c" + two,
			want:    []message{{one, 12}, {two, 300}},
		},
		{name: "half a prefix", payload: "\x00", verdict: Partial},
		{name: "a prefix alone", payload: "\x00\x0c", verdict: Partial},
		{name: "a message without its last byte", payload: "\x00\x0c" + one[1:], verdict: Partial},
		{name: "a byte after the message", payload: "\x00\x0c" + one + "\x00", verdict: Partial},
		{
			name:    "a whole message and the start of the next",
			payload: "\x00\x0c" + one + "\x01\x2c" + two[1:],
			verdict: Partial,
		},
		{name: "a message too short for a header", payload: "\x00\x0b" + one[1:], verdict: Partial},
		{name: "an empty message", payload: "\x00\x00\x00\x0c" + one, verdict: Partial},
		{
			name: "the capture cut the only message", payload: "\x01\x2c222", beyond: 297,
			want: []message{{"222", 300}},
		},
		{
			name: "the capture cut all of the message", payload: "\x01\x2c", beyond: 300,
			want: []message{{"", 300}},
		},
		{
			name:    "the capture cut the last message",
			payload: "\x00\x0c" + one + "\x01\x2c222", beyond: 297,
			want: []message{{one, 12}, {"222", 300}},
		},
		{
			name: "the capture cut a message that is not the last", payload: "\x01\x2c222",
			beyond: 297 + 14, verdict: Partial,
		},
		{
			name: "the capture cut a prefix", payload: "\x00\x0c" + one + "\x00", beyond: 13,
			verdict: Partial,
		},
		{name: "the capture cut all data", beyond: 14, verdict: Partial},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []message
			var s Streams
			verdict := s.Segment(Flow{}, Segment{
				Flags:   test.flags,
				Payload: []byte(test.payload),
				Size:    len(test.payload) + test.beyond,
			}, func(wire []byte, size int) {
				got = append(got, message{string(wire), size})
			})
			if verdict != test.verdict {
				t.Errorf("verdict %d, want %d", verdict, test.verdict)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}
