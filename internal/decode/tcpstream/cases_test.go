// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	syn = FlagSYN
	fin = FlagFIN
	rst = FlagRST
	ms  = time.Millisecond
)

// streamCase is what one stream, or both of a connection, should give.
type streamCase struct {
	name  string
	steps []step
	want  []emitted
	end   [NumVerdicts]uint64 // what becomes of held packets when all is flushed; OK is Carried
}

var (
	a, b, c = message(1, 19), message(2, 300), message(3, 700)
	abc     = framed(a, b, c)
	ab      = len(framed(a, b))
)

// opened puts the SYN before the steps of a stream.
func opened(steps ...step) []step {
	return append([]step{{seq: 999, flags: syn, want: Empty}}, steps...)
}

// settledAs counts packets that were held, by what became of them.
func settledAs(n uint64, v Verdict) (end [NumVerdicts]uint64) {
	end[v] = n
	return end
}

func run(t *testing.T, tests []streamCase) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			for i, s := range test.steps {
				if v := w.segment(1000, s); v != s.want {
					t.Errorf("step %d: verdict %d, want %d", i, v, s.want)
				}
				w.consistent()
			}
			w.settled()
			if diff := cmp.Diff(w.got, test.want); diff != "" {
				t.Error(diff)
			}
			end := w.Stats().Dropped
			end[OK] = w.Stats().Carried
			if diff := cmp.Diff(end, test.end); diff != "" {
				t.Errorf("packets held: %s", diff)
			}
		})
	}
}

func TestSegmentation(t *testing.T) {
	var bytewise []step
	for i := range abc {
		s := step{seq: 1000 + uint32(i), data: abc[i : i+1], want: Held}
		if i == 20 || i == ab-1 || i == len(abc)-1 {
			s.want = OK
		}
		bytewise = append(bytewise, s)
	}
	run(t, []streamCase{
		{
			name:  "one message",
			steps: opened(step{seq: 1000, data: framed(a), want: OK}),
			want:  whole(0, a),
		},
		{
			name:  "several in a segment",
			steps: opened(step{seq: 1000, data: abc, want: OK}),
			want:  whole(0, a, b, c),
		},
		{
			name: "one over several segments",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1100, data: framed(b)[100:200], want: Held, at: ms},
				step{seq: 1200, data: framed(b)[200:], want: OK, at: 2 * ms}),
			want: whole(2*ms, b),
			end:  settledAs(2, OK),
		},
		{
			name: "a whole message and the beginning of the next",
			steps: opened(
				step{seq: 1000, data: abc[:100], want: OK},
				step{seq: 1100, data: abc[100:], want: OK, at: ms}),
			want: append(whole(0, a), whole(ms, b, c)...),
		},
		{
			name: "a split length",
			steps: opened(
				step{seq: 1000, data: abc[:1], want: Held},
				step{seq: 1001, data: abc[1:22], want: OK},
				step{seq: 1022, data: abc[22:], want: OK, at: ms}),
			want: append(whole(0, a), whole(ms, b, c)...),
			end:  settledAs(1, OK),
		},
		{
			name: "one byte at a time", steps: opened(bytewise...), want: whole(0, a, b, c),
			end: settledAs(uint64(len(abc)-3), OK),
		},
		{
			name: "the longest message",
			steps: opened(
				step{seq: 1000, data: framed(message(9, 65535))[:40000], want: Held},
				step{seq: 41000, data: framed(message(9, 65535))[40000:], want: OK}),
			want: whole(0, message(9, 65535)),
			end:  settledAs(1, OK),
		},
		{
			name:  "a malformed message is a message",
			steps: opened(step{seq: 1000, data: framed("0123456789ab"), want: OK}),
			want:  whole(0, "0123456789ab"),
		},
		{
			name: "a message too short for a header is one, and loses the edges until one is seen again",
			steps: opened(
				step{seq: 1000, data: framed(a) + "\x00\x0b" + garbage(40), want: OK},
				step{seq: 1063, data: garbage(40), want: Partial},
				step{seq: 1103, data: framed(b), want: OK}),
			want: whole(0, a, garbage(11), b),
		},
		{
			name:  "messages behind one that is too short",
			steps: opened(step{seq: 1000, data: framed("short", a, b), want: OK}),
			want:  whole(0, "short", a, b),
		},
		{
			name: "a message too short for a header in two segments",
			steps: opened(
				step{seq: 1000, data: framed("short")[:4], want: Held},
				step{seq: 1004, data: framed("short", a)[4:], want: OK}),
			want: whole(0, "short", a),
			end:  settledAs(1, OK),
		},
		{
			name: "a message of no bytes is passed over",
			steps: opened(
				step{seq: 1000, data: framed("", a), want: OK},
				step{seq: 1023, data: framed(""), want: Partial},
				step{seq: 1025, data: framed(a), want: OK}),
			want: whole(0, a, a),
		},
		{
			name: "a message of no bytes in two segments",
			steps: opened(
				step{seq: 1000, data: framed("")[:1], want: Held},
				step{seq: 1001, data: framed("", a)[1:], want: OK}),
			want: whole(0, a),
			end:  settledAs(1, Partial),
		},
		{
			name: "the sequence numbers wrap",
			steps: []step{
				{seq: 0xffffffff - 100, flags: syn, want: Empty},
				{seq: 0xffffffff - 99, data: abc[:90], want: OK},
				{seq: 10, data: abc[110:], want: Held},
				{seq: 0xffffffff - 9, data: abc[90:110], want: Held, at: ms},
			},
			want: append(whole(0, a), whole(ms, b, c)...),
			end:  settledAs(2, OK),
		},
	})
}

