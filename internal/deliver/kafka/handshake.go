// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// Shown is what a broker showed of itself when the connection was made secure.
type Shown struct {
	Version string    // of TLS
	Subject string    // of its certificate
	Until   time.Time // when the first certificate expires of those that prove it
}

// Handshake opens a connection to address, as all clients of the cluster do, makes it secure, and
// closes it again. Its error says what is wrong with which certificate.
func (c *Cluster) Handshake(ctx context.Context, address string) (Shown, error) {
	raw, err := c.link.dial(ctx, "tcp", address)
	if err != nil {
		return Shown{}, err
	}
	defer raw.Close()
	secure, ok := raw.(*conn)
	if !ok || secure.secure == nil {
		return Shown{}, errors.New("kafka: TLS is not configured")
	}
	return shown(secure.secure.ConnectionState()), nil
}

func shown(s tls.ConnectionState) Shown {
	out := Shown{Version: tls.VersionName(s.Version)}
	if len(s.PeerCertificates) > 0 {
		out.Subject = s.PeerCertificates[0].Subject.String()
	}
	// Any chain proves it: the one that holds longest counts.
	for _, chain := range s.VerifiedChains {
		first := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(out.Until) {
			out.Until = first
		}
	}
	return out
}
