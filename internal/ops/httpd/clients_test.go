// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is a listener to which a new client comes whenever one is taken. None of them says anything.
type crowd struct {
	taken  atomic.Int64
	closed chan struct{}
	once   sync.Once
}

func (c *crowd) Accept() (net.Conn, error) {
	select {
	case <-c.closed:
		return nil, net.ErrClosed
	default: // here is one
	}
	c.taken.Add(1)
	near, _ := net.Pipe()
	return near, nil
}

func (c *crowd) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *crowd) Addr() net.Addr { return &net.TCPAddr{} }

func TestACrowdOfClientsIsServedAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := &crowd{closed: make(chan struct{})}
		s := New(Config{Log: quiet()}, example(flowing))
		s.listener = all
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for turn := range int64(3) {
			synctest.Wait()
			if got := all.taken.Load(); got != (turn+1)*maxClients {
				t.Errorf("after %d time-outs %d clients were taken", turn, got)
			}
			time.Sleep(readTimeout) // virtual
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
