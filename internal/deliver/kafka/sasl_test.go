// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// gatekeeper authenticates the clients of a fake cluster as Kafka does, which gives its reason in
// words. It stands in for mechanisms that kfake does not have, and lets a test change its mind.
type gatekeeper struct {
	mu      sync.Mutex // guards the following
	admits  func(first string) bool
	refused int
}

const refusal = "Authentication failed during authentication due to invalid credentials with SASL mechanism"

// guard makes g stand before c.
func (g *gatekeeper) guard(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return req.ResponseKind(), nil, true
	})
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		g.mu.Lock()
		defer g.mu.Unlock()
		first := string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		if !g.admits(first) {
			g.refused++
			resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
			resp.ErrorMessage = kmsg.StringPtr(refusal)
			return resp, nil, true
		}
		if strings.HasPrefix(first, "{") { // AWS_MSK_IAM, which answers
			resp.SASLAuthBytes = []byte(`{"version":"2020_10_22"}`)
		}
		return resp, nil, true
	})
}

// admit changes what first message is believed.
func (g *gatekeeper) admit(f func(first string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admits = f
}

func saying(words ...string) func(string) bool {
	return func(first string) bool {
		for _, w := range words {
			if !strings.Contains(first, w) {
				return false
			}
		}
		return true
	}
}

// fixed returns a secret that never changes.
func fixed(text string) Secret { return func() (string, error) { return text, nil } }

func TestMechanismsOfThePassword(t *testing.T) {
	for _, mechanism := range []string{Plain, ScramSHA256, ScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			k, _ := newFront(t, 1, kfake.SeedTopics(1, topic), kfake.EnableSASL(),
				kfake.Superuser(mechanism, "sensor", "pass,word=1"))
			for name, c := range map[string]struct {
				user, password string
				state          deliver.State
			}{
				"the right one":  {"sensor", "pass,word=1", ""},
				"a wrong one":    {"sensor", "hunter2", deliver.AuthFailed},
				"a wrong user":   {"sense", "pass,word=1", deliver.AuthFailed},
				"an empty one":   {"sensor", "", deliver.AuthFailed},
				"no file for it": {"sensor", "file", deliver.AuthFailed},
			} {
				secret := fixed(c.password)
				if c.password == "file" {
					secret = FileSecret(filepath.Join(t.TempDir(), "gone"))
				}
				cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never,
					SASL: &SASL{Mechanism: mechanism, User: c.user, Password: secret}})
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				_, err = cl.Leaders(cl.within(t))
				if c.state == "" {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				f := faultOf(t, err)
				if f.State != c.state || f.Verdict != deliver.Unsent {
					t.Errorf("%s: %s, verdict %d: %v", name, f.State, f.Verdict, err)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: the password is in %v", name, err)
				}
			}
		})
	}
}

func TestTheBrokersReasonIsInTheError(t *testing.T) {
	k, _ := newFront(t, 1, kfake.SeedTopics(1, topic))
	g := &gatekeeper{admits: func(string) bool { return false }}
	g.guard(k)
	cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never,
		SASL: &SASL{Mechanism: Plain, User: "sensor", Password: fixed("hunter2")}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = cl.Leaders(cl.within(t))
	f := faultOf(t, err)
	if f.State != deliver.AuthFailed || !errors.Is(err, kerr.SaslAuthenticationFailed) ||
		!strings.Contains(err.Error(), refusal) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: %v", f.State, err)
	}
}

func TestAMechanismThatTheBrokerDoesNotHave(t *testing.T) {
	k, _ := newFront(t, 1, kfake.SeedTopics(1, topic), kfake.EnableSASL(), kfake.Superuser(Plain, "sensor", "x"))
	cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never,
		SASL: &SASL{Mechanism: AWSMSKIAM}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = cl.Leaders(cl.within(t))
	if f := faultOf(t, err); f.State != deliver.AuthFailed || !errors.Is(err, kerr.UnsupportedSaslMechanism) {
		t.Errorf("%s: %v", f.State, err)
	}
}

