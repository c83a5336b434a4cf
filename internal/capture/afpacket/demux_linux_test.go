// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/test/netns"
)

// unhurried is the retire timeout of rings that are read when all is sent: each block with a packet
// in it that was handed over by time is gone for the rest.
const unhurried = 100 * time.Millisecond

// TestKernelGivesEachClientToOneLane sends all packets of many clients in all carriers, as a mirror
// does (both ways come in) and as on a host (answers go out). It expects each client on one lane,
// whatever its packets are in: the one that the program chooses in the machine of the tests above.
func TestKernelGivesEachClientToOneLane(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	const clients = 12
	for _, lanes := range []int{2, 4} {
		cfg := configOf("near")
		cfg.Lanes, cfg.Tunnels, cfg.Pairs = lanes, []string{"all"}, true
		cfg.Blocks, cfg.RetireTimeout = 64, unhurried
		g := open(t, cfg)
		number := demuxMachine(t, cfg.Tunnels, true)
		perLane := make([]int, lanes)
		for _, back := range []string{"far", "near"} {
			out := [2]injector{inject(t, "far"), inject(t, back)}
			for _, few := range []bool{false, true} {
				sent := 0
				for _, c := range carriers() {
					if c.few != few {
						continue
					}
					sent += sendAll(out, c, clients)
					if c.name == "plain" || c.name == "802.1Q" && back == "far" {
						sent -= clients // the kernel makes one packet of two fragments
					}
				}
				type client struct {
					number byte
					ipv6   bool
				}
				laneOf := map[client]int{}
				for _, p := range collect(t, g, sent) {
					if want := number(p.Data) % lanes; p.lane != want {
						t.Fatalf("back from %s: lane %d, not %d: %x", back, p.lane, want, p.Data)
					}
					c := client{p.Data[len(p.Data)-1], bytes.Contains(p.Data, server6)}
					if l, ok := laneOf[c]; ok && l != p.lane && !few {
						t.Fatalf("back from %s: %+v on lanes %d and %d: %x", back, c, l, p.lane, p.Data)
					}
					laneOf[c] = p.lane
					perLane[p.lane]++
				}
				if len(laneOf) != 2*clients {
					t.Errorf("back from %s: packets of %d clients", back, len(laneOf))
				}
			}
		}
		if n := rest(t, g); n != 0 || slices.Min(perLane) == 0 {
			t.Errorf("%d packets more, per lane %v", n, perLane)
		}
		if err := g.Close(); err != nil { // or its fragments would be missing in the next group
			t.Fatal(err)
		}
	}
}

// sendAll sends what so many clients and their servers say to each other, and returns how many
// packets that is.
func sendAll(out [2]injector, c carrier, clients byte) (sent int) {
	for client := range clients {
		for _, etherType := range []int{etherIPv4, etherIPv6} {
			packets, ways := sentBy(client, etherType, false)
			for i, p := range packets {
				out[ways[i]].send(c.frame(ways[i], etherType, p))
			}
			sent += len(packets)
		}
	}
	return sent
}

// TestKernelLetsTheTunnelsAskedForThrough asks for one kind after the other and sends all.
func TestKernelLetsTheTunnelsAskedForThrough(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	far := inject(t, "far")
	asked := []string{""}
	for _, c := range carriers() {
		if c.tunnel != "" && c.tunnel != "all" && !slices.Contains(asked, c.tunnel) {
			asked = append(asked, c.tunnel)
		}
	}
	for _, kind := range asked {
		cfg := configOf("near")
		cfg.RetireTimeout = unhurried
		if kind != "" {
			cfg.Tunnels = []string{kind}
		}
		g := open(t, cfg)
		var want [][]byte
		for i, c := range carriers() {
			for _, etherType := range []int{etherIPv4, etherIPv6} {
				if strings.HasPrefix(c.name, "802.1Q") || strings.HasPrefix(c.name, "QinQ") {
					continue // the kernel takes tags out
				}
				packets, _ := sentBy(byte(i), etherType, true)
				f := c.frame(0, etherType, packets[0])
				far.send(f)
				if c.tunnel == "" || together(c.tunnel, kind) || c.tunnel == "all" &&
					passesAs(c.name, kind) {
					want = append(want, f)
				}
			}
		}
		got := collect(t, g, len(want))
		if n := rest(t, g); n != 0 {
			t.Errorf("%q: %d packets more than were asked for", kind, n)
		}
		if diff := cmp.Diff(want, datas(got)); diff != "" {
			t.Errorf("%q: %s", kind, diff)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// passesAs tells whether a carrier of several tunnels has the given kind outside.
func passesAs(carrier, kind string) bool {
	if strings.HasPrefix(carrier, "a mirror") {
		return together("gre", kind)
	}
	return kind == "vxlan"
}
