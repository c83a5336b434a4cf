// SPDX-License-Identifier: Apache-2.0

// Package faultproxy is a TCP proxy on loopback that does to connections what networks, load
// balancers and dying machines do: delay, narrow, hold, cut in the middle of a frame, reset, take
// and close, take and say nothing. Only tests import it.
//
// Nothing in it is left to chance: bytes are counted, not timed, and what is done to them is what
// was asked for last. It stands above TCP, so bytes that it holds have been acknowledged to the
// sender's kernel.
package faultproxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Direction is one of the two of a connection.
type Direction int

// The directions.
const (
	Up   Direction = iota // from the client to the server
	Down                  // from the server to the client
)

// End is how a connection ends.
type End int

// The ends.
const (
	FIN End = iota // in order, wherever in a frame
	RST            // at once, and what is in flight is lost
)

// Rule is what is done to the bytes of one direction. The zero value passes them on.
type Rule struct {
	Delay time.Duration // of each byte; the bytes behind it do not wait for longer
	Rate  int           // bytes per second; 0 is as many as there are
	Hold  bool          // nothing passes; what comes waits until this is over
	Cut   *Cut
}

// Cut ends a connection after so many more bytes of this direction; each connection has its own
// count, which begins with the rule or with the connection.
type Cut struct {
	After int
	End   End
}

// Welcome is what becomes of a new connection.
type Welcome int

// The welcomes.
const (
	Forward Welcome = iota // to the server
	Hangup                 // closed at once, as by a load balancer with nothing behind it
	Reset                  // reset at once
	Silence                // taken; nothing is read and nothing answered
)

// Proxy listens on a port of loopback, for as long as it lives, and forwards to one server. It is
// safe for concurrent use.
type Proxy struct {
	address string
	pumps   sync.WaitGroup

	mu       sync.Mutex // guards the following
	target   string
	listener net.Listener // nil: connections are refused
	rules    [2]Rule
	changed  chan struct{} // closed and replaced when rules change
	version  int           // of the rules
	welcome  Welcome
	open     map[*link]struct{}
	accepted int
	passed   [2]int64
	closed   bool
}

// New returns a proxy in front of target.
func New(target string) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	p := &Proxy{address: ln.Addr().String(), target: target, listener: ln,
		changed: make(chan struct{}), open: map[*link]struct{}{}}
	p.pumps.Go(func() { p.accept(ln) })
	return p, nil
}

// Addr returns host:port, the same for as long as the proxy lives.
func (p *Proxy) Addr() string { return p.address }

// Set changes what is done to the bytes of one direction of all connections, now and later.
func (p *Proxy) Set(d Direction, r Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[d] = r
	p.version++
	close(p.changed)
	p.changed = make(chan struct{})
}

// Both is Set for both directions.
func (p *Proxy) Both(r Rule) {
	p.Set(Up, r)
	p.Set(Down, r)
}

// Heal makes the proxy a wire: bytes pass, connections are forwarded and taken again.
func (p *Proxy) Heal() error {
	p.Both(Rule{})
	p.Greet(Forward)
	return p.Listen()
}

// Greet changes what becomes of new connections.
func (p *Proxy) Greet(w Welcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.welcome = w
}

// Retarget changes the server that new connections go to.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Break ends all connections that there are.
func (p *Proxy) Break(how End) {
	p.mu.Lock()
	all := make([]*link, 0, len(p.open))
	for l := range p.open {
		all = append(all, l)
	}
	p.mu.Unlock()
	for _, l := range all {
		l.end(how)
	}
}

// Refuse makes the kernel refuse new connections, as a machine does on which nothing listens.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// Listen ends Refuse, at the same port. Its error is that of the port being in use.
func (p *Proxy) Listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	ln, err := net.Listen("tcp", p.address)
	if err != nil {
		return fmt.Errorf("faultproxy: %w", err)
	}
	p.listener = ln
	p.pumps.Go(func() { p.accept(ln) })
	return nil
}

// Stats are what happened so far.
type Stats struct {
	Accepted int      // connections
	Open     int      // connections now
	Passed   [2]int64 // bytes passed on, by direction
}

// Stats returns them.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{p.accepted, len(p.open), p.passed}
}

// Close ends everything and waits for it.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Refuse()
	p.Break(RST)
	p.pumps.Wait()
}

func (p *Proxy) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.accepted++
		welcome, target := p.welcome, p.target
		p.mu.Unlock()
		client := conn.(*net.TCPConn)
		switch welcome {
		case Hangup:
			client.Close()
		case Reset:
			reset(client)
		case Silence:
			p.add(newLink(p, client, nil))
		case Forward:
			p.pumps.Go(func() { p.forward(client, target) })
		}
	}
}

func (p *Proxy) forward(client *net.TCPConn, target string) {
	conn, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		reset(client)
		return
	}
	l := newLink(p, client, conn.(*net.TCPConn))
	if !p.add(l) {
		return
	}
	p.pumps.Go(func() { l.pump(Up, l.client, l.server) })
	p.pumps.Go(func() { l.pump(Down, l.server, l.client) })
}

// add makes l one of the open connections, unless the proxy is closed.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	if !p.closed {
		p.open[l] = struct{}{}
		p.mu.Unlock()
		return true
	}
	p.mu.Unlock()
	l.end(RST)
	return false
}

// rule returns what is done to bytes now, its version, and what tells of a change.
func (p *Proxy) rule(d Direction) (Rule, int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules[d], p.version, p.changed
}

func reset(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }
