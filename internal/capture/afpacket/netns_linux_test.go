// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/test/need"
	"github.com/dnsluice/dnsluice/test/netns"
)

// patience is how long a test waits for a packet that must come. Nothing waits that long unless
// it fails.
const patience = 20 * time.Second

// injector sends whole frames out of an interface.
type injector struct {
	t  *testing.T
	fd int
}

func inject(t *testing.T, name string) injector {
	t.Helper()
	return injector{t, netns.Sender(t, name)}
}

func (i injector) send(frames ...[]byte) {
	i.t.Helper()
	for _, f := range frames {
		if _, err := unix.Write(i.fd, f); err != nil {
			i.t.Fatal(err)
		}
	}
}

func configOf(name string) Config {
	cfg := DefaultConfig()
	cfg.Interface, cfg.RetireTimeout = name, 5*time.Millisecond
	cfg.BlockSize, cfg.Blocks = 64<<10, 16
	return cfg
}

func open(t *testing.T, cfg Config) *Group {
	t.Helper()
	g, err := NewGroup(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		for i := range cfg.Lanes {
			balanced(t, g.Lane(i), 0)
		}
	})
	return g
}

// seen is one captured packet and the lane it came from.
type seen struct {
	packet.Packet
	lane int
}

// collect reads n packets from the lanes of g.
func collect(t *testing.T, g *Group, n int) []seen {
	t.Helper()
	var got []seen
	for end := time.Now().Add(patience); len(got) < n; {
		for i, s := range g.lanes {
			p := seen{lane: i}
			err := s.Next(&p.Packet)
			for ; err == nil; err = s.Next(&p.Packet) {
				p.Data = bytes.Clone(p.Data)
				got = append(got, p)
				if len(got) == n {
					return got
				}
			}
			if err != capture.ErrIdle {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("got %d packets of %d", len(got), n)
		}
	}
	return got
}

// received waits until the kernel has put n packets into the rings of g, or dropped them. Under
// load it takes frames from a veth pair later than they were sent.
func received(t *testing.T, g *Group, n uint64) {
	t.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		got := uint64(0)
		for _, s := range g.lanes {
			got += s.Stats().Received
		}
		if got == n {
			return
		}
		if got > n || time.Now().After(end) {
			t.Fatalf("the kernel received %d packets, want %d", got, n)
		}
	}
}

// rest drains g and returns how many packets were still to come.
func rest(t *testing.T, g *Group) int {
	t.Helper()
	n := 0
	for _, s := range g.lanes {
		s.Drain()
		var p packet.Packet
		for err := error(nil); err != io.EOF; {
			if err = s.Next(&p); err == nil {
				n++
			} else if err != io.EOF && err != capture.ErrIdle {
				t.Fatal(err)
			}
		}
		balanced(t, s, 0)
	}
	return n
}

// turnUntil reads from all lanes until done, and fails when that takes too long.
func turnUntil(t *testing.T, g *Group, what string, done func() bool) {
	t.Helper()
	var p packet.Packet
	for end := time.Now().Add(patience); !done(); {
		for _, s := range g.lanes {
			if err := s.Next(&p); err != nil && err != capture.ErrIdle {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func datas(got []seen) [][]byte {
	var d [][]byte
	for _, p := range got {
		d = append(d, p.Data)
	}
	return d
}

// tun makes an interface without a link header. What is written to the descriptor arrives on it.
func tun(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		need.Cannot(t, "needs /dev/net/tun: modprobe tun")
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
	return fd
}

// drop takes all capabilities but the given from this thread, which dies with the test.
func drop(t *testing.T, keep uint32) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}
