// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// pieces is a reader that gives its bytes in pieces of the sizes given, again and again.
type pieces struct {
	rest  []byte
	sizes []byte
	turn  int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := len(p.rest)
	if len(p.sizes) > 0 {
		n = min(n, 1+int(p.sizes[p.turn%len(p.sizes)]))
		p.turn++
	}
	n = copy(b, p.rest[:n])
	p.rest = p.rest[n:]
	if len(p.rest) == 0 {
		return n, io.EOF // with the last bytes, as a reader may
	}
	return n, nil
}

// spell reads a stream to its end: each frame, a control frame marked, and how it ended.
func spell(r *reader) (got []string, inside bool, err error) {
	for {
		run, err := r.next()
		if err != nil {
			return got, r.inside(), err
		}
		if run.count == 0 {
			got = append(got, "control "+string(run.control))
		}
		for b := run.data; len(b) > 0; run.count-- {
			n := prefix + binary.BigEndian.Uint32(b)
			got = append(got, string(b[prefix:n]))
			b = b[n:]
		}
		if run.count != 0 {
			return got, false, errors.New("the count is not that of the frames")
		}
	}
}

// model is spell for someone who has the whole stream in memory.
func model(b []byte) (got []string, inside bool, err error) {
	for len(b) > 0 {
		if len(b) < 4 {
			return got, true, io.EOF
		}
		n := int(binary.BigEndian.Uint32(b))
		switch {
		case n > MaxFrame:
			return got, true, errOversize
		case n > 0 && len(b) < 4+n:
			return got, true, io.EOF
		case n > 0:
			got = append(got, string(b[4:4+n]))
			b = b[4+n:]
			continue
		}
		if len(b) < 8 {
			return got, true, io.EOF
		}
		n = int(binary.BigEndian.Uint32(b[4:]))
		switch {
		case n < 4 || n > maxControl:
			return got, true, errFraming
		case len(b) < 8+n:
			return got, true, io.EOF
		}
		got = append(got, "control "+string(b[8:8+n]))
		b = b[8+n:]
	}
	return got, false, io.EOF
}

// FuzzFrames takes any stream apart, in pieces of any sizes.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(begin+data("a")+data("bc")+end), []byte{0})
	f.Add([]byte(begin+data(strings.Repeat("x", 600))+data("bc")+"\x00"), []byte{255, 3})
	f.Add([]byte(data("a")+"\x00\x02\x00\x01"), []byte{})
	f.Add([]byte(control(9, "x")+"\x00\x00\x00\x00\x00\x00\x00\x03"), []byte{2, 5})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		r := &reader{src: &pieces{rest: stream, sizes: sizes}}
		got, inside, err := spell(r)
		want, wantInside, wantErr := model(stream)
		if !slices.Equal(got, want) {
			t.Errorf("frames %q, want %q", got, want)
		}
		if inside != wantInside || err != wantErr {
			t.Errorf("it ends inside %t, %v; want %t, %v", inside, err, wantInside, wantErr)
		}
		if len(r.buf) > prefix+MaxFrame {
			t.Errorf("a buffer of %d bytes", len(r.buf))
		}
		if control, ok := strings.CutPrefix(strings.Join(want, ""), "control "); ok {
			offers([]byte(control))
		}
	})
}

func TestTheReaderGrowsOnceAndNotForShortFrames(t *testing.T) {
	for _, test := range []struct {
		name  string
		frame int
		buf   int
	}{
		{"short frames", 300, firstBuffer},
		{"the longest frame that fits", firstBuffer - prefix, firstBuffer},
		{"a longer one", firstBuffer - prefix + 1, prefix + MaxFrame},
		{"the longest", MaxFrame, prefix + MaxFrame},
	} {
		t.Run(test.name, func(t *testing.T) {
			stream := strings.Repeat(data(strings.Repeat("x", test.frame)), 3+300_000/test.frame)
			r := &reader{src: &pieces{rest: []byte(stream)}}
			got, inside, err := spell(r)
			if len(got) != 3+300_000/test.frame || inside || err != io.EOF || len(r.buf) != test.buf {
				t.Errorf("%d frames, %t, %v, %d bytes", len(got), inside, err, len(r.buf))
			}
		})
	}
}

// loop is a sender that never ends.
type loop struct {
	stream string
	at     int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.stream[l.at:])
	l.at = (l.at + n) % len(l.stream)
	return n, nil
}

func TestTheReaderDoesNotAllocate(t *testing.T) {
	r := &reader{src: &loop{stream: strings.Repeat(data("frame of some length"), 100) + control(9)}}
	allocs := testing.AllocsPerRun(1000, func() {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
