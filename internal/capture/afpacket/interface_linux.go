// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// nic is an interface as the kernel describes it.
type nic struct {
	name     string
	index    int
	up       bool // IFF_UP: set up by the administrator; it may still be without a carrier
	running  bool // IFF_RUNNING: it has one
	loopback bool
	hardware uint16 // ARPHRD_ of linux/if_arp.h
	link     packet.LinkType
}

// find looks an interface up by name and refuses what cannot be captured on. It needs no
// privilege: a socket of any family answers the questions, also one that has no network.
func find(name string) (nic, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nic{}, fmt.Errorf("afpacket: look for interface %q: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := query(fd, name)
	if errors.Is(err, unix.ENODEV) {
		return nic{}, absentError(name)
	}
	if err != nil {
		return nic{}, fmt.Errorf("afpacket: look for interface %q: %w", name, err)
	}
	switch n.hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		n.link = packet.LinkEthernet
	case unix.ARPHRD_NONE, unix.ARPHRD_PPP, unix.ARPHRD_RAWIP,
		unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6, unix.ARPHRD_SIT:
		n.link = packet.LinkRaw // tun, WireGuard, PPP, modems, IP in IP: no header before IP
	default:
		return nic{}, fmt.Errorf("afpacket: interface %q carries neither Ethernet nor bare IP "+
			"(hardware type %d): capture on another one", name, n.hardware)
	}
	return n, nil
}

// query asks the network namespace of fd for index, flags and hardware type of an interface
// (netdevice(7)); link is left zero. The error is ENODEV when there is none of that name.
func query(fd int, name string) (nic, error) {
	n := nic{name: name}
	for _, req := range []uint{unix.SIOCGIFINDEX, unix.SIOCGIFFLAGS, unix.SIOCGIFHWADDR} {
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return nic{}, err
		}
		if err := unix.IoctlIfreq(fd, req, ifr); err != nil {
			return nic{}, err
		}
		switch req {
		case unix.SIOCGIFINDEX:
			n.index = int(ifr.Uint32())
		case unix.SIOCGIFFLAGS:
			flags := ifr.Uint16()
			n.up = flags&unix.IFF_UP != 0
			n.running = flags&unix.IFF_RUNNING != 0
			n.loopback = flags&unix.IFF_LOOPBACK != 0
		case unix.SIOCGIFHWADDR:
			n.hardware = ifr.Uint16() // sa_family of ifr_hwaddr
		}
	}
	return n, nil
}

// absentError is errAbsent with the names that could have been meant.
func absentError(name string) error {
	var names []string
	if all, err := net.Interfaces(); err == nil {
		for _, i := range all {
			names = append(names, i.Name)
		}
	}
	if name == "any" && len(names) > 0 { // as tcpdump has it
		return fmt.Errorf("afpacket: %w %q, which stands for none: give --interface once for each of %s",
			errAbsent, name, strings.Join(names, ", "))
	}
	if len(names) == 0 {
		return fmt.Errorf("afpacket: %w %q: list them with ip link", errAbsent, name)
	}
	return fmt.Errorf("afpacket: %w %q: the interfaces here are %s", errAbsent, name,
		strings.Join(names, ", "))
}

// networkOrder returns v as the kernel keeps a __be16.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
