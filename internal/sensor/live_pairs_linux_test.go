// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/test/netns"
)

// flow is one client that asks its server one question.
type flow struct {
	version, transport, carrier int
	number                      int
	cut                         bool // the answer comes in fragments
}

func (f flow) header(back bool, next byte, payload []byte) []byte {
	if f.version == 4 {
		h := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, next, 0, 0,
			10, 1, byte(f.number >> 8), byte(f.number), 192, 0, 2, 53}
		if back {
			slices.Reverse(h[12:])
			copy(h[12:], "\xc0\x00\x02\x35\x0a\x01")
			h[18], h[19] = byte(f.number>>8), byte(f.number)
		}
		return sealed(h, payload)
	}
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	c, s := h[8:24], h[24:40]
	if back {
		c, s = s, c
	}
	copy(c, "\x20\x01\x0d\xb8\x00\x01")
	binary.BigEndian.PutUint16(c[14:], uint16(f.number))
	copy(s, "\x20\x01\x0d\xb8\x00\x02")
	return append(h, payload...)
}

// sealed gives an IPv4 header its length and checksum.
func sealed(h, payload []byte) []byte {
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
	h[10], h[11] = 0, 0
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	return append(h, payload...)
}

// packets returns the IP packets of the query or of the answer.
func (f flow) packets(back bool) [][]byte {
	m := []byte{byte(f.number >> 8), byte(f.number), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	m = fmt.Appendf(m, "\x05%05d\x04live\x00\x00\x10\x00\x01", f.number)
	ports := []uint16{uint16(20000 + f.number%40000), 53}
	if back {
		ports[0], ports[1] = ports[1], ports[0]
		m[2], m[7] = 0x81, 1
		text := map[bool]int{false: 20, true: 200}[f.cut]
		m = append(m, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, byte(text+1), byte(text))
		m = append(m, strings.Repeat("x", text)...)
	}
	var head []byte
	for _, p := range ports {
		head = binary.BigEndian.AppendUint16(head, p)
	}
	next := byte(17)
	if f.transport == 17 {
		head = append(binary.BigEndian.AppendUint16(head, uint16(8+len(m))), 0, 0)
	} else {
		next = 6
		head = append(head, 0, 0, 1, 0, 0, 0, 1, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0) // push, acknowledge
		head = binary.BigEndian.AppendUint16(head, uint16(len(m)))
	}
	payload := append(head, m...)
	if !back || !f.cut {
		return [][]byte{f.header(back, next, payload)}
	}
	var parts [][]byte
	for from := 0; from < len(payload); from += 64 {
		to := min(from+64, len(payload))
		more := to < len(payload)
		if f.version == 4 {
			p := f.header(back, next, payload[from:to])
			binary.BigEndian.PutUint16(p[4:], uint16(f.number))
			binary.BigEndian.PutUint16(p[6:], uint16(from/8))
			if more {
				p[6] |= 0x20
			}
			parts = append(parts, sealed(p[:20:20], p[20:]))
			continue
		}
		h := []byte{next, 0, byte(from >> 8), byte(from), 0, 0, byte(f.number >> 8), byte(f.number)}
		if more {
			h[3] |= 1
		}
		parts = append(parts, f.header(back, 44, append(h, payload[from:to]...)))
	}
	return parts
}

// The headers around a packet. Those of tunnels have other addresses and ports each way.
var carriersLive = []struct{ kinds, tunnel, id string }{
	{"", "", ""}, {"vlan", "", ""}, {"qinq", "", ""},
	{"vxlan", "vxlan", "42"}, {"vxlan6", "vxlan", "42"}, {"geneve", "geneve", "42"},
	{"gre", "gre", "42"}, {"erspan", "gre/erspan2", "7"}, {"mpls", "mpls", "16"}, {"ip", "ip", ""},
}

func (f flow) frame(back bool, p []byte) []byte {
	outer := flow{version: 4, number: 1}
	etherType := "\x08\x00"
	if f.version == 6 {
		etherType = "\x86\xdd"
	}
	inner := []byte(macs + etherType + string(p))
	overUDP := func(port uint16, header string) []byte {
		d := binary.BigEndian.AppendUint16(nil, uint16(50000+f.number%5000))
		if back {
			d[1]++
		}
		d = binary.BigEndian.AppendUint16(d, port)
		d = binary.BigEndian.AppendUint16(d, uint16(8+len(header)+len(inner)))
		return append(append(append(d, 0, 0), header...), inner...)
	}
	in4 := func(proto byte, b []byte) []byte {
		return append([]byte(macs+"\x08\x00"), outer.header(back, proto, b)...)
	}
	vxlan := "\x08\x00\x00\x00\x00\x00\x2a\x00"
	switch carriersLive[f.carrier].kinds {
	case "vlan":
		return []byte(macs + "\x81\x00\x00\x05" + etherType + string(p))
	case "qinq":
		return []byte(macs + "\x88\xa8\x00\x05\x81\x00\x00\x06" + etherType + string(p))
	case "vxlan":
		return in4(17, overUDP(4789, vxlan))
	case "vxlan6":
		outer.version = 6
		return append([]byte(macs+"\x86\xdd"), outer.header(back, 17, overUDP(4789, vxlan))...)
	case "geneve":
		header := "\x00\x00\x65\x58\x00\x00\x2a\x00"
		if back {
			header = "\x01\x00\x65\x58\x00\x00\x2a\x00\x01\x02\x80\x00"
		}
		return in4(17, overUDP(6081, header))
	case "gre":
		return in4(47, []byte("\x20\x00"+etherType+"\x00\x00\x00\x2a"+string(p)))
	case "erspan":
		return in4(47, []byte("\x10\x00\x88\xbe\x00\x00\x00\x01\x10\x05\xfc\x07\x00\x00\x00\x00"+
			string(inner)))
	case "mpls":
		return []byte(macs + "\x88\x47\x00\x01\x01\x40" + string(p))
	case "ip":
		return in4(map[int]byte{4: 4, 6: 41}[f.version], p)
	}
	return inner
}

// tunnel is what records say of the carrier.
func (f flow) tunnel() string {
	c := carriersLive[f.carrier]
	if c.tunnel == "ip" {
		return map[int]string{4: "ipip", 6: "6in4"}[f.version]
	}
	return c.tunnel
}

const macs = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01"

// framesOf returns the frames of the queries or of the answers, shuffled. Those of one answer stay
// near each other: the kernel gives a datagram up between whose fragments there are more than 64
// others of the same source (ipfrag_max_dist), which no network makes of them.
func framesOf(r *rand.Rand, flows []flow, back bool) (frames [][]byte) {
	const window = 50
	for _, i := range r.Perm(len(flows)) {
		for _, p := range flows[i].packets(back) {
			frames = append(frames, flows[i].frame(back, p))
		}
	}
	for part := range slices.Chunk(frames, window) {
		r.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return frames
}

// awaitUp waits until frames pass a pair of interfaces.
func awaitUp(t *testing.T, names ...string) {
	t.Helper()
	for end := time.Now().Add(patience); len(names) > 0; {
		out, err := exec.Command("ip", "-o", "link", "show", names[0]).Output()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(out), "state UP") {
			names = names[1:]
		} else if time.Now().After(end) {
			t.Fatalf("it does not come up: %s", out)
		}
	}
}

// write sends frames out of an interface.
func write(t *testing.T, name string, frames [][]byte) {
	t.Helper()
	fd := netns.Sender(t, name)
	for _, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitMessages waits until so many messages were decoded.
func (l *live) awaitMessages(n int) {
	l.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); l.s.Ledger().Messages < uint64(n); <-tick.C {
		if time.Now().After(end) {
			l.t.Fatalf("%d messages do not come: %+v", n, l.s.Ledger())
		}
	}
}

// TestKernelPairsMeetOnOneLane sends thousands of queries and answers, in all carriers, answers
// also in shuffled fragments, and expects each pair in one record: nothing unanswered or alone.
func TestKernelPairsMeetOnOneLane(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	netns.Veth(t)
	awaitUp(t, "near", "far")
	var flows []flow
	for carrier := range carriersLive {
		for range 30 {
			for _, version := range []int{4, 6} {
				for _, transport := range []int{17, 6} {
					for _, cut := range []bool{false, true} {
						flows = append(flows, flow{version: version, transport: transport,
							carrier: carrier, cut: cut, number: len(flows) + 1})
					}
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		lanes int
		back  string // where answers are sent: a mirror shows both coming in, a host sends them out
	}{{2, "near"}, {4, "far"}} {
		t.Run(fmt.Sprintf("%d lanes, answers from %s", test.lanes, test.back), func(t *testing.T) {
			pairs := match.DefaultConfig()
			l := startLiveWith(t, func(cfg *Config) {
				cfg.Lanes, cfg.Match, cfg.Tunnels = test.lanes, &pairs, []string{"all"}
				cfg.Memory += 64 << 20
			})
			write(t, "far", framesOf(r, flows, false))
			l.awaitMessages(len(flows))
			write(t, test.back, framesOf(r, flows, true))
			l.awaitMessages(2 * len(flows))
			checkPairs(t, l.end(), flows, test.lanes)
		})
	}
}

func checkPairs(t *testing.T, records []sent, flows []flow, lanes int) {
	t.Helper()
	kinds, seen, perLane := map[string]int{}, map[int]bool{}, make([]int, lanes)
	for _, s := range records {
		var r struct {
			Kind, QName, Tunnel string
			ID                  int
			TunnelID            json.Number `json:"tunnel_id"`
			TunnelSrc           string      `json:"tunnel_src_ip"`
			VLAN                int
		}
		if err := json.Unmarshal([]byte(`{"ts":`+s.about), &r); err != nil {
			t.Fatal(err, s.about)
		}
		kinds[r.Kind]++
		perLane[s.Lane]++
		if r.ID < 1 || r.ID > len(flows) || seen[r.ID] {
			t.Errorf("not expected, or twice: %s", s.about)
			continue
		}
		seen[r.ID] = true
		f := flows[r.ID-1]
		c := carriersLive[f.carrier]
		if r.Tunnel != f.tunnel() || r.TunnelID.String() != c.id ||
			(r.TunnelSrc != "") != (c.tunnel != "" && c.tunnel != "mpls") ||
			(r.VLAN == 5) != (c.kinds == "vlan" || c.kinds == "qinq") {
			t.Errorf("in %q: %s", c.kinds, s.about)
		}
	}
	if kinds["transaction"] != len(flows) || len(records) != len(flows) {
		t.Errorf("%d pairs became %v", len(flows), kinds)
	}
	if slices.Min(perLane) < len(flows)/lanes/3 {
		t.Errorf("records per lane: %v", perLane)
	}
}

// TestKernelTunnelsThatNobodyAskedForStayOutside sends all carriers to a sensor that looks into
// none: the kernel keeps those that are tunnels.
func TestKernelTunnelsThatNobodyAskedForStayOutside(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	netns.Veth(t)
	awaitUp(t, "near", "far")
	l := startLiveWith(t, func(*Config) {})
	plain := 0
	var all [][]byte
	for round := range 10 {
		for carrier := range carriersLive {
			f := flow{version: 4, transport: 17, carrier: carrier, number: 1 + round*100 + carrier}
			if f.tunnel() == "" {
				plain++
			}
			all = append(all, f.frame(false, f.packets(false)[0]))
		}
	}
	last := flow{version: 4, transport: 17, number: 5000}
	write(t, "far", append(all, last.frame(false, last.packets(false)[0])))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for l.got <= plain {
		records, err := l.reader.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l.got += len(records)
	}
	back := l.end()
	if n := l.s.Ledger().Packets; n != uint64(plain+1) || len(back) != plain+1 {
		t.Errorf("%d packets and %d records of %d without a tunnel", n, len(back), plain+1)
	}
}
