// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// FuzzFrame decodes any bytes as a frame of any link type. beyond is how many bytes the capture
// cut off.
func FuzzFrame(f *testing.F) {
	for _, p := range append(shapes(), captured(f)...) {
		f.Add(uint16(p.Link), p.Tag.TCI, uint16(max(0, p.Length-len(p.Data))), p.Data)
	}
	d := newDecoder(f, nil)
	f.Fuzz(func(t *testing.T, link, tci, beyond uint16, data []byte) {
		p := packet.Packet{
			Data: data[:len(data):len(data)], Length: len(data) + int(beyond),
			Link: packet.LinkType(link),
		}
		if tci != 0 {
			p.Tag = packet.Tag{TPID: 0x8100, TCI: tci}
		}
		d.emit = func(m *dnsmsg.Message) { honest(t, &p, m) }
		d.Decode(&p)
		balanced(t, d)
	})
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
