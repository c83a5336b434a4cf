// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// patience is how long a test waits for what must come. Nothing waits that long unless it fails.
const patience = 20 * time.Second

// listening returns a source that listens on a real socket.
func listening(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.every = time.Hour // a test that is about it looks itself
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		balanced(t, s, 0)
	})
	return s
}

// await reads s until it gives a packet that holds want, and is dry again: until then the sender of
// the packet waits.
func await(t *testing.T, s *Source, want string) {
	t.Helper()
	var p packet.Packet
	for limit := time.Now().Add(patience); ; {
		switch err := s.Next(&p); {
		case err == nil:
			same(t, "packet", string(p.Data), want)
			if err := s.Next(&p); err != capture.ErrIdle {
				t.Error(err)
			}
			return
		case err != capture.ErrIdle || time.Now().After(limit):
			t.Fatalf("no packet: %v", err)
		}
	}
}

// finished reads s until n connections are over, and returns how they ended.
func finished(t *testing.T, s *Source, n uint64) map[string]uint64 {
	t.Helper()
	for limit := time.Now().Add(patience); ; {
		over := uint64(0)
		for _, n := range s.Stats().Ended {
			over += n
		}
		if over == n {
			return ended(s)
		}
		if err := s.Next(&packet.Packet{}); err != capture.ErrIdle || time.Now().After(limit) {
			t.Fatalf("%d connections of %d are over; %v", over, n, err)
		}
	}
}

// converse is the whole talk of a sender in both directions.
func converse(c net.Conn, frame string) error {
	s := sender{c}
	defer c.Close()
	if err := s.write(control(ready, contentType)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, len(acceptFrame))); err != nil {
		return err
	}
	if err := s.write(begin, data(frame), end); err != nil {
		return err
	}
	last, err := io.ReadAll(c)
	if err == nil && string(last) != finishFrame {
		err = errors.New("no FINISH")
	}
	return err
}

func overUnix(t *testing.T) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "unix://" + filepath.Join(t.TempDir(), "d.sock")
	return cfg
}

func path(cfg Config) string { return strings.TrimPrefix(cfg.Listen, "unix://") }

