// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// way is a direction of a flow: the outer headers of a tunnel are not the same in both.
type way int

// carrier puts an IP packet, on its way there (0) or back (1), into a frame.
type carrier struct {
	name   string
	tunnel string // to be asked for, or ""
	frame  func(w way, etherType int, p []byte) []byte
	few    bool // its inside is not looked at: it goes by its few outer addresses
}

var ends = [2][]byte{{192, 0, 2, 1}, {192, 0, 2, 2}}

func over4(w way, proto byte, b ...[]byte) []byte {
	return ether(etherIPv4, ipv4(proto, ends[w], ends[1-w], slices.Concat(b...)))
}

// overUDP has a source port as made from the flow inside: another one each way.
func overUDP(w way, port int, b ...[]byte) []byte {
	inside := slices.Concat(b...)
	return over4(w, 17, udp(49152+int(w)*77+int(inside[len(inside)-1]), port, inside...))
}

func hex(format string, args ...any) []byte {
	var b []byte
	if _, err := fmt.Sscanf(fmt.Sprintf(format, args...), "%x", &b); err != nil {
		panic(err)
	}
	return b
}

func inVXLAN(w way, f []byte) []byte {
	return overUDP(w, 4789, hex("0800000000002a00"), f)
}

func carriers() []carrier {
	labels := func(w way, b ...[]byte) []byte { // the last but one router takes a label off
		stack := [2][]byte{hex("0001004000020140"), hex("00030140")}[w]
		return ether(etherMPLS, slices.Concat(stack, slices.Concat(b...)))
	}
	gre := func(w way, flags string, etherType int, b ...[]byte) []byte {
		return over4(w, 47, hex(flags[:4]+"%04x"+flags[4:], etherType), slices.Concat(b...))
	}
	return []carrier{
		{name: "plain", frame: func(_ way, t int, p []byte) []byte { return ether(t, p) }},
		{name: "802.1Q", frame: func(_ way, t int, p []byte) []byte {
			return ether(ether8021, tagged(5, t, p))
		}},
		{name: "QinQ, a tag each way", frame: func(w way, t int, p []byte) []byte {
			return ether(ether88a8, tagged(int(6+w), ether8021, tagged(5, t, p)))
		}},
		{name: "MPLS", tunnel: "mpls", frame: func(w way, _ int, p []byte) []byte {
			return labels(w, p)
		}},
		{name: "pseudowire", tunnel: "mpls", frame: func(w way, t int, p []byte) []byte {
			return labels(w, ether(t, p))
		}},
		{name: "pseudowire with a control word", tunnel: "mpls",
			frame: func(w way, t int, p []byte) []byte { return labels(w, make([]byte, 4), ether(t, p)) }},
		{name: "PPPoE", tunnel: "pppoe", frame: func(w way, t int, p []byte) []byte {
			proto := map[int]int{etherIPv4: 0x21, etherIPv6: 0x57}[t]
			return ether(etherPPP, slices.Concat(hex("11000007%04x%04x", len(p)+2, proto), p))
		}},
		{name: "PPPoE with a short number", tunnel: "pppoe", frame: func(w way, t int, p []byte) []byte {
			proto := map[int]int{etherIPv4: 0x21, etherIPv6: 0x57}[t]
			return ether(etherPPP, slices.Concat(hex("11000007%04x%02x", len(p)+1, proto), p))
		}},
		{name: "GRE with a key one way", tunnel: "gre", frame: func(w way, t int, p []byte) []byte {
			return gre(w, [2]string{"0000", "20000000002a"}[w], t, p)
		}},
		{name: "GRE with all fields", tunnel: "gre", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "b000abcd00000000002a00000001", t, p)
		}},
		{name: "NVGRE", tunnel: "gre", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "200012345601", etherFrame, ether(t, p))
		}},
		{name: "GRE around labels", tunnel: "gre", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "0000", etherMPLS, labels(w, p)[14:])
		}},
		{name: "WCCP", tunnel: "gre", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "0000", etherWCCP, [2][]byte{nil, hex("00050000")}[w], p)
		}},
		{name: "ERSPAN type I", tunnel: "erspan1", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "0000", etherERSPAN, ether(t, p))
		}},
		{name: "ERSPAN type II", tunnel: "erspan2", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "100000000001", etherERSPAN, hex("1005fc0700000000"),
				ether(ether8021, tagged(5, t, p)))
		}},
		{name: "ERSPAN type III", tunnel: "erspan3", frame: func(w way, t int, p []byte) []byte {
			header := [2][]byte{hex("20050007000000010001" + "0000"),
				hex("20050007000000010001" + "0001" + "0000000000000000")}[w]
			return gre(w, "100000000001", etherERSPAN3, header, ether(t, p))
		}},
		{name: "IP in IPv4", tunnel: "ip", frame: func(w way, t int, p []byte) []byte {
			return over4(w, map[int]byte{etherIPv4: 4, etherIPv6: 41}[t], p)
		}},
		{name: "IP in IPv6", tunnel: "ip", frame: func(w way, t int, p []byte) []byte {
			a := [2][]byte{address6(200), address6(201)}
			return ether(etherIPv6,
				ipv6(map[int]byte{etherIPv4: 4, etherIPv6: 41}[t], a[w], a[1-w], p))
		}},
		{name: "EtherIP", tunnel: "etherip", frame: func(w way, t int, p []byte) []byte {
			return over4(w, 97, hex("3000"), ether(t, p))
		}},
		{name: "VXLAN", tunnel: "vxlan", frame: func(w way, t int, p []byte) []byte {
			return inVXLAN(w, ether(t, p))
		}},
		{name: "VXLAN over IPv6", tunnel: "vxlan", frame: func(w way, t int, p []byte) []byte {
			a, d := [2][]byte{address6(200), address6(201)}, inVXLAN(w, ether(t, p))[34:]
			return ether(etherIPv6, ipv6(17, a[w], a[1-w], d))
		}},
		{name: "VXLAN-GPE", tunnel: "vxlan-gpe", frame: func(w way, t int, p []byte) []byte {
			proto := map[int]int{etherIPv4: 1, etherIPv6: 2}[t]
			return overUDP(w, 4790, hex("0c0000%02x00002a00", proto), p)
		}},
		{name: "GENEVE with options one way", tunnel: "geneve",
			frame: func(w way, t int, p []byte) []byte {
				header := [2][]byte{hex("0000655800002a00"),
					hex("0200655800002a00" + "0102800100000000")}[w]
				return overUDP(w, 6081, header, ether(t, p))
			}},
		{name: "GENEVE around IP", tunnel: "geneve", frame: func(w way, t int, p []byte) []byte {
			return overUDP(w, 6081, hex("0000%04x00002a00", t), p)
		}},
		{name: "GTP with an extension one way", tunnel: "gtp",
			frame: func(w way, t int, p []byte) []byte {
				header := [2][]byte{hex("30ff%04x0000002a", len(p)),
					hex("34ff%04x0000002a"+"00000085"+"01000900", len(p)+8)}[w]
				return overUDP(w, 2152, header, p)
			}},
		{name: "GTP with a number", tunnel: "gtp", frame: func(w way, t int, p []byte) []byte {
			return overUDP(w, 2152, hex("32ff%04x0000002a"+"00070000", len(p)+4), p)
		}},
		{name: "a mirror of an overlay", tunnel: "all", frame: func(w way, t int, p []byte) []byte {
			return gre(w, "100000000001", etherERSPAN, hex("1005fc0700000000"), inVXLAN(w, ether(t, p)))
		}},
		{name: "as deep as it goes", tunnel: "all", frame: func(w way, t int, p []byte) []byte {
			return inVXLAN(w, inVXLAN(w, inVXLAN(w, ether(t, p))))
		}},
		{name: "deeper", tunnel: "all", few: true, frame: func(w way, t int, p []byte) []byte {
			return inVXLAN(w, inVXLAN(w, inVXLAN(w, inVXLAN(w, ether(t, p)))))
		}},
		{name: "L2TP", tunnel: "l2tp", few: true, frame: func(w way, t int, p []byte) []byte {
			return over4(w, 17, udp(1701, 1701, slices.Concat(hex("000200070008"+"0021"), p)...))
		}},
	}
}

