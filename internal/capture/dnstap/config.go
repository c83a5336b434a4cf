// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"time"
)

// MaxFrame is the longest data frame that is taken, in bytes: more than a DNS query and its
// response, of 65,535 bytes each, can fill with what stands beside them.
const MaxFrame = 128 << 10

// Config says where a Source listens and whom it lets in.
type Config struct {
	// Listen is unix:///run/dnsluice.sock, tcp://127.0.0.1:6000 or tls://0.0.0.0:6000.
	Listen string

	Connections int           // at most at a time; more are closed at once
	Handshake   time.Duration // in which a connection must begin its frames; later it may be silent

	// SocketMode is who may connect to a unix socket, beside its owner.
	SocketMode fs.FileMode

	// Cert and Key are PEM files for tls. With ClientCA, a PEM file, only senders that have a
	// certificate of one of its authorities are let in. They are read anew for each connection,
	// so that they can be renewed.
	Cert, Key, ClientCA string
}

// DefaultConfig returns a Config without a place to listen.
func DefaultConfig() Config {
	return Config{Connections: 64, Handshake: 5 * time.Second, SocketMode: 0o660}
}

// maxSocketPath is the room in a socket's address (sun_path, linux/un.h) without its final zero.
const maxSocketPath = 107

// Validate returns an error that says which value cannot be used, or nil.
func (c Config) Validate() error {
	network, _, err := c.endpoint()
	switch {
	case err != nil:
		return err
	case c.Connections < 1:
		return fmt.Errorf("dnstap: connections: %d are none; give at least 1", c.Connections)
	case c.Handshake <= 0:
		return fmt.Errorf("dnstap: handshake: %s is no time; give a few seconds", c.Handshake)
	case network == "tls" && (c.Cert == "" || c.Key == ""):
		return fmt.Errorf("dnstap: %s: TLS needs a certificate and its key", c.Listen)
	}
	return nil
}

// Memory is the most that the buffers of a Source's connections can take, in bytes.
func (c Config) Memory() int { return c.Connections * (prefix + MaxFrame) }

// endpoint takes Listen apart: unix and a path, or tcp or tls and host:port.
func (c Config) endpoint() (network, address string, err error) {
	u, err := url.Parse(c.Listen)
	if err != nil {
		return "", "", fmt.Errorf("dnstap: listen: %w", err)
	}
	bare := u.User == nil && u.RawQuery == "" && u.Fragment == ""
	switch u.Scheme {
	case "unix":
		switch {
		case !bare || u.Host != "" || u.Path == "" || u.Path == "/":
			err = errors.New("want unix:// and the path of a socket, as in unix:///run/dnsluice.sock")
		case len(u.Path) > maxSocketPath:
			err = fmt.Errorf("a path of %d bytes; a socket's has at most %d", len(u.Path), maxSocketPath)
		}
		address = u.Path
	case "tcp", "tls":
		_, port, split := net.SplitHostPort(u.Host)
		if !bare || u.Path != "" || split != nil || port == "" {
			err = fmt.Errorf("want %s://host:port, as in %s://127.0.0.1:6000", u.Scheme, u.Scheme)
		}
		address = u.Host
	default:
		err = errors.New("want unix:///path, tcp://host:port or tls://host:port")
	}
	if err != nil {
		return "", "", fmt.Errorf("dnstap: listen: %s: %w", c.Listen, err)
	}
	return u.Scheme, address, nil
}
