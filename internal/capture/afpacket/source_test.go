// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// one makes an open source over a double, with a ring of two blocks of 4 KiB.
func one(t *testing.T) (*Source, *double) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Interface, cfg.BlockSize, cfg.Blocks = "eth0", 4096, 2
	d := &double{cfg: cfg}
	g := newGroup(cfg, d)
	if err := g.Open(); err != nil {
		t.Fatal(err)
	}
	return g.Lane(0), d
}

// next calls Next until it returns something else than ErrIdle, n times at most.
func next(s *Source, n int) (string, error) {
	var p packet.Packet
	for range n {
		if err := s.Next(&p); !errors.Is(err, capture.ErrIdle) {
			return string(p.Data), err
		}
	}
	return "", capture.ErrIdle
}

func text(data string) frame { return frame{data: []byte(data)} }

// balanced checks the law of capture.Stats with what is known to wait.
func balanced(t *testing.T, s *Source, wait uint64) {
	t.Helper()
	st := s.Stats()
	if st.Received != st.Read+st.KernelDropped+st.Discarded+wait {
		t.Errorf("%d wait, but %+v", wait, st)
	}
}

func TestNextIsIdleAtOnceThenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.send(text("a"))
		d.set(func(d *double) { d.writer.retire() })
		var p packet.Packet
		var got []string
		for range 5 {
			start := time.Now()
			err := s.Next(&p)
			got = append(got, fmt.Sprintf("%v after %v", err, time.Since(start)))
			if len(got) == 3 {
				d.send(text("b"))
			}
		}
		want := []string{
			"<nil> after 0s",
			"capture: idle after 0s",
			"capture: idle after 25ms", // the double's poll lasts as long as its retire timer
			"<nil> after 25ms",
			"capture: idle after 0s",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		balanced(t, s, 0)
	})
}

func TestStatsCountEveryPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		const sent = 500
		for range sent {
			d.send(text("abcd"))
		}
		kept := uint64(0)
		d.set(func(d *double) { kept = sent - uint64(d.writer.stats.drops) })
		balanced(t, s, kept)
		for range 3 {
			if _, err := next(s, 3); err != nil {
				t.Fatal(err)
			}
		}
		balanced(t, s, kept-3)
		want := capture.Stats{Received: sent, Read: 3, KernelDropped: sent - kept,
			Bytes: 12, Frozen: 1}
		if diff := cmp.Diff(want, s.Stats()); diff != "" {
			t.Error(diff)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		want.Discarded = kept - 3
		if diff := cmp.Diff(want, s.Stats()); diff != "" {
			t.Errorf("after Close: %s", diff)
		}
		if _, err := next(s, 3); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Next after Close: %v", err)
		}
		if diff := cmp.Diff(want, s.Stats()); diff != "" {
			t.Errorf("Next after Close read the ring: %s", diff)
		}
	})
}

func TestStatsSurviveTheOverflowOfTheKernelsCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		const sent = 3 * foldEvery
		for range sent {
			d.send(text("x"))
			d.set(func(d *double) { d.writer.retire() })
			if _, err := next(s, 2); err != nil {
				t.Fatal(err)
			}
		}
		if left := d.writer.stats.packets; left >= foldEvery {
			t.Errorf("the kernel counted to %d while nobody asked for Stats", left)
		}
		balanced(t, s, 0)
	})
}

func TestDrainGivesWhatWasCapturedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.send(text("a"), text("b")) // in a block that the timer has not handed over
		s.Drain()
		s.Drain()
		d.send(text("too late"))
		var got []string
		for range 2 {
			data, err := next(s, 5)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, data)
		}
		if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
			t.Error(diff)
		}
		for range 2 {
			if _, err := next(s, 3); err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
		}
		balanced(t, s, 0)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want := capture.Stats{Received: 2, Read: 2, Bytes: 2}
		if diff := cmp.Diff(want, s.Stats()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDrainEndsWhenABlockNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.set(func(d *double) { d.writer.stats.packets = 5 }) // counted, and in no block
		// A moment in which the interface had another name does not use up the patience.
		for _, state := range []linkState{linkGone, linkUp} {
			d.set(func(d *double) { d.state = state })
			if _, err := next(s, 3); err != capture.ErrIdle {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		s.Drain()
		start := time.Now()
		if _, err := next(s, 100); err != io.EOF {
			t.Fatalf("got %v, want EOF", err)
		}
		if took := time.Since(start); took < 2*s.cfg.RetireTimeout || took > time.Second/5 {
			t.Errorf("it took %v", took)
		}
		balanced(t, s, 5)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		balanced(t, s, 0)
	})
}

func TestPacketsBehindABrokenHeaderAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.send(text("a"), text("b"), text("c"))
		d.set(func(d *double) {
			d.writer.retire()
			clear(d.writer.mem[packetHeader : packetHeader+4]) // a leads nowhere
		})
		if data, err := next(s, 3); data != "a" || err != nil {
			t.Fatal(data, err)
		}
		if _, err := next(s, 3); err != capture.ErrIdle {
			t.Fatal(err)
		}
		if got := s.Stats().Discarded; got != 2 {
			t.Errorf("discarded %d, want 2", got)
		}
		balanced(t, s, 0)
	})
}

func TestInterfaceGoesDownAndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.set(func(d *double) { d.state = linkDown })
		if _, err := next(s, 3); err != capture.ErrIdle {
			t.Fatal(err)
		}
		if !errors.Is(s.Err(), errDown) {
			t.Errorf("while it is down: %v", s.Err())
		}
		d.set(func(d *double) { d.state = linkUp })
		d.send(text("back"))
		if data, err := next(s, 3); data != "back" || err != nil {
			t.Fatal(data, err)
		}
		if s.Err() != nil || s.Stats().Reopened != 1 || d.opens != 1 {
			t.Errorf("up again: %v, reopened %d, opened %d times", s.Err(),
				s.Stats().Reopened, d.opens)
		}
		balanced(t, s, 0)
	})
}

func TestInterfaceVanishesAndIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.send(text("last"))
		d.set(func(d *double) {
			d.state, d.err = linkGone, absent("eth0")
			d.writer.stats.packets++ // one more that will never be handed over
		})
		if data, err := next(s, 5); data != "last" || err != nil {
			t.Fatal(data, err)
		}
		if _, err := next(s, 100); err != capture.ErrIdle {
			t.Fatal(err)
		}
		if !d.closed || !errors.Is(s.Err(), errAbsent) || s.Stats().Discarded != 1 {
			t.Errorf("closed %v, %v, %+v", d.closed, s.Err(), s.Stats())
		}
		balanced(t, s, 0)

		d.set(func(d *double) { d.err = nil })
		if _, err := next(s, 4); err != capture.ErrIdle {
			t.Fatal(err)
		}
		d.send(text("new"))
		if data, err := next(s, 4); data != "new" || err != nil {
			t.Fatal(data, err)
		}
		if s.Err() != nil || s.Stats().Reopened != 1 {
			t.Errorf("back again: %v, %+v", s.Err(), s.Stats())
		}
		balanced(t, s, 0)
	})
}

func absent(name string) error { return fmt.Errorf("%w %q", errAbsent, name) }

func TestReopeningBacksOff(t *testing.T) {
	tests := []struct {
		name     string
		err      error
		min, max int // attempts within a minute
	}{
		{"an absent interface is looked for often", absent("eth0"), 300, 700},
		{"one that is down as well", downError("eth0"), 300, 700},
		{"one that does not open has pauses of up to 5 s", os.ErrPermission, 13, 25},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, d := one(t)
				d.set(func(d *double) { d.state, d.err = linkGone, test.err })
				d.opens = 0
				var p packet.Packet
				for start := time.Now(); time.Since(start) < time.Minute; {
					call := time.Now()
					if err := s.Next(&p); err != capture.ErrIdle {
						t.Fatal(err)
					}
					if took := time.Since(call); took > idleWait {
						t.Fatalf("Next took %v", took)
					}
				}
				if d.opens < test.min || d.opens > test.max {
					t.Errorf("%d attempts, want %d to %d", d.opens, test.min, test.max)
				}
				if !errors.Is(s.Err(), test.err) {
					t.Errorf("Err is %v", s.Err())
				}
				// A success ends the long pauses.
				d.set(func(d *double) { d.err = nil })
				for s.Err() != nil {
					_, _ = next(s, 1)
				}
				d.set(func(d *double) { d.state, d.err = linkGone, test.err })
				d.opens = 0
				for start := time.Now(); time.Since(start) < time.Second; {
					_, _ = next(s, 1)
				}
				if d.opens < 3 {
					t.Errorf("%d attempts within a second of losing it again", d.opens)
				}
				s.Drain()
				if _, err := next(s, 2); err != io.EOF {
					t.Errorf("drained: %v", err)
				}
			})
		})
	}
}

func TestOpenFailsForGoodOrWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Interface, cfg.Lanes = "eth0", 2
		g := newGroup(cfg, &double{cfg: cfg, err: absent("eth0")})
		if err := g.Open(); !errors.Is(err, errAbsent) {
			t.Errorf("absent: %v", err)
		}

		d := &double{cfg: cfg, err: downError("eth0")}
		g = newGroup(cfg, d)
		if err := g.Open(); err != nil || !errors.Is(g.Lane(1).Err(), errDown) {
			t.Errorf("down: %v, %v", err, g.Lane(1).Err())
		}
		d.set(func(d *double) { d.err = nil })
		s := g.Lane(0)
		if _, err := next(s, 5); err != capture.ErrIdle || s.Err() != nil {
			t.Errorf("then up: %v, %v", err, s.Err())
		}
		if got := s.Stats().Reopened; got != 0 {
			t.Errorf("reopened %d times, but it was never open", got)
		}
		if err := g.Close(); err != nil || !d.closed {
			t.Errorf("close: %v", err)
		}
	})
}

func TestDrainWhileTheSocketIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Interface = "eth0"
		d := &double{cfg: cfg}
		g := newGroup(cfg, d)
		d.opening = g.Lane(0).Drain
		if err := g.Open(); err != nil {
			t.Fatal(err)
		}
		d.send(text("too late"))
		if _, err := next(g.Lane(0), 3); err != io.EOF {
			t.Errorf("got %v, want EOF", err)
		}
	})
}

func TestAFailingPollIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		d.set(func(d *double) { d.waitErr = os.ErrInvalid })
		if _, err := next(s, 3); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStatsAndDrainFromOtherGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		go func() {
			for range 200 {
				d.send(text("abcd"))
				s.Stats()
				time.Sleep(time.Millisecond)
			}
			s.Drain()
		}()
		read := 0
		for {
			_, err := next(s, 1)
			if err == io.EOF {
				break
			}
			if err == nil {
				read++
			}
		}
		if read != 200 {
			t.Errorf("read %d of 200", read)
		}
		balanced(t, s, 0)
		synctest.Wait()
	})
}

func TestNextAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := one(t)
		var p packet.Packet
		f := frame{data: query4(), tag: packet.Tag{TPID: 0x8100, TCI: 1}}
		allocs := testing.AllocsPerRun(1000, func() {
			d.send(f)
			for p.Data = nil; p.Data == nil; {
				if err := s.Next(&p); err != nil && err != capture.ErrIdle {
					t.Fatal(err)
				}
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations a packet", allocs)
		}
	})
}
