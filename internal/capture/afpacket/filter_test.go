// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

func machine(t *testing.T, link packet.LinkType, ports ...uint16) *bpf.VM {
	t.Helper()
	return tunnelMachine(t, link, nil, ports...)
}

func tunnelMachine(t *testing.T, link packet.LinkType, tunnels []string, ports ...uint16) *bpf.VM {
	t.Helper()
	set, err := dnsmsg.ParseTunnels(tunnels)
	if err != nil {
		t.Fatal(err)
	}
	f, err := filter(link, ports, set)
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
	{"an authentication header, behind which nothing is read", etherIPv4,
		ipv4(51, client4, server4, make([]byte, 12)), true},
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
	if _, err := filter(packet.LinkEthernet, make([]uint16, 130), 0); err == nil {
		t.Error("130 ports were taken")
	}
}

func TestFilterPassesTheTunnelsAskedForAndNoOthers(t *testing.T) {
	over := func(dst int) []byte { return ipv4(17, client4, server4, udp(40000, dst, 0, 0, 0, 0)) }
	for _, test := range []struct {
		kind      string
		etherType int
		packet    []byte
	}{
		{"mpls", etherMPLS, make([]byte, 24)},
		{"mpls", multiMPLS, make([]byte, 24)},
		{"mpls", etherIPv4, ipv4(137, client4, server4, make([]byte, 24))},
		{"pppoe", etherPPP, make([]byte, 24)},
		{"gre", etherIPv4, ipv4(47, client4, server4, make([]byte, 4))},
		{"gre", etherIPv6, ipv6(47, client6, server6, make([]byte, 4))},
		{"gre", etherIPv4,
			fragment4(1, 47, client4, server4, make([]byte, 64), 0, 16)},
		{"pptp", etherIPv4, ipv4(47, client4, server4, make([]byte, 8))},
		{"erspan2", etherIPv4, ipv4(47, client4, server4, make([]byte, 8))},
		{"ipip", etherIPv4, ipv4(4, client4, server4, make([]byte, 20))},
		{"6in4", etherIPv4, ipv4(41, client4, server4, make([]byte, 40))},
		{"4in6", etherIPv6, ipv6(4, client6, server6, make([]byte, 20))},
		{"6in6", etherIPv6, ipv6(41, client6, server6, make([]byte, 40))},
		{"ip", etherIPv6, ipv6(41, client6, server6, make([]byte, 40))},
		{"etherip", etherIPv4, ipv4(97, client4, server4, make([]byte, 16))},
		{"vxlan", etherIPv4, over(4789)},
		{"vxlan", etherIPv4, over(8472)},
		{"vxlan", etherIPv6, ipv6(17, client6, server6, udp(40000, 4789))},
		{"vxlan-gpe", etherIPv4, over(4790)},
		{"geneve", etherIPv4, over(6081)},
		{"gtp", etherIPv4, over(2152)},
		{"gtp", etherIPv4, ipv4(17, client4, server4, udp(2152, 40000))},
		{"l2tp", etherIPv4, over(1701)},
		{"tzsp", etherIPv4, over(37008)},
		{"teredo", etherIPv4, over(3544)},
	} {
		t.Run(test.kind, func(t *testing.T) {
			frame := ether(test.etherType, test.packet)
			behindTag := ether(ether8021, tagged(5, test.etherType, test.packet))
			none := machine(t, packet.LinkEthernet, 53)
			if accepts(t, none, frame) || accepts(t, none, behindTag) {
				t.Error("accepted though nobody asked for it")
			}
			for _, tunnels := range [][]string{{test.kind}, {"all"}} {
				vm := tunnelMachine(t, packet.LinkEthernet, tunnels, 53)
				if !accepts(t, vm, frame) || !accepts(t, vm, behindTag) {
					t.Errorf("%v: not accepted", tunnels)
				}
				if accepts(t, vm, ether(etherIPv4, over(5353))) ||
					accepts(t, vm, ether(0x0806, make([]byte, 28))) {
					t.Errorf("%v: accepted what is no tunnel", tunnels)
				}
			}
			if test.etherType != etherIPv4 && test.etherType != etherIPv6 {
				return
			}
			if !accepts(t, tunnelMachine(t, packet.LinkRaw, []string{test.kind}, 53), test.packet) {
				t.Error("raw IP: not accepted")
			}
			var others []string
			for k := range dnsmsg.NumTunnels {
				if name := k.String(); k != dnsmsg.NoTunnel && !together(test.kind, name) {
					others = append(others, name)
				}
			}
			if accepts(t, tunnelMachine(t, packet.LinkEthernet, others, 53), frame) {
				t.Errorf("accepted though only %v were asked for", others)
			}
		})
	}
}

// together tells the kinds that the filter cannot tell from each other.
func together(a, b string) bool {
	family := func(name string) string {
		switch name {
		case "pptp", "erspan1", "erspan2", "erspan3":
			return "gre"
		case "6in6":
			return "ip"
		}
		return name
	}
	return family(a) == family(b)
}

func TestFilterRejectsTCPOnThePortOfATunnel(t *testing.T) {
	vm := tunnelMachine(t, packet.LinkEthernet, []string{"all"}, 53)
	for _, f := range [][]byte{
		ether(etherIPv4, ipv4(6, client4, server4, tcp(4789, 443))),
		ether(etherIPv6, ipv6(6, client6, server6, tcp(443, 6081))),
	} {
		if accepts(t, vm, f) {
			t.Errorf("accepted: %x", f)
		}
	}
}

func TestFilterTakesAllTunnelsWithAsManyPortsAsValidateAllows(t *testing.T) {
	var ports []uint16
	for i := range maxPorts {
		ports = append(ports, uint16(1000+i))
	}
	vm := tunnelMachine(t, packet.LinkEthernet, []string{"all"}, ports...)
	for port, want := range map[int]bool{999: false, 1000: true, 1099: true, 1100: false, 4789: true} {
		frame := ether(etherIPv6, ipv6(17, client6, server6, udp(9, port)))
		if got := accepts(t, vm, frame); got != want {
			t.Errorf("port %d: accepted %v, want %v", port, got, want)
		}
	}
}