// sentBy is what goes between a client and its server, each with the way it goes. Each ends with
// the number of the client. whole leaves fragments out.
func sentBy(client byte, etherType int, whole bool) (packets [][]byte, ways []way) {
	c, s, ip := []byte{10, 0, 1, client}, server4, ipv4
	if etherType == etherIPv6 {
		c, s = address6(client), server6
		ip = func(proto byte, src, dst, payload []byte, _ ...byte) []byte {
			return ipv6(proto, src, dst, payload)
		}
	}
	text := bytes.Repeat([]byte{client}, 64)
	add := func(w way, p []byte) { packets, ways = append(packets, p), append(ways, w) }
	add(0, ip(17, c, s, udp(4000, 53, text...)))
	add(1, ip(17, s, c, udp(53, 4000, text...)))
	add(0, ip(17, c, s, udp(4789, 53, text...))) // a client that was given the port of a tunnel
	add(1, ip(17, s, c, udp(53, 4789, text...)))
	add(0, ip(6, c, s, append(tcp(4001, 53), text...)))
	add(1, ip(6, s, c, append(tcp(53, 4001), text...)))
	if whole {
		return packets, ways
	}
	answer := udp(53, 4000, bytes.Repeat([]byte{client}, 120)...)
	for _, part := range [][2]int{{64, 128}, {0, 64}} {
		if etherType == etherIPv6 {
			add(1, ipv6(44, s, c, fragment6(17, answer, part[0], part[1])))
		} else {
			add(1, fragment4(int(client), 17, s, c, answer, part[0], part[1]))
		}
	}
	return packets, ways
}

