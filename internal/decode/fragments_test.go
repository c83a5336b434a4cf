// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// fragments4 cuts an IPv4 packet without options into packets of at most size bytes of payload.
func fragments4(id uint16, whole []byte, size int) [][]byte {
	header, payload := whole[:20], whole[20:]
	var parts [][]byte
	for from := 0; from < len(payload); from += size {
		to := min(from+size, len(payload))
		b := append(bytes.Clone(header), payload[from:to]...)
		part := uint16(from / 8)
		if to < len(payload) {
			part |= 0x2000
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], id)
		binary.BigEndian.PutUint16(b[6:], part)
		parts = append(parts, b)
	}
	return parts
}

// fragments6 is fragments4 for IPv6.
func fragments6(id uint32, whole []byte, size int) [][]byte {
	header, payload := whole[:40], whole[40:]
	var parts [][]byte
	for from := 0; from < len(payload); from += size {
		to := min(from+size, len(payload))
		part := uint16(from)
		if to < len(payload) {
			part |= 1
		}
		b := set(header, 6, 44)
		b = binary.BigEndian.AppendUint16(append(b, header[6], 0), part)
		b = append(binary.BigEndian.AppendUint32(b, id), payload[from:to]...)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		parts = append(parts, b)
	}
	return parts
}

// wrapped puts each of the packets into something.
func wrapped(parts [][]byte, in func([]byte) []byte) [][]byte {
	var out [][]byte
	for _, p := range parts {
		out = append(out, in(p))
	}
	return out
}

func onEthernet(b []byte) []byte {
	if b[0]>>4 == 6 {
		return ethernet(typeIPv6, b)
	}
	return ethernet(typeIPv4, b)
}

func inVXLAN(b []byte) []byte {
	return overUDP(4789, "\x08\x00\x00\x00\x00\x00\x2a\x00", onEthernet(b))
}

func TestDecodeOfFragments(t *testing.T) {
	datagram := udp(53, 40000, answer)
	whole4, whole6 := ipv4(17, datagram), ipv6(17, datagram)
	options6 := ipv6(60, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, datagram...))
	segment := tcp(53, 40000, prefixed(answer))
	on6 := func(m *dnsmsg.Message) { m.Src, m.Dst = client6, server6 }
	overTCP := func(m *dnsmsg.Message) { m.Transport = dnsmsg.TCP }
	inTunnel := func(m *dnsmsg.Message) {
		m.Tunnel = dnsmsg.Tunnels{Kinds: [dnsmsg.MaxTunnels]dnsmsg.Tunnel{dnsmsg.VXLAN}, Count: 1}
		m.TunnelID = dnsmsg.TunnelID{Value: 42, Known: true}
		m.TunnelSrc, m.TunnelDst = near4, far4
	}
	var twice [][]byte // the fragments of a datagram in a tunnel whose packets are fragments, too
	for i, b := range wrapped(fragments4(7, whole4, 48), inVXLAN) {
		twice = append(twice, fragments4(uint16(100+i), b, 56)...)
	}
	renamed := fragments6(7, whole6, 24)
	for _, b := range renamed[1:] {
		b[40] = 59 // no next header
	}
	for _, test := range []struct {
		name  string
		parts [][]byte
		want  func(*dnsmsg.Message)
	}{
		{"IPv4", fragments4(7, whole4, 24), func(*dnsmsg.Message) {}},
		{"IPv6", fragments6(7, whole6, 24), on6},
		{"IPv6 with a header in the fragments", fragments6(7, options6, 24), on6},
		{"IPv6 whose later fragments name another protocol", renamed, on6},
		{"TCP", fragments4(7, ipv4(6, segment), 40), overTCP},
		{"IPv4 in an authentication header", fragments4(7, ipv4(51, append([]byte{17, 1, 0, 0,
			0, 0, 0, 0, 0, 0, 0, 0},
			datagram...)), 24), func(*dnsmsg.Message) {}},
		{"in a tunnel", wrapped(fragments4(7, whole4, 24), inVXLAN), inTunnel},
		{"around a tunnel", fragments4(7, inVXLAN(whole4), 40), inTunnel},
		{"in and around a tunnel", twice, inTunnel},
		{"a fragment in a fragment of IPv6", fragments6(8, fragments6(7, whole6, 24)[0], 16), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []dnsmsg.Message
			d := newDecoder(t, func(m *dnsmsg.Message) {
				sound(t, m)
				c := *m
				c.Wire = bytes.Clone(m.Wire)
				got = append(got, c)
			})
			for i, b := range test.parts {
				p := ether(onEthernet(b))
				p.Time = int64(i)
				d.Decode(&p)
				clear(p.Data) // what the source does with it
				balanced(t, d)
				if c := d.Counters(); i < len(test.parts)-1 && (c.Held != uint64(i+1) || c.Carried != 0) {
					t.Errorf("part %d: %+v", i, c)
				}
			}
			c := d.Counters()
			if test.want == nil { // what is inside is but the first of others
				if c.Held != uint64(len(test.parts)) || c.Fragments.Completed != 1 {
					t.Errorf("counters %+v", c)
				}
				return
			}
			want := travelled(answer)
			want.SrcPort, want.DstPort = 53, 40000
			want.Fragmented, want.Time = true, int64(len(test.parts)-1)
			test.want(&want)
			if diff := cmp.Diff(got, []dnsmsg.Message{want}, pathOnly); diff != "" {
				t.Error(diff)
			}
			if c.Carried != uint64(len(test.parts)) || c.Held != 0 || c.Messages != 1 {
				t.Errorf("counters %+v", c)
			}

			// The next packet is not fragmented.
			p := ether(ethernet(typeIPv4, ipv4(17, udp(53, 40000, answer))))
			d.Decode(&p)
			if m := got[len(got)-1]; m.Fragmented || m.Tunnel.Count != 0 {
				t.Errorf("the next one: %+v", m)
			}
		})
	}
}

