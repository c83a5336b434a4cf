// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/sensor"
	"github.com/dnsluice/dnsluice/test/netns"
)

// beyond is another network namespace, in which nothing runs but what do is given: brokers listen
// there, and queries come from there, so that all of it crosses the cables between the two.
type beyond struct {
	*testing.T
	work chan func()
	tid  int
}

func newBeyond(t *testing.T) *beyond {
	b := &beyond{T: t, work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread dies with the goroutine, the namespace with it
		b.tid = unix.Gettid()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range b.work {
			f()
		}
	}()
	t.Cleanup(func() { close(b.work) })
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *beyond) do(f func()) {
	done := make(chan struct{})
	b.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// ipThere runs the command ip on the other side.
func (b *beyond) ipThere(args string) (said string) {
	b.Helper()
	b.do(func() { said = netns.IP(b, args) })
	return said
}

// peer is the other end of an interface.
func peer(name string) string { return name + "-peer" }

// cable makes an interface and its peer on the other side.
func (b *beyond) cable(name string) {
	b.Helper()
	netns.IP(b, "link add "+name+" type veth peer name "+peer(name))
	b.Cleanup(func() { netns.IP(b, "link del "+name) })
	netns.IP(b, fmt.Sprintf("link set %s netns %d", peer(name), b.tid))
	b.up(name)
}

// up sets both ends up and waits until frames pass. The kernel starts the queue of an interface
// some time after its peer is up; what is sent before is lost.
func (b *beyond) up(name string) {
	b.Helper()
	netns.IP(b, "link set "+name+" up addrgenmode none")
	b.ipThere("link set " + peer(name) + " up addrgenmode none")
	until(b, name+" is up", patience, func() bool {
		return strings.Contains(netns.IP(b, "-o link show "+name), "state UP") &&
			strings.Contains(b.ipThere("-o link show "+peer(name)), "state UP")
	})
}

// listenThere is for brokers on the other side. A socket belongs to where its thread was.
func (b *beyond) listenThere(network, _ string) (ln net.Listener, err error) {
	b.do(func() { ln, err = net.Listen(network, "10.53.0.2:0") })
	return ln, err
}

// sender returns a socket that sends Ethernet frames out of an interface of the other side.
func (b *beyond) sender(name string) (fd int) {
	b.Helper()
	var err error
	b.do(func() {
		var nic *net.Interface
		if nic, err = net.InterfaceByName(name); err != nil {
			return
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: nic.Index})
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// ethernet is the header before IPv4. To nobody here, so that nobody but the capture takes it.
const ethernet = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00"

// pump sends what a flow gives, from when somebody listens until it is drained.
func (b *beyond) pump(f *flow, fd int, listens <-chan struct{}) {
	done := make(chan struct{})
	b.Cleanup(func() {
		f.Drain()
		<-done
	})
	go func() {
		defer close(done)
		select {
		case <-listens:
		case <-f.drained:
		}
		var p packet.Packet
		for {
			switch f.Next(&p) {
			case nil:
				if _, err := unix.Write(fd, append([]byte(ethernet), p.Data...)); err != nil {
					b.Errorf("query %d: %v", f.given.Load()-1, err)
				}
			case capture.ErrIdle:
			default:
				return
			}
		}
	}()
}

// TestDrillInterfaces has queries come in on one cable, and brokers at the end of it or of another.
// Before the interface of the capture goes down queries stop, and go on when it captures again:
// so all of them are to be in the topic. What comes while it is down has a number that nobody asked.
func TestDrillInterfaces(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	for _, c := range []struct {
		what, kafka, down string
		want              deliver.State
	}{
		{"the interface of the capture goes down and up", "kafka", "near", sensor.CaptureDown},
		{"the interface to Kafka goes down and up", "kafka", "kafka", deliver.Unreachable},
		{"the interface of both the capture and Kafka goes down and up", "near", "near", deliver.Unreachable},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBeyond(t)
			b.cable("near")
			if c.kafka != "near" {
				b.cable(c.kafka)
			}
			netns.IP(b, "addr add 10.53.0.1/30 dev "+c.kafka)
			b.ipThere("addr add 10.53.0.2/30 dev " + peer(c.kafka))
			fd := b.sender(peer("near"))
			blind := c.down == "near"
			drill{number: 33, what: c.what, listen: b.listenThere, config: func(r *rig) {
				r.cfg.Interfaces, r.cfg.RingSize = []string{"near"}, 2<<20
				r.cfg.Heartbeat = 100 * time.Millisecond // so that Kafka is missed when nothing comes
				listens := make(chan struct{})
				r.opened = func() { close(listens) }
				for _, f := range r.flows {
					b.pump(f, fd, listens)
				}
			}, fault: func(r *rig) {
				if blind {
					r.rate(0)
					until(r, "all is captured", patience, func() bool { return r.s.Ledger().Packets >= r.asked() })
				}
				netns.IP(b, "link set "+c.down+" down")
			}, want: c.want, during: func(r *rig) {
				if !blind {
					r.spooled(1000)
					return
				}
				message, at := query()
				setNumber(message[at:], 999_999_999_999)
				for range 100 {
					_, _ = unix.Write(fd, append([]byte(ethernet), ipv4(1, message)...)) // it may say no
				}
			}, heal: func(r *rig) {
				b.up(c.down)
				if blind {
					until(r, "it captures", patience, func() bool { return r.detail("reopened") == lanes })
					r.rate(2000)
				}
			}, after: func(r *rig, o outcome) {
				if n := o.ledger.Packets; n != r.given() {
					r.Errorf("%d packets were captured, and %d queries sent", n, r.given())
				}
			}}.run(t)
		})
	}
}
