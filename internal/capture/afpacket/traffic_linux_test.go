// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/test/netns"
)

func TestKernelLetsOnlyDNSThrough(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	g := open(t, configOf("near"))
	far := inject(t, "far")
	start := time.Now()
	var want [][]byte
	for _, test := range network {
		// The kernel puts fragments together before the filter, and drops headers cut short.
		if strings.Contains(test.name, "fragment") || strings.Contains(test.name, "cut") {
			continue
		}
		f := ether(test.etherType, test.packet)
		far.send(f)
		if test.want {
			want = append(want, f)
		}
	}
	got := collect(t, g, len(want))
	if diff := cmp.Diff(want, datas(got)); diff != "" {
		t.Error(diff)
	}
	for _, p := range got {
		at := time.Unix(0, p.Time)
		if p.Length != len(p.Data) || p.Link != packet.LinkEthernet || p.Interface != "near" ||
			at.Before(start) || at.After(time.Now()) {
			t.Errorf("%+v", p)
		}
	}
	if n := rest(t, g); n != 0 {
		t.Errorf("%d more packets", n)
	}
	if st := g.Lane(0).Stats(); st.Received != uint64(len(want)) || st.KernelDropped != 0 {
		t.Errorf("%+v", st)
	}
}

func TestKernelCapturesBothWays(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	g := open(t, configOf("near"))
	out := query4()
	in := ether(etherIPv4, ipv4(protoUDP, server4, client4, udp(53, 4000)))
	inject(t, "near").send(out)
	inject(t, "far").send(in)
	if diff := cmp.Diff([][]byte{out, in}, datas(collect(t, g, 2))); diff != "" {
		t.Error(diff)
	}
}

func TestKernelTagsAreRestored(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	inner := ipv4(protoUDP, client4, server4, udp(4000, 53))
	tests := []struct {
		name  string
		frame []byte
		want  packet.Tag
		data  []byte
	}{
		{"none", query4(), packet.Tag{}, query4()},
		{"802.1Q", ether(ether8021, tagged(0xa005, etherIPv4, inner)),
			packet.Tag{TPID: ether8021, TCI: 0xa005}, query4()},
		{"802.1ad", ether(ether88a8, tagged(6, etherIPv4, inner)),
			packet.Tag{TPID: ether88a8, TCI: 6}, query4()},
		{"QinQ", ether(ether88a8, tagged(6, ether8021, tagged(7, etherIPv4, inner))),
			packet.Tag{TPID: ether88a8, TCI: 6}, ether(ether8021, tagged(7, etherIPv4, inner))},
	}
	in, out := open(t, configOf("near")), open(t, configOf("far"))
	far := inject(t, "far")
	for _, test := range tests {
		far.send(test.frame)
		got := collect(t, in, 1)[0]
		if diff := cmp.Diff(test.want, got.Tag); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if diff := cmp.Diff(test.data, got.Data); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		// On the way out nobody has touched the frame yet.
		if got := collect(t, out, 1)[0]; !bytes.Equal(got.Data, test.frame) ||
			got.Tag != (packet.Tag{}) {
			t.Errorf("%s, going out: %v %x", test.name, got.Tag, got.Data)
		}
	}
}

func TestKernelDropsAreCountedExactly(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.BlockSize, cfg.Blocks = os.Getpagesize(), 2
	g := open(t, cfg)
	far := inject(t, "far")
	s := g.Lane(0)
	read := 0
	for round := range 3 { // the counters of the kernel start anew each time that they are read
		const burst = 300
		for range burst {
			far.send(query4())
		}
		received(t, g, uint64(burst*(round+1)))
		before := s.Stats()
		kept := int(before.Received-before.KernelDropped) - read
		if kept == 0 || before.KernelDropped == 0 {
			t.Fatalf("%d waiting, %+v", kept, before)
		}
		collect(t, g, kept)
		read += kept
		balanced(t, s, 0)
	}
	if st := s.Stats(); st.Received != 900 || st.Read != uint64(read) || st.Frozen == 0 {
		t.Errorf("%+v", st)
	}
	if n := rest(t, g); n != 0 {
		t.Errorf("%d more packets", n)
	}
}

