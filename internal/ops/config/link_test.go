// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runnable is a file that lacks nothing for a run, in front of what a test adds.
const runnable = "sensor: ns1\ncapture: {interfaces: [eth0]}\n"

func TestLinksThatCanBe(t *testing.T) {
	for name, text := range map[string]string{
		"plain text":         "",
		"TLS":                "tls: {enabled: true}\n",
		"both sides of TLS":  "tls: {enabled: true, ca: a, cert: b, key: c, min_version: '1.3'}\n",
		"a password":         "sasl: {mechanism: PLAIN, user: u, password: p}\n",
		"a password's file":  "sasl: {mechanism: SCRAM-SHA-512, user: u, password_file: p}\n",
		"a token's file":     "sasl: {mechanism: OAUTHBEARER, token_file: t}\n",
		"a token's endpoint": "sasl: {mechanism: OAUTHBEARER, token_url: 'https://t', client_id: c, client_secret: s, scope: x}\n",
		"AWS":                "tls: {enabled: true}\nsasl: {mechanism: AWS_MSK_IAM}\n",
	} {
		if _, err := (given{file: runnable + "deliver: {brokers: ['k1:9092']}\n" + text}).load(t, Config.Runnable); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLinksThatCannotBe(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"files of TLS without TLS", "tls: {enabled: false, ca: a}",
			"tls.ca: is given, and tls.enabled is false; set that (--tls), or leave this away"},
		{"a certificate without its key", "tls: {enabled: true, cert: a}", "tls.cert: a certificate needs its key"},
		{"a key without its certificate", "tls: {enabled: true, key: a}", "tls.key: a key needs its certificate"},
		{"a version of the past", "tls: {enabled: true, min_version: '1.1'}",
			`tls.min_version: "1.1" is not known; use 1.2, 1.3`},
		{"a mechanism that is not here", "sasl: {mechanism: GSSAPI}",
			`sasl.mechanism: "GSSAPI" is not known; use none, PLAIN,`},
		{"a password for nobody", "sasl: {password: hunter2}",
			"sasl.password: is of no use to sasl.mechanism none, but to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"},
		{"a password for a token", "sasl: {mechanism: OAUTHBEARER, token_file: t, password: hunter2}",
			"sasl.password: is of no use to sasl.mechanism OAUTHBEARER"},
		{"a token for a password", "sasl: {mechanism: PLAIN, user: u, password: hunter2, token_file: t}",
			"sasl.token_file: is of no use to sasl.mechanism PLAIN, but to OAUTHBEARER"},
		{"two passwords", "sasl: {mechanism: PLAIN, user: u, password: hunter2, password_file: t}",
			"sasl.password_file: there is sasl.password as well"},
		{"two secrets", "sasl: {mechanism: OAUTHBEARER, token_url: 'https://t', client_id: c, client_secret: hunter2, client_secret_file: s}",
			"sasl.client_secret_file: there is sasl.client_secret as well"},
		{"two tokens", "sasl: {mechanism: OAUTHBEARER, token_file: t, token_url: 'https://t', client_id: c, client_secret: hunter2}",
			"sasl.token_file: there is sasl.token_url as well"},
		{"no user", "sasl: {mechanism: PLAIN, password: hunter2}", "sasl.user: PLAIN needs a user"},
		{"no password", "sasl: {mechanism: PLAIN, user: u}", "sasl.password_file: PLAIN needs a password"},
		{"no token", "sasl: {mechanism: OAUTHBEARER}", "sasl.token_url: OAUTHBEARER needs a token"},
		{"no client", "sasl: {mechanism: OAUTHBEARER, token_url: 'https://t', client_secret: hunter2}", "sasl.client_id: "},
		{"no secret", "sasl: {mechanism: OAUTHBEARER, token_url: 'https://t', client_id: c}", "sasl.client_secret_file: "},
		{"a secret in plain text", "sasl: {mechanism: OAUTHBEARER, token_url: 'http://t', client_id: c, client_secret: hunter2}",
			`sasl.token_url: "http://t" is not https`},
		{"an extension without a value", "sasl: {mechanism: OAUTHBEARER, token_file: t, extensions: [a]}",
			`sasl.extensions: "a" is not key=value`},
		{"a password that is a number", "sasl: {mechanism: PLAIN, user: u, password: 314159}",
			"sasl.password: want text in quotes; what stands there is not printed"},
		{"a password of parts", "sasl: {mechanism: PLAIN, user: u, password: {hunter2: hunter2}}",
			"sasl.password: want text in quotes; what stands there is not printed"},
	} {
		_, err := given{file: runnable + "deliver: {brokers: ['k1:9092']}\n" + c.text + "\n"}.load(t, Config.Runnable)
		if err == nil || !strings.Contains(err.Error(), ": "+c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "314159")) {
			t.Errorf("%s: the secret is in %v", c.name, err)
		}
	}
}

