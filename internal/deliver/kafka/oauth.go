// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// OAuth says where OAUTHBEARER's token comes from: a file that somebody keeps fresh, or a token
// endpoint that gives one for client credentials (RFC 6749, section 4.4).
type OAuth struct {
	TokenFile    string
	TokenURL     string // https
	ClientID     string
	ClientSecret Secret
	Scope        string
	CA           string            // file of the endpoint's authorities; empty: the system's
	Extensions   map[string]string // sent with the token (KIP-342)
}

func (o *OAuth) validate() error {
	switch {
	case (o.TokenFile == "") == (o.TokenURL == ""):
		return errors.New("kafka: SASL: OAUTHBEARER needs a token file or a token endpoint, " +
			"and not both")
	case o.TokenURL == "":
		return nil
	case !strings.HasPrefix(o.TokenURL, "https://"):
		return fmt.Errorf("kafka: SASL: the token endpoint %q is not https: the secret would be "+
			"sent in plain text", o.TokenURL)
	case o.ClientID == "" || o.ClientSecret == nil:
		return errors.New("kafka: SASL: a token endpoint needs a client id and its secret")
	}
	return nil
}

// Renewing a token.
const (
	freshness   = 0.8              // of its life, after which there is a new one to be had
	fewTries    = 10 * time.Second // between attempts while the last token can be used
	shortTries  = time.Second      // between attempts when it cannot
	nearlyStale = 5 * time.Second  // before its end, when it is not used any more
)

// tokens keeps the last token. It is renewed for a connection that is made after most of its life
// is over, and used as long as it lives when there is no new one.
type tokens struct {
	OAuth
	patience time.Duration
	now      func() time.Time

	mu     sync.Mutex // guards the following, and lets one goroutine ask
	last   token
	tried  time.Time // when the newest attempt failed
	failed error     // and why
}

type token struct {
	text    string
	since   time.Time
	expires time.Time // zero: not known
}

func newTokens(o OAuth, patience time.Duration, now func() time.Time) *tokens {
	return &tokens{OAuth: o, patience: patience, now: now}
}

// get returns a token that lives. It blocks for no longer than patience.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	lives := t.last.lives(now)
	if lives && t.TokenURL != "" && now.Before(t.last.renewal()) {
		return t.last.text, nil
	}
	wait := shortTries
	if lives {
		wait = fewTries
	}
	if t.failed == nil || t.TokenFile != "" || now.Sub(t.tried) >= wait {
		fresh, err := t.fetch(ctx, now)
		t.tried, t.failed = t.now(), err // when it failed: it may have taken its time
		if err == nil {
			t.last, lives = fresh, true
		}
	}
	if !lives {
		return "", t.failed
	}
	return t.last.text, nil
}

// lives tells whether it can still be used.
func (t token) lives(now time.Time) bool {
	return t.text != "" && (t.expires.IsZero() || now.Add(nearlyStale).Before(t.expires))
}

// renewal returns when it is time for another.
func (t token) renewal() time.Time {
	if t.expires.IsZero() {
		return t.since // at each connection
	}
	return t.since.Add(time.Duration(float64(t.expires.Sub(t.since)) * freshness))
}

func (t *tokens) fetch(ctx context.Context, now time.Time) (token, error) {
	if t.TokenFile == "" {
		ctx, cancel := context.WithTimeout(ctx, t.patience)
		defer cancel()
		return t.ask(ctx, now)
	}
	text, err := FileSecret(t.TokenFile)()
	if err != nil {
		return token{}, err
	}
	fresh := token{text, now, expiry(text)}
	if !fresh.expires.IsZero() && !now.Before(fresh.expires) {
		return token{}, fmt.Errorf("the token in %s expired on %s", t.TokenFile,
			fresh.expires.UTC().Format(time.RFC3339))
	}
	return fresh, nil
}

// ask asks the endpoint.
func (t *tokens) ask(ctx context.Context, now time.Time) (token, error) {
	secret, err := t.ClientSecret.reveal("the client's secret")
	if err != nil {
		return token{}, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.Scope != "" {
		form.Set("scope", t.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.TokenURL,
		strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// Both encoded first (RFC 6749, section 2.3.1).
	req.SetBasicAuth(url.QueryEscape(t.ClientID), url.QueryEscape(secret))
	body, err := exchange(req, t.CA)
	if err != nil {
		return token{}, fmt.Errorf("token endpoint %s: %w", t.TokenURL, err)
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Seconds float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return token{}, fmt.Errorf("token endpoint %s: the answer holds no access_token", t.TokenURL)
	}
	expires := expiry(answer.Token)
	if answer.Seconds > 0 && answer.Seconds < 1e9 {
		expires = now.Add(time.Duration(answer.Seconds * float64(time.Second)))
	}
	return token{answer.Token, now, expires}, nil
}

// exchange sends one request over a connection of its own and returns the body of a good answer.
func exchange(req *http.Request, ca string) ([]byte, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	// A redirect is no answer: it would carry the secret elsewhere.
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, reason(body))
	}
	return body, nil
}

// reason returns what an answer says about an error (RFC 6749, section 5.2), and never more than
// a line of it.
func reason(body []byte) string {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return strings.TrimSpace(e.Error + " " + e.Description)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}

// expiry returns until when a JSON Web Token lives (RFC 7519, section 4.1.4), or the zero time of
// one that does not say. It is not verified: that is for the broker to do.
func expiry(jwt string) time.Time {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(data, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}
