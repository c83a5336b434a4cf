// SPDX-License-Identifier: Apache-2.0

// Package httpd shows the sensor over HTTP: whether it lives, whether it is ready and if not why,
// its ledger, its metrics. It only reads: every request is a GET or a HEAD, and none changes
// anything. It owns its listener, and no data of the path.
package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// The time-outs of a connection. A client that is slow or silent costs no more than these.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = 5 * time.Second

	// net/http/pprof refuses a profile that takes longer than the write time-out; 30 s is its
	// default.
	profileTimeout = 2 * time.Minute

	// How long a request may still take when the server stops. The sensor's own drain does not
	// wait for a reader.
	stopTimeout = time.Second

	// maxClients is how many connections are served at a time. More wait in the kernel, where they
	// cost the sensor no memory and no file; none of those before them lasts for long.
	maxClients = 32

	// maxHeader bounds the request head; a scrape's is some 300 bytes.
	maxHeader = 16 << 10
)

// Config says where and what to serve.
type Config struct {
	Address string       // host:port; port 0 takes a free one
	Pprof   bool         // serve /debug/pprof as well
	Log     *slog.Logger // hears of failed requests and of an address that others can reach
}

// State is how the sensor is at one moment.
type State struct {
	Name     string            `json:"name"`     // one word, such as flowing or unreachable
	Since    time.Time         `json:"since"`    // when it became so
	Sentence string            `json:"sentence"` // the same for people, with what to do
	Evidence map[string]string `json:"evidence"` // what was seen that says so; never null in JSON

	Ready bool `json:"ready"` // what /readyz says
}

// Source is what is shown. Its functions are called for each request, from any goroutine, and
// must not block. All must be given, but for Detail.
type Source struct {
	Version, Sensor, Run string

	State   func() State
	Ledger  func() ledger.Ledger
	Metrics http.Handler // serves /metrics

	// Detail is what /api/state says besides, as package ask reads it. It must encode as JSON.
	Detail func() any
}

// Server serves one source at one address.
type Server struct {
	cfg      Config
	src      Source
	listener net.Listener  // nil before Listen
	patience time.Duration // with the requests under way when it stops
}

// New returns a server that does nothing yet.
func New(cfg Config, src Source) *Server {
	return &Server{cfg: cfg, src: src, patience: stopTimeout}
}

// Listen takes the address, so that a start fails before anything else has begun, and returns
// the one taken. A client that connects now waits for Run. It is called at most once, before Run.
func (s *Server) Listen(ctx context.Context) (net.Addr, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("httpd: %s is in use, by another sensor perhaps: "+
			"give another address with --http, or --http off: %w", s.cfg.Address, err)
	case err != nil:
		return nil, fmt.Errorf("httpd: listen on %s (see --http): %w", s.cfg.Address, err)
	}
	s.listener = l
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		s.cfg.Log.Warn("httpd: other machines can reach this address, and anyone may read",
			"address", l.Addr().String(), "pprof", s.cfg.Pprof)
	}
	return l.Addr(), nil
}

// Run serves until the context ends, then stops: it takes no more requests and waits up to a
// second for those that it has. It calls Listen when nobody has. The end of the context is no
// error.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if ctx.Err() != nil {
			return nil
		}
		if _, err := s.Listen(ctx); err != nil {
			return err
		}
	}
	server := s.server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(s.listener, maxClients)) }()
	select {
	case err := <-served:
		return fmt.Errorf("httpd: serve %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		// A reader that does not end is cut off.
		err = server.Close()
		<-served
		return err
	}
	<-served
	return nil
}

func (s *Server) server() *http.Server {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	if s.cfg.Pprof {
		server.WriteTimeout = profileTimeout
	}
	return server
}
