// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/dnsluice/dnsluice/internal/packet"
)

func machine(t *testing.T, link packet.LinkType, ports ...uint16) *bpf.VM {
	t.Helper()
	f, err := filter(link, ports)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bpf.Assemble(f); err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(f)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func accepts(t *testing.T, vm *bpf.VM, frame []byte) bool {
	t.Helper()
	// The machine tells how much of the frame is kept: all of it, or none.
	n, err := vm.Run(frame)
	if err != nil {
		t.Fatal(err)
	}
	if n != 0 && n < len(frame) {
		t.Fatalf("the filter cuts a frame of %d bytes to %d", len(frame), n)
	}
	return n != 0
}

// network are packets of the network layer, with what the filter for port 53 does to them.
var network = []struct {
	name      string
	etherType int
	packet    []byte
	want      bool
}{
	{"UDP to the port", etherIPv4, ipv4(17, client4, server4, udp(4000, 53)), true},
	{"UDP from the port", etherIPv4, ipv4(17, server4, client4, udp(53, 4000)), true},
	{"UDP of other ports", etherIPv4, ipv4(17, client4, server4, udp(4000, 5353)), false},
	{"TCP to the port", etherIPv4, ipv4(6, client4, server4, tcp(4000, 53)), true},
	{"TCP from the port", etherIPv4, ipv4(6, server4, client4, tcp(53, 4000)), true},
	{"TCP of other ports", etherIPv4, ipv4(6, client4, server4, tcp(4000, 443)), false},
	{"SCTP to the port", etherIPv4, ipv4(132, client4, server4, udp(4000, 53)), false},
	{"IPv4 options are skipped", etherIPv4,
		ipv4(17, client4, server4, udp(4000, 53), 1, 1, 1, 1, 1, 1, 1, 0), true},
	{"ports in IPv4 options are none", etherIPv4,
		ipv4(17, client4, server4, udp(4000, 5353), 0, 53, 0, 53), false},
	{"first fragment of the port", etherIPv4,
		fragment4(1, 17, client4, server4, udp(53, 4000, make([]byte, 64)...), 0, 16), true},
	{"first fragment of another port", etherIPv4,
		fragment4(1, 17, client4, server4, udp(80, 4000, make([]byte, 64)...), 0, 16), false},
	{"later fragment of any port", etherIPv4,
		fragment4(1, 17, client4, server4, udp(80, 4000, make([]byte, 64)...), 16, 72), true},
	{"later fragment of ICMP", etherIPv4,
		fragment4(1, 1, client4, server4, make([]byte, 64), 16, 64), false},
	{"IPv4 cut before the ports", etherIPv4, ipv4(17, client4, server4, nil), false},
	{"IPv4 cut in its header", etherIPv4, ipv4(17, client4, server4, nil)[:8], false},
	{"IPv6 UDP to the port", etherIPv6, ipv6(17, client6, server6, udp(4000, 53)), true},
	{"IPv6 UDP of other ports", etherIPv6, ipv6(17, client6, server6, udp(4000, 54)), false},
	{"IPv6 TCP from the port", etherIPv6, ipv6(6, server6, client6, tcp(53, 4000)), true},
	{"IPv6 TCP of other ports", etherIPv6, ipv6(6, server6, client6, tcp(80, 4000)), false},
	{"IPv6 ICMP", etherIPv6, ipv6(58, server6, client6, udp(53, 53)), false},
	{"IPv6 fragment", etherIPv6,
		ipv6(44, server6, client6, fragment6(17, make([]byte, 64), 32, 64)), true},
	{"IPv6 hop-by-hop options", etherIPv6, ipv6(0, client6, server6, make([]byte, 16)), true},
	{"IPv6 routing header", etherIPv6, ipv6(43, client6, server6, make([]byte, 16)), true},
	{"IPv6 destination options", etherIPv6, ipv6(60, client6, server6, make([]byte, 16)), true},
	{"IPv6 without a next header", etherIPv6, ipv6(59, client6, server6, nil), false},
	{"IPv6 cut before the ports", etherIPv6, ipv6(17, client6, server6, nil), false},
	{"ARP", 0x0806, bytes.Repeat([]byte{0, 53}, 14), false},
}

func TestFilterJudgesPacketsTheSameBehindEveryTag(t *testing.T) {
	ethernet := machine(t, packet.LinkEthernet, 53)
	raw := machine(t, packet.LinkRaw, 53)
	for _, test := range network {
		frames := map[string][]byte{
			"untagged": ether(test.etherType, test.packet),
			"802.1Q":   ether(ether8021, tagged(5, test.etherType, test.packet)),
			"802.1ad":  ether(ether88a8, tagged(5, test.etherType, test.packet)),
			"QinQ": ether(ether88a8,
				tagged(5, ether8021, tagged(6, test.etherType, test.packet))),
			"old QinQ": ether(etherQinQ,
				tagged(5, ether8021, tagged(6, test.etherType, test.packet))),
		}
		for kind, frame := range frames {
			if got := accepts(t, ethernet, frame); got != test.want {
				t.Errorf("%s, %s: accepted %v, want %v", test.name, kind, got, test.want)
			}
		}
		if got := accepts(t, raw, test.packet); got != test.want {
			t.Errorf("%s, raw IP: accepted %v, want %v", test.name, got, test.want)
		}
	}
}

func TestFilterRejectsAThirdTag(t *testing.T) {
	vm := machine(t, packet.LinkEthernet, 53)
	inner := tagged(7, etherIPv4, ipv4(17, client4, server4, udp(4000, 53)))
	frame := ether(ether8021, tagged(5, ether8021, tagged(6, ether8021, inner)))
	if accepts(t, vm, frame) {
		t.Error("accepted")
	}
}

func TestFilterSurvivesEveryTruncation(t *testing.T) {
	vm := machine(t, packet.LinkEthernet, 53)
	frame := query4()
	for n := range frame[:37] {
		if accepts(t, vm, frame[:n]) {
			t.Errorf("accepted %d bytes, before the destination port", n)
		}
	}
}

func TestFilterTakesAsManyPortsAsValidateAllows(t *testing.T) {
	var ports []uint16
	for i := range maxPorts {
		ports = append(ports, uint16(1000+i))
	}
	for _, link := range []packet.LinkType{packet.LinkEthernet, packet.LinkRaw} {
		vm := machine(t, link, ports...)
		for port := 999; port <= 1000+maxPorts; port++ {
			for _, segment := range [][]byte{udp(port, 9), udp(9, port)} {
				frame := ipv4(17, client4, server4, segment)
				if link == packet.LinkEthernet {
					frame = ether(etherIPv4, frame)
				}
				want := port >= 1000 && port < 1000+maxPorts
				if got := accepts(t, vm, frame); got != want {
					t.Errorf("%v: port %d: accepted %v, want %v", link, port, got, want)
				}
			}
		}
	}
}

func TestFilterRefusesAJumpTooFar(t *testing.T) {
	if _, err := filter(packet.LinkEthernet, make([]uint16, 130)); err == nil {
		t.Error("130 ports were taken")
	}
}
