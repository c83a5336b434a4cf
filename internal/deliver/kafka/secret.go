// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Secret returns a secret as it is now. It is called for each connection, so that one which is
// replaced takes effect at the next. A function, because no way of printing a Config shows what
// is in it.
type Secret func() (string, error)

// maxSecret bounds what is read of a file that is said to hold a secret.
const maxSecret = 64 << 10

var errNoSecret = errors.New("there is none: name a file or a variable that holds it")

// FileSecret returns what is in the file at path, without the line's end that editors leave.
func FileSecret(path string) Secret {
	return func() (string, error) {
		data, err := readSmall(path)
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(data), "\r\n")
		if text == "" {
			return "", fmt.Errorf("%s is empty", path)
		}
		return text, nil
	}
}

// reveal returns the secret. Its error says whose it is.
func (s Secret) reveal(whose string) (string, error) {
	if s == nil {
		return "", &authError{what: whose, err: errNoSecret}
	}
	text, err := s()
	if err != nil {
		return "", &authError{what: whose, err: err}
	}
	if text == "" {
		return "", &authError{what: whose, err: errNoSecret}
	}
	return text, nil
}

// readSmall reads a file that must be small, and need not be a regular one.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(data) > maxSecret {
		err = fmt.Errorf("%s has more than %d bytes", path, maxSecret)
	}
	return data, err
}

// authError is why we cannot say who we are, or why a broker does not believe it. What it was
// made from is not to be looked at: that may be about another server, which gives out tokens.
type authError struct {
	what string
	err  error
}

func (e *authError) Error() string { return e.what + ": " + e.err.Error() }
