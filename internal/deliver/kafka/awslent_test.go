// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lender is the agent of a container and the metadata service of an instance.
type lender struct {
	*httptest.Server
	clock *clock

	mu    sync.Mutex // guards the following
	asked []string
	down  bool
	hang  chan struct{}
}

func newLender(t *testing.T) *lender {
	l := &lender{clock: &clock{at: time.Now().Truncate(time.Second)}}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *lender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, r.Method+" "+r.URL.Path)
	if l.hang != nil {
		<-l.hang
	}
	imds := r.Header.Get("X-aws-ec2-metadata-token") == "session"
	switch at := r.Method + " " + r.URL.Path; {
	case l.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "hunter2")
	case at == "PUT "+imdsToken && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
		fmt.Fprint(w, "session")
	case at == "GET "+imdsRoles && imds:
		fmt.Fprint(w, "sensor\n")
	case at == "GET "+imdsRoles+"sensor" && imds, at == "GET /creds" && r.Header.Get("Authorization") == "pod":
		fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"AK%d","SecretAccessKey":"hunter2","Token":"t","Expiration":%q}`,
			len(l.asked), l.clock.now().Add(time.Hour).UTC().Format(time.RFC3339))
	case at == "GET /empty":
		fmt.Fprint(w, `{"Code":"AssumeRoleUnauthorizedAccess","Message":"hunter2"}`)
	case at == "GET /moved":
		http.Redirect(w, r, "/creds", http.StatusFound)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// keys returns what looks for credentials at l alone.
func (l *lender) keys(t *testing.T, env map[string]string) *awsKeys {
	k := newAWSKeys(10*time.Second, l.clock.now)
	k.env = func(name string) string { return env[name] }
	k.home = func() (string, error) { return "", errors.New("$HOME is not defined") } // as of a service
	k.imds, k.agent = l.URL, l.URL
	return k
}

func TestCredentialsThatAMachineOfAWSLends(t *testing.T) {
	l := newLender(t)
	file := write(t, filepath.Join(t.TempDir(), "token"), []byte("pod\n"))
	const token, tokenFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"an instance", nil, "AK3 hunter2 t"},
		{"a task on ECS", map[string]string{awsRelative: "/creds", token: "pod"}, "AK1 hunter2 t"},
		{"a pod on EKS", map[string]string{awsFull: l.URL + "/creds", tokenFile: file}, "AK1 hunter2 t"},
		{"a token that is wrong", map[string]string{awsFull: l.URL + "/creds", token: "other"}, "/creds: 401"},
		{"a token file that is not there", map[string]string{awsFull: l.URL, tokenFile: file + "x"}, tokenFile},
		{"an answer without credentials", map[string]string{awsRelative: "/empty"}, "holds no credentials"},
		{"an answer from elsewhere", map[string]string{awsRelative: "/moved", token: "pod"}, "/moved: 302"},
		{"plain HTTP over a network", map[string]string{awsFull: "http://192.0.2.1/creds"}, "in plain text"},
		{"a path that is a host", map[string]string{awsRelative: "@192.0.2.1/creds"}, "in plain text"},
		{"no URL", map[string]string{awsFull: "creds"}, "it is no URL"},
		{"an instance that is not to be asked", map[string]string{"AWS_EC2_METADATA_DISABLED": "TRUE"}, "looked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.mu.Lock()
			l.asked = nil
			l.mu.Unlock()
			key, err := l.keys(t, c.env).get(context.Background())
			got := fmt.Sprintf("%s %s %s", key.access, key.secret, key.session)
			if err != nil {
				if got = err.Error(); strings.Contains(got, "hunter2") {
					t.Errorf("a secret is in %q", got)
				}
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestLentCredentialsAreRenewedBeforeTheirEnd(t *testing.T) {
	l := newLender(t)
	k := l.keys(t, nil)
	var got []string
	step := func(wait time.Duration, down bool) {
		l.mu.Lock()
		l.down = down
		l.mu.Unlock()
		l.clock.add(wait)
		key, err := k.get(context.Background())
		if err != nil {
			key.access = "none"
		}
		got = append(got, key.access)
	}
	step(0, false)
	step(54*time.Minute, false)
	step(2*time.Minute, true) // less than 5 minutes left, and none to be had
	step(time.Second, false)
	step(time.Hour, true)
	if diff := cmp.Diff([]string{"AK3", "AK3", "AK3", "AK7", "none"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAMetadataServiceThatHangsIsNotWaitedFor(t *testing.T) {
	l := newLender(t)
	l.hang = make(chan struct{})
	defer close(l.hang)
	k := l.keys(t, nil)
	k.patience = 50 * time.Millisecond
	if _, err := k.get(context.Background()); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errNoAWS) {
		t.Errorf("%v", err)
	}
}
