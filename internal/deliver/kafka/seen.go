// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// anyBroker stands for the one that was connected to last.
const anyBroker int32 = -1

// seen remembers what became of the newest connection to each broker, and of the newest answer
// to a batch from it; nil when all was well. The error of a request does not always tell: the
// client tries again after most errors and returns that the time is over, and when one request
// waits in vain, it closes the connection and fails all others with that.
type seen struct {
	patience time.Duration // of a dial

	mu       sync.Mutex // guards the following
	connects map[int32]error
	reads    map[int32]error
}

var (
	_ kgo.HookBrokerConnect = (*seen)(nil)
	_ kgo.HookBrokerRead    = (*seen)(nil)
)

func newSeen(patience time.Duration) *seen {
	return &seen{patience: patience, connects: map[int32]error{}, reads: map[int32]error{}}
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (s *seen) OnBrokerConnect(b kgo.BrokerMetadata, took time.Duration, _ net.Conn, err error) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Timeout() && took < s.patience {
		return // the request had no more time for it: that says nothing about the broker
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connects[b.NodeID], s.connects[anyBroker] = err, err
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (s *seen) OnBrokerRead(b kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key != 0 { // Produce
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads[b.NodeID] = err
}

// connecting returns why node could not be connected to, if that is why the time was over; else
// err.
func (s *seen) connecting(node int32, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.connects[node]; last != nil && timedOut(err) {
		return last
	}
	return err
}

// reading returns why node did not answer the batch that was first in the line, if err comes
// from no socket itself; else err.
func (s *seen) reading(node int32, err error) error {
	var op *net.OpError
	if timedOut(err) || errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.reads[node]; last != nil {
		return last
	}
	return err
}

// timedOut tells whether the time of a request, or of a step of it, was over.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
