// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func capture(t *testing.T, seed uint64, messages int) ([]byte, Manifest) {
	t.Helper()
	return shaped(t, Shape{Seed: seed, Messages: messages})
}

func shaped(t *testing.T, s Shape) ([]byte, Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := Write(&b, s)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	a, _ := capture(t, 7, 3000)
	b, _ := capture(t, 7, 3000)
	c, _ := capture(t, 8, 3000)
	if !bytes.Equal(a, b) {
		t.Error("two captures of one seed differ")
	}
	if bytes.Equal(a, c) {
		t.Error("captures of two seeds are the same")
	}
}

func TestThereMustBeAMessage(t *testing.T) {
	if _, err := Write(&bytes.Buffer{}, Shape{Seed: 1}); err == nil {
		t.Error("a capture of no messages was made")
	}
}

// parsed is what an independent reading of a capture finds.
type parsed struct {
	m       Manifest
	signed  int
	largest int // TCP payload
}

// parse reads a capture back: order, checksums, and each message by another library.
func parse(t *testing.T, data []byte) parsed {
	t.Helper()
	p := parsed{m: Manifest{Bytes: int64(len(data))}}
	last := uint64(0)
	for data = data[24:]; len(data) > 0; p.m.Packets++ {
		at := uint64(binary.LittleEndian.Uint32(data))*1e6 + uint64(binary.LittleEndian.Uint32(data[4:]))
		if at < last {
			t.Fatalf("packet %d goes back in time", p.m.Packets)
		}
		last = at
		n := binary.LittleEndian.Uint32(data[8:])
		p.frame(t, data[16:16+n])
		data = data[16+n:]
	}
	return p
}

func (p *parsed) frame(t *testing.T, frame []byte) {
	t.Helper()
	ip, f := frame[etherLen:], flow{}
	proto, transport, six := byte(0), []byte(nil), frame[12] == 0x86
	if six {
		proto, transport = ip[6], ip[ip6Len:]
		f.from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip[8:])), 0)
		f.to = netip.AddrPortFrom(netip.AddrFrom16([16]byte(ip[24:])), 0)
	} else {
		if fold(add(0, ip[:ip4Len])) != 0 {
			t.Fatal("an IPv4 header's checksum is wrong")
		}
		proto, transport = ip[9], ip[ip4Len:]
		f.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), 0)
		f.to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), 0)
	}
	if f.checksum(proto, transport) != 0 {
		t.Fatal("a transport checksum is wrong")
	}
	payload := transport[udpLen:]
	if proto == protoTCP {
		payload = transport[tcpLen:]
		if len(payload) == 0 {
			return
		}
		p.m.TCP++
		p.largest = max(p.largest, len(payload))
		if int(binary.BigEndian.Uint16(payload)) != len(payload)-2 {
			t.Fatal("a segment does not hold one whole message")
		}
		payload = payload[2:]
	}
	if six {
		p.m.IPv6++
	}
	p.message(t, payload)
}

func (p *parsed) message(t *testing.T, payload []byte) {
	t.Helper()
	var msg dns.Msg
	if err := msg.Unpack(payload); err != nil {
		t.Fatalf("message %d: %v: % x", p.m.Messages, err, payload)
	}
	p.m.Messages++
	if msg.Response {
		p.m.Responses++
	} else {
		p.m.Queries++
	}
	if msg.IsEdns0() != nil {
		p.m.EDNS++
	}
	if msg.Rcode == dns.RcodeNameError {
		p.m.NXDomain++
	}
	if len(msg.Answer) > 0 && msg.Answer[0].Header().Rrtype == dns.TypeCNAME {
		p.m.Aliases++
	}
	for _, rr := range append(msg.Answer, msg.Ns...) {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			p.signed++
			break
		}
	}
}

func TestAnotherLibraryFindsWhatTheManifestSays(t *testing.T) {
	for _, messages := range []int{1, 2, 20_001} {
		data, want := capture(t, 1, messages)
		got := parse(t, data)
		got.m.Seed = want.Seed
		if got.m != want || got.m.Messages != messages {
			t.Errorf("of %d messages, capture %+v, manifest %+v", messages, got.m, want)
		}
	}
}

func TestEverythingThatMakesTrafficRealIsThere(t *testing.T) {
	data, m := capture(t, 1, 20_000)
	p := parse(t, data)
	for what, n := range map[string]int{"IPv6": m.IPv6, "EDNS": m.EDNS, "NXDOMAIN": m.NXDomain,
		"aliases": m.Aliases, "TCP": m.TCP, "signatures": p.signed} {
		if n < 100 || n > 16_000 {
			t.Errorf("%d messages of 20000 with %s", n, what)
		}
	}
	if p.largest > 1400 {
		t.Errorf("a TCP message of %d bytes does not fit one segment", p.largest)
	}
	if mean := m.Bytes / int64(m.Packets); mean < 100 || mean > 250 {
		t.Errorf("packets of %d bytes in the mean", mean)
	}
}
