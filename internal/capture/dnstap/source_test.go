// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

func TestASenderInOneDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		sent := later(func() error { return p.dial().write(begin, data("a"), data("bc"), end) })
		got, err := take(t, s)
		same(t, "packets", got, []string{"a", "bc"})
		if err := errors.Join(err, <-sent); err != nil {
			t.Error(err)
		}
		same(t, "stats", s.Stats(), capture.Stats{Received: 2, Read: 2, Bytes: 3, Connections: 1,
			Ended: [capture.NumEnds]uint64{capture.EndStop: 1}})
	})
}

func TestASenderInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		var heard string
		sent := later(func() error {
			c := p.dial()
			if err := c.write(control(ready, "protobuf:other", contentType)); err != nil {
				return err
			}
			answer := make([]byte, len(acceptFrame))
			if _, err := io.ReadFull(c, answer); err != nil {
				return err
			}
			if err := c.write(begin, data("a"), end); err != nil {
				return err
			}
			heard = string(answer) + c.all(t)
			return nil
		})
		got, err := take(t, s)
		same(t, "packets", got, []string{"a"})
		if err := errors.Join(err, <-sent); err != nil {
			t.Error(err)
		}
		same(t, "answers", heard, control(accept, contentType)+control(finish))
		same(t, "ends", ended(s), map[string]uint64{"stop": 1})
	})
}

// TestHowConnectionsEnd lets a sender write bytes and then hang up, or be silent.
func TestHowConnectionsEnd(t *testing.T) {
	long := data(strings.Repeat("x", MaxFrame))
	for _, test := range []struct {
		name, wire string
		silent     bool // it does not hang up
		end        string
		packets    int
	}{
		{"it only looks whether somebody listens", "", false, "lost", 0},
		{"it says nothing", "", true, "handshake", 0},
		{"it says half of a START", begin[:9], true, "handshake", 0},
		{"it hangs up in its START", begin[:9], false, "handshake", 0},
		{"it gets an ACCEPT and says no more", control(ready), true, "handshake", 0},
		{"it is a web browser", "GET / HTTP/1.1\r\n\r\n", true, "handshake", 0},
		{"it begins with a data frame", data("a"), true, "handshake", 0},
		{"it begins with a STOP", end, true, "handshake", 0},
		{"it begins with two READY", control(ready) + control(ready), true, "handshake", 0},
		{"a control frame too short for its type", "\x00\x00\x00\x00\x00\x00\x00\x03abc", true,
			"handshake", 0},
		{"a content type longer than its frame", "\x00\x00\x00\x00" +
			data("\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x09x"), true, "handshake", 0},
		{"a field cut off", "\x00\x00\x00\x00" + data("\x00\x00\x00\x02\x00\x00\x00"), true,
			"handshake", 0},
		{"another content type", control(start, "protobuf:other"), true, "content_type", 0},
		{"another content type offered", control(ready, "a", "b"), true, "content_type", 0},

		{"no content type at all, which can be ours", control(start) + data("a") + end, true,
			"stop", 1},
		{"a field that is not known", "\x00\x00\x00\x00" +
			data("\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00\x01x") + data("a") + end, true,
			"stop", 1},
		{"a control frame of a later version", begin + control(9, "x") + data("a") + end, true,
			"stop", 1},
		{"frames after a STOP", begin + data("a") + end + data("b"), true, "stop", 1},
		{"it goes away without a STOP", begin + data("a"), false, "lost", 1},
		{"it goes away inside a length", begin + data("a") + "\x00\x00", false, "cut", 1},
		{"it goes away inside a frame", begin + data("a") + data("bc")[:5], false, "cut", 1},
		{"it goes away inside a control frame", begin + data("a") + end[:6], false, "cut", 1},
		{"the longest frame", begin + long + data("a") + end, false, "stop", 2},
		{"a frame longer than that", begin + data("a") + "\x00\x02\x00\x01", true, "oversize", 1},
		{"a frame of 4 GiB", begin + data("a") + "\xff\xff\xff\xff", true, "oversize", 1},
		{"a START in between", begin + data("a") + begin, true, "framing", 1},
		{"a FINISH from the wrong side", begin + data("a") + control(finish), true, "framing", 1},
		{"a control frame too long", begin + data("a") + "\x00\x00\x00\x00\x00\x00\x02\x01", true,
			"framing", 1},
	} {
		bubble(t, test.name, func(t *testing.T) {
			s, p := open(t, nil)
			c := p.dial()
			heard := later(func() error { _, err := io.Copy(io.Discard, c); return err })
			go func() {
				_ = c.write(test.wire) // the other end may hang up before
				if !test.silent {
					_ = c.Close()
				}
			}()
			got, err := take(t, s)
			if err != nil || len(got) != test.packets {
				t.Errorf("%d packets, %v", len(got), err)
			}
			time.Sleep(s.cfg.Handshake) // virtual
			synctest.Wait()
			same(t, "ends", ended(s), map[string]uint64{test.end: 1})
			_ = c.Close()
			<-heard
		})
	}
}

func TestOnlyTheHandshakeHasATimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		c := p.dial()
		if err := c.write(begin); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour) // virtual
		sent := later(func() error { return c.write(data("a"), end) })
		got, _ := take(t, s)
		same(t, "packets", got, []string{"a"})
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

func TestMoreConnectionsThanMayBeAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, func(c *Config) { c.Connections = 2 })
		first, second, third := p.dial(), p.dial(), p.dial()
		same(t, "what the third hears", third.all(t), "")
		same(t, "ends", ended(s), map[string]uint64{"limit": 1})
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		sent := later(func() error {
			return errors.Join(p.dial().write(begin, data("4"), end), second.write(begin, data("2"), end))
		})
		got, _ := take(t, s)
		slices.Sort(got)
		same(t, "packets", got, []string{"2", "4"})
		if err := <-sent; err != nil {
			t.Error(err)
		}
		same(t, "ends", ended(s), map[string]uint64{"limit": 1, "lost": 1, "stop": 2})
	})
}

func TestADrySourceIsIdleAtOnceAndThenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		var packets packet.Packet
		idle := func(want time.Duration) {
			t.Helper()
			before := time.Now()
			if err := s.Next(&packets); err != capture.ErrIdle {
				t.Fatal(err)
			}
			same(t, "waited", time.Since(before), want)
		}
		idle(0)
		idle(idleWait)
		idle(idleWait)
		sent := later(func() error { return p.dial().write(begin, data("a")) })
		if err := s.Next(&packets); err != nil {
			t.Fatal(err)
		}
		idle(0)
		idle(idleWait)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

// TestManyConnections lets senders write frames of all sizes in pieces of all sizes. Nothing may
// be missing, and each sender's frames stay in their order.
func TestManyConnections(t *testing.T) {
	const senders, frames = 20, 200
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		sent := make([]<-chan error, senders)
		for i := range senders {
			c, random := p.dial(), rand.New(rand.NewPCG(1, uint64(i)))
			var wire strings.Builder
			wire.WriteString(begin)
			for n := range frames {
				pad := strings.Repeat("x", random.IntN(1<<random.IntN(14)))
				wire.WriteString(data(fmt.Sprintf("%d %d %s", i, n, pad)))
			}
			wire.WriteString(end)
			sent[i] = later(func() error {
				for rest := wire.String(); rest != ""; {
					n := min(len(rest), 1+random.IntN(100_000))
					if err := c.write(rest[:n]); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			})
		}
		got, err := take(t, s)
		if err != nil || len(got) != senders*frames {
			t.Errorf("%d packets, %v", len(got), err)
		}
		var next [senders]int
		for _, frame := range got {
			var i, n int
			if _, err := fmt.Sscanf(frame, "%d %d", &i, &n); err != nil || n != next[i] {
				t.Fatalf("sender %d: frame %d, want %d: %v", i, n, next[i], err)
			}
			next[i]++
		}
		for _, c := range sent {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		same(t, "ends", ended(s), map[string]uint64{"stop": senders})
		balanced(t, s, 0)
	})
}

// TestASlowLaneMakesItsSendersWait is the whole of the back-pressure: nothing is dropped, and no
// memory holds what the lane does not take.
func TestASlowLaneMakesItsSendersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		c := p.dial()
		sent := later(func() error {
			return errors.Join(c.write(begin, data("a")), c.write(data("b"), end))
		})
		time.Sleep(24 * time.Hour) // virtual
		if len(sent) > 0 {
			t.Error("the sender did not wait")
		}
		balanced(t, s, 1)
		got, _ := take(t, s)
		same(t, "packets", got, []string{"a", "b"})
	})
}

func TestDrainGivesWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		c := p.dial()
		if err := c.write(control(ready)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len(acceptFrame))); err != nil {
			t.Fatal(err)
		}
		waits := p.dial() // that has not begun
		sent := later(func() error { return errors.Join(c.write(begin, data("a")), c.write(data("b"))) })
		synctest.Wait()
		s.Drain()
		s.Drain()
		var heard string
		done := later(func() error { heard = c.all(t); return nil })
		got, err := take(t, s)
		same(t, "packets", got, []string{"a", "b"})
		if err != io.EOF {
			t.Error(err)
		}
		if err := errors.Join(<-sent, <-done); err != nil {
			t.Error(err)
		}
		same(t, "the last word", heard, finishFrame)
		same(t, "what the other hears", waits.all(t), "")
		same(t, "ends", ended(s), map[string]uint64{"drained": 2})
		if err := s.Next(&packet.Packet{}); err != io.EOF {
			t.Errorf("Next after the end: %v", err)
		}
	})
}

func TestABusySenderCannotStopTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		c := p.dial()
		if err := c.write(begin); err != nil {
			t.Fatal(err)
		}
		frame := data(strings.Repeat("x", 4000))
		sent := later(func() error {
			for {
				if err := c.write(frame); err != nil {
					return err
				}
			}
		})
		s.Drain()
		got, err := take(t, s)
		if n := len(got) * len(frame); err != io.EOF || n < drainMost || n > drainMost+firstBuffer {
			t.Errorf("%d bytes, %v", n, err)
		}
		if err := <-sent; !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		same(t, "ends", ended(s), map[string]uint64{"drained": 1})
	})
}

func TestCloseCountsWhatNobodyRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		sent := later(func() error {
			return errors.Join(p.dial().write(begin, data("a"), data("b")),
				p.dial().write(begin, data("c")))
		})
		silent := p.dial()
		if err := errors.Join(silent.write(begin), <-sent); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := s.Next(&packet.Packet{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		same(t, "stats", s.Stats(), capture.Stats{Received: 3, Read: 1, Discarded: 2, Bytes: 1,
			Connections: 3, Ended: [capture.NumEnds]uint64{capture.EndDrained: 3}})
		if err := s.Next(&packet.Packet{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next after Close: %v", err)
		}
		if err := s.Open(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Open after Close: %v", err)
		}
	})
}

func TestASourceThatIsDrainedBeforeItIsOpenIsAtItsEnd(t *testing.T) {
	s, err := New(Config{Listen: "unix:///nowhere/at/all", Connections: 1, Handshake: soon})
	if err != nil {
		t.Fatal(err)
	}
	s.Drain()
	if err := s.Next(&packet.Packet{}); err != io.EOF {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNextOpensTheSource(t *testing.T) {
	s, err := New(Config{Listen: "unix:///nowhere/at/all", Connections: 1, Handshake: soon})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Next(&packet.Packet{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnErrorOfAcceptIsOvercomeOrEndsTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		fail := func(err error) { p.calls <- func() (net.Conn, error) { return nil, err } }
		fail(os.NewSyscallError("accept", syscall.EMFILE))
		c := p.dial()
		sent := later(func() error { return c.write(begin, data("a"), end) })
		got, err := take(t, s)
		same(t, "packets after the first error", got, []string{"a"})
		if err := errors.Join(err, <-sent); err != nil {
			t.Error(err)
		}
		broken := errors.New("the network is gone")
		c = p.dial()
		sent = later(func() error { return c.write(begin, data("b"), end) })
		fail(broken)
		got, err = take(t, s)
		same(t, "packets before the second", got, []string{"b"})
		if err := errors.Join(<-sent); err != nil {
			t.Error(err)
		}
		if !errors.Is(err, broken) {
			t.Errorf("the end is %v", err)
		}
	})
}

// TestNextDoesNotAllocate gives the lane one connection's frames again and again.
func TestNextDoesNotAllocate(t *testing.T) {
	s, err := New(Config{Listen: "unix:///nowhere", Connections: 1, Handshake: soon})
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(s, nil)
	frames := []byte(strings.Repeat(data("frame"), 10))
	c.lent = run{data: frames, count: 10}
	var p packet.Packet
	allocs := testing.AllocsPerRun(100, func() {
		s.take(c)
		for range 10 {
			if err := s.Next(&p); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
