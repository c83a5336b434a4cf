// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// segmentation cuts a stream of messages into segments and sends them in some other way: shuffled
// within a window, some of them twice, some overlapping.
type segmentation struct {
	name            string
	longest         int // segment
	window          int // of the shuffle; 1 keeps the order
	twice, overlaps float64
}

// deal returns the segments of data, the first at seq.
func (s segmentation) deal(r *rand.Rand, seq uint32, data string) (steps []step) {
	for o := 0; o < len(data); {
		end := min(len(data), o+1+r.IntN(s.longest))
		start := o
		if r.Float64() < s.overlaps {
			start = max(0, o-r.IntN(2*s.longest))
		}
		late := end
		if r.Float64() < s.overlaps {
			late = min(len(data), end+r.IntN(2*s.longest))
		}
		one := step{seq: seq + uint32(start), data: data[start:late]}
		steps = append(steps, one)
		if r.Float64() < s.twice {
			steps = append(steps, one)
		}
		o = end
	}
	for i := 0; i < len(steps); i += s.window {
		part := steps[i:min(len(steps), i+s.window)]
		r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return steps
}

func TestAnySegmentationGivesTheSameMessages(t *testing.T) {
	for _, test := range []segmentation{
		{name: "in order", longest: 1460, window: 1},
		{name: "in order, tiny", longest: 3, window: 1},
		{name: "retransmissions", longest: 500, window: 1, twice: .3},
		{name: "overlaps", longest: 500, window: 1, twice: .1, overlaps: .3},
		{name: "out of order", longest: 1460, window: 20},
		{name: "out of order, tiny", longest: 3, window: 60},
		{name: "everything", longest: 700, window: 30, twice: .2, overlaps: .3},
		{name: "everything, tiny", longest: 4, window: 30, twice: .2, overlaps: .3},
		{name: "everything, huge", longest: 60000, window: 2, twice: .2, overlaps: .3},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(40) {
				r := rand.New(rand.NewPCG(seed, 1))
				messages := randomMessages(r, min(40, 4+test.longest))
				w := newWorld(t, Config{})
				isn := r.Uint32()
				w.segment(1000, step{seq: isn, flags: FlagSYN})
				for i, s := range test.deal(r, isn+1, framed(messages...)) {
					s.at = time.Duration(i)
					w.segment(1000, s)
				}
				w.consistent()
				s := w.Stats()
				if s.Held != 0 || s.Gaps != 0 || s.Resyncs != 0 {
					t.Fatalf("seed %d: %+v", seed, s)
				}
				for v := range NumVerdicts {
					if s.Dropped[v] != 0 || v != OK && v != Held && v != Duplicate && v != Empty &&
						w.verdicts[v] != 0 {
						t.Fatalf("seed %d: verdict %d: %d packets", seed, v, w.verdicts[v])
					}
				}
				if diff := cmp.Diff(wires(w.got), messages); diff != "" {
					t.Fatalf("seed %d: %s", seed, diff)
				}
				w.settled()
			}
		})
	}
}

// TestLossLosesOnlyItsMessages sends a stream with some segments missing. What comes out must have
// been sent, in the order in which it was sent, and all that has no byte in a missing segment and
// begins where one can tell must be there.
func TestLossLosesOnlyItsMessages(t *testing.T) {
	got, sent := 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		messages := randomMessages(r, 60)
		w := newWorld(t, Config{})
		w.segment(1000, step{seq: 0, flags: FlagSYN})
		shape := segmentation{longest: 1460, window: 1 + r.IntN(5), twice: .1, overlaps: .1}
		for i, s := range shape.deal(r, 1, framed(messages...)) {
			if s.at = time.Duration(i) * 100 * time.Millisecond; r.Float64() < .05 {
				continue
			}
			w.segment(1000, s)
		}
		w.settled()
		w.consistent()
		left := messages
		for _, e := range w.got {
			for len(left) > 0 && left[0] != e.Wire {
				left = left[1:]
			}
			if len(left) == 0 {
				t.Fatalf("seed %d: a message of %d bytes that was not sent", seed, len(e.Wire))
			}
			left = left[1:]
		}
		got, sent = got+len(w.got), sent+len(messages)
	}
	if got < sent*8/10 {
		t.Errorf("%d messages of %d", got, sent)
	}
}

// TestNothingIsInvented begins at every offset of a stream of records, without a SYN, and expects
// that whatever comes out was sent.
func TestNothingIsInvented(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	sent := make(map[string]bool)
	var data string
	for id := range uint16(6) {
		m := transfer(r, id, 40+r.IntN(60))
		sent[m] = true
		data += framed(m)
	}
	w := newWorld(t, Config{})
	for start := range len(data) - 1460 {
		for o := start; o < min(start+3*1460, len(data)); o += 1460 {
			w.segment(uint16(start), step{seq: uint32(o), data: data[o:min(o+1460, len(data))]})
		}
	}
	for _, e := range w.got {
		if !sent[e.Wire] {
			t.Fatalf("%d bytes that were not sent: %.40q...", len(e.Wire), e.Wire)
		}
	}
	if len(w.got) < len(data)/10 {
		t.Errorf("%d messages: this test proves nothing", len(w.got))
	}
	w.settled()
}