// demuxMachine runs the program on frames that begin with the link header.
func demuxMachine(t *testing.T, tunnels []string, pairs bool) func(frame []byte) int {
	t.Helper()
	set, err := dnsmsg.ParseTunnels(tunnels)
	if err != nil {
		t.Fatal(err)
	}
	d := demux{ports: []uint32{53}, tunnels: set, apart: !pairs}
	d.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 14})
	code, err := d.build(packet.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return func(frame []byte) int {
		n, err := vm.Run(frame)
		if err != nil {
			t.Fatal(err)
		}
		return int(uint32(n))
	}
}

func TestDemuxKeepsTogetherWhatBelongsTogether(t *testing.T) {
	const clients = 64
	for _, c := range carriers() {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			if c.tunnel != "" {
				asked = []string{c.tunnel}
			}
			together := demuxMachine(t, asked, true)
			apart := demuxMachine(t, asked, false)
			for _, etherType := range []int{etherIPv4, etherIPv6} {
				perLane := [4]int{}
				for client := range byte(clients) {
					packets, ways := sentBy(client, etherType, false)
					numbers := map[int]bool{}
					var fragments []int
					for i, p := range packets {
						f := c.frame(ways[i], etherType, p)
						numbers[together(f)] = true
						if i > 5 {
							fragments = append(fragments, apart(f))
						}
						if i%2 == 1 && i < 6 &&
							apart(f) != apart(c.frame(ways[i-1], etherType, packets[i-1])) && !c.few {
							t.Errorf("client %d: packets %d and %d are apart", client, i-1, i)
						}
					}
					if len(numbers) != 1 {
						t.Errorf("%x, client %d: numbers %v", etherType, client, numbers)
					}
					if fragments[0] != fragments[1] {
						t.Errorf("%x, client %d: fragments are apart: %x", etherType, client, fragments)
					}
					for n := range numbers {
						perLane[n%4]++
					}
				}
				if slices.Min(perLane[:]) < clients/4/3 != c.few {
					t.Errorf("%x: clients per lane: %v", etherType, perLane)
				}
			}
		})
	}
}

