// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// TestWhyThereIsNoTLS is about what the sentence says: with it alone, an operator must be able to
// mend what is wrong.
func TestWhyThereIsNoTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "our authority"), newAuthority(t, "their authority")
	old := func(c *x509.Certificate) {
		c.NotBefore = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		c.NotAfter = time.Date(2021, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	early := func(c *x509.Certificate) {
		c.NotBefore = time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)
		c.NotAfter = time.Date(2101, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	other := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"k1.example", "k2.example"} }
	good := ours.sign("a broker", nil)
	for _, c := range []struct {
		name   string
		server *tls.Config
		client func(t *testing.T, c *TLS)
		words  []string
	}{
		{"the certificate has expired", serving(ours.sign("a broker", old)), nil,
			[]string{"the broker's certificate expired on 2021-01-02 03:04:05 UTC, and it is 20"}},
		{"the certificate is not valid yet", serving(ours.sign("a broker", early)), nil,
			[]string{"the broker's certificate is not valid before 2100-01-02 03:04:05 UTC"}},
		{"nobody that is trusted has signed it", serving(theirs.sign("a broker", nil)), nil,
			[]string{`certificate of "CN=a broker" is signed by "CN=their authority"`, "ca.pem"}},
		{"it is for other names", serving(ours.sign("a broker", other)), nil,
			[]string{`is for [k1.example k2.example] and not for "127.0.0.1"`}},
		{"it is not for the name that is configured", serving(good), func(_ *testing.T, c *TLS) {
			c.ServerName = "elsewhere.test"
		}, []string{`is for [broker.test 127.0.0.1] and not for "elsewhere.test"`}},
		{"the broker is too old", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12},
			func(_ *testing.T, c *TLS) { c.MinVersion = tls.VersionTLS13 }, []string{"protocol version"}},
		{"the client has no certificate", mutual(good, ours), nil,
			[]string{"no client certificate is configured"}},
		{"the client's is signed by somebody else", mutual(good, ours), func(t *testing.T, c *TLS) {
			c.Cert, c.Key = files(t, t.TempDir(), theirs.sign("a sensor", nil))
		}, []string{`the client's certificate`, `signed by "CN=their authority"`}},
		{"the client's has expired", mutual(good, ours), func(t *testing.T, c *TLS) {
			c.Cert, c.Key = files(t, t.TempDir(), ours.sign("a sensor", old))
		}, []string{"the client's certificate", "expired on 2021-01-02 03:04:05 UTC"}},
		{"the authorities' file is missing", serving(good), func(_ *testing.T, c *TLS) { c.CA += ".gone" },
			[]string{"tls.ca: open", "ca.pem.gone"}},
		{"the authorities' file holds none", serving(good), func(t *testing.T, c *TLS) {
			c.CA = write(t, filepath.Join(t.TempDir(), "empty.pem"), []byte("nothing"))
		}, []string{"empty.pem holds no certificate"}},
		{"the client's key is not its certificate's", serving(good), func(t *testing.T, c *TLS) {
			c.Cert, _ = files(t, t.TempDir(), ours.sign("a sensor", nil))
			_, c.Key = files(t, t.TempDir(), ours.sign("another", nil))
		}, []string{"tls.cert", "private key does not match"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, _ := newFront(t, 1, kfake.SeedTopics(1, topic), kfake.TLS(c.server))
			cfg := &TLS{CA: ours.file(filepath.Join(t.TempDir(), "ca.pem"))}
			if c.client != nil {
				c.client(t, cfg)
			}
			cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never, TLS: cfg})
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			for range 2 {
				_, err = cl.Leaders(cl.within(t))
				f := faultOf(t, err)
				if f.State != deliver.TLSFailed || f.Verdict != deliver.Unsent {
					t.Errorf("%s, verdict %d: %v", f.State, f.Verdict, err)
				}
				for _, w := range c.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q is not in: %v", w, err)
					}
				}
			}
		})
	}
}

