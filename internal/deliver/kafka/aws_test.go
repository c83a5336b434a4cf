// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhereAWSCredentialsComeFrom(t *testing.T) {
	dir := t.TempDir()
	shared := write(t, filepath.Join(dir, "credentials"), []byte(`
# [default]
[default]
aws_access_key_id = AKDEFAULT
aws_secret_access_key=secret=with=signs
; a comment
[ other ]
AWS_ACCESS_KEY_ID = AKOTHER
aws_secret_access_key = other
aws_session_token = session
[empty]
`))
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"the environment", map[string]string{"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "s",
			"AWS_SESSION_TOKEN": "t", "AWS_SHARED_CREDENTIALS_FILE": shared}, "AK s t"},
		{"half of the environment is not enough", map[string]string{"AWS_ACCESS_KEY_ID": "AK",
			"AWS_SHARED_CREDENTIALS_FILE": shared}, "AKDEFAULT secret=with=signs "},
		{"the shared file", map[string]string{"AWS_SHARED_CREDENTIALS_FILE": shared},
			"AKDEFAULT secret=with=signs "},
		{"another profile", map[string]string{"AWS_SHARED_CREDENTIALS_FILE": shared, "AWS_PROFILE": "other"},
			"AKOTHER other session"},
		{"a profile without credentials", map[string]string{"AWS_SHARED_CREDENTIALS_FILE": shared,
			"AWS_PROFILE": "empty"}, "[empty]"},
		{"nothing", map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, "looked for AWS_ACCESS_KEY_ID"},
		{"an identity without a role", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": shared}, "AWS_ROLE_ARN"},
	} {
		k := newAWSKeys(time.Second, time.Now)
		k.env = func(name string) string { return c.env[name] }
		k.home = func() (string, error) { return dir, nil }
		key, err := k.get(context.Background())
		got := fmt.Sprintf("%s %s %s", key.access, key.secret, key.session)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestAWebIdentityIsExchangedForARole(t *testing.T) {
	clock := &clock{at: time.Now().Truncate(time.Second)}
	asked, down := 0, false
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		r.ParseForm()
		if down || r.PostForm.Get("WebIdentityToken") != "identity" || r.PostForm.Get("RoleArn") != "arn:role" ||
			r.PostForm.Get("Action") != "AssumeRoleWithWebIdentity" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t</SessionToken><SecretAccessKey>s</SecretAccessKey>
<Expiration>%s</Expiration><AccessKeyId>AK%d</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`, clock.now().Add(time.Hour).UTC().Format(time.RFC3339), asked)
	}))
	defer s.Close()
	dir := t.TempDir()
	env := map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": write(t, filepath.Join(dir, "token"), []byte("identity\n")),
		"AWS_ROLE_ARN":                "arn:role",
		"AWS_CA_BUNDLE": write(t, filepath.Join(dir, "ca.pem"),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
	}
	k := newAWSKeys(10*time.Second, clock.now)
	k.env, k.sts = func(name string) string { return env[name] }, s.URL
	var got []string
	step := func(wait time.Duration) {
		clock.add(wait)
		key, err := k.get(context.Background())
		if err != nil {
			got = append(got, "none")
			return
		}
		got = append(got, key.access+key.secret+key.session)
	}
	step(0)
	step(54 * time.Minute)
	step(2 * time.Minute) // less than 5 minutes left: another
	down = true
	step(57 * time.Minute) // none to be had, and this one lives
	step(3 * time.Minute)
	if diff := cmp.Diff([]string{"AK1st", "AK1st", "AK2st", "AK2st", "none"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheEndpointOfSTS(t *testing.T) {
	for region, want := range map[string]string{
		"": "https://sts.amazonaws.com/", "eu-west-1": "https://sts.eu-west-1.amazonaws.com/",
		"cn-north-1": "https://sts.cn-north-1.amazonaws.com.cn/",
	} {
		k := newAWSKeys(time.Second, time.Now)
		k.env = func(name string) string { return map[string]string{"AWS_DEFAULT_REGION": region}[name] }
		if got := k.endpoint(); got != want {
			t.Errorf("%q: %s", region, got)
		}
	}
}
