// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
)

// TLS is how connections to the brokers are encrypted.
type TLS struct {
	Enabled    bool
	CA         string // file; empty: the system's authorities
	Cert, Key  string // files of the client's own; both, or none
	ServerName string // empty: the name that is connected to
	MinVersion string // 1.2 or 1.3
}

// SASL is who the sensor is to the brokers.
type SASL struct {
	Mechanism        string // as Kafka calls it, or none
	User             string
	Password         Secret // or else its file
	PasswordFile     string
	TokenFile        string // of OAUTHBEARER, or else an endpoint
	TokenURL         string // https
	TokenCA          string // file; empty: the system's authorities
	ClientID         string
	ClientSecret     Secret // or else its file
	ClientSecretFile string
	Scope            string
	Extensions       []string // each as key=value
}

// The words that are known.
var (
	tlsVersions = []string{"1.2", "1.3"}
	mechanisms  = []string{NoMechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER",
		"AWS_MSK_IAM"}
)

// NoMechanism is the value of SASL.Mechanism of a sensor that does not say who it is.
const NoMechanism = "none"

// withPassword and withToken are the mechanisms that certain keys are for.
var (
	withPassword = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
	withToken    = []string{"OAUTHBEARER"}
)

// saslKey is a key that some mechanisms have a use for.
type saslKey struct {
	key   string
	given bool
	of    []string
}

func (s SASL) keys() []saslKey {
	return []saslKey{
		{"sasl.user", s.User != "", withPassword},
		{"sasl.password", s.Password.Reveal() != "", withPassword},
		{"sasl.password_file", s.PasswordFile != "", withPassword},
		{"sasl.token_file", s.TokenFile != "", withToken},
		{"sasl.token_url", s.TokenURL != "", withToken},
		{"sasl.token_ca", s.TokenCA != "", withToken},
		{"sasl.client_id", s.ClientID != "", withToken},
		{"sasl.client_secret", s.ClientSecret.Reveal() != "", withToken},
		{"sasl.client_secret_file", s.ClientSecretFile != "", withToken},
		{"sasl.scope", s.Scope != "", withToken},
		{"sasl.extensions", len(s.Extensions) > 0, withToken},
	}
}

// mechanism returns a mechanism as Kafka writes it. Other programs take them in any case, and users
// copy from there.
func mechanism(word string) (string, error) {
	for _, known := range mechanisms {
		if strings.EqualFold(known, word) {
			return known, nil
		}
	}
	return word, nil // for checkLink to refuse
}

// tlsKey is a key that means nothing without TLS.
type tlsKey struct{ key, value string }

func (t TLS) keys() []tlsKey {
	return []tlsKey{{"tls.ca", t.CA}, {"tls.cert", t.Cert}, {"tls.key", t.Key},
		{"tls.server_name", t.ServerName}}
}

// implyTLS enables TLS for whoever says something that only TLS needs, unless tls.enabled was said.
func (l *loader) implyTLS() {
	if l.out.Origin("tls.enabled") != FromDefault {
		return
	}
	for _, k := range l.out.TLS.keys() {
		if k.value != "" {
			l.out.TLS.Enabled = true
			l.out.origins["tls.enabled"] = l.out.Origin(k.key)
			return
		}
	}
}

func (c Config) checkLink(m *Mistakes) {
	m.known("tls.min_version", c.TLS.MinVersion, tlsVersions)
	m.known("sasl.mechanism", c.SASL.Mechanism, mechanisms)
	if url := c.SASL.TokenURL; url != "" && !strings.HasPrefix(url, "https://") {
		m.add("sasl.token_url", "%q is not https; the secret would be sent in plain text", url)
	}
	for _, e := range c.SASL.Extensions {
		if key, value, ok := strings.Cut(e, "="); !ok || key == "" || value == "" {
			m.add("sasl.extensions", "%q is not key=value", e)
		}
	}
}

// Readable tells whether whoever sees packets of a connection to a broker has the secret: the
// password, or the token. SCRAM and AWS_MSK_IAM only prove that they know theirs.
func (c Config) Readable() bool {
	s := c.SASL.Mechanism
	return !c.TLS.Enabled && (s == "PLAIN" || slices.Contains(withToken, s))
}

// Linkable returns nil when a broker can be connected to as the configuration says, or Mistakes
// with what does not go together or is missing.
func (c Config) Linkable() error {
	var m Mistakes
	c.linkable(&m)
	return m.orNil()
}

func (c Config) linkable(m *Mistakes) {
	c.wholeTLS(m)
	s := c.SASL
	if !slices.Contains(mechanisms, s.Mechanism) {
		return // checkLink has refused it; what goes with it is not known
	}
	for _, k := range s.keys() {
		if k.given && !slices.Contains(k.of, s.Mechanism) {
			m.add(k.key, "is of no use to sasl.mechanism %s, but to %s", s.Mechanism, strings.Join(k.of, ", "))
		}
	}
	for _, k := range []struct {
		key, other string
		both       bool
	}{
		{"sasl.password_file", "sasl.password", s.PasswordFile != "" && s.Password.Reveal() != ""},
		{"sasl.client_secret_file", "sasl.client_secret", s.ClientSecretFile != "" && s.ClientSecret.Reveal() != ""},
		{"sasl.token_file", "sasl.token_url", s.TokenFile != "" && s.TokenURL != ""},
	} {
		if k.both {
			m.add(k.key, "there is %s as well; give one of them", k.other)
		}
	}
	switch {
	case slices.Contains(withPassword, s.Mechanism):
		s.needsPassword(m)
	case slices.Contains(withToken, s.Mechanism):
		s.needsToken(m)
	}
}

