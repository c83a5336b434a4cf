// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"strings"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/config"
)

// linkTLS is how connections to the brokers are encrypted, nil when they are not.
func linkTLS(t config.TLS) *kafka.TLS {
	if !t.Enabled {
		return nil
	}
	versions := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	return &kafka.TLS{CA: t.CA, Cert: t.Cert, Key: t.Key, ServerName: t.ServerName,
		MinVersion: versions[t.MinVersion]}
}

// linkSASL is who the sensor is to the brokers, nil when it does not say.
func linkSASL(s config.SASL) *kafka.SASL {
	if s.Mechanism == config.NoMechanism {
		return nil
	}
	extensions := map[string]string{}
	for _, e := range s.Extensions {
		key, value, _ := strings.Cut(e, "=")
		extensions[key] = value
	}
	return &kafka.SASL{Mechanism: s.Mechanism, User: s.User,
		Password: linkSecret(s.Password, s.PasswordFile),
		OAuth: kafka.OAuth{TokenFile: s.TokenFile, TokenURL: s.TokenURL, ClientID: s.ClientID,
			ClientSecret: linkSecret(s.ClientSecret, s.ClientSecretFile), Scope: s.Scope, CA: s.TokenCA,
			Extensions: extensions}}
}

// linkSecret is a secret that was given, or that is read from its file each time; nil for none.
func linkSecret(given config.Secret, file string) kafka.Secret {
	switch {
	case file != "":
		return kafka.FileSecret(file)
	case given.Reveal() != "":
		return func() (string, error) { return given.Reveal(), nil }
	}
	return nil
}
