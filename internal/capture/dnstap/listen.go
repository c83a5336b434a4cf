// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// listen opens the socket of c.
func listen(c Config) (net.Listener, error) {
	network, address, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	var l net.Listener
	switch network {
	case "unix":
		l, err = listenUnix(address, c.SocketMode)
	case "tls":
		l, err = listenTLS(address, c)
	default:
		l, err = net.Listen("tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("dnstap: %w", err)
	}
	return l, nil
}

// listenUnix listens on path. A socket that a sensor left behind when it was killed is removed, one
// that somebody listens on is not, and neither is anything that is no socket.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	at := &net.UnixAddr{Name: path, Net: "unix"}
	l, err := net.ListenUnix("unix", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		l, err = net.ListenUnix("unix", at)
	}
	if err != nil {
		return nil, err
	}
	// Until here the mode is that of the umask, which no sane one makes wider.
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	socket, err := newSocketFile(l, path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return socket, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen unix %s: a file that is no socket is there; give another path", path)
	}
	// Only a refusal proves that nobody listens: a full queue of connections gives EAGAIN.
	peer, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("listen unix %s: another process listens there; "+
			"stop it or give another path", path), peer.Close())
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("listen unix %s: is anybody listening there? %w", path, err)
	}
	return os.Remove(path)
}

// listenTLS listens on address. The handshake is done by the first Read of a connection.
func listenTLS(address string, c Config) (net.Listener, error) {
	cfg, err := c.tls()
	if err != nil {
		return nil, err
	}
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.tls() }
	return tls.Listen("tcp", address, cfg)
}

// tls reads the files of c.
func (c Config) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s: %w", c.Cert, c.Key, err)
	}
	// Tickets would be sent after the handshake of TLS 1.3, and half of the time unbound (1.17.1)
	// fails then with "bad record mac". They save nothing: a sender connects once.
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		SessionTicketsDisabled: true}
	if c.ClientCA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client authorities: %w", err)
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client authorities: %s has no certificate in PEM", c.ClientCA)
	}
	return cfg, nil
}
