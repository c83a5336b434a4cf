// SPDX-License-Identifier: Apache-2.0

package decode

import "errors"

// Config says what is DNS.
type Config struct {
	Ports []uint16 // UDP and TCP ports of servers; one side of a packet must have one of them
}

// DefaultConfig returns the port of RFC 1035. Multicast DNS has 5353, LLMNR 5355.
func DefaultConfig() Config { return Config{Ports: []uint16{53}} }

// Validate returns an error that says which value cannot be used, or nil.
func (c Config) Validate() error {
	if len(c.Ports) == 0 {
		return errors.New("decode: ports: none given; DNS servers listen on 53")
	}
	for _, p := range c.Ports {
		if p == 0 {
			return errors.New("decode: ports: 0 is not a port; give 1 to 65535")
		}
	}
	return nil
}

// portSet has one bit for each port: a look-up takes the same time for any number of them.
type portSet [1 << 16 / 64]uint64

func (s *portSet) add(port uint16) { s[port/64] |= 1 << (port % 64) }

func (s *portSet) has(port uint16) bool { return s[port/64]>>(port%64)&1 != 0 }
