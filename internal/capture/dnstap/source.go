// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

const (
	idleWait    = 50 * time.Millisecond  // what capture.Source allows before ErrIdle
	acceptPause = 100 * time.Millisecond // before another attempt, when the system lacks something
)

var _ capture.Source = (*Source)(nil)

// Source is a socket that takes dnstap. It has no socket and no goroutine before Open.
type Source struct {
	cfg    Config
	listen func(Config) (net.Listener, error)
	every  time.Duration // guardEvery, but in tests

	full    chan *conn    // that have lent a run
	leaving chan struct{} // closed by Drain
	stop    chan struct{} // closed by Close
	ended   chan struct{} // closed when no goroutine is left

	// The following belong to the lane.
	current *conn  // whose run is being given; nil for none
	rest    []byte // of that run
	idle    bool   // the last answer was ErrIdle
	timer   *time.Timer

	received, read, bytes, discarded atomic.Uint64

	work sync.WaitGroup // the goroutines that accept and guard, and one for each connection

	mu          sync.Mutex // guards the following
	listener    net.Listener
	conns       map[*conn]struct{}
	draining    bool
	closed      bool
	broken      error // why the socket gave up; nil when it was told to
	displaced   error // why nobody gets to the listener, which cannot be replaced either
	refusal     error // why a connection could not be taken
	refused     time.Time
	reopened    uint64
	connections uint64
	ends        [capture.NumEnds]uint64
}

// New returns the source that cfg describes, or the error of cfg.Validate. It opens nothing.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, listen: listen, every: guardEvery, conns: make(map[*conn]struct{}),
		full: make(chan *conn, cfg.Connections), leaving: make(chan struct{}),
		stop: make(chan struct{}), ended: make(chan struct{}), timer: time.NewTimer(idleWait)}
	s.timer.Stop()
	return s, nil
}

// Open begins to listen. The first Next does it otherwise; so what cannot work is known before
// anything starts. A second Open does nothing.
func (s *Source) Open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.closedError()
	}
	if s.listener != nil || s.draining {
		return nil
	}
	l, err := s.listen(s.cfg)
	if err != nil {
		return err
	}
	s.listener = l
	s.work.Go(func() { s.accept(l) })
	if _, ok := l.(placed); ok {
		s.work.Go(s.guard)
	}
	go func() {
		s.work.Wait()
		close(s.ended)
	}()
	return nil
}

func (s *Source) closedError() error {
	return fmt.Errorf("dnstap: %s: %w", s.cfg.Listen, os.ErrClosed)
}

// accept takes connections until l is closed, or is not the listener any more.
func (s *Source) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.admit(nc)
		case s.over(l):
			return
		case passing(err):
			s.refuse(err)
			select {
			case <-time.After(acceptPause):
			case <-s.stop:
			}
		default:
			s.mu.Lock()
			s.broken = fmt.Errorf("dnstap: %s: %w", s.cfg.Listen, err)
			s.mu.Unlock()
			s.Drain()
			return
		}
	}
}

// passing tells errors of accept(2) that go by: too many open files, too little memory, and what
// concerns a connection that is gone already.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Source) over(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || s.listener != l
}

// admit starts the goroutine of a connection, if there is room for one.
func (s *Source) admit(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections++
	switch {
	case s.draining:
		s.ends[capture.EndDrained]++
	case len(s.conns) == s.cfg.Connections:
		s.ends[capture.EndLimit]++
	default:
		s.conns[c] = struct{}{}
		s.work.Go(func() { s.leave(c, c.run()) })
		return
	}
	_ = c.abort() // nothing was read from it, and nobody is there to be told
}

// leave forgets a connection.
func (s *Source) leave(c *conn, end capture.End) {
	_ = c.net.Close() // nothing more is read or written
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.ends[end]++
}

// Next implements capture.Source. The packet's time is when its bytes were read; what is in it
// mostly tells better.
func (s *Source) Next(p *packet.Packet) error {
	if len(s.rest) == 0 {
		if err := s.turn(); err != nil {
			return err
		}
	}
	n := prefix + int(binary.BigEndian.Uint32(s.rest))
	data := s.rest[prefix:n:n]
	s.rest = s.rest[n:]
	*p = packet.Packet{Data: data, Length: len(data), Time: s.current.time,
		Link: packet.LinkDNSTap}
	s.read.Add(1)
	s.bytes.Add(uint64(len(data)))
	return nil
}

// turn gives the run back that is used up, and takes the next.
func (s *Source) turn() error {
	if s.current != nil {
		s.current.back <- struct{}{}
		s.current = nil
	}
	if !s.opened() {
		if err := s.begin(); err != nil {
			return err
		}
	}
	select {
	case c := <-s.full:
		s.take(c)
		return nil
	default: // dry, which is no loss: nothing is dropped here
	}
	wait := s.idle
	s.idle = true
	if !wait {
		select {
		case <-s.ended:
			return s.final()
		default: // connections may come
			return capture.ErrIdle
		}
	}
	s.timer.Reset(idleWait)
	defer s.timer.Stop()
	select {
	case c := <-s.full:
		s.take(c)
		return nil
	case <-s.ended: // no connection is left that could have lent anything
		return s.final()
	case <-s.timer.C:
		return capture.ErrIdle
	}
}

func (s *Source) take(c *conn) { s.current, s.rest, s.idle = c, c.lent.data, false }

func (s *Source) opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener != nil && !s.closed
}

// begin opens the source in the first Next. One that was drained before has nothing.
func (s *Source) begin() error {
	if err := s.Open(); err != nil {
		return err
	}
	if !s.opened() {
		return io.EOF
	}
	return nil
}

// final is what Next returns when there is nothing more.
func (s *Source) final() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	return io.EOF
}

// Drain implements capture.Source. The socket is closed, and removed if it is a file. What the
// senders had written before is given; each connection ends when it gives nothing for 50 ms, and
// at the latest after 8 MiB.
func (s *Source) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	close(s.leaving)
	if s.listener != nil {
		_ = s.listener.Close() // what it says has no consequence: accept ends anyway
	}
	for c := range s.conns {
		c.drain()
	}
}

// Stats implements capture.Source. A frame that was cut off is not a packet.
func (s *Source) Stats() capture.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := capture.Stats{Connections: s.connections, Ended: s.ends, Reopened: s.reopened}
	// What leaves is looked at before what comes in, so that never more has left.
	st.Bytes, st.Discarded, st.Read = s.bytes.Load(), s.discarded.Load(), s.read.Load()
	st.Received = s.received.Load()
	return st
}

// Close implements capture.Source. It waits for the goroutines of all connections, which does not
// take longer than they need to return. Next returns os.ErrClosed from then on.
func (s *Source) Close() error {
	s.Drain()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var errs []error
	for c := range s.conns {
		errs = append(errs, c.abort())
	}
	opened := s.listener != nil
	s.mu.Unlock()
	close(s.stop)
	if opened {
		<-s.ended
	}
	s.current, s.rest = nil, nil
	s.discarded.Store(s.received.Load() - s.read.Load())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dnstap: %w", err)
	}
	return nil
}