func TestAPortWithoutSASLIsToldAsOne(t *testing.T) {
	k, w := newCluster(t, 1)
	w.set(func() {
		w.answer = func(_ int, r kmsg.Response) move {
			if shake, ok := r.(*kmsg.SASLHandshakeResponse); ok {
				shake.ErrorCode = kerr.IllegalSaslState.Code // as Kafka has it there
			}
			return pass
		}
	})
	cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never,
		SASL: &SASL{Mechanism: Plain, User: "u", Password: fixed("x")}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = cl.Leaders(cl.within(t))
	if f := faultOf(t, err); f.State != deliver.AuthFailed || !strings.Contains(f.Error(), "without SASL") {
		t.Errorf("%s: %v", f.State, err)
	}
}

func TestAConfigurationDoesNotPrintItsSecrets(t *testing.T) {
	cfg := Config{Brokers: []string{"b:1"}, Topic: topic, SASL: &SASL{Mechanism: Plain, User: "u",
		Password: fixed("hunter2"), OAuth: OAuth{ClientSecret: fixed("hunter2")}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		for _, what := range []any{cfg, *cfg.SASL, cfg.SASL.OAuth} {
			if text := fmt.Sprintf(verb, what); strings.Contains(text, "hunter2") ||
				strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
}

func TestASecretIsReadEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	s := FileSecret(path)
	var got []string
	for _, text := range []string{"first\n", "second\r\n", " third ", "\n", strings.Repeat("x", maxSecret+1)} {
		write(t, path, []byte(text))
		secret, err := s.reveal("the password")
		if err != nil {
			secret = "an error"
		}
		got = append(got, secret)
	}
	if want := "first|second| third |an error|an error"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
	for _, none := range []Secret{nil, fixed("")} {
		if _, err := none.reveal("the password"); err == nil || !strings.Contains(err.Error(), "the password") {
			t.Errorf("no secret: %v", err)
		}
	}
}

func TestCombinationsThatCannotBe(t *testing.T) {
	secret := fixed("x")
	for name, c := range map[string]Config{
		"a certificate without its key": {TLS: &TLS{Cert: "a"}},
		"a key without its certificate": {TLS: &TLS{Key: "a"}},
		"a version of the past":         {TLS: &TLS{MinVersion: 0x0301}},
		"no mechanism":                  {SASL: &SASL{}},
		"a mechanism nobody knows":      {SASL: &SASL{Mechanism: "GSSAPI"}},
		"no user":                       {SASL: &SASL{Mechanism: Plain, Password: secret}},
		"no password":                   {SASL: &SASL{Mechanism: ScramSHA256, User: "u"}},
		"no token":                      {SASL: &SASL{Mechanism: OAuthBearer}},
		"two ways to a token": {SASL: &SASL{Mechanism: OAuthBearer, OAuth: OAuth{TokenFile: "a",
			TokenURL: "https://b", ClientID: "c", ClientSecret: secret}}},
		"a token read aloud": {SASL: &SASL{Mechanism: OAuthBearer, OAuth: OAuth{TokenURL: "http://b",
			ClientID: "c", ClientSecret: secret}}},
		"no client": {SASL: &SASL{Mechanism: OAuthBearer, OAuth: OAuth{TokenURL: "https://b", ClientSecret: secret}}},
		"no secret": {SASL: &SASL{Mechanism: OAuthBearer, OAuth: OAuth{TokenURL: "https://b", ClientID: "c"}}},
		"no acks":   {Acks: 9},
	} {
		c.Brokers, c.Topic, c.RequestTimeout = []string{"b:1"}, topic, never
		if _, err := NewCluster(c); err == nil || !strings.HasPrefix(err.Error(), "kafka: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAWSIsSignedFor looks at what a broker is told: an identity and a signature, and not the key.
func TestAWSIsSignedFor(t *testing.T) {
	k, _ := newFront(t, 1, kfake.SeedTopics(1, topic))
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
	t.Setenv("AWS_SESSION_TOKEN", "session")
	t.Setenv("AWS_REGION", "eu-north-1")
	g := &gatekeeper{}
	g.admit(func(first string) bool {
		return saying(`"x-amz-credential":"AKIDEXAMPLE/`, "/eu-north-1/kafka-cluster/", `"x-amz-security-token":"session"`,
			`"user-agent":"dnsluice-test"`, "x-amz-signature")(first) && !bytes.Contains([]byte(first), []byte("wJalr"))
	})
	g.guard(k)
	cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, ClientID: "dnsluice-test", RequestTimeout: never,
		SASL: &SASL{Mechanism: AWSMSKIAM}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.Leaders(cl.within(t)); err != nil {
		t.Error(err)
	}
}
