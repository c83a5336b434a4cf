// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// counted is how many there really are of what a Shape names.
type counted struct{ clients, names, streams, open, lengths int }

// count reads a capture back, by itself and by another library.
func count(t *testing.T, data []byte) counted {
	t.Helper()
	clients, names, lengths := map[netip.Addr]bool{}, map[string]bool{}, map[int]bool{}
	streams, waiting := map[netip.AddrPort]bool{}, map[string]bool{}
	var c counted
	for data = data[24:]; len(data) > 0; {
		n := binary.LittleEndian.Uint32(data[8:])
		ip := data[16:][etherLen:n]
		data = data[16+n:]
		from, to, proto, transport := netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])),
			ip[9], ip[ip4Len:]
		if ip[0]>>4 == 6 {
			from, to = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
			proto, transport = ip[6], ip[ip6Len:]
		}
		client := netip.AddrPortFrom(from, binary.BigEndian.Uint16(transport))
		if client.Port() == 53 {
			client = netip.AddrPortFrom(to, binary.BigEndian.Uint16(transport[2:]))
		}
		payload := transport[udpLen:]
		if proto == protoTCP {
			switch flags := transport[13]; {
			case flags == tcpSYN:
				streams[client] = true
				c.streams = max(c.streams, len(streams))
			case flags&tcpFIN != 0:
				delete(streams, client)
			}
			if payload = transport[tcpLen:]; len(payload) == 0 {
				continue
			}
			payload = payload[2:]
		}
		var m dns.Msg
		if err := m.Unpack(payload); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(client, m.Id, m.Question[0].Name)
		clients[client.Addr()], waiting[key] = true, true
		names[strings.ToLower(m.Question[0].Name)], lengths[len(m.Question[0].Name)] = true, true
		c.open = max(c.open, len(waiting))
		if m.Response {
			delete(waiting, key)
		}
	}
	c.clients, c.names, c.lengths = len(clients), len(names), len(lengths)
	return c
}

func TestACaptureHoldsExactlyWhatItsShapeSays(t *testing.T) {
	for _, n := range []int{1, 10, 100} {
		for _, c := range []struct {
			name  string
			shape Shape
			got   func(counted) int
		}{
			{"clients", Shape{Clients: n}, func(c counted) int { return c.clients }},
			{"names", Shape{Names: n}, func(c counted) int { return c.names }},
			{"streams", Shape{Streams: n}, func(c counted) int { return c.streams }},
			{"open", Shape{Open: n}, func(c counted) int { return c.open }},
		} {
			t.Run(fmt.Sprint(n, " ", c.name), func(t *testing.T) {
				c.shape.Seed, c.shape.Messages = 1, 2001
				data, m := shaped(t, c.shape)
				found := count(t, data)
				if got := c.got(found); got != n {
					t.Errorf("%d in the capture", got)
				}
				if c.shape.Names > 0 && found.lengths != 1 {
					t.Errorf("names of %d lengths", found.lengths)
				}
				got := parse(t, data) // its times, checksums and framing as well
				got.m.Seed = m.Seed
				if got.m != m || m.Messages != c.shape.Messages {
					t.Errorf("capture %+v, manifest %+v", got.m, m)
				}
			})
		}
	}
}

func TestTheNumberOfConnectionsDoesNotChangeTheNumberOfPackets(t *testing.T) {
	_, one := shaped(t, Shape{Seed: 1, Messages: 20_000, Streams: 1})
	_, many := shaped(t, Shape{Seed: 1, Messages: 20_000, Streams: 1000})
	if one.Packets != many.Packets || one.TCP != 20_000 || many.TCP != 20_000 {
		t.Errorf("one connection at a time %+v, a thousand %+v", one, many)
	}
}

func TestInTurnEachNumberComesOnce(t *testing.T) {
	for _, n := range []int{1, 10, 1000, MaxShape} {
		seen := make([]bool, n)
		for turn := range n {
			seen[inTurn(uint64(turn), n)] = true
		}
		for number, was := range seen {
			if !was {
				t.Fatalf("of %d, %d did not come", n, number)
			}
		}
	}
}

func TestShapesThatCannotBeAreRefused(t *testing.T) {
	for _, s := range []Shape{{}, {Messages: -1}, {Messages: 100, Clients: 51}, {Messages: 100, Names: -1},
		{Messages: 100, Streams: 26}, {Messages: 3e6, Open: MaxShape + 1},
		{Messages: 100, Streams: 1, Open: 1}} {
		if _, err := Write(&bytes.Buffer{}, s); err == nil {
			t.Errorf("%+v was made", s)
		}
	}
}

// The captures of comparisons that were published can be made again.
func TestTheUsualShapeStaysAsItWas(t *testing.T) {
	data, _ := capture(t, 1, 3000)
	const want = "ec18326ad9bd057de5aa79e586f60ccb5473b858ca81950c1e7b25a78f705832"
	if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != want {
		t.Errorf("the capture of seed 1 has changed: SHA-256 %s, want %s", got, want)
	}
}
