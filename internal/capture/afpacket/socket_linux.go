// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// lookEvery is how often a socket on a quiet link looks whether its interface is still the one of
// that name. Normally the kernel tells; it does not tell of a change of name.
const lookEvery = time.Second

// linux opens sockets for the lanes of one interface.
type linux struct {
	cfg    Config
	fanout fanout
}

func newKernel(cfg Config) kernel { return &linux{cfg: cfg} }

// open implements kernel. The order matters: the filter and the ring are there before the socket
// is bound, so that no foreign packet slips in; a fanout group takes bound sockets only; and
// until this one has joined it gets all packets, those of the other lanes too, so that the
// filter rejects everything at first.
func (k *linux) open() (opened, error) {
	nic, err := find(k.cfg.Interface)
	if err != nil {
		return opened{}, err
	}
	if !nic.up {
		return opened{}, downError(nic.name)
	}
	code, err := k.compile(nic)
	if err != nil {
		return opened{}, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return opened{}, openError(nic.name, err)
	}
	s := &linuxSocket{fd: fd, name: nic.name}
	if err := k.prepare(s, nic, code); err != nil {
		return opened{}, errors.Join(err, s.close())
	}
	return opened{socket: s, mem: s.mem, link: nic.link}, nil
}

// carrier implements kernel.
func (k *linux) carrier() bool {
	nic, err := find(k.cfg.Interface)
	return err != nil || !nic.up || nic.running
}

func (k *linux) prepare(s *linuxSocket, nic nic, code code) error {
	if err := s.reject(); err != nil {
		return fmt.Errorf("afpacket: filter of %s: %w", nic.name, err)
	}
	if err := s.mapRing(k.cfg); err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: nic.index}
	if err := unix.Bind(s.fd, to); err != nil {
		return fmt.Errorf("afpacket: bind to %s: %w", nic.name, err)
	}
	if k.cfg.Promiscuous {
		req := unix.PacketMreq{Ifindex: int32(nic.index), Type: unix.PACKET_MR_PROMISC}
		err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &req)
		if err != nil {
			return fmt.Errorf("afpacket: promiscuous mode of %s: %w: switch it off", nic.name, err)
		}
	}
	m, err := k.fanout.join(s.fd, nic, code.demux)
	if err != nil {
		return err
	}
	s.leave = m.leave
	if err := attachFilter(s.fd, code.filter); err != nil {
		return fmt.Errorf("afpacket: filter of %s: %w", nic.name, err)
	}
	return nil
}

// code is the programs that the kernel runs for a socket.
type code struct {
	demux  []bpf.RawInstruction // chooses the lane, before the filter
	filter []bpf.RawInstruction
}

func (k *linux) compile(nic nic) (c code, err error) {
	fail := func(what string, err error) (code, error) {
		return code{}, fmt.Errorf("afpacket: %s of %s: %w", what, nic.name, err)
	}
	tunnels, err := dnsmsg.ParseTunnels(k.cfg.Tunnels)
	if err != nil {
		return fail("filter", err)
	}
	d, err := newDemux(nic.link, k.cfg, tunnels)
	if err != nil {
		return fail("lanes", err)
	}
	f, err := filter(nic.link, k.cfg.Ports, tunnels)
	if err != nil {
		return fail("filter", err)
	}
	if nic.loopback {
		f = ignoreOutgoing(f)
	}
	if c.demux, err = bpf.Assemble(d); err != nil {
		return fail("lanes", err)
	}
	if c.filter, err = bpf.Assemble(f); err != nil {
		return fail("filter", err)
	}
	return c, nil
}

// openError says what to do when the kernel gives no packet socket.
func openError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("afpacket: open %s: %w: "+
			"run as root or grant CAP_NET_RAW (setcap cap_net_raw+ep dnsluice)", name, err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("afpacket: open %s: %w: "+
			"this kernel has no packet sockets (CONFIG_PACKET)", name, err)
	}
	return fmt.Errorf("afpacket: open %s: %w", name, err)
}

// linuxSocket is one packet socket and its ring.
type linuxSocket struct {
	fd    int
	name  string
	mem   []byte
	leave func() // the fanout group; nil before it is joined

	// These belong to the goroutine that calls wait.
	state  linkState
	looked time.Time
}