func TestFragmentsOfWhatIsNoDNS(t *testing.T) {
	count := func(parts ...[]byte) Counters {
		d := newDecoder(t, func(*dnsmsg.Message) { t.Error("a message") })
		for _, b := range parts {
			p := ether(onEthernet(b))
			d.Decode(&p)
			balanced(t, d)
		}
		return d.Counters()
	}
	other := fragments4(7, ipv4(17, udp(40000, 54, answer)), 24)
	dns := fragments4(7, ipv4(17, udp(53, 40000, answer)), 24)
	for name, test := range map[string]struct {
		parts [][]byte
		want  Reason
	}{
		"the first one shows the ports":      {other, Port},
		"the last one came before the first": {[][]byte{other[3], other[0], other[1]}, Port},
		"of IPv6":                            {fragments6(7, ipv6(17, udp(40000, 54, answer)), 24), Port},
		"the whole is empty": {
			fragments4(7, ipv4(17, append(udp(53, 40000, ""), "more than it says"...)), 8), UDPEmpty,
		},
		"ICMP":           {fragments4(7, ipv4(1, udp(53, 40000, answer)), 24), NotUDPTCP},
		"ICMP of IPv6":   {fragments6(7, ipv6(58, udp(53, 40000, answer)), 24), NotUDPTCP},
		"contradictions": {[][]byte{dns[0], dns[1], set(dns[2], 6, 0, 1)}, FragmentInvalid},
	} {
		c := count(test.parts...)
		if c.Dropped[test.want] != uint64(len(test.parts)) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	// A first fragment too short for the ports waits: the next one shows them to whoever asks the
	// whole.
	small := fragments4(7, ipv4(17, udp(40000, 54, answer)), 8)
	small[0] = small[0][:22]
	if c := count(small[0]); c.Dropped[FragmentInvalid] != 1 {
		t.Errorf("two bytes: %+v", c)
	}
}

// TestTheEndsOfTime reads packets with the times that damage gives them.
func TestTheEndsOfTime(t *testing.T) {
	for _, at := range []int64{math.MinInt64, -packet.MaxTime, packet.MaxTime, math.MaxInt64} {
		messages := 0
		d, err := New(DefaultConfig(), func(*dnsmsg.Message) { messages++ })
		if err != nil {
			t.Fatal(err)
		}
		whole := ipv4(17, udp(53, 40000, answer+strings.Repeat("x", 2000)))
		for _, b := range append([][]byte{ipv4(17, udp(53, 40000, answer))}, fragments4(1, whole, 1480)...) {
			p := ether(onEthernet(b))
			p.Time = at
			d.Decode(&p)
			balanced(t, d)
		}
		if want := 2; at >= -packet.MaxTime && at <= packet.MaxTime && messages != want {
			t.Errorf("at %d: %d messages, want %d", at, messages, want)
		}
		d.Flush()
		balanced(t, d)
	}
}

func TestFragmentsThatAreGivenUp(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Defrag.Datagrams = 4
	messages := 0
	d, err := New(cfg, func(*dnsmsg.Message) { messages++ })
	if err != nil {
		t.Fatal(err)
	}
	decode := func(b []byte, at time.Duration) {
		p := ether(onEthernet(b))
		p.Time = int64(at)
		d.Decode(&p)
		balanced(t, d)
	}
	first := func(id uint16) []byte {
		return fragments4(id, ipv4(17, udp(53, 40000, strings.Repeat("x", 2000))), 1480)[0]
	}
	plain := ipv4(17, udp(53, 40000, answer))
	decode(first(1), 0)
	decode(plain, cfg.Defrag.Age-1)
	if c := d.Counters(); c.Held != 1 {
		t.Errorf("too early: %+v", c)
	}
	decode(plain, cfg.Defrag.Age) // any packet shows the time
	if c := d.Counters(); c.Held != 0 || c.Dropped[FragmentTimeout] != 1 {
		t.Errorf("too late: %+v", c)
	}
	for id := range uint16(6) {
		decode(first(id), time.Minute)
	}
	if c := d.Counters(); c.Held != 4 || c.Dropped[FragmentDatagrams] != 2 {
		t.Errorf("too many: %+v", c)
	}
	d.Flush()
	balanced(t, d)
	if c := d.Counters(); c.Held != 0 || c.Dropped[FragmentEnd] != 4 {
		t.Errorf("at the end: %+v", c)
	}

	cfg.Defrag.Bytes = 220_000
	if d, err = New(cfg, nil); err != nil {
		t.Fatal(err)
	}
	for id := range uint16(4) {
		parts := fragments4(id, ipv4(17, udp(53, 40000, strings.Repeat("x", 65000))), 1480)
		for _, b := range parts[:len(parts)-1] {
			decode(b, time.Minute)
		}
	}
	if c := d.Counters(); c.Dropped[FragmentBytes] == 0 || c.Dropped[FragmentDatagrams] != 0 {
		t.Errorf("too large: %+v", c)
	}
}

func TestTunnelsKeepFragmentsApart(t *testing.T) {
	parts := fragments4(7, ipv4(17, udp(53, 40000, answer)), 24)
	key := func(vni byte) func([]byte) []byte {
		return func(b []byte) []byte {
			return ethernet(typeIPv4, overUDP(4789,
				"\x08\x00\x00\x00\x00\x00"+string(vni)+"\x00", onEthernet(b)))
		}
	}
	tag := func(id string) func([]byte) []byte {
		return func(b []byte) []byte { return ethernet(0x8100, behind(id+"\x08\x00", b)) }
	}
	ends := func(b []byte) []byte { return ethernet(typeIPv4, between(4, b)) }
	places := []func([]byte) []byte{
		onEthernet, tag("\x00\x01"), tag("\x00\x02"), key(1), key(2), ends,
		func(b []byte) []byte { return ethernet(typeIPv4, ipv4(4, b)) },
	}
	messages := 0
	d := newDecoder(t, func(*dnsmsg.Message) { messages++ })
	for i, part := range parts {
		for _, in := range places {
			if i < len(parts)-1 && messages != 0 {
				t.Fatal("parts of different places were put together")
			}
			p := ether(in(part))
			d.Decode(&p)
			balanced(t, d)
		}
	}
	if c := d.Counters(); messages != len(places) || c.Fragments.Duplicated != 0 {
		t.Errorf("%d messages of %d: %+v", messages, len(places), c)
	}
}

// TestAnyOrderOfFragmentsGivesTheSameMessages shuffles the fragments of many messages, in and
// around tunnels, with duplicates of those that are not the last to come.
func TestAnyOrderOfFragmentsGivesTheSameMessages(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	inside := []func([]byte) []byte{
		func(b []byte) []byte { return b }, inVXLAN,
		func(b []byte) []byte { return between(47, behind("\x00\x00\x08\x00", b)) },
	}
	for range 100 {
		var want []string
		type part struct {
			of   int
			data []byte
		}
		var parts []part
		left := make(map[int]int)
		for id := range 1 + r.IntN(20) {
			wire := answer + strings.Repeat("\x00", r.IntN(600))
			b := ipv4(17, udp(53, uint16(1000+id), wire))
			var pieces [][]byte
			if r.IntN(2) == 0 {
				pieces = wrapped(fragments4(uint16(id), b, 8*(1+r.IntN(40))), inside[r.IntN(len(inside))])
			} else {
				pieces = fragments4(uint16(id), inside[r.IntN(len(inside))](b), 8*(1+r.IntN(40)))
			}
			want = append(want, fmt.Sprintf("%d: %x", 1000+id, wire))
			left[id] = len(pieces)
			for _, piece := range pieces {
				parts = append(parts, part{id, piece})
			}
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var got []string
		d := newDecoder(t, func(m *dnsmsg.Message) {
			sound(t, m)
			got = append(got, fmt.Sprintf("%d: %x", m.DstPort, m.Wire))
		})
		for _, part := range parts {
			times := 1
			if left[part.of]--; left[part.of] > 0 {
				times += r.IntN(2)
			}
			for range times {
				p := ether(onEthernet(part.data))
				d.Decode(&p)
			}
		}
		balanced(t, d)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatal(diff)
		}
		if c := d.Counters(); c.Held != 0 || c.Carried != c.Packets {
			t.Fatalf("%+v", c)
		}
	}
}

// TestAFloodOfFirstFragmentsStaysWithinTheBytes sends a million, plain and in tunnels, and expects
// every other packet to be seen all the same.
func TestAFloodOfFirstFragmentsStaysWithinTheBytes(t *testing.T) {
	messages := 0
	d := newDecoder(t, func(*dnsmsg.Message) { messages++ })
	first := fragments4(0, ipv4(17, udp(53, 40000, strings.Repeat("x", 2000))), 1480)[0]
	later := fragments4(0, ipv4(17, udp(53, 40000, strings.Repeat("x", 2000))), 1480)[1]
	frames := [][]byte{onEthernet(first), onEthernet(later), onEthernet(inVXLAN(first))}
	ids := []int{14 + 4, 14 + 4, 14 + 20 + 8 + 8 + 14 + 4}
	plain := ether(onEthernet(ipv4(17, udp(53, 40000, answer))))
	before := heap()
	const flood = 1_000_000
	for i := range flood {
		p := ether(frames[i%3])
		p.Time = int64(i) * 1000
		binary.BigEndian.PutUint16(p.Data[ids[i%3]:], uint16(i))
		p.Data[ids[i%3]+10] = byte(i >> 16) // the first byte of the source
		d.Decode(&p)
		if i%1000 == 0 {
			plain.Time = p.Time
			d.Decode(&plain)
		}
	}
	balanced(t, d)
	bytes := int64(defrag.DefaultConfig().Bytes)
	if used := heap() - before; used > bytes {
		t.Errorf("%d bytes used of %d", used, bytes)
	}
	if c := d.Counters(); messages != flood/1000 || c.Held > uint64(defrag.DefaultConfig().Datagrams) {
		t.Errorf("%d messages, %+v", messages, c)
	}
	runtime.KeepAlive(d)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestFragmentsAndTunnelsDoNotAllocate(t *testing.T) {
	var packets []packet.Packet
	for _, c := range tunnelCases() {
		packets = append(packets, ether(c.data))
	}
	for _, b := range fragments4(7, inVXLAN(ipv4(17, udp(53, 40000, answer))), 24) {
		packets = append(packets, ether(onEthernet(b)))
	}
	for _, b := range fragments6(7, ipv6(17, udp(53, 40000, answer)), 24) {
		packets = append(packets, ether(onEthernet(b)))
	}
	d := newDecoder(t, func(*dnsmsg.Message) {})
	round := func() {
		for i := range packets {
			d.Decode(&packets[i])
		}
	}
	round() // takes the memory
	if allocs := testing.AllocsPerRun(100, round); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if c := d.Counters(); c.Carried != c.Packets {
		t.Errorf("not all packets carried messages: %+v", c)
	}
	balanced(t, d)
}
