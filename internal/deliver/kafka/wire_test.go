// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// move is what a wire does with a request or an answer.
type move int

const (
	pass move = iota
	cut       // closes the connection instead
	half      // passes half of it, then closes the connection
	hang      // passes nothing, and keeps the connection
)

// wire is what lies between a client and the brokers of a fake cluster: real sockets, on the
// brokers' side of which a test sees, holds, forges and cuts whole requests and answers. It
// also takes brokers off the network and puts them back at the same port.
type wire struct {
	mu       sync.Mutex // guards the following
	gates    []*gate    // by node
	accepted int        // connections so far
	requests map[kmsg.Key]int
	refusing bool // closes every connection at once, as a load balancer without servers does

	// ask is called before a broker sees a request, answer before the client sees what the
	// broker made of it; answer may change it. They are called by many goroutines.
	ask    func(node int, key kmsg.Key, frame []byte) move
	answer func(node int, resp kmsg.Response) move
}

// newCluster starts a cluster behind a wire.
func newCluster(t testing.TB, brokers int, opts ...kfake.Opt) (*kfake.Cluster, *wire) {
	t.Helper()
	w := &wire{requests: map[kmsg.Key]int{}}
	opts = append(opts, kfake.NumBrokers(brokers), kfake.ListenFn(w.listen))
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		w.down(w.nodes()...)
	})
	return c, w
}

func (w *wire) listen(network, address string) (net.Listener, error) {
	g := &gate{w: w, conns: make(chan net.Conn), done: make(chan struct{}), taps: map[*tap]struct{}{}}
	if err := g.up(address); err != nil {
		return nil, err
	}
	g.addr = g.ln.Addr() // for good
	w.mu.Lock()
	defer w.mu.Unlock()
	g.node = len(w.gates)
	w.gates = append(w.gates, g)
	return g, nil
}

// nodes returns all there are.
func (w *wire) nodes() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]int, len(w.gates))
	for i := range all {
		all[i] = i
	}
	return all
}

// down takes nodes off the network: their connections are cut, new ones are refused.
func (w *wire) down(nodes ...int) {
	for _, n := range nodes {
		w.gates[n].down()
	}
}

// up puts nodes back, each at its old port.
func (w *wire) up(t testing.TB, nodes ...int) {
	t.Helper()
	for _, n := range nodes {
		g := w.gates[n]
		until(t, "the port is free", func() bool { return g.up(g.addr.String()) == nil })
	}
}

// set changes what the wire does from now on.
func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// traffic returns how many connections were accepted and requests seen so far.
func (w *wire) traffic() (connections, requests int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.requests {
		requests += n
	}
	return w.accepted, requests
}

// gate is the listener that a broker accepts from. It outlives the socket behind it.
type gate struct {
	w     *wire
	node  int
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	mu   sync.Mutex // guards the following
	ln   net.Listener
	taps map[*tap]struct{}
}

func (g *gate) up(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ln = ln
	go g.accept(ln)
	return nil
}

func (g *gate) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		g.w.mu.Lock()
		g.w.accepted++
		refusing := g.w.refusing
		g.w.mu.Unlock()
		if refusing {
			conn.Close()
			continue
		}
		t := &tap{Conn: conn, g: g, closed: make(chan struct{})}
		g.mu.Lock()
		g.taps[t] = struct{}{}
		g.mu.Unlock()
		select {
		case g.conns <- t:
		case <-g.done:
			t.Close()
		}
	}
}

func (g *gate) down() {
	g.mu.Lock()
	g.ln.Close()
	taps := g.taps
	g.taps = map[*tap]struct{}{}
	g.mu.Unlock()
	for t := range taps {
		t.Close()
	}
}

func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.done:
		return nil, net.ErrClosed
	}
}

func (g *gate) Addr() net.Addr { return g.addr }

func (g *gate) Close() error {
	g.once.Do(func() { close(g.done) })
	g.down()
	return nil
}

// tap is one connection, as the broker sees it. The broker reads requests in any portions, and
// writes each answer at once, in the order of the requests.
type tap struct {
	net.Conn
	g      *gate
	in     []byte // rest of the request
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards the following
	asked []question
}

type question struct{ key, version int16 }

func (t *tap) Close() error {
	t.once.Do(func() { close(t.closed) })
	return t.Conn.Close()
}

func (t *tap) Read(p []byte) (int, error) {
	if len(t.in) == 0 {
		frame, err := readFrame(t.Conn)
		if err != nil {
			return 0, err
		}
		a := question{int16(binary.BigEndian.Uint16(frame[4:])), int16(binary.BigEndian.Uint16(frame[6:]))}
		w := t.g.w
		w.mu.Lock()
		w.requests[kmsg.Key(a.key)]++
		ask := w.ask
		w.mu.Unlock()
		what := pass
		if ask != nil {
			what = ask(t.g.node, kmsg.Key(a.key), frame)
		}
		switch what {
		case hang:
			<-t.closed
			return 0, io.EOF
		case cut, half:
			t.Close()
			return 0, io.EOF
		}
		t.mu.Lock()
		t.asked = append(t.asked, a)
		t.mu.Unlock()
		t.in = frame
	}
	n := copy(p, t.in)
	t.in = t.in[n:]
	return n, nil
}

func (t *tap) Write(frame []byte) (int, error) {
	t.mu.Lock()
	a := t.asked[0]
	t.asked = t.asked[1:]
	t.mu.Unlock()
	t.g.w.mu.Lock()
	answer := t.g.w.answer
	t.g.w.mu.Unlock()
	if answer == nil || a.key == int16(kmsg.ApiVersions) {
		return t.Conn.Write(frame)
	}
	resp := kmsg.ResponseForKey(a.key)
	resp.SetVersion(a.version)
	head := 8 // size, correlation id
	if resp.IsFlexible() {
		head++ // no tags
	}
	if err := resp.ReadFrom(frame[head:]); err != nil {
		return 0, fmt.Errorf("answer of %d bytes to %s: %w", len(frame), kmsg.NameForKey(a.key), err)
	}
	what := answer(t.g.node, resp)
	out := resp.AppendTo(append([]byte(nil), frame[:head]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	switch what {
	case hang:
		return len(frame), nil
	case cut:
		return 0, t.Close()
	case half:
		t.Conn.Write(out[:len(out)/2])
		return 0, t.Close()
	}
	if _, err := t.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// readFrame reads one request with its size in front.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// until waits for what cond tells, and gives up when a machine under load would have done it.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); !cond(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
