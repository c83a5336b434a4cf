// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// The numbers that a file begins with, as its writer's byte order shows them
// (draft-ietf-opsawg-pcap, section 4; draft-ietf-opsawg-pcapng, section 4.1).
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // Kuznetzov's: records have an interface index and more
	magicSection  = 0x0a0d0d0a // the type of a pcapng section header, the same in both orders
)

const (
	fileHeaderLen     = 24
	recordHeaderLen   = 16
	modifiedHeaderLen = 24
)

// order is the byte order of the machine that wrote the file. It is a flag and not a
// binary.ByteOrder, whose methods are calls through an interface: four of them for each packet.
type order uint8

const (
	little order = iota
	big
)

func (o order) u16(b []byte) uint16 {
	if o == big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (o order) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if o == big {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (o order) u64(b []byte) uint64 {
	if o == big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

// identify finds the format by the first four bytes, and consumes the header of pcap.
func identify(in *stream) (format, error) {
	b, err := in.peek(4)
	switch {
	case err == io.EOF && len(in.carry) == 0:
		return nil, refusal("it is empty: a capture has at least a file header")
	case err == io.EOF:
		return nil, foreign(in.carry)
	case err != nil:
		return nil, in.lack(err, "file header", fileHeaderLen)
	}
	magic := binary.LittleEndian.Uint32(b)
	if magic == magicSection {
		return &pcapng{}, nil
	}
	f := &pcap{headerLen: recordHeaderLen, unit: 1000}
	if b[0] == 0xa1 {
		f.order, magic = big, bits.ReverseBytes32(magic)
	}
	switch magic {
	case magicMicro:
	case magicNano:
		f.unit = 1
	case magicModified:
		f.headerLen = modifiedHeaderLen
	default:
		return nil, foreign(b[:4])
	}
	if err := f.header(in); err != nil {
		return nil, err
	}
	return f, nil
}

// foreign is the error for a file that begins with b and is no capture.
func foreign(b []byte) error {
	return refusal(fmt.Sprintf("not a capture file, for it begins with % x (%q): pcap and pcapng are "+
		"read, plain or compressed with gzip, zstd, xz or lz4", b, b))
}

// pcap is the classic format: a file header, then records.
//
//	file    magic 4 | major 2 | minor 2 | zone 4 | sigfigs 4 | snaplen 4 | FCS 4 bits, LINKTYPE 28
//	record  seconds 4 | fraction 4 | captured 4 | length 4 | [modified: 8 more] | captured bytes
type pcap struct {
	order     order
	link      packet.LinkType
	minor     uint16
	headerLen int   // of a record
	unit      int64 // of the fraction of a second, in nanoseconds
}

// header reads the file header.
func (f *pcap) header(in *stream) error {
	b, err := in.peek(fileHeaderLen)
	if err != nil {
		return in.lack(err, "file header", fileHeaderLen)
	}
	major := f.order.u16(b[4:])
	if major < 2 {
		return fmt.Errorf("offset 4: pcap version %d.%d is not read: versions from 2.0 on are",
			major, f.order.u16(b[6:]))
	}
	f.minor = f.order.u16(b[6:])
	// The upper half says whether frames end with a check sequence, which decode does not look at.
	f.link = packet.LinkType(f.order.u32(b[20:]))
	in.consume(fileHeaderLen)
	return nil
}

func (f *pcap) next(in *stream, p *packet.Packet) error {
	b, err := in.peek(f.headerLen)
	if err != nil {
		return in.boundary(err, "record header", f.headerLen)
	}
	seconds, fraction := f.order.u32(b), f.order.u32(b[4:])
	captured, length := f.order.u32(b[8:]), f.order.u32(b[12:])
	if f.minor < 4 && captured > length {
		captured, length = length, captured // before version 2.4 the two stood either way
	}
	if captured > maxPacket {
		return fmt.Errorf("offset %d: record of %d captured bytes, more than the %d that a packet "+
			"may have: the capture is damaged", in.off, captured, maxPacket)
	}
	n := f.headerLen + int(captured)
	if b, err = in.next(n); err != nil {
		return in.lack(err, "record", n)
	}
	// Field by field: a packet built apart and copied costs half as much time again.
	p.Data = b[f.headerLen:]
	p.Length = int(max(length, captured))
	p.Time = int64(seconds)*second + int64(fraction)*f.unit
	p.Link, p.Tag, p.Interface = f.link, packet.Tag{}, ""
	return nil
}
