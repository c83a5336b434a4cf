// SPDX-License-Identifier: Apache-2.0

package match

import (
	"fmt"
	"time"
)

// Config says how long queries wait and in how much memory.
type Config struct {
	Timeout time.Duration // of a query, in packet time
	Memory  int           // bytes for what waits

	// Retries is shared by the lanes, since a retry over TCP may come to another lane than the
	// answer over UDP did when there are several interfaces or files. nil is one of its own.
	Retries *Retries
}

// The limits of Config. The least memory holds a message of any length and a few hundred of the
// usual.
const (
	minTimeout = 10 * time.Millisecond
	maxTimeout = time.Hour
	minMemory  = 1 << 20
	maxMemory  = 1 << 30
)

// DefaultConfig waits as long as the resolver of the C library does (resolv.conf(5), timeout).
func DefaultConfig() Config { return Config{Timeout: 5 * time.Second, Memory: 4 << 20} }

// Validate returns an error that says which value cannot be used, or nil.
func (c Config) Validate() error {
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		return fmt.Errorf("match: timeout: %s is not from %s to %s", c.Timeout, minTimeout, maxTimeout)
	}
	if c.Memory < minMemory || c.Memory > maxMemory {
		return fmt.Errorf("match: memory: %d bytes are not from %d to %d", c.Memory, minMemory, maxMemory)
	}
	return nil
}
