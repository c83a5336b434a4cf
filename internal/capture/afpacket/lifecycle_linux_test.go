// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/test/netns"
)

// idles fails when calls of Next return ErrIdle without waiting: a lane would burn its core.
func idles(t *testing.T, g *Group, when string) {
	t.Helper()
	const calls = 5
	var p packet.Packet
	start := time.Now()
	for range calls {
		if err := g.Lane(0).Next(&p); err != capture.ErrIdle {
			t.Fatalf("%s: %v", when, err)
		}
	}
	// The first says at once that the ring ran dry, another may see an error of the socket.
	if took := time.Since(start); took < (calls-2)*idleWait {
		t.Errorf("%s: %d idle calls took %v", when, calls, took)
	}
}

func TestKernelNextWaitsWhenNothingComes(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	g := open(t, configOf("near"))
	idles(t, g, "on a quiet link")
	far := inject(t, "far")
	far.send(query4(), query4())
	collect(t, g, 2)
	idles(t, g, "after packets")
	netns.IP(t, "link set near down")
	idles(t, g, "when the interface is down")
	netns.IP(t, "link del near")
	turnUntil(t, g, "it is gone", func() bool { return errors.Is(g.Lane(0).Err(), errAbsent) })
	idles(t, g, "when the interface is gone")
}

func TestKernelPromiscuousModeIsAChoice(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	for _, promiscuous := range []bool{true, false} {
		cfg := configOf("near")
		cfg.Promiscuous = promiscuous
		g := open(t, cfg)
		out, err := exec.Command("ip", "-d", "link", "show", "near").Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "promiscuity 1"); got != promiscuous {
			t.Errorf("configured %v: %s", promiscuous, out)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelInterfaceGoesDownAndUp(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	netns.IP(t, "link set near down")
	turnUntil(t, g, "both lanes say that it is down", func() bool {
		return errors.Is(g.Lane(0).Err(), errDown) && errors.Is(g.Lane(1).Err(), errDown)
	})
	netns.Up(t, "near", "far")
	turnUntil(t, g, "it is up again", func() bool {
		return g.Lane(0).Stats().Reopened == 1 && g.Lane(1).Stats().Reopened == 1
	})
	netns.IP(t, "link set near down") // and up before a lane looks
	netns.Up(t, "near", "far")
	turnUntil(t, g, "it was down for a moment", func() bool {
		return g.Lane(0).Stats().Reopened == 2 && g.Lane(1).Stats().Reopened == 2
	})
	if err := errors.Join(g.Lane(0).Err(), g.Lane(1).Err()); err != nil {
		t.Error(err)
	}
	far := inject(t, "far")
	for port := range 64 {
		far.send(ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000+port, 53))))
	}
	collect(t, g, 64)
}

func TestKernelTellsAnInterfaceWithoutACarrier(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	g := open(t, configOf("near"))
	if !g.Carrier() {
		t.Error("none, and the peer is up")
	}
	netns.IP(t, "link set far down")
	turnUntil(t, g, "it has no carrier", func() bool { return !g.Carrier() })
	idles(t, g, "without a carrier")
	if err := g.Lane(0).Err(); err != nil {
		t.Errorf("it is not down: %v", err)
	}
	netns.IP(t, "link set near down") // Err says it
	if !g.Carrier() {
		t.Error("none, of an interface that is down")
	}
	netns.IP(t, "link del near")
	if !g.Carrier() {
		t.Error("none, of an interface that is gone")
	}
}

func TestKernelInterfaceIsDownAtFirst(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	netns.IP(t, "link set near down")
	g := open(t, configOf("near"))
	if err := g.Lane(0).Err(); !errors.Is(err, errDown) {
		t.Errorf("Err is %v", err)
	}
	netns.Up(t, "near", "far")
	turnUntil(t, g, "it captures", func() bool { return g.Lane(0).Err() == nil })
	inject(t, "far").send(query4())
	collect(t, g, 1)
}

func TestKernelInterfaceIsMadeAgain(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	again := []struct {
		name    string
		destroy func()
		create  string
	}{
		{"with another index", func() { netns.IP(t, "link del near") },
			"link add near type veth peer name far"},
		{"with the same index", func() { netns.IP(t, "link del near") },
			"link add near index %i type veth peer name far"},
		{"after it was given another name", func() {
			// Before Linux 6.2 only while it is down.
			if exec.Command("ip", "link", "set", "near", "name", "old").Run() != nil {
				netns.IP(t, "link set near down")
				netns.IP(t, "link set near name old")
			}
		}, "link add near type veth peer name far2"},
	}
	for i, test := range again {
		nic, err := find("near")
		if err != nil {
			t.Fatal(err)
		}
		far := inject(t, "far")
		far.send(query4())
		want := uint64(65*i + 1) // this one, and 65 in each round before
		received(t, g, want)
		test.destroy()
		turnUntil(t, g, test.name+": it is gone", func() bool {
			return errors.Is(g.Lane(0).Err(), errAbsent) && errors.Is(g.Lane(1).Err(), errAbsent)
		})
		if got := g.Lane(0).Stats().Read + g.Lane(1).Stats().Read; got != want {
			t.Errorf("%s: read %d packets, want %d", test.name, got, want)
		}
		netns.IP(t, strings.ReplaceAll(test.create, "%i", strconv.Itoa(nic.index)))
		peer := "far"
		if strings.HasSuffix(test.create, "far2") {
			peer = "far2"
		}
		netns.Up(t, "near", peer)
		turnUntil(t, g, test.name+": it is back", func() bool {
			return g.Lane(0).Err() == nil && g.Lane(1).Err() == nil
		})
		far = inject(t, peer)
		for port := range 64 {
			far.send(ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000+port, 53))))
		}
		collect(t, g, 64)
		for lane := range 2 {
			if st := g.Lane(lane).Stats(); st.Reopened != uint64(i+1) {
				t.Errorf("%s: lane %d: %+v", test.name, lane, st)
			}
		}
	}
	if n := rest(t, g); n != 0 {
		t.Errorf("%d packets twice", n)
	}
}

