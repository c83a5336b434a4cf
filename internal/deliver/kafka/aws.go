// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// awsKeys finds the credentials of AWS where its own tools look for them, in their order: the
// environment, a web identity that is exchanged for a role (as in Kubernetes), the shared
// credentials file, the container's agent, the instance's metadata service.
type awsKeys struct {
	patience time.Duration
	env      func(string) string
	home     func() (string, error)
	now      func() time.Time
	sts      string // replaces the endpoint in tests
	imds     string // of the instance metadata service
	agent    string // of containers on ECS

	mu   sync.Mutex // guards the following
	role awsKey     // what was given for a time, by whoever gives such
}

type awsKey struct {
	access, secret, session string
	expires                 time.Time // of a role's
}

func newAWSKeys(patience time.Duration, now func() time.Time) *awsKeys {
	return &awsKeys{patience: patience, env: os.Getenv, home: os.UserHomeDir, now: now,
		imds: awsIMDS, agent: awsAgent}
}

var errNoAWS = errors.New("looked for AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, the " +
	"shared credentials file, AWS_CONTAINER_CREDENTIALS_* and the instance's metadata service")

// get returns credentials. Whoever lends them is asked by one caller at a time, for no longer than
// patience each.
func (k *awsKeys) get(ctx context.Context) (awsKey, error) {
	key := awsKey{access: k.env("AWS_ACCESS_KEY_ID"), secret: k.env("AWS_SECRET_ACCESS_KEY"),
		session: k.env("AWS_SESSION_TOKEN")}
	if key.access != "" && key.secret != "" {
		return key, nil
	}
	if file := k.env("AWS_WEB_IDENTITY_TOKEN_FILE"); file != "" {
		return k.lent(ctx, func(ctx context.Context) (awsKey, error) { return k.exchange(ctx, file) })
	}
	key, err := k.shared()
	switch {
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return key, err // a file that is there and wrong is not passed over in silence
	case k.env(awsRelative) != "" || k.env(awsFull) != "":
		return k.lent(ctx, k.container)
	case strings.EqualFold(k.env("AWS_EC2_METADATA_DISABLED"), "true"):
		return awsKey{}, err
	}
	key, instance := k.lent(ctx, k.instance)
	if instance != nil {
		return awsKey{}, fmt.Errorf("%w: %w", errNoAWS, instance)
	}
	return key, nil
}

// lent returns credentials that are given for a time, and keeps those while they live: they are
// asked for anew five minutes before their end.
func (k *awsKeys) lent(ctx context.Context, ask func(context.Context) (awsKey, error)) (awsKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	lives := now.Add(nearlyStale).Before(k.role.expires)
	if lives && now.Add(5*time.Minute).Before(k.role.expires) {
		return k.role, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	fresh, err := ask(ctx)
	if err != nil && !lives {
		return awsKey{}, err
	}
	if err == nil {
		k.role = fresh
	}
	return k.role, nil
}

// exchange asks the security token service (AssumeRoleWithWebIdentity, version 2011-06-15).
func (k *awsKeys) exchange(ctx context.Context, file string) (awsKey, error) {
	identity, err := FileSecret(file)()
	if err != nil {
		return awsKey{}, fmt.Errorf("AWS_WEB_IDENTITY_TOKEN_FILE: %w", err)
	}
	role := k.env("AWS_ROLE_ARN")
	if role == "" {
		return awsKey{}, errors.New("AWS_WEB_IDENTITY_TOKEN_FILE needs AWS_ROLE_ARN")
	}
	session := k.env("AWS_ROLE_SESSION_NAME")
	if session == "" {
		session = "dnsluice"
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {role}, "RoleSessionName": {session}, "WebIdentityToken": {identity}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.endpoint(),
		strings.NewReader(form.Encode()))
	if err != nil {
		return awsKey{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := exchange(req, k.env("AWS_CA_BUNDLE"))
	if err != nil {
		return awsKey{}, fmt.Errorf("AWS STS, role %s: %w", role, err)
	}
	var answer struct {
		Access  string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
		Secret  string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
		Session string    `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
		Expires time.Time `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil || answer.Access == "" || answer.Secret == "" {
		return awsKey{}, fmt.Errorf("AWS STS, role %s: the answer holds no credentials", role)
	}
	return awsKey{answer.Access, answer.Secret, answer.Session, answer.Expires}, nil
}

func (k *awsKeys) endpoint() string {
	if k.sts != "" {
		return k.sts
	}
	region := k.env("AWS_REGION")
	if region == "" {
		region = k.env("AWS_DEFAULT_REGION")
	}
	switch {
	case region == "":
		return "https://sts.amazonaws.com/"
	case strings.HasPrefix(region, "cn-"):
		return "https://sts." + region + ".amazonaws.com.cn/"
	}
	return "https://sts." + region + ".amazonaws.com/"
}

// shared reads the profile's section of the shared credentials file.
func (k *awsKeys) shared() (awsKey, error) {
	path := k.env("AWS_SHARED_CREDENTIALS_FILE")
	asked := path != ""
	if !asked {
		home, err := k.home()
		if err != nil {
			return awsKey{}, fmt.Errorf("%w: %w: %w", errNoAWS, err, fs.ErrNotExist)
		}
		path = filepath.Join(home, ".aws", "credentials")
	}
	data, err := readSmall(path)
	if err != nil && !asked { // a service may have no home, or must not look into it
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	if err != nil {
		return awsKey{}, fmt.Errorf("%w: %w", errNoAWS, err)
	}
	profile := k.env("AWS_PROFILE")
	if profile == "" {
		profile = "default"
	}
	values := section(data, profile)
	key := awsKey{access: values["aws_access_key_id"], secret: values["aws_secret_access_key"],
		session: values["aws_session_token"]}
	if key.access == "" || key.secret == "" {
		return awsKey{}, fmt.Errorf("%s has no aws_access_key_id and aws_secret_access_key in [%s]",
			path, profile)
	}
	return key, nil
}

// section returns the keys and values of one section of a file with [sections].
func section(data []byte, name string) map[string]string {
	values := map[string]string{}
	inside := false
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if head, ok := strings.CutPrefix(line, "["); ok {
			head, _, _ = strings.Cut(head, "]")
			inside = strings.TrimSpace(head) == name
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && inside {
			values[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return values
}