func (c Config) wholeTLS(m *Mistakes) {
	t := c.TLS
	for _, k := range t.keys() {
		if k.value != "" && !t.Enabled {
			m.add(k.key, "is given, and tls.enabled is false; set that (--tls), or leave this away")
		}
	}
	switch {
	case t.Cert != "" && t.Key == "":
		m.add("tls.cert", "a certificate needs its key; give tls.key (--tls-key)")
	case t.Key != "" && t.Cert == "":
		m.add("tls.key", "a key needs its certificate; give tls.cert (--tls-cert)")
	}
}

func (s SASL) needsPassword(m *Mistakes) {
	if s.User == "" {
		m.add("sasl.user", "%s needs a user; give one (--sasl-user)", s.Mechanism)
	}
	if s.Password.Reveal() == "" && s.PasswordFile == "" {
		m.add("sasl.password_file", "%s needs a password; give its file (--sasl-password-file), "+
			"or DNSLUICE_SASL_PASSWORD in the environment", s.Mechanism)
	}
}

func (s SASL) needsToken(m *Mistakes) {
	if s.TokenURL == "" {
		if s.TokenFile == "" {
			m.add("sasl.token_url", "%s needs a token; give sasl.token_url or sasl.token_file", s.Mechanism)
		}
		return
	}
	if s.ClientID == "" {
		m.add("sasl.client_id", "the token endpoint asks for one; give it")
	}
	if s.ClientSecret.Reveal() == "" && s.ClientSecretFile == "" {
		m.add("sasl.client_secret_file", "the token endpoint asks for a secret; give its file, "+
			"or DNSLUICE_SASL_CLIENT_SECRET in the environment")
	}
}

// linkOptions are the keys of both.
func linkOptions(c *Config) []option {
	t, s := &c.TLS, &c.SASL
	return []option{
		{key: "tls.enabled", flag: "tls", value: yesno(&t.Enabled),
			fallback: "`true` with tls.ca, cert, key or server_name, else `false`",
			help:     "Connect to the brokers with TLS."},
		{key: "tls.ca", flag: "tls-ca", value: text(&t.CA),
			help: "PEM file of the authorities that may sign the brokers' certificates, instead of " +
				"those of the system. It is read again for each connection, as are the next two."},
		{key: "tls.cert", flag: "tls-cert", value: text(&t.Cert),
			help: "PEM file of the client's own certificate, with those between it and its authority."},
		{key: "tls.key", flag: "tls-key", value: text(&t.Key),
			help: "PEM file of the key of that certificate."},
		{key: "tls.server_name", value: text(&t.ServerName),
			help: "Name that the brokers' certificates must have, instead of the one connected to."},
		{key: "tls.min_version", value: text(&t.MinVersion),
			help: "Least version of TLS: " + strings.Join(tlsVersions, ", ") + "."},

		{key: "sasl.mechanism", flag: "sasl-mechanism", value: oneOf(&s.Mechanism, mechanism),
			help: "How the sensor says who it is: " + strings.Join(mechanisms, ", ") + ", in any " +
				"case. AWS_MSK_IAM takes its credentials from where the tools of AWS do: the " +
				"environment, a web identity, the shared credentials file, the container's agent (ECS, " +
				"EKS Pod Identity), the instance's metadata service (IMDSv2)."},
		{key: "sasl.user", flag: "sasl-user", value: text(&s.User),
			help: "User of PLAIN and SCRAM."},
		{key: "sasl.password", value: secret(&s.Password),
			help: "Password of that user. Better in its environment variable than in a file that others " +
				"read, or in a file of its own."},
		{key: "sasl.password_file", flag: "sasl-password-file", value: text(&s.PasswordFile),
			help: "File that holds the password and nothing else. It is read again for each connection."},
		{key: "sasl.token_file", value: text(&s.TokenFile),
			help: "File that holds the token of OAUTHBEARER. It is read again for each connection."},
		{key: "sasl.token_url", value: text(&s.TokenURL),
			help: "Endpoint that gives a token for client credentials, with https."},
		{key: "sasl.token_ca", value: text(&s.TokenCA),
			help: "PEM file of the authorities that may sign the endpoint's certificate, instead of those " +
				"of the system."},
		{key: "sasl.client_id", value: text(&s.ClientID),
			help: "Client id at that endpoint."},
		{key: "sasl.client_secret", value: secret(&s.ClientSecret),
			help: "Secret of that client."},
		{key: "sasl.client_secret_file", value: text(&s.ClientSecretFile),
			help: "File that holds that secret and nothing else. It is read again for each token."},
		{key: "sasl.scope", value: text(&s.Scope),
			help: "Scope that the token is asked for."},
		{key: "sasl.extensions", value: commaTexts(&s.Extensions),
			help: "What is sent with the token, each as key=value."},
	}
}
