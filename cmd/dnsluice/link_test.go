// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/config"
)

func TestTheLinkIsWhatTheConfigurationSays(t *testing.T) {
	cfg := config.Default()
	if k := kafkaConfig(cfg); k.TLS != nil || k.SASL != nil {
		t.Errorf("nothing said: %+v, %+v", k.TLS, k.SASL)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from its file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Deliver.Brokers = []string{"k1:9093"}
	cfg.TLS = config.TLS{Enabled: true, CA: "ca", Cert: "cert", Key: "key", ServerName: "name", MinVersion: "1.3"}
	cfg.SASL = config.SASL{Mechanism: "OAUTHBEARER", User: "user", PasswordFile: file, TokenURL: "https://token",
		TokenCA: "token-ca", ClientID: "id", ClientSecret: config.NewSecret("hunter2"), Scope: "scope",
		Extensions: []string{"a=b=c", "d=e"}}
	k := kafkaConfig(cfg)
	want := &kafka.TLS{CA: "ca", Cert: "cert", Key: "key", ServerName: "name", MinVersion: tls.VersionTLS13}
	if diff := cmp.Diff(want, k.TLS); diff != "" {
		t.Errorf("TLS (-want +got):\n%s", diff)
	}
	s := k.SASL
	password, err := s.Password()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := s.OAuth.ClientSecret()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Mechanism, s.User, password, s.OAuth.TokenURL, s.OAuth.CA, s.OAuth.ClientID, secret,
		s.OAuth.Scope, s.OAuth.Extensions)
	if diff := cmp.Diff(fmt.Sprint("OAUTHBEARER", "user", "from its file", "https://token", "token-ca", "id",
		"hunter2", "scope", map[string]string{"a": "b=c", "d": "e"}), got); diff != "" {
		t.Errorf("SASL (-want +got):\n%s", diff)
	}
	if text := fmt.Sprintf("%+v %#v %+v", k, k, *s); strings.Contains(text, "hunter2") {
		t.Errorf("the secret is in %s", text)
	}
	if _, err := kafka.NewCluster(k); err != nil {
		t.Error(err)
	}
}
