// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// file is a pcap of raw IP with these packets, from 1970.
func file(name string, packets ...string) Capture {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0)
	for _, v := range []uint32{0, 0, 65535, uint32(packet.LinkRaw)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, p := range packets {
		for _, v := range []uint32{1, 0, uint32(len(p)), uint32(len(p))} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		b = append(b, p...)
	}
	return Capture{Name: name, Data: b}
}

// next returns the next packet, however often the source says before that it is idle.
func next(t *testing.T, s *Source) packet.Packet {
	t.Helper()
	for {
		var p packet.Packet
		switch err := s.Next(&p); err {
		case nil:
			return p
		case capture.ErrIdle:
		default:
			t.Fatal(err)
		}
	}
}

// until returns the first error that is not ErrIdle.
func until(s *Source) error {
	for {
		var p packet.Packet
		if err := s.Next(&p); err != nil && err != capture.ErrIdle {
			return err
		}
	}
}

// replay runs a test in virtual time on a source that is closed at its end.
func replay(t *testing.T, captures []Capture, rate int, test func(*testing.T, *Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New(captures, rate)
		test(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error("closed again:", err)
		}
	})
}

func TestPacketsComeAtAnEvenPaceWithTheTimeOfNow(t *testing.T) {
	replay(t, []Capture{file("a", "1", "2", "3")}, 100, func(t *testing.T, s *Source) {
		start := time.Now()
		for i := range 10 {
			p := next(t, s)
			want := start.Add(time.Duration(i) * 10 * time.Millisecond)
			if !time.Now().Equal(want) || p.Time != want.UnixNano() {
				t.Errorf("packet %d comes at %v and has the time %v, want %v", i,
					time.Since(start), time.Unix(0, p.Time).Sub(start), want.Sub(start))
			}
		}
	})
}

func TestCapturesFollowOneAnotherAndBeginAgain(t *testing.T) {
	captures := []Capture{file("a", "a1", "a2"), file("none"), file("b", "b1")}
	replay(t, captures, 1000, func(t *testing.T, s *Source) {
		var got []string
		var bytes uint64
		for range 7 {
			p := next(t, s)
			if p.Link != packet.LinkRaw || p.Length != len(p.Data) {
				t.Errorf("%+v", p)
			}
			got = append(got, string(p.Data))
			bytes += uint64(len(p.Data))
		}
		if diff := cmp.Diff(got, []string{"a1", "a2", "b1", "a1", "a2", "b1", "a1"}); diff != "" {
			t.Error(diff)
		}
		want := capture.Stats{Received: 7, Read: 7, Bytes: bytes}
		if diff := cmp.Diff(s.Stats(), want); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACaptureOfOneAmongManyWithoutPacketsIsFound(t *testing.T) {
	captures := []Capture{file("none"), file("none"), file("a", "1"), file("none")}
	replay(t, captures, 1000, func(t *testing.T, s *Source) {
		for range 3 {
			next(t, s)
		}
	})
}

func TestTheFirstIdleAnswerComesAtOnceAndTheOthersWait(t *testing.T) {
	replay(t, []Capture{file("a", "1")}, 1, func(t *testing.T, s *Source) {
		for range 2 {
			next(t, s)
			start := time.Now()
			var waits []time.Duration
			for {
				before := time.Now()
				var p packet.Packet
				if err := s.Next(&p); err != capture.ErrIdle || time.Since(start) >= time.Second {
					break // the next capture's own first answer may be idle, too
				}
				waits = append(waits, time.Since(before))
			}
			if len(waits) < 20 || waits[0] != 0 {
				t.Fatalf("idle for %v", waits)
			}
			for _, w := range waits[1:] {
				if w <= 0 || w > maxWait {
					t.Errorf("an idle call took %v", w)
				}
			}
		}
	})
}

func TestWhoFallsBehindCatchesUp(t *testing.T) {
	replay(t, []Capture{file("a", "1", "2")}, 100, func(t *testing.T, s *Source) {
		start := time.Now()
		next(t, s)
		time.Sleep(time.Second) // virtual: the lane was elsewhere
		for range 100 {
			next(t, s)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("101 packets took %v", took)
		}
		next(t, s)
		if took := time.Since(start); took != 1010*time.Millisecond {
			t.Errorf("102 packets took %v", took)
		}
	})
}

func TestDrainEndsAWait(t *testing.T) {
	replay(t, []Capture{file("a", "1", "2")}, 1, func(t *testing.T, s *Source) {
		next(t, s)
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- until(s) }()
		synctest.Wait() // in the wait for the second packet
		s.Drain()
		s.Drain()
		if err := <-ended; err != io.EOF || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := until(s); err != io.EOF {
			t.Errorf("then %v", err)
		}
	})
}

func TestDrainEndsASourceThatIsNotWaiting(t *testing.T) {
	replay(t, []Capture{file("a", "1")}, 1000, func(t *testing.T, s *Source) {
		s.Drain()
		var p packet.Packet
		if err := s.Next(&p); err != io.EOF {
			t.Error(err)
		}
		if n := s.Stats(); n != (capture.Stats{}) {
			t.Errorf("%+v", n)
		}
	})
}

func TestCapturesThatCannotBePlayed(t *testing.T) {
	whole := file("cut", "1", "22")
	whole.Data = whole.Data[:len(whole.Data)-1]
	for _, c := range []struct {
		name     string
		captures []Capture
		says     string
	}{
		{"no capture", nil, "no packets in 0 captures"},
		{"a capture that is cut", []Capture{whole}, "cut"},
		{"something else", []Capture{{Name: "text", Data: []byte("this is no capture, by far")}}, "text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			replay(t, c.captures, 1000, func(t *testing.T, s *Source) {
				if err := until(s); errors.Is(err, io.EOF) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}