func TestRetransmission(t *testing.T) {
	// The second copy differs, to tell which bytes won.
	evil := framed(a, message(7, 300), c)
	run(t, []streamCase{
		{
			name: "of a segment that was read",
			steps: opened(
				step{seq: 1000, data: abc, want: OK},
				step{seq: 1000, data: abc, want: Duplicate}),
			want: whole(0, a, b, c),
		},
		{
			name: "of a segment that waits",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1000, data: framed(b)[:100], want: Duplicate},
				step{seq: 1100, data: framed(b)[100:], want: OK}),
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
		{
			name: "of a segment that is out of order",
			steps: opened(
				step{seq: 1100, data: abc[100:200], want: Held},
				step{seq: 1100, data: evil[100:200], want: Duplicate},
				step{seq: 1120, data: evil[120:140], want: Duplicate},
				step{seq: 1000, data: abc[:100], want: OK},
				step{seq: 1200, data: abc[200:], want: OK}),
			want: whole(0, a, b, c),
			end:  settledAs(1, OK),
		},
		{
			name: "of a part",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1050, data: framed(b)[50:80], want: Duplicate},
				step{seq: 1100, data: framed(b)[100:], want: OK}),
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
		{
			name: "with more behind it",
			steps: opened(
				step{seq: 1000, data: abc[:100], want: OK},
				step{seq: 1000, data: evil[:150] + abc[150:], want: OK}),
			want: whole(0, a, abc[23:100]+evil[100:150]+abc[150:ab], c),
		},
		{
			name: "around a segment that is out of order: its bytes came first",
			steps: opened(
				step{seq: 1050, data: abc[50:100], want: Held},
				step{seq: 1000, data: evil[:200], want: OK},
				step{seq: 1200, data: abc[200:], want: OK}),
			want: whole(0, a, evil[23:50]+abc[50:100]+evil[100:200]+abc[200:ab], c),
			end:  settledAs(1, OK),
		},
		{
			name: "around several that are out of order",
			steps: opened(
				step{seq: 1050, data: abc[50:60], want: Held},
				step{seq: 1070, data: abc[70:80], want: Held},
				step{seq: 1040, data: evil[40:90], want: Held},
				step{seq: 1000, data: abc[:40], want: OK},
				step{seq: 1090, data: abc[90:], want: OK}),
			want: whole(0, a, abc[23:40]+evil[40:50]+abc[50:60]+evil[60:70]+abc[70:80]+
				evil[80:90]+abc[90:ab], c),
			end: settledAs(3, OK),
		},
		{
			name: "a keep-alive, with a byte and without",
			steps: opened(
				step{seq: 1000, data: framed(a), want: OK},
				step{seq: 1020, data: "\x00", want: Duplicate},
				step{seq: 1020, want: Empty},
				step{seq: 1021, data: framed(b), want: OK}),
			want: whole(0, a, b),
		},
		{
			name: "a window probe, and the segment that it was the beginning of",
			steps: opened(
				step{seq: 1000, data: abc[:1], want: Held},
				step{seq: 1000, data: abc[:1], want: Duplicate},
				step{seq: 1000, data: abc, want: OK}),
			want: whole(0, a, b, c),
			end:  settledAs(1, OK),
		},
	})
}

