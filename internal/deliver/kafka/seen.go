// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// anyBroker stands for the one that was connected to last.
const anyBroker int32 = -1

// The requests that begin a connection (KIP-35, KIP-43, KIP-152).
const (
	keyProduce          int16 = 0
	keySASLHandshake    int16 = 17
	keyAPIVersions      int16 = 18
	keySASLAuthenticate int16 = 36
)

// seen remembers what became of the newest connection to each broker, and of the newest answer
// to a batch from it; nil when all was well. The error of a request does not always tell: the
// client tries again after most errors and returns that the time is over, and when one request
// waits in vain, it closes the connection and fails all others with that.
type seen struct {
	link *link

	mu       sync.Mutex // guards the following
	connects map[int32]connect
	reads    map[int32]error
	writes   map[int32]error // what the newest write of a batch ended with
	begins   map[int32]beginning
}

// connect is how the newest connection came about.
type connect struct {
	begun time.Time
	err   error
}

// beginning is a request at the start of a connection that was not answered.
type beginning struct {
	key int16
	err error
}

var (
	_ kgo.HookBrokerConnect  = (*seen)(nil)
	_ kgo.HookBrokerRead     = (*seen)(nil)
	_ kgo.HookBrokerWrite    = (*seen)(nil)
	_ kgo.HookBrokerThrottle = (*seen)(nil)
)

func newSeen(l *link) *seen {
	return &seen{
		link: l, connects: map[int32]connect{}, reads: map[int32]error{}, writes: map[int32]error{},
		begins: map[int32]beginning{},
	}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (s *seen) OnBrokerConnect(b kgo.BrokerMetadata, took time.Duration, c net.Conn, err error) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && timedOut(op) && took < s.link.patience {
		return // the request had no more time for it: that says nothing about the broker
	}
	if ours, ok := c.(*conn); ok {
		ours.node.Store(b.NodeID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := connect{time.Now().Add(-took), s.explain(b.NodeID, err)}
	for _, node := range []int32{b.NodeID, anyBroker} {
		if !last.begun.Before(s.connects[node].begun) { // of several tries, the last is told first
			s.connects[node] = last
		}
	}
}

// explain says more about a connection that was closed while it began: by which request the
// broker did so. The lock is held.
func (s *seen) explain(node int32, err error) error {
	begin, read := s.begins[node]
	delete(s.begins, node)
	if _, secure := errors.AsType[*tlsError](err); !read && !secure && closed(err) {
		begin = beginning{keyAPIVersions, err} // closed while the first request was written
	}
	switch {
	case begin.err == nil || !errors.Is(err, begin.err) || timedOut(err):
	case begin.key == keyAPIVersions && s.link.keys != nil:
		return s.link.keys.afterwards(err)
	case begin.key == keyAPIVersions && closed(err):
		return &closedError{begin.err}
	case begin.key == keySASLHandshake, begin.key == keySASLAuthenticate:
		return &authError{what: "the broker closed the connection during the authentication, " +
			"which it may do to wrong credentials", err: err}
	}
	return err
}

// closedError is a plain connection that was closed before the first answer. A port for TLS does
// that, and so does a load balancer with nothing behind it, which is why the state stays what it
// is: unreachable.
type closedError struct{ err error }

func (e *closedError) Error() string {
	return "the broker closed the connection before it answered: is TLS expected on this port? (" +
		e.err.Error() + ")"
}

func (e *closedError) Unwrap() error { return e.err }

// OnBrokerThrottle implements kgo.HookBrokerThrottle.
func (s *seen) OnBrokerThrottle(b kgo.BrokerMetadata, pause time.Duration, _ bool) {
	s.link.throttled(b.NodeID, pause)
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (s *seen) OnBrokerWrite(b kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key != keyProduce {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes[b.NodeID] = err
}

// OnBrokerRead implements kgo.HookBrokerRead. The client itself closes the connection after a write
// that nobody waited for any more, with the answers to the batches before it still to come.
func (s *seen) OnBrokerRead(b kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch key {
	case keyProduce:
		write := s.writes[b.NodeID]
		if errors.Is(err, context.Canceled) ||
			errors.Is(err, net.ErrClosed) && write != nil && timedOut(write) {
			err = errGivenUp
		}
		s.reads[b.NodeID] = err
	case keyAPIVersions, keySASLHandshake, keySASLAuthenticate:
		s.begins[b.NodeID] = beginning{key, err}
	}
}

// connecting returns why node could not be connected to, if that is why the time was over or
// what the client calls a lost connection; else err.
func (s *seen) connecting(node int32, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.connects[node].err
	var (
		auth  *authError
		tls   *tlsError
		plain *closedError
	)
	told := errors.As(last, &auth) || errors.As(last, &tls) || errors.As(last, &plain)
	if last != nil && (timedOut(err) || told && closed(err)) {
		return last
	}
	return err
}

// distance is how far a connection got that failed with the state.
var distance = map[deliver.State]int{
	deliver.Unresolvable: 1, deliver.Unreachable: 2, deliver.NoAnswer: 3, deliver.TLSFailed: 4,
	deliver.AuthFailed: 5,
}

// remembered is for how long a connection that failed tells how its broker is.
const remembered = time.Minute

// farthest returns the error of the broker that let us get farthest, if err is of a connection that
// failed. Where one name does not resolve and the port behind another is closed, the client returns
// what it met last: the state would be another one after each look-up, and "no name resolves" is
// not even true.
func (s *seen) farthest(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	best := distance[transportState(err)]
	if best == 0 {
		return err
	}
	for _, last := range s.connects {
		if last.err == nil || time.Since(last.begun) > remembered {
			continue
		}
		if far := distance[transportState(last.err)]; far > best {
			best, err = far, last.err
		}
	}
	return err
}

// reading returns why node did not answer the batch that was first in the line, if err comes
// from no socket itself; else err.
func (s *seen) reading(node int32, err error) error {
	var op *net.OpError
	ours := errors.Is(err, net.ErrClosed) // our end: another batch is why
	if timedOut(err) || errors.As(err, &op) && !ours || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.reads[node]; last != nil {
		return last
	}
	return err
}

// errGivenUp is why the newest answer to a batch was not read when nobody waited for one any more.
var errGivenUp = fmt.Errorf("no answer to another batch: %w", os.ErrDeadlineExceeded)

// timedOut tells whether the time of a request, or of a step of it, was over. One that has no time
// of its own is cancelled when that of its last batch is over.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.Canceled) || errors.As(err, &t) && t.Timeout()
}

// closed tells whether err is how a connection looks that the other side has closed.
func closed(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &op) && op.Op != "dial" && !op.Timeout()
}
