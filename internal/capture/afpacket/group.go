// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"time"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// What kernel.open returns for an interface that may yet come.
var (
	errDown   = errors.New("interface is down")
	errAbsent = errors.New("no interface")
)

// Group is one interface and the lanes that share what arrives on it.
type Group struct {
	lanes  []*Source
	kernel kernel
}

// NewGroup checks cfg and makes its lanes. It opens nothing and needs no privilege.
func NewGroup(cfg Config) (*Group, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newGroup(cfg, newKernel(cfg)), nil
}

func newGroup(cfg Config, k kernel) *Group {
	g := &Group{lanes: make([]*Source, cfg.Lanes), kernel: k}
	for i := range g.lanes {
		g.lanes[i] = &Source{cfg: cfg, kernel: k}
	}
	return g
}

// Lane returns the source of lane i, 0 <= i < Config.Lanes: always the same one.
func (g *Group) Lane(i int) *Source { return g.lanes[i] }

// Carrier tells whether the interface is connected to anything: one that is up and has no carrier
// captures, but nothing comes. Of one that is down or gone it is true, for Source.Err says more. It
// may be called from any goroutine.
func (g *Group) Carrier() bool { return g.kernel.carrier() }

// Open begins to capture on all lanes. It is called once, before the first Next, and does not
// wait for traffic. An error is one sentence that says what to do, and leaves nothing open. An
// interface that is down is no error: its sources wait until it is up, see Source.Err.
func (g *Group) Open() error {
	for _, s := range g.lanes {
		if err := s.open(); err != nil && !errors.Is(err, errDown) {
			return errors.Join(err, g.Close())
		}
	}
	return nil
}

// Close closes all lanes. It must not be called while a lane's goroutine may be in Next.
func (g *Group) Close() error {
	var errs []error
	for _, s := range g.lanes {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// kernel opens sockets on the one interface of a group. Linux is in socket_linux.go; in the
// tests a writer fills rings as Linux does.
type kernel interface {
	// open returns a socket that captures, or errDown, or an error that says what to do. It may
	// be called by several lanes at once.
	open() (opened, error)

	// carrier is Group.Carrier.
	carrier() bool
}

// opened is what kernel.open gives: a socket, its ring and what is in it.
type opened struct {
	socket
	mem  []byte
	link packet.LinkType
}

// socket is one packet socket with a ring.
type socket interface {
	// wait returns when the ring has a block for us, when something happened to the interface,
	// or after d, and says how the interface is.
	wait(d time.Duration) (linkState, error)

	// statistics returns what was counted since it was last called.
	statistics() statistics

	// reject stops the kernel from putting more packets into the ring.
	reject() error

	// close unmaps the ring and closes the socket.
	close() error
}

// statistics is struct tpacket_stats_v3 of linux/if_packet.h. The kernel sets it to zero when it
// is read.
type statistics struct {
	packets uint32 // that passed the filter, those dropped included
	drops   uint32 // that found no room in the ring
	freezes uint32 // times that the ring became full
}

// linkState is how an interface is, as seen from a socket bound to it.
type linkState uint8

const (
	linkUp   linkState = iota
	linkDown           // the socket captures again by itself when the interface is up again
	linkGone           // for ever; an interface of the same name is another one
)
