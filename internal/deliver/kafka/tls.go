// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// TLS says how connections are encrypted. The files are PEM and are read again for each
// connection, so that a certificate that is renewed on disk is used by the next one.
type TLS struct {
	CA         string // file of the authorities that may sign brokers; empty: those of the system
	Cert, Key  string // files of the client's certificate and key; both, or none
	ServerName string // that brokers' certificates must have; empty: the name that was dialled
	MinVersion uint16 // tls.VersionTLS12 or VersionTLS13; 0 is the former
}

// Validate names what cannot be. It reads no file.
func (t *TLS) Validate() error {
	switch {
	case (t.Cert == "") != (t.Key == ""):
		return errors.New("kafka: TLS: a client certificate needs its key, and the key its " +
			"certificate")
	case t.MinVersion != 0 && t.MinVersion != tls.VersionTLS12 && t.MinVersion != tls.VersionTLS13:
		return errors.New("kafka: TLS: the minimum version is 1.2 or 1.3")
	}
	return nil
}

// keyring makes the TLS configuration of each connection from the files as they are.
type keyring struct {
	TLS
	now func() time.Time

	mu   sync.Mutex // guards the following
	last *tls.Config
}

// load returns the configuration. While the files are being replaced they may not fit together
// for a moment; then it returns the last that did, and why the files do not.
func (k *keyring) load() (*tls.Config, error) {
	cfg, err := k.read()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.last = cfg
	}
	if k.last == nil {
		return nil, err
	}
	return k.last.Clone(), err
}

func (k *keyring) read() (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion: max(k.MinVersion, tls.VersionTLS12), ServerName: k.ServerName, Time: k.now,
	}
	if k.CA != "" {
		pem, err := os.ReadFile(k.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no certificate in PEM", k.CA)
		}
	}
	if k.Cert != "" {
		pair, err := tls.LoadX509KeyPair(k.Cert, k.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert %s with tls.key %s: %w", k.Cert, k.Key, err)
		}
		// Not cfg.Certificates: of those, none is sent when the broker's list of authorities does
		// not name its issuer, and then the broker can only say that there was none.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		}
	}
	return cfg, nil
}

// handshake makes raw, a connection to address, a TLS connection. It blocks until ctx ends.
func (k *keyring) handshake(ctx context.Context, raw net.Conn, address string) (*tls.Conn, error) {
	cfg, unread := k.load()
	if cfg == nil {
		return nil, &tlsError{what: "the files for TLS cannot be used", err: unread}
	}
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, &tlsError{what: "no name to check the broker's certificate for", err: err}
		}
		cfg.ServerName = host
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		failed := k.explain(err)
		if unread != nil {
			failed.err = fmt.Errorf("%w; and older files are in use, for: %w", failed.err, unread)
		}
		return nil, failed
	}
	return conn, nil
}

// tlsError is why there is no encrypted connection, in words.
type tlsError struct {
	what string
	err  error
}

func (e *tlsError) Error() string { return e.what + " (" + e.err.Error() + ")" }

// Unwrap hides the end of a file: the client takes that for an answer to its first request.
func (e *tlsError) Unwrap() error {
	if errors.Is(e.err, io.EOF) {
		return nil
	}
	return e.err
}

// Timeout tells whether the broker said nothing in time.
func (e *tlsError) Timeout() bool { return timedOut(e.err) }

// Temporary is false: no second try at once would go better.
func (e *tlsError) Temporary() bool { return false }

// explain says why a handshake failed, with names and dates.
func (k *keyring) explain(err error) *tlsError {
	var (
		verify   *tls.CertificateVerificationError
		plain    tls.RecordHeaderError
		op       *net.OpError
		wrong    x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
	)
	e := &tlsError{what: "the TLS handshake failed", err: err}
	var leaf *x509.Certificate
	if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
		leaf = verify.UnverifiedCertificates[0]
	}
	switch {
	case timedOut(err):
		e.what = "the TLS handshake was not answered in time: the port may not speak TLS"
	case errors.As(err, &plain):
		e.what = "the port does not speak TLS"
	case errors.As(err, &op) && op.Op == "remote error":
		e.what = "the broker refused the handshake, " + k.own()
	case errors.As(err, &wrong) && wrong.Reason == x509.Expired && wrong.Cert != nil:
		e.what = k.dates("the broker's certificate", wrong.Cert)
		if leaf != nil && !wrong.Cert.Equal(leaf) {
			e.what = k.dates("a certificate above the broker's", wrong.Cert)
		}
	case errors.As(err, &unknown) && leaf != nil:
		e.what = fmt.Sprintf("the broker's certificate of %q is signed by %q, which is not among %s",
			leaf.Subject, leaf.Issuer, k.authorities())
	case errors.As(err, &hostname) && leaf != nil:
		e.what = fmt.Sprintf("the broker's certificate is for %v and not for %q",
			names(leaf), hostname.Host)
	case errors.As(err, &verify):
		e.what = "the broker's certificate is not acceptable"
	case closed(err):
		e.what = "the broker closed the connection during the TLS handshake: " +
			"the port may not speak TLS"
	}
	return e
}

// afterwards says why a broker may have closed the connection at the first request. Since TLS
// 1.3 a client's handshake is over before the broker has looked at its certificate (RFC 8446,
// section 4.4.2), and the alert that says why is often lost with the connection.
func (k *keyring) afterwards(err error) *tlsError {
	what := "the broker closed the connection right after the TLS handshake, which most do to a " +
		"client whose certificate they do not accept; "
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		what = "the broker refused the client after the TLS handshake; "
	}
	return &tlsError{what: what + k.own(), err: err}
}

// own says which client certificate is in use.
func (k *keyring) own() string {
	if k.Cert == "" {
		return "and no client certificate is configured (tls.cert and tls.key)"
	}
	pair, err := tls.LoadX509KeyPair(k.Cert, k.Key)
	if err != nil {
		return fmt.Sprintf("and the client's certificate %s cannot be read: %v", k.Cert, err)
	}
	return k.dates("the client's certificate "+k.Cert, pair.Leaf)
}

// dates says when a certificate is valid, with the time that it is by this machine's clock.
func (k *keyring) dates(whose string, c *x509.Certificate) string {
	date := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }
	now := k.now()
	switch {
	case now.After(c.NotAfter):
		return fmt.Sprintf("%s expired on %s, and it is %s here", whose, date(c.NotAfter), date(now))
	case now.Before(c.NotBefore):
		return fmt.Sprintf("%s is not valid before %s, and it is %s here", whose,
			date(c.NotBefore), date(now))
	}
	return fmt.Sprintf("%s, signed by %q, is valid until %s", whose, c.Issuer, date(c.NotAfter))
}

func (k *keyring) authorities() string {
	if k.CA == "" {
		return "the authorities of this system (tls.ca can name another)"
	}
	return "the authorities in " + k.CA
}

func names(c *x509.Certificate) []string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}