func TestKernelGivesBothDirectionsToOneLane(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	far := inject(t, "far")
	const flows = 64
	for port := range flows {
		q, r := udp(4000+port, 53), udp(53, 4000+port)
		far.send(
			ether(etherIPv4, ipv4(protoUDP, client4, server4, q)),
			ether(etherIPv4, ipv4(protoUDP, server4, client4, r)),
			ether(etherIPv6, ipv6(protoUDP, client6, server6, q)),
			ether(etherIPv6, ipv6(protoUDP, server6, client6, r)),
		)
	}
	type flow struct{ version, port int }
	lanes := map[flow][]int{}
	perLane := [2]int{}
	for _, p := range collect(t, g, 4*flows) {
		f := flow{version: int(p.Data[14] >> 4)}
		ports := p.Data[14+20:]
		if f.version == 6 {
			ports = p.Data[14+40:]
		}
		f.port = int(binary.BigEndian.Uint16(ports)) + int(binary.BigEndian.Uint16(ports[2:]))
		lanes[f] = append(lanes[f], p.lane)
		perLane[p.lane]++
	}
	for f, l := range lanes {
		if len(l) != 2 || l[0] != l[1] {
			t.Errorf("flow %v on lanes %v", f, l)
		}
	}
	if len(lanes) != 2*flows || min(perLane[0], perLane[1]) < flows/4 {
		t.Errorf("%d flows, packets per lane %v", len(lanes), perLane)
	}
	if n := rest(t, g); n != 0 {
		t.Errorf("%d packets twice", n)
	}
}