func TestOrderAndGaps(t *testing.T) {
	late := 3 * time.Second
	run(t, []streamCase{
		{
			name: "swapped segments",
			steps: opened(
				step{seq: 1021, data: abc[21:], want: Held},
				step{seq: 1000, data: abc[:21], want: OK, at: ms}),
			want: whole(ms, a, b, c),
			end:  settledAs(1, OK),
		},
		{
			name: "three in reverse order",
			steps: opened(
				step{seq: 1200, data: abc[200:], want: Held},
				step{seq: 1100, data: abc[100:200], want: Held},
				step{seq: 1000, data: abc[:100], want: OK}),
			want: whole(0, a, b, c),
			end:  settledAs(2, OK),
		},
		{
			name: "a message before the gap is not kept waiting",
			steps: opened(
				step{seq: 1000, data: framed(a), want: OK},
				step{seq: uint32(1000 + ab), data: framed(c), want: Held, at: ms},
				step{seq: 1021, data: framed(b), want: OK, at: 2 * ms}),
			want: append(whole(0, a), whole(2*ms, b, c)...),
			end:  settledAs(1, OK),
		},
		{
			name: "a lost segment: what comes next is a message, and has its own time",
			steps: opened(
				step{seq: 1000, data: framed(a), want: OK},
				step{seq: uint32(1000 + ab), data: framed(c), want: Held, at: ms},
				step{seq: uint32(1000 + len(abc)), data: framed(a), want: OK, at: late}),
			want: append(append(whole(0, a), whole(ms, c)...), whole(late, a)...),
			end:  settledAs(1, OK),
		},
		{
			name: "a lost segment in the middle of a message: the next is where its length says",
			steps: opened(
				step{seq: 1000, data: abc[:100], want: OK},
				step{seq: 1200, data: abc[200:], want: Held, at: ms}),
			want: append(whole(0, a), whole(ms, c)...),
			end:  settledAs(1, OK),
		},
		{
			name: "a lost segment with an edge in it: the next is found inside of a segment",
			steps: opened(
				step{seq: 1000, data: framed(a), want: OK},
				step{seq: 1100, data: abc[100:], want: Held, at: ms}),
			want: append(whole(0, a), whole(ms, c)...),
			end:  settledAs(1, OK),
		},
		{
			name: "the beginning of a message before a gap is dropped",
			steps: opened(
				step{seq: 1000, data: framed(b)[:50], want: Held},
				step{seq: 1100, data: framed(b)[100:], want: Held, at: ms},
				step{seq: 1302, data: framed(a), want: OK, at: late}),
			want: whole(late, a),
			end:  [NumVerdicts]uint64{Gap: 1, Rest: 1},
		},
		{
			name: "bytes that came too late",
			steps: opened(
				step{seq: uint32(1000 + ab), data: framed(c), want: Held},
				step{seq: 1000, data: abc[:ab], want: Duplicate, at: late}),
			want: whole(0, c),
			end:  settledAs(1, OK),
		},
		{
			name: "nothing behind the gap begins a message",
			steps: opened(
				step{seq: 1100, data: garbage(100), want: Held},
				step{seq: 1300, data: garbage(100), want: Held},
				step{seq: 1400, data: framed(a), want: Held, at: late},
			),
			want: whole(late, a),
			end:  [NumVerdicts]uint64{OK: 1, Gap: 2},
		},
		{
			name: "so far ahead that it cannot be of this stream, unless it begins a message",
			steps: opened(
				step{seq: 1000, data: framed(a), want: OK},
				step{seq: 5 << 20, data: garbage(100), want: Gap},
				step{seq: 1021, data: framed(a), want: OK},
				step{seq: 5 << 20, data: framed(b), want: OK},
				step{seq: 5<<20 + 302, data: framed(c), want: OK}),
			want: whole(0, a, a, b, c),
		},
	})
}

