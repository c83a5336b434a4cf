// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// Messages. The answer has a pointer to the question and one to its own data.
const (
	query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" +
		"\x07example\x00\x00\x01\x00\x01"
	answer = "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x01" +
		"\x07example\x00\x00\x01\x00\x01" +
		"\xc0\x0c\x00\x05\x00\x01\x00\x00\x0e\x10\x00\x04\x01a\xc0\x0c" +
		"\xc0\x25\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01" +
		"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"
)

const (
	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd
)

var (
	client4 = netip.MustParseAddr("192.0.2.1")
	server4 = netip.MustParseAddr("198.51.100.53")
	client6 = netip.MustParseAddr("2001:db8::1")
	server6 = netip.MustParseAddr("2001:db8::53")
)

// The builders below put one layer around payload. Lengths are right, checksums are 0.

func ethernet(etherType uint16, payload []byte) []byte {
	b := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02")
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

func ipv4(proto uint8, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, proto, 0, 0)
	b = append(append(b, client4.AsSlice()...), server4.AsSlice()...)
	return append(b, payload...)
}

func ipv6(next uint8, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(payload)))
	b = append(b, next, 64)
	b = append(append(b, client6.AsSlice()...), server6.AsSlice()...)
	return append(b, payload...)
}

func udp(src, dst uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// tcp builds a segment with a header that has 12 bytes of options, as nearly all have.
func tcp(src, dst uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 2, 8<<4, 0x18, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, make([]byte, 12)...)
	return append(b, payload...)
}

// prefixed puts the length before each message, as TCP has it.
func prefixed(messages ...string) string {
	var b []byte
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
	}
	return string(b)
}

// set returns b with the bytes at offset o replaced.
func set(b []byte, o int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[o:], with)
	return b
}

// ether wraps a frame of LINKTYPE_ETHERNET that was captured whole.
func ether(data []byte) packet.Packet {
	return packet.Packet{Data: data, Length: len(data), Link: packet.LinkEthernet}
}

// newDecoder returns a decoder for the usual ports and those of multicast.
func newDecoder(t testing.TB, emit func(*dnsmsg.Message)) *Decoder {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Ports = []uint16{53, 5353, 5355}
	d, err := New(cfg, emit)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// balanced checks the law of the counters.
func balanced(t testing.TB, d *Decoder) {
	t.Helper()
	c := d.Counters()
	out := c.Carried + c.Held
	for _, n := range c.Dropped {
		out += n
	}
	if c.Packets != out {
		t.Errorf("%d packets in, %d out: %+v", c.Packets, out, c)
	}
	var malformed uint64
	for _, n := range c.Malformed {
		malformed += n
	}
	if c.Dropped[OK] != 0 || c.Malformed[dnsmsg.OK] != 0 || malformed > c.Messages {
		t.Errorf("counters contradict each other: %+v", c)
	}
}

// honest checks that m claims no more than what p and its own bytes can hold.
func honest(t testing.TB, p *packet.Packet, m *dnsmsg.Message) {
	t.Helper()
	if len(m.Wire) > 0 && !bytes.Contains(p.Data, m.Wire) {
		t.Error("bytes that are not in the packet")
	}
	if m.Size > max(p.Length, len(p.Data)) || m.Cut != (m.Size > len(m.Wire)) ||
		m.Cut && p.Length <= len(p.Data) {
		t.Errorf("size %d, %d bytes, cut %t, of %d bytes out of %d",
			m.Size, len(m.Wire), m.Cut, len(p.Data), p.Length)
	}
	sound(t, m)
}

// sound checks that all offsets in m stay inside its bytes, and its names against those that
// another library reads.
func sound(t testing.TB, m *dnsmsg.Message) {
	t.Helper()
	if m.Fault.Reason >= dnsmsg.NumReasons || m.Fault.Offset < 0 || m.Fault.Offset > len(m.Wire) {
		t.Errorf("fault %d at %d of %d", m.Fault.Reason, m.Fault.Offset, len(m.Wire))
	}
	claimed := int(m.AN) + int(m.NS) + int(m.AR)
	if len(m.Questions) > int(m.QD) || len(m.RRs) > claimed ||
		m.Fault.Reason == dnsmsg.OK && (len(m.Questions) < int(m.QD) || len(m.RRs) < claimed) {
		t.Errorf("fault %v, %d questions of %d, %d records of %d",
			m.Fault.Reason, len(m.Questions), m.QD, len(m.RRs), claimed)
	}
	next := dnsmsg.HeaderLen
	for _, q := range m.Questions {
		next = walk(t, m, next, q.Name) + 4
	}
	opt := -1
	for i, rr := range m.RRs {
		if data := walk(t, m, next, rr.Name) + 10; int(rr.Data) != data {
			t.Errorf("data at %d, want %d", rr.Data, data)
		}
		if next = int(rr.Data) + int(rr.Len); next > len(m.Wire) {
			t.Errorf("data ends at %d of %d", next, len(m.Wire))
		}
		if i > 0 && rr.Section < m.RRs[i-1].Section {
			t.Errorf("section %d after %d", rr.Section, m.RRs[i-1].Section)
		}
		if opt < 0 && rr.Type == dns.TypeOPT && rr.Section == dnsmsg.Additional {
			opt = i
		}
	}
	if m.OPT != opt {
		t.Errorf("OPT is record %d, want %d", m.OPT, opt)
	}
}

// walk checks that a name begins at want and can be read, and returns where it ends.
func walk(t testing.TB, m *dnsmsg.Message, want int, name uint16) int {
	t.Helper()
	if int(name) != want {
		t.Errorf("name at %d, want %d", name, want)
	}
	_, end, err := dns.UnpackDomainName(m.Wire, int(name))
	if err != nil {
		t.Fatalf("name at %d: %v", name, err)
	}
	return end
}
