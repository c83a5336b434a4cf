// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// The bounds that Validate enforces.
const (
	maxName  = 15      // IFNAMSIZ of linux/if.h, less its final zero
	maxLanes = 256     // PACKET_FANOUT_MAX of net/packet/internal.h before Linux 5.13
	maxPorts = 100     // a conditional jump of classic BPF spans at most 255 instructions
	maxRing  = 1 << 30 // bytes; more is a mistake of unit
)

// Config says what to capture and how much memory the kernel may fill meanwhile.
type Config struct {
	Interface   string   // name of the interface
	Lanes       int      // sources that share the interface
	Ports       []uint16 // UDP and TCP ports, source or destination, that let a packet through
	Tunnels     []string // kinds that are let through whatever is in them; see dnsmsg.ParseTunnels
	Promiscuous bool     // also take frames addressed to other stations

	// Pairs puts all packets between two addresses on one lane, where query and response meet.
	// Without it datagrams go by their ports as well, which spreads the load of few addresses.
	// Fragments of a datagram, and all of TCP, are together either way.
	Pairs bool

	// The ring of one lane is Blocks times BlockSize bytes. A lane that does not read for a while
	// loses nothing until all blocks are full, or, on a quiet link, until each of them has been
	// handed over by RetireTimeout with only a few packets in it.
	BlockSize int // bytes, a multiple of the page size
	Blocks    int

	// RetireTimeout is how long the kernel keeps a block that is not full: the latency that the
	// ring adds to a quiet link. It is in whole milliseconds.
	RetireTimeout time.Duration
}

// DefaultConfig returns the configuration that Interface has to be added to.
//
// The ring is 8 MiB a lane, so two lanes take a sixth of a process bound to 96 MiB. That holds
// about 35,000 DNS packets. A block of 128 KiB holds the largest frame that segmentation offload
// makes (64 KiB), and many small blocks are better than few large ones on a quiet link: 64 blocks
// of 25 ms each let a lane stand still for 1.6 s.
func DefaultConfig() Config {
	return Config{
		Lanes:         1,
		Ports:         []uint16{53},
		Promiscuous:   true,
		BlockSize:     128 << 10,
		Blocks:        64,
		RetireTimeout: 25 * time.Millisecond,
	}
}

// Validate returns an error that names every value that cannot work, or nil. It looks at the
// values alone, not at the machine.
func (c Config) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("afpacket: "+format, args...))
	}
	if c.Interface == "" {
		refuse("no interface is named")
	}
	if len(c.Interface) > maxName || strings.ContainsAny(c.Interface, "/ \t\n\x00") {
		refuse("interface %q: a name has at most %d bytes, no space and no slash",
			c.Interface, maxName)
	}
	if c.Lanes < 1 || c.Lanes > maxLanes {
		refuse("%d lanes: must be 1 to %d", c.Lanes, maxLanes)
	}
	if len(c.Ports) < 1 || len(c.Ports) > maxPorts {
		refuse("%d ports: must be 1 to %d", len(c.Ports), maxPorts)
	}
	for _, port := range c.Ports {
		if port == 0 {
			refuse("port 0: must be 1 to 65535")
		}
	}
	if _, err := dnsmsg.ParseTunnels(c.Tunnels); err != nil {
		refuse("tunnels: %w", err)
	}
	if page := os.Getpagesize(); c.BlockSize < page || c.BlockSize%page != 0 {
		refuse("ring block of %d bytes: must be a multiple of the page size, %d",
			c.BlockSize, page)
	}
	if c.Blocks < 2 || c.BlockSize > 0 && c.Blocks > maxRing/c.BlockSize {
		refuse("ring of %d blocks of %d bytes: must be 2 blocks at least and %d MiB at most",
			c.Blocks, c.BlockSize, maxRing>>20)
	}
	if c.RetireTimeout < time.Millisecond || c.RetireTimeout > 10*time.Second ||
		c.RetireTimeout%time.Millisecond != 0 {
		refuse("retire timeout of %v: must be 1 ms to 10 s, in whole milliseconds",
			c.RetireTimeout)
	}
	return errors.Join(errs...)
}