func TestBeginningsAndEnds(t *testing.T) {
	run(t, []streamCase{
		{
			name: "no SYN: a message begins the stream",
			steps: []step{
				{seq: 1000, data: abc[:100], want: OK},
				{seq: 1100, data: abc[100:], want: OK},
			},
			want: whole(0, a, b, c),
		},
		{
			name:  "no SYN: a malformed message that is all of the segment",
			steps: []step{{seq: 1000, data: framed("\x00\x01\x01\x00\x00\x01rubbish"), want: OK}},
			want:  whole(0, "\x00\x01\x01\x00\x00\x01rubbish"),
		},
		{
			name:  "no SYN: a segment that only its length makes a message",
			steps: []step{{seq: 1000, data: framed("\x00\x01\x01\x00rubbish!"), want: Partial}},
		},
		{
			name: "no SYN: in the middle of a message",
			steps: []step{
				{seq: 1000, data: abc[200:250], want: Partial},
				{seq: 1050, data: abc[250:], want: OK},
			},
			want: whole(0, c),
		},
		{
			name: "no SYN: one byte at a time",
			steps: []step{
				{seq: 1000, data: framed(a)[:1], want: Held},
				{seq: 1001, data: framed(a)[1:2], want: Held},
				{seq: 1002, data: framed(a)[2:20], want: Held},
				{seq: 1020, data: framed(a)[20:], want: OK},
			},
			want: whole(0, a),
			end:  settledAs(3, OK),
		},
		{
			name: "no SYN, and no DNS",
			steps: []step{
				{seq: 1000, data: garbage(200), want: Partial},
				{seq: 1200, data: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + garbage(200),
					want: Partial},
				{seq: 1500, data: "\x01", want: Held},
				{seq: 1501, data: "\x02" + garbage(100), want: Partial},
			},
			end: settledAs(1, Partial),
		},
		{
			name: "data in the SYN",
			steps: []step{
				{seq: 999, data: framed(a), flags: syn, want: OK},
				{seq: 1000, data: framed(a), want: Duplicate},
				{seq: 1021, data: framed(b), want: OK},
			},
			want: whole(0, a, b),
		},
		{
			name: "a SYN sent again, before data and after",
			steps: opened(
				step{seq: 999, flags: syn, want: Empty},
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 999, flags: syn, want: Empty},
				step{seq: 1100, data: framed(b)[100:], want: OK}),
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
		{
			name: "a SYN captured behind its data",
			steps: []step{
				{seq: 1000, data: framed(b)[:100], want: Held},
				{seq: 999, flags: syn, want: Empty},
				{seq: 1100, data: framed(b)[100:], want: OK},
			},
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
		{
			name: "the ports used again",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1050, flags: syn, want: Empty},
				step{seq: 1051, data: framed(a), want: OK},
				step{seq: 1 << 30, flags: syn, want: Empty},
				step{seq: 1<<30 + 1, data: framed(a), want: OK}),
			want: whole(0, a, a),
			end:  settledAs(1, Closed),
		},
		{
			name: "FIN with the last byte, and then it is sent again",
			steps: opened(
				step{seq: 1000, data: framed(a), flags: fin, want: OK},
				step{seq: 1000, data: framed(a), flags: fin, want: Duplicate},
				step{seq: 1022, want: Empty}),
			want: whole(0, a),
		},
		{
			name: "FIN in the middle of a message",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1100, flags: fin, want: Empty}),
			end: settledAs(1, Closed),
		},
		{
			name: "FIN before the bytes that it ends",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1302, flags: fin, want: Empty},
				step{seq: 1100, data: framed(b)[100:], want: OK}),
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
		{
			name: "RST in the middle of a message, with a text",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1100, data: framed(a), flags: rst, want: Empty}),
			end: settledAs(1, Closed),
		},
		{
			name: "RST from the other side",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 77, flags: rst, server: true, want: Empty}),
			end: settledAs(1, Closed),
		},
		{
			name: "RST that no receiver would believe",
			steps: opened(
				step{seq: 1000, data: framed(b)[:100], want: Held},
				step{seq: 1 << 30, flags: rst, want: Empty},
				step{seq: 1100, data: framed(b)[100:], want: OK}),
			want: whole(0, b),
			end:  settledAs(1, OK),
		},
		{
			name: "RST behind a gap: what came is read",
			steps: opened(
				step{seq: uint32(1000 + ab), data: framed(c), want: Held},
				step{seq: uint32(1000 + len(abc)), flags: rst, want: Empty, at: ms}),
			want: whole(0, c),
			end:  settledAs(1, OK),
		},
		{
			name: "both directions know nothing of each other",
			steps: []step{
				{seq: 1000, data: framed(b)[:100], want: Held},
				{seq: 1000, data: framed(b)[:100], server: true, want: Held},
				{seq: 1100, data: framed(b)[100:], server: true, want: OK},
				{seq: 1100, data: framed(b)[100:], want: OK},
			},
			want: []emitted{{Wire: b, Port: 53}, {Wire: b, Port: 1000}},
			end:  settledAs(2, OK),
		},
	})
}

func TestSnapshotLength(t *testing.T) {
	cut := func(wire string, size int) []emitted {
		return []emitted{{Wire: wire, Size: size, Port: 1000}}
	}
	for _, start := range []struct {
		name  string
		steps []step
	}{{"with a SYN", opened()}, {"without", nil}} {
		then := func(steps ...step) []step { return append(slices.Clip(start.steps), steps...) }
		t.Run(start.name, func(t *testing.T) {
			run(t, []streamCase{
				{
					name:  "the only message",
					steps: then(step{seq: 1000, data: framed(b)[:50], beyond: 252, want: OK}),
					want:  cut(b[:48], 300),
				},
				{
					name:  "all of the message",
					steps: then(step{seq: 1000, data: framed(b)[:2], beyond: 300, want: OK}),
					want:  cut("", 300),
				},
				{
					name: "the last of two",
					steps: then(step{seq: 1000, data: abc[:50], beyond: ab - 50, want: OK},
						step{seq: uint32(1000 + ab), data: framed(c), want: OK}),
					want: append(append(whole(0, a), cut(abc[23:50], 300)...), whole(0, c)...),
				},
			})
		})
	}
	run(t, []streamCase{
		{
			name: "a message that goes on in the next segment",
			steps: opened(
				step{seq: 1000, data: framed(c)[:50], beyond: 350, want: OK},
				step{seq: 1400, data: framed(c)[400:450], beyond: 252, want: Rest},
				step{seq: 1702, data: framed(a), want: OK}),
			want: append(cut(c[:48], 700), whole(0, a)...),
		},
		{
			name: "the end of a message that began in the segment before",
			steps: opened(
				step{seq: 1000, data: framed(c)[:400], want: Held},
				step{seq: 1400, data: framed(c)[400:450], beyond: 252, want: OK},
				step{seq: 1702, data: framed(a), want: OK}),
			want: append(cut(c[:448], 700), whole(0, a)...),
			end:  settledAs(1, OK),
		},
		{
			name: "a length",
			steps: opened(
				step{seq: 1000, data: abc[:22], beyond: len(abc) - 22, want: OK},
				step{seq: uint32(1000 + len(abc)), data: framed(b), want: OK}),
			want: whole(0, a, b),
		},
		{
			name: "all of the segment",
			steps: opened(
				step{seq: 1000, beyond: 100, want: Cut},
				step{seq: 1100, data: framed(b), want: OK}),
			want: whole(0, b),
		},
		{
			name: "a segment that is out of order",
			steps: opened(
				step{seq: 1100, data: abc[100:200], beyond: len(abc) - 200, want: Held},
				step{seq: 1000, data: abc[:100], want: OK}),
			want: append(whole(0, a), cut(abc[23:200], 300)...),
			end:  settledAs(1, OK),
		},
	})
}
