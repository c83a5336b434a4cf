// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
)

// Shares, in thousandths.
const (
	shareIPv6       = 200
	shareEDNS       = 700
	shareDO         = 300 // of those with EDNS
	shareCookie     = 250 // of those with EDNS
	shareECS        = 50  // of those with EDNS
	shareMixed      = 100 // of names in random case
	shareNXDomain   = 70
	shareServFail   = 5
	shareUnanswered = 5
	shareAlias      = 300 // of addresses: CNAME chains
	shareTCP        = 8   // by choice; others come after a truncated answer
	shareTruncated  = 4
)

const (
	clients   = 100_000
	perSecond = 50_000            // messages a second in the capture's own time
	beginning = 1_769_904_000_000 // milliseconds since 1970: 2026-02-01
)

// Manifest says what a capture holds.
type Manifest struct {
	Seed      uint64 `json:"seed"`
	Packets   int    `json:"packets"` // all, also those of TCP without a message
	Bytes     int64  `json:"bytes"`   // of the file
	Messages  int    `json:"messages"`
	Queries   int    `json:"queries"`
	Responses int    `json:"responses"`
	TCP       int    `json:"tcp"`  // messages
	IPv6      int    `json:"ipv6"` // messages
	EDNS      int    `json:"edns"` // messages
	NXDomain  int    `json:"nxdomain"`
	Aliases   int    `json:"aliases"` // responses with CNAME
}

// Write makes a capture of exactly that many messages and writes it as pcap. The same shape gives
// the same bytes.
func Write(w io.Writer, shape Shape) (Manifest, error) {
	if err := shape.Validate(); err != nil {
		return Manifest{}, err
	}
	random := rand.New(rand.NewPCG(shape.Seed, 0x6361707475726531))
	g := &generator{
		r: random, names: newNamer(random), msg: newBuilder(), out: newFile(w),
		now: beginning * 1000, shape: shape, left: shape.Messages, m: Manifest{Seed: shape.Seed},
	}
	for g.left > 0 {
		g.conversation()
		g.out.settle(g.now)
	}
	if err := g.out.close(); err != nil {
		return Manifest{}, fmt.Errorf("traffic: write capture: %w", err)
	}
	g.m.Packets, g.m.Bytes = g.out.packets, g.out.bytes
	return g.m, nil
}

type generator struct {
	r     *rand.Rand
	names *namer
	msg   *builder
	out   *file
	now   uint64 // microseconds since 1970
	shape Shape
	asked uint64     // queries so far
	wait  []exchange // queries whose responses come later, the oldest first
	left  int        // messages to make
	m     Manifest
}

// chance returns true that many times of a thousand.
func (g *generator) chance(thousandths int) bool { return g.r.IntN(1000) < thousandths }

// conversation makes a query with all that follows from it.
func (g *generator) conversation() {
	switch {
	case g.shape.Streams > 0:
		g.streams()
		return
	case g.shape.Open > 0:
		g.delayed()
		return
	}
	g.now += uint64(g.r.ExpFloat64() * 2e6 / perSecond)
	f, at := g.endpoints(), g.now
	q := g.ask()
	answered := at + g.latency()
	switch {
	case g.left == 1 || g.chance(shareUnanswered):
		g.datagram(at, f, g.query(q))
	case g.left >= 4 && g.chance(shareTruncated):
		g.datagram(at, f, g.query(q))
		g.datagram(answered, f.reverse(), g.truncated(q))
		q.id = uint16(g.r.Uint32())
		f.from = netip.AddrPortFrom(f.from.Addr(), g.port())
		g.stream(answered+500, f, q)
	case g.chance(shareTCP):
		g.stream(at, f, q)
	default:
		g.datagram(at, f, g.query(q))
		g.datagram(answered, f.reverse(), g.response(q))
	}
}

// latency is that of a resolver: most answers come from its cache.
func (g *generator) latency() uint64 {
	if g.chance(850) {
		return 50 + g.r.Uint64N(400)
	}
	return min(5_000+uint64(g.r.ExpFloat64()*40_000), sortWindow/4)
}

func (g *generator) port() uint16 { return uint16(1024 + g.r.IntN(64_000)) }

// endpoints returns a client and the resolver that it asks.
func (g *generator) endpoints() flow {
	client, six := g.client()
	server := byte(53 + g.r.IntN(2))
	from := netip.AddrFrom4([4]byte{10, byte(client >> 16), byte(client >> 8), byte(client)})
	to := netip.AddrFrom4([4]byte{192, 0, 2, server})
	if six || g.shape.Clients == 0 && g.chance(shareIPv6) {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1}
		binary.BigEndian.PutUint32(a[12:], client*2_654_435_761)
		a[7] = byte(client)
		from = netip.AddrFrom16(a)
		to = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: server})
	}
	return flow{netip.AddrPortFrom(from, g.port()), netip.AddrPortFrom(to, 53)}
}

// asked is a question with what the client says around it.
type asked struct {
	id    uint16
	name  string
	qtype int
	edns  edns
}

func (g *generator) ask() asked {
	g.asked++
	q := asked{id: uint16(g.r.Uint32())}
	switch k := g.r.IntN(100); {
	case k < 55:
		q.qtype, q.name = typeA, g.names.host()
	case k < 80:
		q.qtype, q.name = typeAAAA, g.names.host()
	case k < 90:
		q.qtype, q.name = typeHTTPS, g.names.host()
	case k < 95:
		q.qtype, q.name = typePTR, g.reverseName()
	case k < 97:
		q.qtype, q.name = typeTXT, pick(g.r, services[2:])+"."+g.names.popularDomain()
	case k < 98:
		q.qtype, q.name = typeSRV, pick(g.r, services[:2])+"."+g.names.popularDomain()
	default:
		q.qtype = pick(g.r, []int{typeMX, typeNS, typeSOA, typeDS, typeDNSKEY})
		q.name = g.names.popularDomain()
	}
	switch {
	case g.shape.Names > 0:
		q.name = numbered(inTurn(g.asked, g.shape.Names))
	case g.chance(shareMixed):
		q.name = g.names.mixed(q.name)
	}
	if g.chance(shareEDNS) {
		q.edns = edns{used: true, do: g.chance(shareDO), cookie: g.chance(shareCookie),
			ecs: g.chance(shareECS), size: pick(g.r, []int{1232, 1232, 1232, 4096, 512})}
	}
	return q
}

func (g *generator) reverseName() string {
	a := g.r.Uint32()
	parts := make([]string, 4)
	for i := range parts {
		parts[i] = strconv.Itoa(int(a >> (8 * i) & 0xff))
	}
	return strings.Join(parts, ".") + ".in-addr.arpa"
}

func (g *generator) query(q asked) []byte {
	g.m.Queries++
	g.msg.begin(q.id, flagRD)
	g.msg.question(q.name, q.qtype)
	return g.finish(q, false)
}

func (g *generator) truncated(q asked) []byte {
	g.m.Responses++
	g.msg.begin(q.id, flagQR|flagRD|flagRA|flagTC)
	g.msg.question(q.name, q.qtype)
	return g.finish(q, true)
}

func (g *generator) finish(q asked, answer bool) []byte {
	if q.edns.used {
		g.msg.opt(q.edns, answer, g.r)
		g.m.EDNS++
	}
	return g.msg.b
}

// sent counts a message on its way.
func (g *generator) sent(f flow) {
	g.left--
	g.m.Messages++
	if f.from.Addr().Is6() {
		g.m.IPv6++
	}
}

func (g *generator) datagram(at uint64, f flow, payload []byte) {
	g.out.add(at, f.udp(payload))
	g.sent(f)
}
