// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

func TestAHandshakeTellsWhatTheBrokerShowed(t *testing.T) {
	ours, theirs := newAuthority(t, "our authority"), newAuthority(t, "their authority")
	soon := time.Now().Add(time.Minute).Truncate(time.Second).UTC() // before the authority's end
	broker := ours.sign("a broker", func(c *x509.Certificate) { c.NotAfter = soon })
	k, _ := newFront(t, 1, kfake.SeedTopics(1, topic), kfake.TLS(serving(broker)))
	ca := ours.file(filepath.Join(t.TempDir(), "ca.pem"))
	for _, c := range []struct {
		name  string
		tls   *TLS
		state deliver.State // "" for none
		word  string
	}{
		{"the right authority", &TLS{CA: ca}, "", ""},
		{"another authority", &TLS{CA: theirs.file(filepath.Join(t.TempDir(), "ca.pem"))}, deliver.TLSFailed, "signed by"},
		{"no TLS", nil, deliver.Unreachable, "not configured"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster, err := NewCluster(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never, TLS: c.tls})
			if err != nil {
				t.Fatal(err)
			}
			s, err := cluster.Handshake(t.Context(), k.ListenAddrs()[0])
			if open := cluster.Connections(); len(open) > 0 {
				t.Errorf("left open: %+v", open)
			}
			if c.state != "" {
				if err == nil || transportState(err) != c.state || !strings.Contains(err.Error(), c.word) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !strings.HasPrefix(s.Version, "TLS 1.") || s.Subject != "CN=a broker" || !s.Until.Equal(soon) {
				t.Errorf("%+v, %v; want it to end at %s", s, err, soon)
			}
		})
	}
}
