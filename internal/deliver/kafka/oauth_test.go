// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// issuer is a token endpoint.
type issuer struct {
	*httptest.Server
	ca string // file

	mu    sync.Mutex // guards the following
	asked int
	down  bool
	life  int // seconds; 0: not said
	last  string
	form  string
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.TLS = &tls.Config{}
	i.StartTLS()
	t.Cleanup(i.Close)
	i.ca = write(t, filepath.Join(t.TempDir(), "issuer.pem"),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}))
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	r.ParseForm()
	id, secret, _ := r.BasicAuth()
	i.form = fmt.Sprintf("%s %s:%s %s", r.Method, id, secret, r.PostForm.Encode())
	switch {
	case i.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":"temporarily_unavailable","error_description":"come back later"}`)
	case secret != "s%3Acret":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client"}`)
	default:
		i.last = fmt.Sprintf("token-%d", i.asked)
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer"`, i.last)
		if i.life > 0 {
			fmt.Fprintf(w, `,"expires_in":%d`, i.life)
		}
		fmt.Fprint(w, "}")
	}
}

func (i *issuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *issuer) config() OAuth {
	return OAuth{TokenURL: i.URL + "/token", ClientID: "sensor", ClientSecret: fixed("s:cret"),
		Scope: "kafka", CA: i.ca}
}

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex // guards the following
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestATokenIsRenewedBeforeItsEndAndUsedUntilThen(t *testing.T) {
	i := newIssuer(t)
	i.life = 1000
	c := &clock{at: time.Now()}
	tokens := newTokens(i.config(), 10*time.Second, c.now)
	var got []string
	step := func(wait time.Duration) {
		c.add(wait)
		text, err := tokens.get(context.Background())
		if err != nil {
			text = "none"
		}
		got = append(got, fmt.Sprintf("%s of %d", text, i.asked))
	}
	step(0)
	step(799 * time.Second) // fresh enough
	step(2 * time.Second)   // the second one
	i.set(func() { i.down = true })
	step(801 * time.Second) // asked in vain: the second lives for 199 s more
	step(5 * time.Second)   // and is not asked for again at once
	step(6 * time.Second)   // but then
	step(182 * time.Second) // 6 s before its end
	step(2 * time.Second)   // too near to its end
	step(time.Second / 2)   // not asked at once here either
	step(time.Second)       // but sooner
	i.set(func() { i.down = false })
	step(time.Second)
	want := []string{"token-1 of 1", "token-1 of 1", "token-2 of 2", "token-2 of 3", "token-2 of 3",
		"token-2 of 4", "token-2 of 5", "none of 6", "none of 6", "none of 7", "token-8 of 8"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "POST sensor:s%3Acret grant_type=client_credentials&scope=kafka"; i.form != want {
		t.Errorf("asked with %s", i.form)
	}
}

func TestWhyThereIsNoToken(t *testing.T) {
	i := newIssuer(t)
	for _, c := range []struct {
		name   string
		change func(*OAuth)
		words  string
	}{
		{"a wrong secret", func(o *OAuth) { o.ClientSecret = fixed("hunter2") }, "401 Unauthorized: invalid_client"},
		{"an authority nobody knows", func(o *OAuth) { o.CA = "" }, "certificate"},
		{"a file of authorities that is gone", func(o *OAuth) { o.CA += ".gone" }, "issuer.pem.gone"},
		{"no such port", func(o *OAuth) { o.TokenURL = "https://127.0.0.1:1/token" }, "connection refused"},
	} {
		o := i.config()
		c.change(&o)
		_, err := newTokens(o, 10*time.Second, time.Now).get(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	i.set(func() { i.down = true })
	_, err := newTokens(i.config(), 10*time.Second, time.Now).get(context.Background())
	if err == nil || !strings.Contains(err.Error(), "temporarily_unavailable come back later") {
		t.Error(err)
	}
}

func TestAnEndpointThatIsSilentIsNotWaitedForLong(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	o := OAuth{TokenURL: s.URL, ClientID: "x", ClientSecret: fixed("y"), CA: ca}
	if _, err := newTokens(o, 100*time.Millisecond, time.Now).get(context.Background()); err == nil || !timedOut(err) {
		t.Error(err)
	}
}

// jwt returns a token that says when it ends.
func jwt(expires time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, expires.Unix())) + "."
}

func TestATokenFile(t *testing.T) {
	c := &clock{at: time.Now()}
	path := filepath.Join(t.TempDir(), "token")
	tokens := newTokens(OAuth{TokenFile: path}, time.Second, c.now)
	get := func() string {
		text, err := tokens.get(context.Background())
		if err != nil {
			return "none"
		}
		return text
	}
	first, second := jwt(c.now().Add(time.Hour)), jwt(c.now().Add(2*time.Hour))
	var got []string
	got = append(got, get()) // there is none
	write(t, path, []byte(first+"\n"))
	got = append(got, get())
	write(t, path, []byte(second))
	got = append(got, get()) // at once
	write(t, path, []byte(""))
	got = append(got, get()) // the last one lives
	c.add(2 * time.Hour)
	got = append(got, get())
	write(t, path, []byte(second))
	got = append(got, get()) // it is over
	write(t, path, []byte("no end is known"))
	got = append(got, get())
	if diff := cmp.Diff([]string{"none", first, second, second, "none", "none", "no end is known"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExpiryOfWhatIsNoToken(t *testing.T) {
	for _, text := range []string{"", "a.b.c", "a.e30.c", "..", "a.eyJleHAiOiJ4In0.c", "a.eyJleHAiOi0xfQ.c",
		"a." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1e300}`)) + ".c"} {
		if e := expiry(text); !e.IsZero() {
			t.Errorf("%q expires at %v", text, e)
		}
	}
	now := time.Unix(1_800_000_000, 0)
	if e := expiry(jwt(now)); !e.Equal(now) {
		t.Errorf("%v", e)
	}
}
