// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The mechanisms, as Kafka calls them.
const (
	Plain       = "PLAIN"         // RFC 4616
	ScramSHA256 = "SCRAM-SHA-256" // RFC 5802, RFC 7677
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER" // RFC 7628, KIP-255
	AWSMSKIAM   = "AWS_MSK_IAM"
)

// SASL says who we are.
type SASL struct {
	Mechanism string
	User      string // PLAIN and SCRAM
	Password  Secret // PLAIN and SCRAM
	OAuth     OAuth  // OAUTHBEARER
}

// Validate names what is missing.
func (s *SASL) Validate() error {
	switch s.Mechanism {
	case Plain, ScramSHA256, ScramSHA512:
		if s.User == "" || s.Password == nil {
			return fmt.Errorf("kafka: SASL: %s needs a user and a password", s.Mechanism)
		}
	case OAuthBearer:
		return s.OAuth.validate()
	case AWSMSKIAM:
	default:
		return fmt.Errorf("kafka: SASL: mechanism %q is not known", s.Mechanism)
	}
	return nil
}

// mechanism returns what authenticates each connection. It keeps tokens, so that all clients of
// a cluster share one.
func (s *SASL) mechanism(cfg Config) (sasl.Mechanism, error) {
	patience := cfg.RequestTimeout / 3 // or the request for which the connection is ends first
	switch s.Mechanism {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.Password.reveal("the password")
			return plain.Auth{User: s.User, Pass: password}, err
		}), nil
	case ScramSHA256:
		return scram.Sha256(s.scram), nil
	case ScramSHA512:
		return scram.Sha512(s.scram), nil
	case OAuthBearer:
		tokens := newTokens(s.OAuth, patience, cfg.now)
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := tokens.get(ctx)
			if err != nil {
				return oauth.Auth{}, &authError{what: "no token", err: err}
			}
			return oauth.Auth{Token: token, Extensions: s.OAuth.Extensions}, nil
		}), nil
	case AWSMSKIAM:
		keys := newAWSKeys(patience, cfg.now)
		return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
			k, err := keys.get(ctx)
			if err != nil {
				return aws.Auth{}, &authError{what: "no AWS credentials", err: err}
			}
			return aws.Auth{AccessKey: k.access, SecretKey: k.secret, SessionToken: k.session,
				UserAgent: cfg.ClientID}, nil
		}), nil
	}
	return nil, errors.New("kafka: SASL: no mechanism")
}

func (s *SASL) scram(context.Context) (scram.Auth, error) {
	password, err := s.Password.reveal("the password")
	return scram.Auth{User: s.User, Pass: password}, err
}
