// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// data is a data frame.
func data(b string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + b
}

// control is a control frame with content types.
func control(kind controlType, contentTypes ...string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(kind))
	for _, c := range contentTypes {
		b = binary.BigEndian.AppendUint32(b, fieldContentType)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(c))), c...)
	}
	return "\x00\x00\x00\x00" + data(string(b))
}

// begin and end are what a sender in one direction writes around its frames.
var begin, end = control(start, contentType), control(stop)

// pipes is a listener in memory, so that its time is that of synctest.
type pipes struct {
	calls  chan func() (net.Conn, error)
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case call := <-p.calls:
		return call()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return nil }

// dial connects a sender.
func (p *pipes) dial() sender {
	near, far := net.Pipe()
	p.calls <- func() (net.Conn, error) { return near, nil }
	return sender{far}
}

// sender is the far end of a connection.
type sender struct{ net.Conn }

// write writes, and returns what went wrong: the other end may hang up at any time.
func (s sender) write(parts ...string) error {
	_, err := io.WriteString(s, strings.Join(parts, ""))
	return err
}

// all returns what is there to be read until the other end hangs up.
func (s sender) all(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(s)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	return string(b)
}

// open returns a source that is open, and what it listens on. It is closed at the end of the test.
func open(t *testing.T, change func(*Config)) (*Source, *pipes) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "unix:///nowhere"
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{calls: make(chan func() (net.Conn, error)), closed: make(chan struct{})}
	s.listen = func(Config) (net.Listener, error) { return p, nil }
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		balanced(t, s, 0)
	})
	return s, p
}

// balanced checks both laws: that of packets, and that of connections.
func balanced(t *testing.T, s *Source, waiting uint64) {
	t.Helper()
	st := s.Stats()
	if st.Received != st.Read+st.KernelDropped+st.Discarded+waiting {
		t.Errorf("%d received, %d read, %d discarded, %d wait", st.Received, st.Read, st.Discarded,
			waiting)
	}
	s.mu.Lock()
	over := uint64(len(s.conns))
	s.mu.Unlock()
	for _, n := range st.Ended {
		over += n
	}
	if st.Connections != over {
		t.Errorf("%d connections, %d open or ended", st.Connections, over)
	}
}

// take reads what s has until it is dry for a second, or ends; then final says how.
func take(t *testing.T, s *Source) (got []string, final error) {
	t.Helper()
	var p packet.Packet
	for dry := 0; dry < 20; {
		switch err := s.Next(&p); err {
		case nil:
			if p.Link != packet.LinkDNSTap || p.Length != len(p.Data) || p.Time == 0 {
				t.Errorf("packet %+v", p)
			}
			got = append(got, string(p.Data))
			dry = 0
		case capture.ErrIdle:
			dry++
		default:
			return got, err
		}
	}
	return got, nil
}

// ended returns how the connections ended, in words.
func ended(s *Source) map[string]uint64 {
	ends := map[string]uint64{}
	for e, n := range s.Stats().Ended {
		if n > 0 {
			ends[capture.End(e).String()] = n
		}
	}
	return ends
}

// same fails the test when got is not want.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("%s (-got +want):\n%s", what, diff)
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// later runs a sender beside the test, and returns its error once it is through.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

const soon = time.Millisecond
