// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
)

const (
	// quiet is how long a connection may give nothing before it counts as read out, once the
	// source drains. A sender whose process has written gives at once.
	quiet = 50 * time.Millisecond

	// drainMost is how much a draining connection may still give: more than a socket holds
	// (net.ipv4.tcp_rmem ends at 6 MiB by default), so that a busy sender cannot stop the end.
	drainMost = 8 << 20

	// farewell is how long the writing of FINISH may take. It never does: the socket's buffer is
	// empty.
	farewell = time.Second
)

// errDrained ends a connection that gives more than drainMost.
var errDrained = errors.New("dnstap: drained")

// conn is one connection. Its goroutine reads; while a run is lent to the lane, it waits. There is
// no second buffer: meanwhile the kernel goes on filling its own.
type conn struct {
	source *Source
	net    net.Conn
	stream reader
	bidi   bool // the sender did the handshake, and knows FINISH

	lent run           // for the lane, from handing over until back
	time int64         // when lent was read, nanoseconds since the Unix epoch
	back chan struct{} // the lane has done with lent

	mu       sync.Mutex // guards the following, and the deadline for reading
	draining bool
	surplus  int // bytes read since then
}

func newConn(s *Source, nc net.Conn) *conn {
	c := &conn{source: s, net: nc, back: make(chan struct{}, 1)}
	c.stream.src = c
	return c
}

// run reads the connection to its end, and returns how it ended.
func (c *conn) run() capture.End {
	if end, ok := c.handshake(); !ok {
		return end
	}
	c.allow(0)
	for {
		r, err := c.stream.next()
		switch {
		case err != nil:
			return c.ended(err)
		case r.count > 0:
			if !c.lend(r) {
				return capture.EndDrained
			}
			continue
		}
		switch typeOf(r.control) {
		case stop:
			c.finish()
			return capture.EndStop
		case accept, start, ready, finish:
			return capture.EndFraming
		}
	}
}

// handshake answers what precedes the data frames: READY, ACCEPT and START, or START alone.
func (c *conn) handshake() (capture.End, bool) {
	c.allow(c.source.cfg.Handshake)
	if secure, ok := c.net.(*tls.Conn); ok {
		if err := secure.Handshake(); err != nil {
			return c.early(err, capture.EndTLS), false
		}
	}
	kind, end, ok := c.greeting()
	if ok && kind == ready {
		c.bidi = true
		if _, err := io.WriteString(c.net, acceptFrame); err != nil {
			return c.early(err, capture.EndHandshake), false
		}
		kind, end, ok = c.greeting()
	}
	if ok && kind != start {
		return capture.EndHandshake, false
	}
	return end, ok
}

// greeting reads one control frame of the handshake.
func (c *conn) greeting() (kind controlType, end capture.End, ok bool) {
	r, err := c.stream.next()
	if err != nil {
		return 0, c.early(err, capture.EndHandshake), false
	}
	if r.count > 0 {
		return 0, capture.EndHandshake, false
	}
	dnstap, ok := offers(r.control)
	switch {
	case !ok:
		return 0, capture.EndHandshake, false
	case !dnstap:
		return 0, capture.EndContentType, false
	}
	return typeOf(r.control), 0, true
}

// early says how a connection ended that failed before its first data frame: otherwise, unless it
// was silent and went away, as whoever only looks whether somebody listens, or this program ends.
func (c *conn) early(err error, otherwise capture.End) capture.End {
	switch {
	case c.isDraining():
		return capture.EndDrained
	case err == io.EOF && !c.stream.inside():
		return capture.EndLost
	}
	return otherwise
}

// ended says how a connection ended that failed after its handshake. That it is lost is in the
// course of things: a name server was stopped, or its machine was.
func (c *conn) ended(err error) capture.End {
	switch {
	case err == errOversize:
		return capture.EndOversize
	case err == errFraming:
		return capture.EndFraming
	case c.isDraining() && err != io.EOF:
		c.finish()
		return capture.EndDrained
	case c.stream.inside():
		return capture.EndCut
	}
	return capture.EndLost
}

// lend hands data frames to the lane and waits until it has done with them. It returns false when
// the source was closed before.
func (c *conn) lend(r run) bool {
	s := c.source
	c.lent, c.time = r, time.Now().UnixNano()
	s.received.Add(uint64(r.count))
	s.full <- c // never blocks: it has room for all connections, and each has one run
	select {
	case <-c.back:
		return true
	case <-s.stop:
		return false
	}
}

// finish tells a sender that knows the word that all its frames were read.
func (c *conn) finish() {
	if !c.bidi {
		return
	}
	// A sender that has gone is none to be told.
	_ = c.net.SetWriteDeadline(time.Now().Add(farewell))
	_, _ = io.WriteString(c.net, finishFrame)
}

// Read is io.Reader for the stream: the connection's, with the bounds of draining.
func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.draining {
		if c.surplus > drainMost {
			c.mu.Unlock()
			return 0, errDrained
		}
		_ = c.net.SetReadDeadline(time.Now().Add(quiet))
	}
	c.mu.Unlock()
	n, err := c.net.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		c.surplus += n
	}
	return n, err
}

// allow sets how long the connection may take from now on; 0 is for ever. It cannot fail but for
// a connection that is closed, which the next read tells.
func (c *conn) allow(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.draining: // drain has set what holds
	case d == 0:
		_ = c.net.SetDeadline(time.Time{})
	default:
		_ = c.net.SetDeadline(time.Now().Add(d))
	}
}

// drain lets the connection end when it is read out.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	_ = c.net.SetReadDeadline(time.Now().Add(quiet))
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// abort ends the connection without ceremony, and wakes its goroutine. The close of a TLS
// connection would write to it.
func (c *conn) abort() error {
	nc := c.net
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if err := nc.Close(); !errors.Is(err, net.ErrClosed) { // its goroutine may have been faster
		return err
	}
	return nil
}