// transfer returns a message of a zone transfer: n records of several types, no question.
func transfer(r *rand.Rand, id uint16, n int) string {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, "\x84\x00\x00\x00\x00"...)
	b = append(b, byte(n), 0, 0, 0, 0)
	for range n {
		b = append(b, "\x04host\x07example\x00\x00"...)
		switch r.IntN(3) {
		case 0:
			b = append(b, "\x01\x00\x01\x00\x00\x0e\x10\x00\x04\x0a\x00\x00"...)
			b = append(b, byte(r.Uint32()))
		case 1:
			b = append(b, "\x02\x00\x01\x00\x01\x51\x80\x00\x02\xc0\x0c"...)
		case 2:
			b = append(b, "\x2e\x00\x01\x00\x00\x00\x00\x00\x40"...)
			for range 64 {
				b = append(b, byte(r.Uint32()))
			}
		}
	}
	return string(b)
}

func TestNoiseIsNotDNS(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	w := newWorld(t, Config{})
	noise := make([]byte, 1460)
	for i := range 20000 {
		for j := 0; j+8 <= len(noise); j += 8 {
			binary.LittleEndian.PutUint64(noise[j:], r.Uint64())
		}
		w.segment(uint16(i%100), step{seq: uint32(i) * 1460, data: string(noise)})
	}
	if len(w.got) != 0 {
		t.Errorf("%d messages", len(w.got))
	}
	w.settled()
}

// randomMessages returns up to n messages of all sizes, small ones mostly.
func randomMessages(r *rand.Rand, n int) (messages []string) {
	for range 1 + r.IntN(n) {
		size := 19
		switch r.IntN(10) {
		case 0, 1, 2, 3, 4:
			size = 30 + r.IntN(470)
		case 5, 6, 7:
			size = 30 + r.IntN(4000)
		case 8:
			if r.IntN(8) == 0 {
				size = 30 + r.IntN(65535-29)
			}
		}
		messages = append(messages, message(uint16(r.Uint32()), size))
	}
	return messages
}

func wires(all []emitted) (wires []string) {
	for _, e := range all {
		wires = append(wires, e.Wire)
	}
	return wires
}

// FuzzSegments gives the streams whatever segments the input describes: each has a stream, a
// place near the last one, flags, a cut and a length, and takes its data from the input too.
func FuzzSegments(f *testing.F) {
	segment := func(stream, flags, beyond byte, seq int16, data string) string {
		b := []byte{stream, flags, beyond, byte(len(data))}
		return string(binary.BigEndian.AppendUint16(b, uint16(seq))) + data
	}
	one := framed(message(1, 40))
	f.Add([]byte(segment(0, FlagSYN, 0, -1, "") + segment(0, 0, 0, 0, one+one)))
	f.Add([]byte(segment(0, 0, 0, 0, one[:7]) + segment(0, 0, 0, 7, one[7:])))
	f.Add([]byte(segment(1, FlagSYN, 0, -1, one) + segment(1, 0, 0, 60, one[18:]) +
		segment(1, 0, 0, 42, one[:20]) + segment(1, FlagFIN, 9, 84, one)))
	f.Add([]byte(segment(1, 0, 0, 0, one) + segment(1, 0, 0, 90, one) + segment(0x81, 4, 0, 0, "")))
	f.Fuzz(func(t *testing.T, input []byte) {
		w := newWorld(t, Config{Bytes: 3 * minStreamBytes, Streams: 3, StreamBytes: minStreamBytes})
		now := time.Duration(0)
		for len(input) >= 6 {
			stream, flags, beyond := input[0], input[1], int(input[2])
			n := min(int(input[3]), len(input)-6)
			s := step{
				seq:   1000 + uint32(int16(binary.BigEndian.Uint16(input[4:]))),
				flags: flags & 7, data: string(input[6 : 6+n]), server: stream >= 0x80, at: now,
			}
			if beyond > 200 {
				s.beyond = (beyond - 200) * 300
			}
			if flags >= 0xf0 {
				now += time.Second
			}
			input = input[6+n:]
			before := len(w.got)
			v := w.segment(uint16(stream%5), s)
			if v == OK && len(w.got) == before {
				t.Fatal("a packet carried nothing")
			}
			w.consistent()
		}
		w.settled()
		for _, e := range w.got {
			if e.Size != 0 && e.Size <= len(e.Wire) || len(e.Wire) > 65535 {
				t.Fatalf("%d bytes of %d", len(e.Wire), e.Size)
			}
		}
	})
}