// TestAPortThatDoesNotSpeakTLS: a broker's port for plain text takes the client's first words for
// the size of a request, and closes.
func TestAPortThatDoesNotSpeakTLS(t *testing.T) {
	for name, c := range map[string]struct {
		port  func(net.Conn)
		words string
	}{
		"it closes": {func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Close()
		}, "closed the connection during the TLS handshake: the port may not speak TLS"},
		"it answers": {func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}, "the port does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, err := New(Config{Brokers: []string{serve(t, c.port)}, Topic: topic, RequestTimeout: never, TLS: &TLS{}})
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			_, err = cl.Leaders(cl.within(t))
			if f := faultOf(t, err); f.State != deliver.TLSFailed || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%s: %v", f.State, err)
			}
		})
	}
}

func TestTLSThatFits(t *testing.T) {
	ours := newAuthority(t, "our authority")
	for name, c := range map[string]struct {
		server *tls.Config
		client func(t *testing.T, c *TLS)
	}{
		"TLS": {serving(ours.sign("a broker", nil)), func(*testing.T, *TLS) {}},
		"TLS 1.2": {&tls.Config{Certificates: []tls.Certificate{ours.sign("a broker", nil)}, MaxVersion: tls.VersionTLS12},
			func(*testing.T, *TLS) {}},
		"a name that is configured": {
			serving(ours.sign("a broker", func(c *x509.Certificate) { c.IPAddresses = nil })),
			func(_ *testing.T, c *TLS) { c.ServerName = "broker.test" }},
		"both sides": {mutual(ours.sign("a broker", nil), ours), func(t *testing.T, c *TLS) {
			c.Cert, c.Key = files(t, t.TempDir(), ours.sign("a sensor", nil))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := newFront(t, 1, kfake.SeedTopics(1, topic), kfake.TLS(c.server))
			cfg := &TLS{CA: ours.file(filepath.Join(t.TempDir(), "ca.pem")), MinVersion: tls.VersionTLS12}
			c.client(t, cfg)
			cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never, TLS: cfg})
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			if _, err := cl.Leaders(cl.within(t)); err != nil {
				t.Error(err)
			}
			e := cl.Connections()
			if len(e) == 0 || !strings.HasPrefix(e[0].TLS, "TLS 1.") || e[0].Certificate != "CN=a broker" ||
				time.Until(e[0].ValidUntil) > time.Hour {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestFilesThatAreBeingReplaced: a certificate and its key cannot be replaced at the same moment.
func TestFilesThatAreBeingReplaced(t *testing.T) {
	ours := newAuthority(t, "our authority")
	dir := t.TempDir()
	cfg := TLS{CA: ours.file(filepath.Join(dir, "ca.pem"))}
	cfg.Cert, cfg.Key = files(t, dir, ours.sign("the first", nil))
	k := &keyring{TLS: cfg, now: time.Now}
	names := func() string {
		t.Helper()
		c, err := k.load()
		if c == nil {
			t.Fatal(err)
		}
		pair, err2 := c.GetClientCertificate(nil)
		if err2 != nil {
			t.Fatal(err2)
		}
		name := pair.Leaf.Subject.CommonName
		if err != nil {
			name += ", for want of another"
		}
		return name
	}
	var got []string
	got = append(got, names())
	cert, key := files(t, t.TempDir(), ours.sign("the second", nil))
	data, err := readSmall(cert)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cfg.Cert, data)
	got = append(got, names())
	if data, err = readSmall(key); err != nil {
		t.Fatal(err)
	}
	write(t, cfg.Key, data)
	got = append(got, names())
	want := "the first; the first, for want of another; the second"
	if strings.Join(got, "; ") != want {
		t.Errorf("%q", got)
	}
}

func TestAHandshakeThatIsNotAnswered(t *testing.T) {
	ours := newAuthority(t, "our authority")
	silent := serve(t, func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
	cl, err := New(Config{Brokers: []string{silent}, Topic: topic, RequestTimeout: soon,
		TLS: &TLS{CA: ours.file(filepath.Join(t.TempDir(), "ca.pem"))}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = cl.Leaders(cl.within(t))
	if f := faultOf(t, err); f.State != deliver.NoAnswer {
		t.Errorf("%s: %v", f.State, err)
	}
}