// The line of the README, and what other programs take.
func TestAFileOfTLSMeansTLSAndAMechanismHasAnyCase(t *testing.T) {
	link := []string{"--sasl-user", "dns", "--sasl-password-file", "f", "--brokers", "k1:9092"}
	for _, c := range []struct{ flag, mechanism, want string }{
		{"--tls-ca", "scram-sha-512", "SCRAM-SHA-512"},
		{"--tls-ca", "Plain", "PLAIN"},
	} {
		args := append([]string{c.flag, "ca.pem", "--sasl-mechanism", c.mechanism}, link...)
		l, err := given{file: runnable, args: args}.load(t, Config.Runnable)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		if !l.TLS.Enabled || l.Origin("tls.enabled") != c.flag || l.SASL.Mechanism != c.want {
			t.Errorf("%v: %+v by %s, %s", args, l.TLS, l.Origin("tls.enabled"), l.SASL.Mechanism)
		}
	}
	for _, text := range []string{"ca: a", "cert: a, key: b", "server_name: a"} {
		l, err := given{file: runnable + "tls: {" + text + "}\n"}.load(t)
		if err != nil || !l.TLS.Enabled {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := given{file: runnable, args: []string{"--tls=false", "--tls-ca", "ca.pem"}}.
		load(t, Config.Linkable)
	want := "config: --tls-ca: tls.ca: is given, and tls.enabled is false; set that (--tls), " +
		"or leave this away"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestAMechanismThatIsNotKnownIsTheOnlyMistake(t *testing.T) {
	args := []string{"--brokers", "k1:9092", "--sasl-mechanism", "scram", "--sasl-user", "u",
		"--sasl-password-file", "f"}
	_, err := given{file: runnable, args: args}.load(t, Config.Runnable)
	if err == nil || !strings.Contains(err.Error(), `"scram" is not known`) ||
		strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func TestWhichSecretsCanBeReadOnTheWire(t *testing.T) {
	for mechanism, want := range map[string]bool{"none": false, "PLAIN": true, "OAUTHBEARER": true,
		"SCRAM-SHA-512": false, "AWS_MSK_IAM": false} {
		c := Default()
		c.SASL.Mechanism = mechanism
		if got := c.Readable(); got != want {
			t.Errorf("%s: %v", mechanism, got)
		}
		if c.TLS.Enabled = true; c.Readable() {
			t.Errorf("%s: even with TLS", mechanism)
		}
	}
}

func TestTheFlagOfATruthNeedsNoValue(t *testing.T) {
	for _, c := range []struct {
		args []string
		want bool
	}{{nil, false}, {[]string{"--tls"}, true}, {[]string{"--tls=false"}, false}} {
		l, err := given{args: append(c.args, "--sensor=ns1")}.load(t)
		if err != nil || l.TLS.Enabled != c.want {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

func TestASecretIsNotInThePrintedConfiguration(t *testing.T) {
	l, err := given{file: runnable, env: []string{"DNSLUICE_SASL_PASSWORD=hunter2"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := l.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter2") || !strings.Contains(b.String(), `  password: "" # DNSLUICE_SASL_PASSWORD`) {
		t.Errorf("printed:\n%s", b.String())
	}
	if diff := cmp.Diff(NewSecret("hunter2"), l.SASL.Password); diff != "" {
		t.Error("the secret is not what was given")
	}
}