func TestDemuxOfRawIPIsThatOfEthernet(t *testing.T) {
	raw := demux{ports: []uint32{53}}
	code, err := raw.build(packet.LinkRaw, 0)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	number := demuxMachine(t, nil, true)
	for _, etherType := range []int{etherIPv4, etherIPv6} {
		packets, _ := sentBy(7, etherType, false)
		for _, p := range packets {
			if got, err := vm.Run(p); err != nil || int(uint32(got)) != number(ether(etherType, p)) {
				t.Errorf("%x: %d, %v", p, got, err)
			}
		}
	}
}

func TestDemuxSpreadsDatagramsByPortsWhenPairsNeedNotMeet(t *testing.T) {
	for _, c := range carriers() {
		if c.few {
			continue
		}
		together := demuxMachine(t, []string{"all"}, true)
		apart := demuxMachine(t, []string{"all"}, false)
		perLane, numbers := [4]int{}, map[int]bool{}
		for port := range 64 {
			f := c.frame(0, etherIPv4, ipv4(17, client4, server4, udp(4000+port, 53, 0)))
			perLane[apart(f)%4]++
			numbers[together(f)] = true
		}
		if slices.Min(perLane[:]) < 64/4/3 || len(numbers) != 1 {
			t.Errorf("%s: ports per lane %v, numbers when together %v", c.name, perLane, numbers)
		}
	}
}

func TestDemuxSpreadsAddressesThatAreAlike(t *testing.T) {
	number := demuxMachine(t, nil, true)
	for name, client := range map[string]func(i byte) []byte{
		"IPv4, last byte":  func(i byte) []byte { return []byte{10, 0, 0, i} },
		"IPv4, first byte": func(i byte) []byte { return []byte{i, 0, 0, 9} },
		"IPv6, prefixes": func(i byte) []byte {
			return slices.Concat(hex("20010db800%02x0000", i), make([]byte, 8))
		},
		"IPv6, the same number twice": func(i byte) []byte {
			return hex("20020a0000%02x0000000000000a0000%02x", i, i)
		},
	} {
		for lanes := 2; lanes <= 8; lanes++ {
			perLane := make([]int, lanes)
			for i := range byte(128) {
				c, f := client(i), []byte(nil)
				if len(c) == 4 {
					f = ether(etherIPv4, ipv4(17, c, server4, udp(4000, 53)))
				} else {
					f = ether(etherIPv6, ipv6(17, c, server6, udp(4000, 53)))
				}
				perLane[number(f)%lanes]++
			}
			if slices.Min(perLane) < 128/lanes/3 {
				t.Errorf("%s: %v", name, perLane)
			}
		}
	}
}

func TestDemuxSurvivesEveryTruncation(t *testing.T) {
	number := demuxMachine(t, []string{"all"}, true)
	for _, c := range carriers() {
		f := c.frame(0, etherIPv4, ipv4(17, client4, server4, udp(4000, 53)))
		for n := range f {
			number(f[:n])
		}
	}
}

func TestDemuxTakesAsManyPortsAsValidateAllows(t *testing.T) {
	cfg := DefaultConfig()
	for i := range maxPorts {
		cfg.Ports = append(cfg.Ports[:i:i], uint16(1000+i))
	}
	for _, link := range []packet.LinkType{packet.LinkEthernet, packet.LinkRaw} {
		const most = 4096 // BPF_MAXINSNS of linux/bpf_common.h
		code, err := newDemux(link, cfg, dnsmsg.AllTunnels)
		if err != nil || len(code) > most {
			t.Errorf("%d instructions: %v", len(code), err)
		}
		if _, err := bpf.Assemble(code); err != nil {
			t.Error(err)
		}
	}
}