// One lane may find out that the interface was made again, and open it, while another still has
// a socket of the old one and with it the old fanout group.
func TestKernelInterfaceIsMadeAgainBetweenTwoLanes(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	for i, create := range []string{
		"link add near type veth peer name far",
		"link add near index %i type veth peer name far",
	} {
		nic, err := find("near")
		if err != nil {
			t.Fatal(err)
		}
		netns.IP(t, "link del near")
		netns.IP(t, strings.ReplaceAll(create, "%i", strconv.Itoa(nic.index)))
		netns.Up(t, "near", "far")
		for _, s := range g.lanes {
			turnUntil(t, &Group{lanes: []*Source{s}}, "the lane is back", func() bool {
				return s.Stats().Reopened == uint64(i+1)
			})
		}
		far := inject(t, "far")
		for port := range 64 {
			far.send(ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000+port, 53))))
		}
		collect(t, g, 64)
	}
	if n := rest(t, g); n != 0 {
		t.Errorf("%d packets twice", n)
	}
}

func TestKernelAnEmptyFanoutGroupIsNotJoinedAgain(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	k := &linux{cfg: configOf("near")}
	var ids [2]int
	for i := range ids {
		o, err := k.open()
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = k.fanout.current.id
		if err := o.close(); err != nil {
			t.Fatal(err)
		}
	}
	// By now another process may have the first number.
	if ids[0] == ids[1] {
		t.Errorf("group %d twice", ids[0])
	}
}

func TestKernelDrainGivesWhatWasSentBefore(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	far := inject(t, "far")
	send := func() {
		for port := range 100 {
			far.send(ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000+port, 53))))
		}
	}
	send()
	received(t, g, 100)
	g.Lane(0).Drain()
	g.Lane(1).Drain()
	send()
	if n := rest(t, g); n != 100 {
		t.Errorf("got %d packets, want the 100 sent before Drain", n)
	}
}

func TestKernelCloseCountsTheRest(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	g := open(t, configOf("near"))
	far := inject(t, "far")
	for range 10 {
		far.send(query4())
	}
	received(t, g, 10)
	collect(t, g, 4)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	size := uint64(len(query4()))
	want := capture.Stats{Received: 10, Read: 4, Discarded: 6, Bytes: 4 * size}
	if diff := cmp.Diff(want, g.Lane(0).Stats()); diff != "" {
		t.Error(diff)
	}
}

func TestKernelAsksForNoCapabilityButNetRaw(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	far := inject(t, "far")
	drop(t, 1<<unix.CAP_NET_RAW)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	far.send(query4())
	collect(t, g, 1)
	if out, err := exec.Command("ip", "-d", "link", "show", "near").Output(); err != nil ||
		!strings.Contains(string(out), "promiscuity 2") {
		t.Errorf("not promiscuous for both lanes: %v: %s", err, out)
	}
}

func TestKernelRefusalsSayWhatToDo(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	radio := tun(t, "radio0")
	err := unix.IoctlSetInt(radio, unix.TUNSETLINK, unix.ARPHRD_IEEE80211_RADIOTAP)
	if err != nil {
		t.Fatal(err)
	}
	fail := func(name string) string {
		g, err := NewGroup(configOf(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Open(); err != nil {
			return err.Error()
		}
		return ""
	}
	got := []string{fail("eth9"), fail("any"), fail("radio0")}
	drop(t, 0)
	got = append(got, fail("near"))
	want := []string{
		`afpacket: no interface "eth9": the interfaces here are `,
		`afpacket: no interface "any", which stands for none: give --interface once for each of `,
		`afpacket: interface "radio0" carries neither Ethernet nor bare IP (hardware type 803): ` +
			`capture on another one`,
		`afpacket: open near: operation not permitted: run as root or grant CAP_NET_RAW ` +
			`(setcap cap_net_raw+ep dnsluice)`,
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) || strings.Contains(got[i], "\n") {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	if !strings.Contains(got[0], "near") {
		t.Errorf("%q names no interface", got[0])
	}
}
