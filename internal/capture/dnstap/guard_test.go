// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// heard proves that who connects to the socket of cfg gets to s.
func heard(t *testing.T, s *Source, cfg Config, frame string) {
	t.Helper()
	c, err := net.Dial("unix", path(cfg))
	if err != nil {
		t.Fatal(err)
	}
	sent := later(func() error { return converse(c, frame) })
	await(t, s, frame)
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestASocketWhoseFileIsRemovedIsMadeAgain(t *testing.T) {
	cfg := overUnix(t)
	s := listening(t, cfg)
	before, err := net.Dial("unix", path(cfg))
	if err != nil {
		t.Fatal(err)
	}
	for s.Stats().Connections == 0 { // it is not taken yet
		if err := s.Next(&packet.Packet{}); err != capture.ErrIdle {
			t.Fatal(err)
		}
	}
	s.look()
	same(t, "made again although it was there", s.Stats().Reopened, uint64(0))
	remove(t, path(cfg))
	s.look()
	heard(t, s, cfg, "by a new connection")
	sent := later(func() error { return converse(before, "by one from before") })
	await(t, s, "by one from before")
	if err := errors.Join(<-sent, s.Err()); err != nil {
		t.Error(err)
	}
	same(t, "made again", s.Stats().Reopened, uint64(1))
}

func TestAFolderThatIsGoneIsSaid(t *testing.T) {
	cfg := overUnix(t)
	folder := filepath.Join(filepath.Dir(path(cfg)), "run")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Listen = "unix://" + filepath.Join(folder, "d.sock")
	s := listening(t, cfg)
	remove(t, folder)
	s.look()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "taken away") ||
		!strings.Contains(err.Error(), path(cfg)) {
		t.Errorf("says %v", err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	s.look()
	if err := s.Err(); err != nil {
		t.Error(err)
	}
	heard(t, s, cfg, "hello")
}

// Somebody removed the file of a sensor that runs, and another one has taken its place.
func TestTheSocketOfAnotherSensorIsLeftAlone(t *testing.T) {
	cfg := overUnix(t)
	first := listening(t, cfg)
	remove(t, path(cfg))
	second := listening(t, cfg)
	first.look()
	if err := first.Err(); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("the first says %v", err)
	}
	same(t, "how the question ended", finished(t, second, 1), map[string]uint64{"lost": 1})
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	heard(t, second, cfg, "hello")
}

// perch is a listener in memory that can lose its place.
type perch struct {
	pipes
	taken atomic.Bool
}

func (p *perch) lost() bool { return p.taken.Load() }

func TestThePlaceOfASocketIsLookedAtEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Listen = "unix:///nowhere"
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var made []*perch
		s.listen = func(Config) (net.Listener, error) {
			made = append(made, &perch{pipes: pipes{calls: make(chan func() (net.Conn, error)),
				closed: make(chan struct{})}})
			return made[len(made)-1], nil
		}
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		made[0].taken.Store(true)
		time.Sleep(guardEvery) // virtual
		synctest.Wait()
		same(t, "listeners", len(made), 2)
		c := made[1].dial()
		sent := later(func() error { return c.write(begin, data("a"), end) })
		await(t, s, "a")
		if err := <-sent; err != nil {
			t.Error(err)
		}
		began := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		same(t, "time to end", time.Since(began), time.Duration(0))
		balanced(t, s, 0)
	})
}

func TestAConnectionThatCannotBeTakenIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := open(t, nil)
		p.calls <- func() (net.Conn, error) { return nil, os.NewSyscallError("accept4", syscall.EMFILE) }
		synctest.Wait()
		err := s.Err()
		if !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), "LimitNOFILE") {
			t.Errorf("says %v", err)
		}
		time.Sleep(lately) // virtual
		if err := s.Err(); err != nil {
			t.Errorf("says %v for ever", err)
		}
		if err := s.Next(&packet.Packet{}); err == nil {
			t.Error("a packet")
		}
	})
}
