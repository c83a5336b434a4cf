// SPDX-License-Identifier: Apache-2.0

// Package encodetest has the messages that every encoder is tested with, and reads records in
// formats that no one can read without help. It serves tests alone.
package encodetest

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// Lane3 is an identity for records.
var Lane3 = encode.Identity{Sensor: "sensor-01", Run: "20260102T030405.678Z", Lane: 3}

// Flags of a message, and the question for example.com.
const (
	Query     = uint16(0x0100) // RD
	Response  = uint16(0x8180) // QR, RD, RA
	ToExample = "\x07example\x03com\x00\x00\x01\x00\x01"
)

// parts are what a message is built from.
type parts struct {
	flags                         uint16
	questions                     []string // name, class, type
	answer, authority, additional []string // as in a zone file
	edns                          string   // the OPT record from its class on, without the length
}

// EDNS version 0, 1232 bytes, with the DO bit, and without.
const (
	EDNSDO = "\x04\xd0\x00\x00\x80\x00"
	EDNS0  = "\x04\xd0\x00\x00\x00\x00"
)

// Option builds an EDNS option.
func Option(code uint16, data string) string {
	b := binary.BigEndian.AppendUint16(nil, code)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(data)))) + data
}

// OPT builds an OPT record.
func OPT(edns string) string {
	fixed, options := edns[:6], edns[6:]
	return "\x00\x00\x29" + fixed + string(binary.BigEndian.AppendUint16(nil, uint16(len(options)))) +
		options
}

// wire builds a message with compressed names.
func (p parts) wire(t testing.TB) []byte {
	t.Helper()
	msg := dns.Msg{Compress: true}
	for _, q := range p.questions {
		f := strings.Fields(q)
		msg.Question = append(msg.Question, dns.Question{
			Name: f[0], Qclass: dns.StringToClass[f[1]], Qtype: dns.StringToType[f[2]],
		})
	}
	for section, lines := range map[*[]dns.RR][]string{
		&msg.Answer: p.answer, &msg.Ns: p.authority, &msg.Extra: p.additional,
	} {
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			*section = append(*section, rr)
		}
	}
	b, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(b, 0x2b67)
	binary.BigEndian.PutUint16(b[2:], p.flags)
	if p.edns != "" {
		b = append(b, OPT(p.edns)...)
		b[11]++
	}
	return b
}

// Header builds a message from its counts and what follows them.
func Header(flags uint16, qd, an, ns, ar int, body ...string) []byte {
	b := []byte{0x2b, 0x67}
	for _, v := range []int{int(flags), qd, an, ns, ar} {
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	}
	return append(b, strings.Join(body, "")...)
}

// Record builds a record whose owner is given as on the wire.
func Record(owner string, rrtype, class uint16, data string) string {
	b := binary.BigEndian.AppendUint16([]byte(owner), rrtype)
	b = binary.BigEndian.AppendUint16(b, class)
	b = binary.BigEndian.AppendUint32(b, 300)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return string(b) + data
}

// Message reads b as decode does, a datagram between two documentation addresses.
func Message(b []byte, change func(*dnsmsg.Message)) *dnsmsg.Message {
	m := &dnsmsg.Message{
		Time: 1790000000_123456789, Wire: b, Size: len(b), SrcPort: 51824, DstPort: 53,
		Src: netip.MustParseAddr("192.0.2.7"), Dst: netip.MustParseAddr("198.51.100.53"),
	}
	if len(b) > 3 && b[2]&0x80 != 0 {
		m.Src, m.Dst, m.SrcPort, m.DstPort = m.Dst, m.Src, m.DstPort, m.SrcPort
	}
	if change != nil {
		change(m)
	}
	wire.Parse(m)
	return m
}
