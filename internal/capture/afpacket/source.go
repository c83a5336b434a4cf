// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// How long things take.
const (
	// idleWait is how long Next waits on a quiet link before it says so again.
	idleWait = 50 * time.Millisecond

	// firstRetry is the pause after an attempt to reopen that failed, doubled up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second

	// foldEvery is how many blocks may pass before the kernel's counters are read. They have 32
	// bits, which a lane that is never idle and never asked for Stats would let overflow.
	foldEvery = 1024
)

// Source is one lane of a Group: one socket, one ring, one goroutine that calls Next.
type Source struct {
	cfg    Config
	kernel kernel

	read, bytes atomic.Uint64 // written by Next alone

	// These belong to the goroutine that calls Next.
	ring     ring
	dry      bool          // Next has said ErrIdle since it last gave a packet
	blocks   uint64        // taken so far
	deadline time.Time     // when to stop waiting for the last block; zero while it is not the last
	retryAt  time.Time     // not to be reopened before
	backoff  time.Duration // what to add to retryAt next time

	mu       sync.Mutex    // guards the following
	sock     socket        // nil while there is no interface to capture on
	total    capture.Stats // without Read and Bytes
	fault    error         // see Err
	opened   bool          // sock was set once
	draining bool
	closed   bool
}

var _ capture.Source = (*Source)(nil)

// Next implements capture.Source. While the interface is down or gone it returns ErrIdle, and
// when it is back it captures again.
func (s *Source) Next(p *packet.Packet) error {
	for !s.ring.next(p) {
		if err := s.turn(); err != nil {
			return err
		}
	}
	s.read.Add(1)
	s.bytes.Add(uint64(len(p.Data)))
	return nil
}

// turn returns nil when another block is ours, and what Next has to return when none is.
func (s *Source) turn() error {
	s.ring.release()
	if s.ring.lost > 0 {
		s.mu.Lock()
		s.total.Discarded += s.ring.lost
		s.mu.Unlock()
		s.ring.lost = 0
	}
	if s.take() {
		return nil
	}
	if !s.dry {
		s.dry = true
		return capture.ErrIdle
	}
	s.mu.Lock()
	sock, draining, closed := s.sock, s.draining, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return fmt.Errorf("afpacket: read %s: %w", s.cfg.Interface, os.ErrClosed)
	case sock != nil:
		return s.wait(sock, draining)
	case draining:
		return io.EOF
	}
	return s.reopen()
}

func (s *Source) take() bool {
	if !s.ring.take() {
		return false
	}
	s.dry = false
	if s.blocks++; s.blocks%foldEvery == 0 {
		s.Stats()
	}
	return true
}

// wait is turn when the ring is empty.
func (s *Source) wait(sock socket, draining bool) error {
	state, err := sock.wait(idleWait)
	if err != nil {
		return fmt.Errorf("afpacket: wait for %s: %w", s.cfg.Interface, err)
	}
	s.observe(state)
	if s.take() {
		return nil
	}
	if !draining && state != linkGone {
		s.deadline = time.Time{}
		return capture.ErrIdle
	}
	if !s.emptied() {
		return capture.ErrIdle
	}
	if draining {
		return io.EOF
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring, s.deadline = ring{}, time.Time{}
	// The error of closing a socket whose interface is gone changes nothing, and Err already
	// says that it is gone.
	_ = s.shut()
	return capture.ErrIdle
}

// emptied tells, when the kernel puts nothing more into the ring, whether all that was in it has
// been read. What is in a block that is not full comes when the retire timeout hands it over:
// at the second turn of the timer at the latest. A block that does not come by then never will.
func (s *Source) emptied() bool {
	now := time.Now()
	if s.deadline.IsZero() {
		s.deadline = now.Add(2*s.cfg.RetireTimeout + 2*idleWait)
	}
	return waiting(s.Stats()) == 0 || now.After(s.deadline)
}

// observe keeps Err and Reopened true to what a socket says of its interface.
func (s *Source) observe(state linkState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state == linkDown:
		s.fault = downError(s.cfg.Interface)
	case state == linkGone:
		s.fault = fmt.Errorf("afpacket: interface %q is gone: "+
			"capture goes on when there is one of that name again", s.cfg.Interface)
	case s.fault != nil:
		s.fault = nil
		s.total.Reopened++
	}
}

// reopen is turn when there is no socket. An interface that is absent or down is looked for
// often, since that costs next to nothing and each moment is lost to the capture; the pause
// grows when the interface is there and will not open.
func (s *Source) reopen() error {
	time.Sleep(idleWait)
	if time.Now().Before(s.retryAt) {
		return capture.ErrIdle
	}
	err := s.open()
	switch {
	case err == nil:
		s.backoff = 0
	case errors.Is(err, errDown), errors.Is(err, errAbsent):
		s.backoff = firstRetry
	default:
		s.backoff = min(max(2*s.backoff, firstRetry), lastRetry)
	}
	s.retryAt = time.Now().Add(s.backoff)
	return capture.ErrIdle
}

// open gives the source a socket.
func (s *Source) open() error {
	o, err := s.kernel.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
	if err != nil {
		return err
	}
	if s.draining { // Drain came while the socket was being made
		_ = o.reject()
	}
	if s.opened {
		s.total.Reopened++
	}
	s.sock, s.opened = o.socket, true
	s.ring = ring{
		mem: o.mem, blockSize: s.cfg.BlockSize, link: o.link, name: s.cfg.Interface,
	}
	return nil
}

// downError is errDown with what to do.
func downError(name string) error {
	return fmt.Errorf("afpacket: interface %q: %w: set it up", name, errDown)
}

// Drain implements capture.Source.
func (s *Source) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	if s.sock != nil {
		// The kernel refuses one instruction only when it is out of memory. Then the ring goes
		// on filling until the deadline of emptied, and Close counts the rest.
		_ = s.sock.reject()
	}
}

// Stats implements capture.Source.
func (s *Source) Stats() capture.Stats {
	// Before the kernel's counters, so that Read is never more than Received.
	read, bytes := s.read.Load(), s.bytes.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fold()
	st := s.total
	st.Read, st.Bytes = read, bytes
	return st
}

// Err says why the source captures nothing at present, and nil when it does: the interface is
// down, or gone, or could not be opened again. It may be called from any goroutine.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Close implements capture.Source. The bytes of the last packet are no longer valid.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ring = ring{}
	if err := s.shut(); err != nil {
		return fmt.Errorf("afpacket: close %s: %w", s.cfg.Interface, err)
	}
	return nil
}

// shut closes the socket, if there is one, and counts what nobody read. s.mu is held.
func (s *Source) shut() error {
	if s.sock == nil {
		return nil
	}
	s.fold() // a packet that arrives after this was never received
	st := s.total
	st.Read = s.read.Load()
	s.total.Discarded += waiting(st)
	err := s.sock.close()
	s.sock = nil
	return err
}

// fold adds what the kernel counted since the last time. s.mu is held.
func (s *Source) fold() {
	if s.sock == nil {
		return
	}
	st := s.sock.statistics()
	s.total.Received += uint64(st.packets)
	s.total.KernelDropped += uint64(st.drops)
	s.total.Frozen += uint64(st.freezes)
}

// waiting returns how many packets of st are neither read nor lost.
func waiting(st capture.Stats) uint64 {
	gone := st.Read + st.KernelDropped + st.Discarded
	if gone > st.Received {
		return 0
	}
	return st.Received - gone
}
