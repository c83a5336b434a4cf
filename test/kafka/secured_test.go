// SPDX-License-Identifier: Apache-2.0

//go:build kafka

package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
	"github.com/dnsluice/dnsluice/test/kafka/cluster"
)

const nodes = 3

// secured is the listener of the cluster for clients that have a certificate, a password and
// rights. In front of each node stands a proxy, for the sake of its ends: what becomes of
// credentials is seen by the next connection, and brokers let those that there are live on.
type secured struct {
	dir     string
	ca      *authority
	proxies []*faultproxy.Proxy
}

const (
	first  = "the first password"
	second = "the second password"
)

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{dir: t.TempDir(), ca: newAuthority(t)}
	for range nodes {
		p, err := faultproxy.New("")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		s.proxies = append(s.proxies, p)
	}
	write(t, s.file("ca.pem"), s.ca.pem())
	write(t, s.file("broker.pem"), s.ca.issue(t, "broker", valid30))
	return s
}

func (s *secured) file(name string) string { return filepath.Join(s.dir, name) }

// options are those of the cluster. Whoever comes in plain text may do everything: that are the
// brokers themselves, and the drills of other things.
func (s *secured) options() []cluster.Option {
	return []cluster.Option{
		cluster.WithHeap("256m"),
		cluster.WithProperty("authorizer.class.name",
			"org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		cluster.WithProperty("super.users", "User:ANONYMOUS"),
		cluster.WithListener(cluster.Listener{
			Name: "SECURED", Protocol: "SASL_SSL", Advertised: s.brokers(),
			Properties: map[string]string{
				"ssl.keystore.type":       "PEM",
				"ssl.keystore.location":   s.file("broker.pem"),
				"ssl.truststore.type":     "PEM",
				"ssl.truststore.location": s.file("ca.pem"),
				"ssl.client.auth":         "required",
				"sasl.enabled.mechanisms": kafka.ScramSHA512,
				"scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram." +
					"ScramLoginModule required;",
			},
		}),
	}
}

func (s *secured) brokers() []string {
	var all []string
	for _, p := range s.proxies {
		all = append(all, p.Addr())
	}
	return all
}

// attach leads the proxies to the nodes.
func (s *secured) attach(c *cluster.Cluster) {
	for i, p := range s.proxies {
		p.Retarget(c.Behind(i))
	}
}

// cut ends all connections.
func (s *secured) cut() {
	for _, p := range s.proxies {
		p.Break(faultproxy.RST)
	}
}

// begin makes a topic, and starts a drill that writes to it as a user of that name.
func (s *secured) begin(t *testing.T, c *cluster.Cluster, name string, d setup) *drill {
	t.Helper()
	d.topic, d.brokers = topicOf(c, name, nil), s.brokers()
	c.SetPassword(name, first)
	c.Grant(name, name, kmsg.ACLOperationWrite)
	c.Grant(name, name, kmsg.ACLOperationDescribe)
	write(t, s.file(name+".secret"), []byte(first+"\n"))
	write(t, s.file(name+".pem"), s.ca.issue(t, name, valid30))
	d.tls = &kafka.TLS{CA: s.file("ca.pem"), Cert: s.file(name + ".pem"), Key: s.file(name + ".pem")}
	d.sasl = &kafka.SASL{Mechanism: kafka.ScramSHA512, User: name,
		Password: kafka.FileSecret(s.file(name + ".secret"))}
	return begin(t, c, d)
}

func (s *secured) rights(t *testing.T, c *cluster.Cluster) {
	const name = "rights"
	d := s.begin(t, c, name, setup{number: 13, what: "right to write revoked, and granted again"})
	c.Revoke(name, name, kmsg.ACLOperationWrite)
	d.detect(deliver.Unauthorized)
	d.endure(deliver.Unauthorized, warm)
	c.Grant(name, name, kmsg.ACLOperationWrite)
	d.heal()
	d.finish()
}

func (s *secured) password(t *testing.T, c *cluster.Cluster) {
	const name = "password"
	d := s.begin(t, c, name, setup{number: 15,
		what: "SCRAM password changed and connections cut; later changed in the sensor's file"})
	c.SetPassword(name, second)
	s.cut()
	d.detect(deliver.AuthFailed)
	d.endure(deliver.AuthFailed, warm)
	write(t, s.file(name+".secret"), []byte(second+"\n"))
	d.heal()
	d.finish()
}

// certificates lets expire first the brokers' certificates, then that of the sensor.
func (s *secured) certificates(t *testing.T, c *cluster.Cluster) {
	const name = "certificates"
	d := s.begin(t, c, name, setup{number: 17,
		what: "brokers' certificates expired and connections cut; replaced by new ones"})
	s.present(t, c, s.ca.issue(t, "broker", expired))
	s.cut()
	d.detect(deliver.TLSFailed)
	d.endure(deliver.TLSFailed, warm)
	s.present(t, c, s.ca.issue(t, "broker", valid30))
	d.heal()
	d.finish()

	d = s.begin(t, c, name+"-2", setup{number: 17,
		what: "client's certificate expired and connections cut; replaced on disk"})
	write(t, s.file(d.topic+".pem"), s.ca.issue(t, d.topic, expired))
	s.cut()
	d.detect(deliver.TLSFailed)
	d.endure(deliver.TLSFailed, warm)
	write(t, s.file(d.topic+".pem"), s.ca.issue(t, d.topic, valid30))
	d.heal()
	d.finish()
}

// present makes the brokers show another certificate, and waits until they do.
func (s *secured) present(t *testing.T, c *cluster.Cluster, pair []byte) {
	t.Helper()
	want := leaf(t, pair)
	name := s.file(fmt.Sprintf("broker-%s.pem", want.SerialNumber))
	write(t, name, pair)
	for i := range nodes {
		c.ConfigureListener(i, "ssl.keystore.location", name)
		shows(t, c.Behind(i), want)
	}
}

// write replaces a file at once, as those do who change what others read.
func write(t *testing.T, path string, data []byte) {
	t.Helper()
	fresh := path + ".new"
	if err := os.WriteFile(fresh, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}
