// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// The queue between reading and writing, which lets bytes be under way.
const (
	chunkSize = 16 << 10
	chunks    = 64
)

// link is one connection through the proxy.
type link struct {
	p              *Proxy
	client, server *net.TCPConn // no server: nobody answers
	gone           chan struct{}
	once           sync.Once

	mu   sync.Mutex // guards the following
	done int        // directions that have ended in order
}

func newLink(p *Proxy, client, server *net.TCPConn) *link {
	return &link{p: p, client: client, server: server, gone: make(chan struct{})}
}

// end ends both sides.
func (l *link) end(how End) {
	l.once.Do(func() {
		close(l.gone)
		for _, side := range []*net.TCPConn{l.client, l.server} {
			switch {
			case side == nil:
			case how == RST:
				reset(side)
			default:
				side.CloseWrite()
				l.p.pumps.Go(func() { finish(side) })
			}
		}
		l.p.mu.Lock()
		delete(l.p.open, l)
		l.p.mu.Unlock()
	})
}

// finish closes a side that has sent its FIN. A kernel that closes a socket on which bytes wait
// sends a RST, so these are read first; more can only come until the peer has seen the FIN.
func finish(c *net.TCPConn) {
	c.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, c)
	c.Close()
}

// chunk is bytes under way.
type chunk struct {
	bytes []byte
	at    time.Time // when they came
}

// pump passes on one direction.
func (l *link) pump(d Direction, from, to *net.TCPConn) {
	queue := make(chan chunk, chunks)
	var lost error // why reading ended; nil: a FIN
	l.p.pumps.Go(func() {
		defer close(queue)
		for {
			buf := make([]byte, chunkSize)
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case queue <- chunk{buf[:n], time.Now()}:
				case <-l.gone:
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					lost = err
				}
				return
			}
		}
	})
	w := &writer{l: l, d: d, to: to}
	for c := range queue {
		if !w.pass(c) {
			break
		}
	}
	for range queue { // until the reader has ended too
	}
	if lost != nil {
		l.end(RST)
		return
	}
	if w.open() {
		to.CloseWrite()
	}
	l.mu.Lock()
	l.done++
	over := l.done == 2
	l.mu.Unlock()
	if over {
		l.end(FIN)
	}
}

// writer passes chunks on as the rules say.
type writer struct {
	l       *link
	d       Direction
	to      *net.TCPConn
	version int // of the rules that counted is about
	counted int // bytes since then
}

// open tells whether the connection has not ended. It waits while nothing may pass, for not even
// a FIN does then.
func (w *writer) open() bool {
	for {
		r, _, changed := w.l.p.rule(w.d)
		if !r.Hold {
			break
		}
		select {
		case <-changed:
		case <-w.l.gone:
			return false
		}
	}
	select {
	case <-w.l.gone:
		return false
	default:
		return true
	}
}

// pass passes c on, in pieces, and tells whether more can follow.
func (w *writer) pass(c chunk) bool {
	for len(c.bytes) > 0 {
		r, version, changed := w.l.p.rule(w.d)
		if version != w.version {
			w.version, w.counted = version, 0
		}
		if r.Hold {
			if !w.wait(-1, changed) {
				return false
			}
			continue
		}
		if left := time.Until(c.at.Add(r.Delay)); left > 0 {
			if !w.wait(left, changed) {
				return false
			}
			continue
		}
		piece := c.bytes
		if r.Rate > 0 {
			piece = piece[:min(len(piece), max(1, r.Rate/20))]
		}
		if r.Cut != nil {
			piece = piece[:min(len(piece), r.Cut.After-w.counted)]
		}
		c.bytes = c.bytes[len(piece):]
		w.counted += len(piece)
		w.l.p.mu.Lock()
		w.l.p.passed[w.d] += int64(len(piece)) // first, for who reads them may look at once
		w.l.p.mu.Unlock()
		if _, err := w.to.Write(piece); err != nil {
			w.l.end(RST)
			return false
		}
		if r.Cut != nil && w.counted >= r.Cut.After {
			w.l.end(r.Cut.End)
			return false
		}
		if r.Rate > 0 && !w.wait(time.Second*time.Duration(len(piece))/time.Duration(r.Rate), changed) {
			return false
		}
	}
	return true
}

// wait waits for d, for ever if that is negative, or for a change of the rules. It tells whether
// the connection is still there.
func (w *writer) wait(d time.Duration, changed <-chan struct{}) bool {
	var over <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
	case <-changed:
	case <-w.l.gone:
		return false
	}
	return true
}