func TestAUnixSocket(t *testing.T) {
	cfg := overUnix(t)
	cfg.SocketMode = 0o606
	s := listening(t, cfg)
	info, err := os.Stat(path(cfg))
	if err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("%v, %v", info, err)
	}
	c, err := net.Dial("unix", path(cfg))
	if err != nil {
		t.Fatal(err)
	}
	sent := later(func() error { return converse(c, "hello") })
	await(t, s, "hello")
	same(t, "ends", finished(t, s, 1), map[string]uint64{"stop": 1})
	if err := <-sent; err != nil {
		t.Error(err)
	}
	s.Drain()
	if _, err := os.Stat(path(cfg)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestASocketLeftBehindIsRemoved(t *testing.T) {
	cfg := overUnix(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path(cfg), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as when a process is killed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := listening(t, cfg)
	c, err := net.Dial("unix", path(cfg))
	if err != nil {
		t.Fatal(err)
	}
	sent := later(func() error { return converse(c, "hello") })
	await(t, s, "hello")
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestASocketInUseIsLeftAlone(t *testing.T) {
	cfg := overUnix(t)
	first := listening(t, cfg)
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = second.Open()
	if err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("the second says %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	same(t, "how the question ended", finished(t, first, 1), map[string]uint64{"lost": 1})
	c, err := net.Dial("unix", path(cfg))
	if err != nil {
		t.Fatal(err)
	}
	sent := later(func() error { return converse(c, "hello") })
	await(t, first, "hello")
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	cfg := overUnix(t)
	if err := os.WriteFile(path(cfg), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
	if b, err := os.ReadFile(path(cfg)); string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
}

// address is where s listens, the port as the system gave it.
func address(s *Source) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Addr().String()
}

func TestATCPSocket(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "tcp://127.0.0.1:0"
	s := listening(t, cfg)
	c, err := net.Dial("tcp", address(s))
	if err != nil {
		t.Fatal(err)
	}
	sent := later(func() error { return converse(c, "hello") })
	await(t, s, "hello")
	if err := <-sent; err != nil {
		t.Error(err)
	}
	// A sender whose machine dies resets its connection when it is back.
	c, err = net.Dial("tcp", address(s))
	if err != nil {
		t.Fatal(err)
	}
	if err := (sender{c}).write(begin, data("again")); err != nil {
		t.Fatal(err)
	}
	await(t, s, "again")
	if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil {
		t.Fatal(err)
	}
	same(t, "ends", finished(t, s, 2), map[string]uint64{"stop": 1, "lost": 1})
}

// write writes a file in a folder of the test, and returns its path.
func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestATLSSocket(t *testing.T) {
	ours, theirs := NewAuthority(t), NewAuthority(t)
	cert, key := ours.Issue(t, "sensor")
	cfg := DefaultConfig()
	cfg.Listen = "tls://127.0.0.1:0"
	cfg.Cert, cfg.Key = write(t, "cert.pem", cert), write(t, "key.pem", key)
	cfg.ClientCA = write(t, "ca.pem", ours.PEM())
	s := listening(t, cfg)

	roots := x509.NewCertPool()
	roots.AddCert(ours.cert)
	dial := func(a Authority, name string) (*tls.Conn, error) {
		client := &tls.Config{RootCAs: roots, ServerName: name}
		cert, key := a.Issue(t, "resolver")
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		// Otherwise a client leaves out a certificate that the server says it does not trust.
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		}
		return tls.Dial("tcp", address(s), client)
	}

	c, err := dial(ours, "sensor")
	if err != nil {
		t.Fatal(err)
	}
	sent := later(func() error { return converse(c, "hello") })
	await(t, s, "hello")
	if err := <-sent; err != nil {
		t.Error(err)
	}
	same(t, "a sender that is trusted", finished(t, s, 1), map[string]uint64{"stop": 1})

	// With TLS 1.3 the client hears of a refusal when it reads.
	if c, err = dial(theirs, "sensor"); err == nil {
		err = converse(c, "let me in")
	}
	if err == nil {
		t.Error("a sender that is not trusted was let in")
	}
	ends := finished(t, s, 2)
	same(t, "a sender that is not trusted", ends, map[string]uint64{"stop": 1, "tls": 1})

	plain, err := net.Dial("tcp", address(s))
	if err != nil {
		t.Fatal(err)
	}
	if err := converse(plain, "no TLS"); err == nil {
		t.Error("a sender without TLS was let in")
	}
	same(t, "a sender without TLS", finished(t, s, 3), map[string]uint64{"stop": 1, "tls": 2})

	cert, key = ours.Issue(t, "renewed")
	err = errors.Join(os.WriteFile(cfg.Cert, cert, 0o600), os.WriteFile(cfg.Key, key, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if c, err = dial(ours, "renewed"); err != nil {
		t.Fatalf("the certificate was renewed: %v", err)
	}
	sent = later(func() error { return converse(c, "still here") })
	await(t, s, "still here")
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestTLSThatCannotWorkFailsAtOnce(t *testing.T) {
	a := NewAuthority(t)
	cert, key := a.Issue(t, "sensor")
	good := DefaultConfig()
	good.Listen = "tls://127.0.0.1:0"
	good.Cert, good.Key = write(t, "cert.pem", cert), write(t, "key.pem", key)
	for name, change := range map[string]func(*Config){
		"no such certificate":      func(c *Config) { c.Cert += ".none" },
		"a key that is none":       func(c *Config) { c.Key = c.Cert },
		"no such authorities":      func(c *Config) { c.ClientCA = c.Cert + ".none" },
		"authorities that are not": func(c *Config) { c.ClientCA = write(t, "x", []byte("nobody")) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Open(); err == nil || !strings.HasPrefix(err.Error(), "dnstap: ") {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	const (
		example = "want unix:// and the path of a socket, as in unix:///run/dnsluice.sock"
		schemes = "want unix:///path, tcp://host:port or tls://host:port"
		tcp     = "want tcp://host:port, as in tcp://127.0.0.1:6000"
	)
	for _, test := range []struct{ listen, want string }{
		{"unix:///run/dnsluice.sock", ""},
		{"tcp://127.0.0.1:6000", ""},
		{"tcp://[::1]:6000", ""},
		{"tcp://:6000", ""},
		{"", "listen: : " + schemes},
		{"/run/dnsluice.sock", "listen: /run/dnsluice.sock: " + schemes},
		{"udp://127.0.0.1:6000", "listen: udp://127.0.0.1:6000: " + schemes},
		{"unix://run/dnsluice.sock", "listen: unix://run/dnsluice.sock: " + example},
		{"unix://", "listen: unix://: " + example},
		{"unix:///a?mode=1", "listen: unix:///a?mode=1: " + example},
		{"unix:///" + strings.Repeat("x", 107), "listen: unix:///" + strings.Repeat("x", 107) +
			": a path of 108 bytes; a socket's has at most 107"},
		{"tcp://127.0.0.1", "listen: tcp://127.0.0.1: " + tcp},
		{"tcp://127.0.0.1:", "listen: tcp://127.0.0.1:: " + tcp},
		{"tcp://127.0.0.1:6000/x", "listen: tcp://127.0.0.1:6000/x: " + tcp},
		{"tcp://a b:1", `listen: parse "tcp://a b:1": invalid character " " in host name`},
		{"tls://127.0.0.1:6000", "tls://127.0.0.1:6000: TLS needs a certificate and its key"},
	} {
		t.Run(test.listen, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Listen = test.listen
			var got string
			if _, err := New(cfg); err != nil {
				got = err.Error()
			}
			want := test.want
			if want != "" {
				want = "dnstap: " + want
			}
			same(t, "error", got, want)
		})
	}
	for name, change := range map[string]func(*Config){
		"no connections": func(c *Config) { c.Connections = 0 },
		"no time":        func(c *Config) { c.Handshake = 0 },
	} {
		cfg := DefaultConfig()
		cfg.Listen = "tcp://127.0.0.1:6000"
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is fine", name)
		}
	}
}

func TestEachEndHasItsOwnName(t *testing.T) {
	seen := make(map[string]bool)
	for e := range capture.NumEnds {
		if name := e.String(); name == "" || seen[name] {
			t.Errorf("end %d is called %q", e, name)
		} else {
			seen[name] = true
		}
	}
}

// BenchmarkSource takes frames of the usual size from one sender over a unix socket.
func BenchmarkSource(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Listen = "unix://" + filepath.Join(b.TempDir(), "d.sock")
	s, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Open(); err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("unix", path(cfg))
	if err != nil {
		b.Fatal(err)
	}
	if err := (sender{c}).write(begin); err != nil {
		b.Fatal(err)
	}
	frames := strings.Repeat(data(strings.Repeat("x", 250)), 1000)
	sent := later(func() error {
		for {
			if err := (sender{c}).write(frames); err != nil {
				return err
			}
		}
	})
	var p packet.Packet
	b.SetBytes(250)
	b.ReportAllocs()
	for b.Loop() {
		for s.Next(&p) == capture.ErrIdle {
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	<-sent
}