// mapRing asks for the ring and maps it. The kernel wants a frame size that divides the block
// although a TPACKET_V3 ring packs its packets without regard to it.
func (s *linuxSocket) mapRing(cfg Config) error {
	const frame = 2048
	fail := func(what string, err error) error {
		return fmt.Errorf("afpacket: %s a ring of %d KiB for %s: %w: configure a smaller ring",
			what, cfg.BlockSize*cfg.Blocks>>10, s.name, err)
	}
	version := unix.TPACKET_V3
	err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VERSION, version)
	if err != nil {
		return fmt.Errorf("afpacket: open %s: TPACKET_V3: %w: Linux 3.2 or later is needed",
			s.name, err)
	}
	req := unix.TpacketReq3{
		Block_size:     uint32(cfg.BlockSize),
		Block_nr:       uint32(cfg.Blocks),
		Frame_size:     frame,
		Frame_nr:       uint32(cfg.BlockSize / frame * cfg.Blocks),
		Retire_blk_tov: uint32(cfg.RetireTimeout / time.Millisecond),
	}
	err = unix.SetsockoptTpacketReq3(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req)
	if err != nil {
		return fail("allocate", err)
	}
	s.mem, err = unix.Mmap(s.fd, 0, cfg.BlockSize*cfg.Blocks,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fail("map", err)
	}
	return nil
}

// wait implements socket.
func (s *linuxSocket) wait(d time.Duration) (linkState, error) {
	broken, err := poll(s.fd, d)
	if err != nil {
		return s.state, err
	}
	var errno int
	if broken { // reading the error clears it, or poll would return at once for ever
		if errno, err = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			return s.state, err
		}
	}
	if now := time.Now(); broken || s.state != linkUp || now.Sub(s.looked) >= lookEvery {
		s.looked = now
		if s.state, err = s.look(); err != nil {
			return s.state, err
		}
	}
	if errno == int(unix.ENETDOWN) && s.state == linkUp {
		s.state = linkDown // it went down and is up again already: say that it was
	}
	return s.state, nil
}

// poll waits for the socket to become readable, for d at most, and tells whether it has an error.
func poll(fd int, d time.Duration) (broken bool, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; {
		// Rounded up: the rest of a millisecond must not become a busy loop.
		left := (max(time.Until(end), 0) + time.Millisecond - 1) / time.Millisecond
		_, err := unix.Poll(fds, int(left))
		if err == nil {
			return fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0, nil
		}
		// The Go runtime interrupts threads with signals, and poll is never restarted.
		if !errors.Is(err, unix.EINTR) {
			return false, err
		}
	}
}

// look compares the interface that the socket is bound to with the one that now has the name. An
// interface can be deleted and made again with the same index: then the socket's own index is
// -1, and it is deaf for ever.
func (s *linuxSocket) look() (linkState, error) {
	addr, err := unix.Getsockname(s.fd)
	if err != nil {
		return s.state, err
	}
	bound, ok := addr.(*unix.SockaddrLinklayer)
	if !ok {
		return linkGone, nil
	}
	nic, err := query(s.fd, s.name)
	switch {
	case errors.Is(err, unix.ENODEV), err == nil && nic.index != bound.Ifindex:
		return linkGone, nil
	case err != nil:
		return s.state, err
	case !nic.up:
		return linkDown, nil
	}
	return linkUp, nil
}

// statistics implements socket. The call cannot fail on a packet socket.
func (s *linuxSocket) statistics() statistics {
	st, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return statistics{}
	}
	return statistics{packets: st.Packets, drops: st.Drops, freezes: st.Freeze_q_cnt}
}

// reject implements socket.
func (s *linuxSocket) reject() error {
	raw, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return err
	}
	return attachFilter(s.fd, raw)
}

// close implements socket.
func (s *linuxSocket) close() error {
	var err error
	if s.mem != nil {
		err = unix.Munmap(s.mem)
	}
	if s.leave != nil {
		s.leave()
	}
	return errors.Join(err, unix.Close(s.fd))
}

// attachFilter replaces the filter of a socket.
func attachFilter(fd int, code []bpf.RawInstruction) error {
	return attach(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, code)
}

// attach gives a program to the kernel, by the socket option given.
func attach(fd, level, option int, code []bpf.RawInstruction) error {
	f := make([]unix.SockFilter, len(code))
	for i, c := range code {
		f[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	return unix.SetsockoptSockFprog(fd, level, option, &prog)
}
