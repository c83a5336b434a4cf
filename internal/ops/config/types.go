// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ErrSize is returned by ParseSize for what is no size.
var ErrSize = errors.New("config: not a size: want a whole number and B, kB, MB, GB, " +
	"KiB, MiB, GiB or nothing")

// Size is a number of bytes.
type Size int64

// units are the units of sizes: powers of 1000 (SI) and of 1024 (IEC 80000-13).
var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3},
	{"B", 1},
}

// ParseSize reads a whole number and its unit, in any case: 900kB, 96MiB, 64 mb, 1048576. Its
// error is ErrSize.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimLeft(s, "0123456789")
	unit := int64(1)
	if name := strings.TrimSpace(digits); name != "" {
		unit = 0
		for _, u := range units {
			if strings.EqualFold(name, u.name) {
				unit = u.bytes
			}
		}
	}
	n, err := strconv.ParseInt(s[:len(s)-len(digits)], 10, 64)
	if err != nil || unit == 0 || n > math.MaxInt64/unit {
		return 0, ErrSize
	}
	return Size(n * unit), nil
}

// String returns the size in the unit that divides it and leaves the smallest number. ParseSize
// reads it back.
func (s Size) String() string {
	n, name := int64(s), "B"
	for _, u := range units {
		if int64(s)%u.bytes == 0 && int64(s)/u.bytes < n {
			n, name = int64(s)/u.bytes, u.name
		}
	}
	if n == 0 {
		return "0"
	}
	return strconv.FormatInt(n, 10) + name
}

// Set is ParseSize for flags of commands that have sizes of their own (pflag.Value).
func (s *Size) Set(text string) error {
	v, err := ParseSize(text)
	if err == nil {
		*s = v
	}
	return err
}

// Type is the type's name in --help (pflag.Value).
func (s Size) Type() string { return "size" }

// Secret is a text that is never printed, whatever prints it. Its zero value is empty.
type Secret struct {
	// A pointer: fmt calls no method on a field that is not exported, but prints what it holds.
	text *string
}

// redacted stands for a secret wherever it is printed.
const redacted = "[redacted]"

// NewSecret returns text as a secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the one place that needs it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal tells whether both are the same text.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String returns a word in its place, or nothing when there is no secret.
func (s Secret) String() string {
	if s.Reveal() == "" {
		return ""
	}
	return redacted
}

// Format writes String for every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText writes String, into JSON, YAML and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
