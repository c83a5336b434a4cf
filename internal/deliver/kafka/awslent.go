// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Who lends credentials to a process on a machine of AWS, over plain HTTP that does not leave it.
const (
	awsAgent = "http://169.254.170.2"   // of containers on ECS
	awsIMDS  = "http://169.254.169.254" // instance metadata service, version 2

	awsRelative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" // a path at the agent
	awsFull     = "AWS_CONTAINER_CREDENTIALS_FULL_URI"     // as of EKS Pod Identity

	imdsToken = "/latest/api/token"
	imdsRoles = "/latest/meta-data/iam/security-credentials/"
)

// container asks the agent of the container. The token's file is read each time: it is rotated.
func (k *awsKeys) container(ctx context.Context) (awsKey, error) {
	from := k.env(awsFull)
	if path := k.env(awsRelative); path != "" {
		from = k.agent + path
	}
	if err := mayAsk(from); err != nil {
		return awsKey{}, fmt.Errorf("container credentials: %w", err)
	}
	token := k.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := k.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		var err error
		if token, err = FileSecret(file)(); err != nil {
			return awsKey{}, fmt.Errorf("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
		}
	}
	body, err := nearby(ctx, http.MethodGet, from, "Authorization", token)
	if err != nil {
		return awsKey{}, fmt.Errorf("container credentials: %w", err)
	}
	return lentKey(body, "container credentials")
}

// mayAsk refuses what would show the token, and the credentials, to a network: plain HTTP to
// anyone but this machine and the agents of ECS and EKS, as the tools of AWS do.
func mayAsk(from string) error {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return errors.New("it is no URL") // which could have a secret in it
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case u.Scheme == "https", u.Scheme == "http" && host == "localhost", ip != nil && ip.IsLoopback():
		return nil
	case host == "169.254.170.2", host == "169.254.170.23", host == "fd00:ec2::23":
		return nil
	}
	return fmt.Errorf("plain HTTP to %s: the credentials would be sent in plain text", host)
}

// instance asks the metadata service of the instance, version 2: a token first, then which role,
// then its credentials. A container behind another hop needs a hop limit of 2 on the instance.
func (k *awsKeys) instance(ctx context.Context) (awsKey, error) {
	const what = "instance metadata"
	const header = "X-aws-ec2-metadata-token"
	token, err := nearby(ctx, http.MethodPut, k.imds+imdsToken, header+"-ttl-seconds", "300")
	if err != nil {
		return awsKey{}, fmt.Errorf("%s: %w", what, err)
	}
	roles, err := nearby(ctx, http.MethodGet, k.imds+imdsRoles, header, string(token))
	if err != nil {
		return awsKey{}, fmt.Errorf("%s: no role: %w", what, err)
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(roles)), "\n")
	body, err := nearby(ctx, http.MethodGet, k.imds+imdsRoles+url.PathEscape(role), header, string(token))
	if err != nil {
		return awsKey{}, fmt.Errorf("%s: role %s: %w", what, role, err)
	}
	return lentKey(body, what)
}

// nearby sends one request with one header over a connection of its own, and returns the body of
// a good answer. No proxy and no redirect: nobody else is to see what goes to this machine. An
// error has the status and never the body, which may hold secrets.
func nearby(ctx context.Context, method, to, header, value string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return nil, err
	}
	if value = strings.TrimSpace(value); value != "" {
		req.Header.Set(header, value)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok { // it has the query, which could be a secret
			err = of.Err
		}
		return nil, fmt.Errorf("%s %s: %w", method, req.URL.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s%s: %s", method, req.URL.Host, req.URL.Path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<10))
}

// lentKey reads the answer, which is the same from all of them.
func lentKey(body []byte, what string) (awsKey, error) {
	var a struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if err := json.Unmarshal(body, &a); err != nil || a.AccessKeyID == "" || a.SecretAccessKey == "" {
		return awsKey{}, fmt.Errorf("%s: the answer holds no credentials", what)
	}
	return awsKey{a.AccessKeyID, a.SecretAccessKey, a.Token, a.Expiration}, nil
}
