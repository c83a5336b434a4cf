// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// link makes the connections to the brokers of a cluster and knows those that are open. All
// clients of the cluster share it. It is safe for concurrent use.
type link struct {
	keys     *keyring      // nil: plain text
	patience time.Duration // of a dial, handshake included
	dialTCP  func(ctx context.Context, network, address string) (net.Conn, error)
	now      func() time.Time

	mu        sync.Mutex // guards the following
	open      map[*conn]struct{}
	throttles map[int32]throttle // by node
}

// throttle is what a broker asked for with its newest throttled answer (KIP-219).
type throttle struct {
	pause time.Duration
	until time.Time
}

func newLink(cfg Config) *link {
	l := &link{
		patience: cfg.RequestTimeout / 2,
		dialTCP:  cfg.dial,
		now:      cfg.now,
		open:     map[*conn]struct{}{}, throttles: map[int32]throttle{},
	}
	if l.dialTCP == nil {
		// Names are resolved at each dial: brokers move. Keepalives find a peer that is gone from
		// a connection on which nothing waits for an answer.
		l.dialTCP = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
		}}).DialContext
	}
	if cfg.TLS != nil {
		l.keys = &keyring{TLS: *cfg.TLS, now: cfg.now}
	}
	return l
}

// dial opens a connection and, if the cluster has TLS, makes it secure.
func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	raw, err := l.dialTCP(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, raw: raw, link: l, since: l.now()}
	c.node.Store(anyBroker)
	if l.keys != nil {
		if c.secure, err = l.keys.handshake(ctx, raw, address); err != nil {
			raw.Close()
			// As part of the dial, for then the client tries the next broker.
			return nil, &net.OpError{Op: "dial", Net: network, Addr: raw.RemoteAddr(), Err: err}
		}
		c.Conn = c.secure
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	return c, nil
}

// throttled notes that node wants a pause.
func (l *link) throttled(node int32, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.throttles[node] = throttle{pause, l.now().Add(pause)}
}

// pause returns for how long node still wants nothing from us.
func (l *link) pause(node int32) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.throttles[node].until.Sub(l.now()))
}

// longest returns the node that wants the longest pause, and how long that still is.
func (l *link) longest() (node int32, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	node = anyBroker
	for n, t := range l.throttles {
		if p := t.until.Sub(l.now()); p > pause {
			node, pause = n, p
		}
	}
	return node, pause
}

// conn is a connection that counts, and that is known to its link until it is closed.
type conn struct {
	net.Conn           // what is read and written
	raw      net.Conn  // the socket below it
	secure   *tls.Conn // nil: plain text
	link     *link
	since    time.Time

	node                   atomic.Int32
	sent, received         atomic.Uint64
	lastSent, lastReceived atomic.Int64 // ns since the Unix epoch; 0 is never
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.received.Add(uint64(n))
		c.lastReceived.Store(c.link.now().UnixNano())
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.sent.Add(uint64(n))
		c.lastSent.Store(c.link.now().UnixNano())
	}
	return n, err
}

// Close implements net.Conn. It closes the socket and does not say so in TLS first: to a peer
// that takes nothing any more that would take five seconds, and what Kafka sends has its length
// in front of it.
func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.open, c)
	c.link.mu.Unlock()
	return c.raw.Close()
}

// Connection is the evidence about one open connection to a broker. All of it is what it was
// when Connections was called.
type Connection struct {
	Broker int32     `json:"broker"` // node id, -1 for one of the brokers to begin with
	Remote string    `json:"remote"` // address and port
	Local  string    `json:"local"`
	Since  time.Time `json:"since"` // when it was opened

	TLS         string    `json:"tls,omitempty"`              // version; empty: plain text
	Certificate string    `json:"certificate,omitempty"`      // the broker's, whose it is
	ValidUntil  time.Time `json:"certificate_until,omitzero"` // the broker's certificate

	Sent         uint64    `json:"sent_bytes"`     // given to the kernel, without TLS's own
	Received     uint64    `json:"received_bytes"` // taken from it
	LastSent     time.Time `json:"last_sent,omitzero"`
	LastReceived time.Time `json:"last_received,omitzero"`

	Kernel *Kernel `json:"kernel,omitempty"`        // nil when the kernel does not tell
	Why    string  `json:"kernel_silent,omitempty"` // why it does not
}

// Kernel is what the kernel knows of a TCP connection (Linux, TCP_INFO and SIOCOUTQ).
type Kernel struct {
	State            string        `json:"state"`             // as RFC 9293 calls it
	Queued           uint64        `json:"queued_bytes"`      // given to the kernel and not acknowledged
	NotSent          uint64        `json:"not_sent_bytes"`    // of these, not sent yet
	UnackedSegments  uint32        `json:"unacked_segments"`  // sent and not acknowledged
	Retransmits      uint8         `json:"retransmits"`       // in a row, of what waits now
	TotalRetransmits uint32        `json:"total_retransmits"` // segments, since the start
	RTT              time.Duration `json:"rtt_ns"`            // smoothed
	SinceSent        time.Duration `json:"since_sent_ns"`     // data
	SinceReceived    time.Duration `json:"since_received_ns"` // data
	SinceAck         time.Duration `json:"since_ack_ns"`      // received
}

// connections returns the evidence about all open connections, by broker and age.
func (l *link) connections() []Connection {
	l.mu.Lock()
	open := make([]*conn, 0, len(l.open))
	for c := range l.open {
		open = append(open, c)
	}
	l.mu.Unlock()
	all := make([]Connection, len(open))
	for i, c := range open {
		all[i] = c.evidence()
	}
	slices.SortFunc(all, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(a.Broker, b.Broker), a.Since.Compare(b.Since),
			cmp.Compare(a.Local, b.Local))
	})
	return all
}

func (c *conn) evidence() Connection {
	e := Connection{
		Broker: max(c.node.Load(), anyBroker),
		Remote: c.raw.RemoteAddr().String(), Local: c.raw.LocalAddr().String(), Since: c.since,
		Sent: c.sent.Load(), Received: c.received.Load(),
	}
	if ns := c.lastSent.Load(); ns != 0 {
		e.LastSent = time.Unix(0, ns)
	}
	if ns := c.lastReceived.Load(); ns != 0 {
		e.LastReceived = time.Unix(0, ns)
	}
	if c.secure != nil {
		state := c.secure.ConnectionState()
		e.TLS = tls.VersionName(state.Version)
		if len(state.PeerCertificates) > 0 {
			leaf := state.PeerCertificates[0]
			e.Certificate, e.ValidUntil = leaf.Subject.String(), leaf.NotAfter
		}
	}
	kernel, err := kernelOf(c.raw)
	if err != nil {
		e.Why = err.Error()
		return e
	}
	e.Kernel = kernel
	return e
}
