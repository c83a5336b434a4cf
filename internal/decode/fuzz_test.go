// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// FuzzFrame decodes any bytes as frames of any link type, one after the other, so that what one
// leaves behind meets the next. Each frame in data has its length before it, in two bytes, and in
// one more how many seconds it came after the one before. beyond is how many bytes the capture cut
// off each.
func FuzzFrame(f *testing.F) {
	add := func(packets ...packet.Packet) {
		p := packets[0]
		f.Add(uint16(p.Link), p.Tag.TCI, uint16(max(0, p.Length-len(p.Data))), script(packets))
	}
	all := append(shapes(), captured(f)...)
	for i, p := range all {
		add(p)
		if next := all[i+1 : min(i+8, len(all))]; i%8 == 0 {
			add(append([]packet.Packet{p}, next...)...)
		}
	}
	for _, parts := range fragmented() {
		var packets []packet.Packet
		for _, b := range parts {
			packets = append(packets, ether(onEthernet(b)))
		}
		add(packets...)
	}
	add(both())
	f.Fuzz(func(t *testing.T, link, tci, beyond uint16, data []byte) {
		p := packet.Packet{Link: packet.LinkType(link)}
		if tci != 0 {
			p.Tag = packet.Tag{TPID: 0x8100, TCI: tci}
		}
		d := newDecoder(t, func(m *dnsmsg.Message) {
			if m.Transport == dnsmsg.UDP && !m.Fragmented {
				honest(t, &p, m)
			}
			sound(t, m) // else its bytes can be those of other packets, too
		})
		for len(data) >= 3 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-3)
			p.Time += int64(data[2]) * 1e9
			p.Data = bytes.Clone(data[3 : 3+n])[:n:n]
			p.Length = n + int(beyond)
			data = data[3+n:]
			d.Decode(&p)
			for i := range p.Data { // what the source does with it
				p.Data[i] = 0xaa
			}
			balanced(t, d)
		}
		p.Data, p.Length = nil, 0
		d.Flush()
		balanced(t, d)
		if c := d.Counters(); c.Held != 0 {
			t.Errorf("%d packets are held after the end", c.Held)
		}
	})
}

// script writes packets as FuzzFrame reads them, one second apart.
func script(packets []packet.Packet) []byte {
	var b []byte
	for _, p := range packets {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p.Data))), 1)
		b = append(b, p.Data...)
	}
	return b
}

// fragmented returns datagrams in fragments, in and around tunnels.
func fragmented() [][][]byte {
	whole4, whole6 := ipv4(17, udp(53, 40000, answer)), ipv6(17, udp(53, 40000, answer))
	reversed := fragments4(7, whole4, 24)
	slices.Reverse(reversed)
	return [][][]byte{
		fragments4(7, whole4, 24), fragments6(7, whole6, 24), reversed,
		wrapped(fragments4(7, whole4, 24), inVXLAN), fragments4(7, inVXLAN(whole4), 40),
		fragments6(8, fragments6(7, whole6, 24)[0], 16),
	}
}

// FuzzWire parses any bytes as a message.
func FuzzWire(f *testing.F) {
	f.Add([]byte(query), false)
	f.Add([]byte(answer), false)
	f.Add([]byte(answer[:len(answer)-1]), true)
	d := newDecoder(f, func(m *dnsmsg.Message) { f.Add(m.Wire, m.Cut) })
	for _, p := range captured(f) {
		d.Decode(&p)
	}
	var m dnsmsg.Message
	f.Fuzz(func(t *testing.T, data []byte, cut bool) {
		if len(data) > 1<<16-1 {
			t.Skip("longer than any transport carries")
		}
		m.Wire, m.Cut = data[:len(data):len(data)], cut
		wire.Parse(&m)
		sound(t, &m)
		if m.Fault.Reason == dnsmsg.Cut && !cut {
			t.Error("a whole message is cut")
		}
	})
}

// captured returns the packets of the captures in testdata. It reads classic capture files of
// this machine's byte order, which is what the project records, and passes over all else: those
// are seeds, and the tests of the sensor compare every capture with what it should give.
func captured(f *testing.F) []packet.Packet {
	f.Helper()
	files, err := filepath.Glob("../../testdata/*.pcap")
	if err != nil {
		f.Fatal(err)
	}
	var packets []packet.Packet
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		const fileHeader, recordHeader = 24, 16
		if len(b) < fileHeader || binary.LittleEndian.Uint16(b[2:]) != 0xa1b2 {
			continue
		}
		link := packet.LinkType(binary.LittleEndian.Uint16(b[20:]))
		for b = b[fileHeader:]; len(b) > recordHeader; {
			n := int(binary.LittleEndian.Uint32(b[8:]))
			length := int(binary.LittleEndian.Uint32(b[12:]))
			b = b[recordHeader:]
			if n > len(b) {
				f.Fatalf("%s: a record of %d bytes, %d left", file, n, len(b))
			}
			packets = append(packets, packet.Packet{Data: b[:n], Length: length, Link: link})
			b = b[n:]
		}
	}
	return packets
}
