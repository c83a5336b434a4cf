// SPDX-License-Identifier: Apache-2.0

// Package replay plays captures again and again, as if their packets came off the wire now. It
// is the source of the demo.
package replay

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/packet"
)

var _ capture.Source = (*Source)(nil)

// maxWait is how long Next waits at most, as capture.Source has it.
const maxWait = 50 * time.Millisecond

// Capture is a capture file in memory.
type Capture struct {
	Name string
	Data []byte
}

// Source gives the packets of captures at an even pace, with the time of now.
type Source struct {
	captures []Capture
	gap      time.Duration // between two packets

	current capture.Source
	next    int // capture that comes after current
	due     time.Time
	idle    bool // the last answer was ErrIdle

	drain     chan struct{}
	drainOnce sync.Once

	mu    sync.Mutex // guards the following
	stats capture.Stats
}

// New returns a source of rate packets a second, which must be above 0. There must be a packet in
// one of the captures.
func New(captures []Capture, rate int) *Source {
	return &Source{captures: captures, gap: time.Second / time.Duration(rate),
		drain: make(chan struct{})}
}

// Next implements capture.Source.
func (s *Source) Next(p *packet.Packet) error {
	now := time.Now()
	if s.due.IsZero() {
		s.due = now
	}
	if wait := s.due.Sub(now); wait > 0 {
		if !s.idle { // dry: the first answer comes at once
			s.idle = true
			return capture.ErrIdle
		}
		if !s.wait(min(wait, maxWait)) {
			return io.EOF
		}
		if wait > maxWait {
			return capture.ErrIdle
		}
	}
	select {
	case <-s.drain:
		return io.EOF
	default: // nobody asked to stop
	}
	if err := s.read(p); err != nil {
		return err
	}
	s.idle = false
	s.due = s.due.Add(s.gap)
	p.Time = time.Now().UnixNano()
	s.mu.Lock()
	s.stats.Received++
	s.stats.Read++
	s.stats.Bytes += uint64(len(p.Data))
	s.mu.Unlock()
	return nil
}

// wait waits, and returns false when it was asked to stop meanwhile.
func (s *Source) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.drain:
		return false
	}
}

// read gives the next packet of the current capture, or the first of the one after it.
func (s *Source) read(p *packet.Packet) error {
	for range 2 * len(s.captures) { // the rest of one, and then each of them, at most
		if s.current == nil {
			c := s.captures[s.next]
			s.next = (s.next + 1) % len(s.captures)
			s.current = pcapfile.NewReader(c.Name, bytes.NewReader(c.Data))
		}
		switch err := s.current.Next(p); err {
		case nil:
			return nil
		case capture.ErrIdle:
			return err
		case io.EOF:
			if err := s.Close(); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return fmt.Errorf("replay: no packets in %d captures", len(s.captures))
}

// Drain implements capture.Source.
func (s *Source) Drain() { s.drainOnce.Do(func() { close(s.drain) }) }

// Stats implements capture.Source.
func (s *Source) Stats() capture.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Close implements capture.Source.
func (s *Source) Close() error {
	if s.current == nil {
		return nil
	}
	err := s.current.Close()
	s.current = nil
	return err
}