func TestKernelPutsFragmentsTogether(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	for _, lanes := range []int{1, 2} {
		cfg := configOf("near")
		cfg.Lanes = lanes
		g := open(t, cfg)
		far := inject(t, "far")
		const flows = 16
		for i := range flows {
			answer := udp(53, 4000+i, bytes.Repeat([]byte{byte(i)}, 1992)...)
			far.send(
				ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000+i, 53))),
				ether(etherIPv4,
					fragment4(100*lanes+i, protoUDP, server4, client4, answer, 1400, 2000)),
				ether(etherIPv4,
					fragment4(100*lanes+i, protoUDP, server4, client4, answer, 0, 1400)),
			)
		}
		lane := map[uint16]int{}
		for _, p := range collect(t, g, 2*flows) {
			ports := p.Data[34:]
			port := binary.BigEndian.Uint16(ports)
			if port == 53 {
				port = binary.BigEndian.Uint16(ports[2:])
				want := udp(53, int(port), bytes.Repeat([]byte{byte(port - 4000)}, 1992)...)
				if !bytes.Equal(p.Data[34:], want) {
					t.Errorf("the answer to port %d is not whole", port)
				}
				if l := lane[port]; l != p.lane {
					t.Errorf("port %d: query on lane %d, answer on lane %d", port, l, p.lane)
				}
			}
			lane[port] = p.lane
		}
		if n := rest(t, g); n != 0 {
			t.Errorf("%d fragments besides", n)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelKeepsIPv6FragmentsOnOneLane(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	g := open(t, cfg)
	far := inject(t, "far")
	const pairs = 32
	for i := range pairs {
		answer := udp(53, 4000, make([]byte, 1992)...)
		for _, part := range [][2]int{{0, 1400}, {1400, 2000}} {
			far.send(ether(etherIPv6, ipv6(44, server6, address6(byte(10+i)),
				fragment6(protoUDP, answer, part[0], part[1]))))
		}
	}
	lanes := map[byte][]int{}
	for _, p := range collect(t, g, 2*pairs) {
		to := p.Data[14+39]
		lanes[to] = append(lanes[to], p.lane)
	}
	used := map[int]bool{}
	for to, l := range lanes {
		if len(l) != 2 || l[0] != l[1] {
			t.Errorf("fragments to %d on lanes %v", to, l)
		}
		used[l[0]] = true
	}
	if len(used) != 2 {
		t.Errorf("only lanes %v have packets", used)
	}
}

func TestKernelGivesTwoSensorsAllPackets(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	cfg := configOf("near")
	cfg.Lanes = 2
	a, b := open(t, cfg), open(t, cfg)
	far := inject(t, "far")
	for port := range 64 {
		far.send(ether(etherIPv4, ipv4(protoUDP, client4, server4, udp(4000+port, 53))))
	}
	collect(t, a, 64)
	collect(t, b, 64)
	if n := rest(t, a) + rest(t, b); n != 0 {
		t.Errorf("%d packets twice", n)
	}
}

func TestKernelLoopbackIsSeenOnce(t *testing.T) {
	netns.Enter(t)
	netns.IP(t, "link set lo mtu 1500")
	for _, lanes := range []int{1, 2} {
		cfg := configOf("lo")
		cfg.Lanes = lanes
		g := open(t, cfg)
		conn, err := net.Dial("udp", "127.0.0.1:53")
		if err != nil {
			t.Fatal(err)
		}
		// The second is sent in three fragments. Nobody listens: an ICMP error may come back.
		for _, size := range []int{100, 4000} {
			for {
				if _, err = conn.Write(make([]byte, size)); err == nil {
					break
				}
				if !errors.Is(err, unix.ECONNREFUSED) {
					t.Fatal(err)
				}
			}
		}
		var sizes []int
		for _, p := range collect(t, g, 2) {
			sizes = append(sizes, p.Length-14-20-8)
		}
		if diff := cmp.Diff([]int{100, 4000}, sizes); diff != "" {
			t.Error(diff)
		}
		if n := rest(t, g); n != 0 {
			t.Errorf("%d packets twice", n)
		}
		if err := errors.Join(conn.Close(), g.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// Kernels before 5.10 do not know the flag of the fanout group that the test above relies on.
func TestKernelFilterIgnoresOutgoing(t *testing.T) {
	netns.Enter(t)
	nic, err := find("lo")
	if err != nil {
		t.Fatal(err)
	}
	code, err := (&linux{cfg: configOf("lo")}).compile(nic)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: nic.index}
	if err := errors.Join(attachFilter(fd, code.filter), unix.Bind(fd, to)); err != nil {
		t.Fatal(err)
	}
	inject(t, "lo").send(query4())
	var got []int
	for range 2 {
		n, _, err := unix.Recvfrom(fd, make([]byte, 2048), unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if diff := cmp.Diff([]int{len(query4()), -1}, got); diff != "" {
		t.Error(diff)
	}
}

// While a socket is bound and not yet in its group, it sees what the other lanes see.
func TestKernelOpeningTakesNothingForeign(t *testing.T) {
	netns.Enter(t)
	netns.Veth(t)
	far := inject(t, "far")
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for open := true; open && err == nil; {
			select {
			case <-stop:
				open = false
			default:
				_, err = unix.Write(far.fd, ether(0x0806, make([]byte, 46)))
			}
		}
		stopped <- err
	}()
	defer func() {
		close(stop)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		cfg := configOf("near")
		cfg.Lanes = 2
		g := open(t, cfg)
		for i, s := range g.lanes {
			if st := s.Stats(); st.Received != 0 {
				t.Errorf("lane %d: %+v", i, st)
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKernelTunnelsAreRawIP(t *testing.T) {
	netns.Enter(t)
	fd := tun(t, "tun0")
	netns.IP(t, "link set tun0 up addrgenmode none")
	g := open(t, configOf("tun0"))
	var want [][]byte
	for _, test := range network {
		if test.etherType == 0x0806 || strings.Contains(test.name, "fragment") ||
			strings.Contains(test.name, "cut") {
			continue
		}
		if _, err := unix.Write(fd, test.packet); err != nil {
			t.Fatal(err)
		}
		if test.want {
			want = append(want, test.packet)
		}
	}
	got := collect(t, g, len(want))
	if diff := cmp.Diff(want, datas(got)); diff != "" {
		t.Error(diff)
	}
	if got[0].Link != packet.LinkRaw {
		t.Errorf("link type %v", got[0].Link)
	}
}
