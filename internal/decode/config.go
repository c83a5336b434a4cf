// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"errors"
	"fmt"

	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Config says what is DNS and what may be around it.
type Config struct {
	Ports   []uint16         // of servers, UDP and TCP; one side of a packet must have one of them
	Tunnels []string         // to look into, by their names; see dnsmsg.ParseTunnels
	Defrag  defrag.Config    // bounds of what waits for fragments; its zero value is its default
	TCP     tcpstream.Config // bounds of streams; its zero value is its default
}

// DefaultConfig returns the port of RFC 1035 and all tunnels. Multicast DNS has port 5353, LLMNR
// 5355.
func DefaultConfig() Config {
	return Config{Ports: []uint16{53}, Tunnels: []string{"all"}, Defrag: defrag.DefaultConfig()}
}

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
	if _, err := dnsmsg.ParseTunnels(c.Tunnels); err != nil {
		return fmt.Errorf("decode: tunnels: %w", err)
	}
	if err := c.TCP.Validate(); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if err := c.Defrag.Validate(); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}

// Memory returns the bytes that a decoder with c holds for what is not whole.
func (c Config) Memory() int { return c.TCP.Memory() + c.Defrag.Memory() }

// portSet has one bit for each port: a look-up takes the same time for any number of them.
type portSet [1 << 16 / 64]uint64

func (s *portSet) add(port uint16) { s[port/64] |= 1 << (port % 64) }

func (s *portSet) has(port uint16) bool { return s[port/64]>>(port%64)&1 != 0 }
