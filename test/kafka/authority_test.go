// SPDX-License-Identifier: Apache-2.0

//go:build kafka

package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

// validity is from when until when a certificate is valid, from now.
type validity struct{ from, until time.Duration }

var (
	valid30 = validity{-time.Hour, 30 * 24 * time.Hour}
	expired = validity{-48 * time.Hour, -time.Hour}
)

// template is what all certificates have in common.
func template(name string, serial int64, v validity) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(v.from), NotAfter: now.Add(v.until)}
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := template("authority", 1, validity{-72 * time.Hour, 30 * 24 * time.Hour})
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{certificate: c, key: key, serial: 1}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue returns a key and a certificate for it and for this machine, in one file as Kafka wants
// them.
func (a *authority) issue(t *testing.T, name string, v validity) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.serial++
	c := template(name, a.serial, v)
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
}

// leaf returns the certificate of what issue returned.
func leaf(t *testing.T, pair []byte) *x509.Certificate {
	t.Helper()
	both, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		t.Fatal(err)
	}
	return both.Leaf
}

// shows waits until a broker shows a certificate to whoever connects. Its network threads share
// connections out among them and learn of a new one in turn, so one look is not enough.
func shows(t *testing.T, address string, want *x509.Certificate) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	const looks = 8
	late := time.Now().Add(30 * time.Second)
	for inRow := 0; inRow < looks; <-tick.C {
		if inRow++; !has(address, want) {
			inRow = 0
		}
		if time.Now().After(late) {
			t.Fatalf("%s does not show certificate %s", address, want.SerialNumber)
		}
	}
}

func has(address string, want *x509.Certificate) bool {
	seen := false
	conn, err := tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, // what is shown is looked at, nothing is sent
		VerifyConnection: func(s tls.ConnectionState) error {
			seen = s.PeerCertificates[0].Equal(want)
			return nil
		},
	})
	if err == nil {
		conn.Close()
	}
	return seen
}
