// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// The block types that are read (draft-ietf-opsawg-pcapng, section 4 and appendix A).
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = magicSection
)

// The options of an interface description (section 4.2); 0 ends them.
const (
	optionEnd    = 0
	optionName   = 2
	optionResol  = 9
	optionOffset = 14
)

// How many bytes a block has at least: 12 around every body, and the fixed part of the body.
const (
	minBlock     = 12
	minInterface = 20
	minSimple    = 16
	minEnhanced  = 32 // and the obsolete packet block
	minSection   = 28
)

const (
	byteOrderMagic = 0x1a2b3c4d

	// maxBlock bounds the blocks that are looked into: a packet and as much again of options.
	// All others are skipped as they stream by, however long they are.
	maxBlock = 2 * maxPacket

	maxInterfaces = 1 << 14 // of a section; a file must not grow the table for ever
	maxName       = 255     // bytes of if_name that are kept: it stands in every record

	// maxTurns bounds the steps of one call that finds no packet, each at most a chunk long, so
	// that a file of nothing but other blocks cannot keep the lane from its clock.
	maxTurns = 64
)

// pcapng is the format of blocks:
//
//	type 4 | total length 4 | body, options | total length 4
//
// The section header among them sets the byte order and forgets the interfaces.
type pcapng struct {
	order  order
	ifaces []iface // of the section

	// The block that is being skipped.
	start   int64  // offset of the block
	skip    int64  // bytes of its body that are left
	trailer uint32 // the total length that must follow; 0 when no block is being skipped
}

// iface is one interface description. The name is ours, and shared by all its packets.
type iface struct {
	name    string
	link    packet.LinkType
	snaplen uint32 // 0 is no limit
	clock   clock
}

func (f *pcapng) next(in *stream, p *packet.Packet) error {
	for range maxTurns {
		if f.trailer != 0 {
			if err := f.finish(in); err != nil {
				return err
			}
			continue
		}
		b, err := in.peek(8)
		if err != nil {
			return in.boundary(err, "block header", 8)
		}
		kind, total := f.order.u32(b), f.order.u32(b[4:])
		switch kind {
		case blockEnhanced, blockPacket:
			return f.enhanced(in, p, kind, total)
		case blockSimple:
			return f.simple(in, p, total)
		case blockSection:
			err = f.section(in)
		case blockInterface:
			err = f.describe(in, total)
		default:
			err = f.leave(in, total, 8, minBlock)
		}
		if err != nil {
			return err
		}
	}
	return capture.ErrIdle
}

// enhanced reads an enhanced packet block, or an obsolete one, which differs in the third row:
//
//	type 4 | total 4 | interface 4, obsolete: interface 2, drops 2 | time, upper 4, lower 4 |
//	captured 4 | length 4 | data | options | total 4
func (f *pcapng) enhanced(in *stream, p *packet.Packet, kind, total uint32) error {
	b, err := f.block(in, total, minEnhanced)
	if err != nil {
		return err
	}
	id := f.order.u32(b[8:])
	if kind == blockPacket {
		id = uint32(f.order.u16(b[8:]))
	}
	if uint64(id) >= uint64(len(f.ifaces)) {
		return fmt.Errorf("offset %d: packet of interface %d, but the section describes %d: "+
			"the capture is damaged", in.off, id, len(f.ifaces))
	}
	from := &f.ifaces[id]
	captured, length := f.order.u32(b[20:]), f.order.u32(b[24:])
	if room := total - minEnhanced; captured > min(room, maxPacket) {
		return crowded(in.off, captured, room)
	}
	in.consume(len(b))
	p.Data = b[28 : 28+captured : 28+captured]
	p.Length = int(max(length, captured))
	p.Time = from.clock.nanoseconds(uint64(f.order.u32(b[12:]))<<32 | uint64(f.order.u32(b[16:])))
	p.Link, p.Tag, p.Interface = from.link, packet.Tag{}, from.name
	return nil
}

// simple reads a simple packet block, which is of interface 0 and has no time:
//
//	type 4 | total 4 | length 4 | data, cut at the snapshot length | total 4
func (f *pcapng) simple(in *stream, p *packet.Packet, total uint32) error {
	b, err := f.block(in, total, minSimple)
	if err != nil {
		return err
	}
	if len(f.ifaces) == 0 {
		return fmt.Errorf("offset %d: packet of interface 0, but the section describes none: "+
			"the capture is damaged", in.off)
	}
	from := &f.ifaces[0]
	length := f.order.u32(b[8:])
	captured := length
	if from.snaplen != 0 {
		captured = min(captured, from.snaplen)
	}
	if room := total - minSimple; captured > min(room, maxPacket) {
		return crowded(in.off, captured, room)
	}
	in.consume(len(b))
	p.Data = b[12 : 12+captured : 12+captured]
	p.Length = int(max(length, captured))
	p.Time = 0
	p.Link, p.Tag, p.Interface = from.link, packet.Tag{}, from.name
	return nil
}

// crowded is the error of a packet that is impossible, or does not fit in the room of its block.
func crowded(off int64, captured, room uint32) error {
	return fmt.Errorf("offset %d: packet of %d captured bytes in a block that holds %d, where a "+
		"packet may have %d: the capture is damaged", off, captured, room, maxPacket)
}

// block peeks a whole block of total bytes, and proves that it has least of them and ends as it
// began.
func (f *pcapng) block(in *stream, total, least uint32) ([]byte, error) {
	if total < least || total%4 != 0 {
		return nil, odd(in.off, total, least)
	}
	if total > maxBlock {
		return nil, fmt.Errorf("offset %d: block of %d bytes, more than the %d that its type may "+
			"have: the capture is damaged", in.off, total, maxBlock)
	}
	b, err := in.peek(int(total))
	if err != nil {
		return nil, in.lack(err, "block", int(total))
	}
	if again := f.order.u32(b[total-4:]); again != total {
		return nil, differ(in.off, total, again)
	}
	return b[:total], nil
}

// odd is the error of a block whose total cannot be its length.
func odd(off int64, total, least uint32) error {
	return fmt.Errorf("offset %d: block of %d bytes, where %d or more and a multiple of 4 are "+
		"needed: the capture is damaged", off, total, least)
}

// differ is the error of a block whose lengths before and behind its body are not the same.
func differ(off int64, total, again uint32) error {
	return fmt.Errorf("offset %d: block of %d bytes ends with a length of %d: the capture is damaged",
		off, total, again)
}

// leave consumes the n bytes of a block that have been looked at; finish skips the others.
func (f *pcapng) leave(in *stream, total uint32, n int, least uint32) error {
	if total < least || total%4 != 0 {
		return odd(in.off, total, least)
	}
	f.start, f.skip, f.trailer = in.off, int64(total)-int64(n)-4, total
	in.consume(n)
	return nil
}

// finish goes on skipping the current block: by one chunk at most, or past its end.
func (f *pcapng) finish(in *stream) error {
	if f.skip > 0 {
		n, err := in.discard(f.skip)
		f.skip -= n
		return f.cut(in, err)
	}
	b, err := in.peek(4)
	if err != nil {
		return f.cut(in, err)
	}
	if again := f.order.u32(b); again != f.trailer {
		return differ(f.start, f.trailer, again)
	}
	f.trailer = 0
	in.consume(4)
	return nil
}

// cut is stream.lack for the block that is being skipped.
func (f *pcapng) cut(in *stream, err error) error {
	if err != io.EOF {
		return in.fault(err)
	}
	return cutShort(f.start, "block", int64(f.trailer), in.off-f.start+int64(len(in.carry)))
}

// section reads the header of a section:
//
//	type 4 | total 4 | byte-order magic 4 | major 2 | minor 2 | section length 8 | options | total 4
//
// The length of the section is not used: it may be unknown, and nobody skips a section here.
func (f *pcapng) section(in *stream) error {
	const fixed = minSection - 4
	b, err := in.peek(12)
	if err != nil {
		return in.lack(err, "section header", minSection)
	}
	switch {
	case little.u32(b[8:]) == byteOrderMagic:
		f.order = little
	case big.u32(b[8:]) == byteOrderMagic:
		f.order = big
	default:
		return fmt.Errorf("offset %d: section header with byte-order magic % x, where 1a 2b 3c 4d or "+
			"its reverse is needed: the capture is damaged", in.off, b[8:12])
	}
	total := f.order.u32(b[4:])
	if b, err = in.peek(fixed); err != nil {
		return in.lack(err, "section header", int(max(total, minSection)))
	}
	if major := f.order.u16(b[12:]); major != 1 {
		return fmt.Errorf("offset %d: pcapng version %d.%d is not read: version 1 is",
			in.off, major, f.order.u16(b[14:]))
	}
	f.ifaces = f.ifaces[:0]
	return f.leave(in, total, fixed, minSection)
}

// describe reads an interface description:
//
//	type 4 | total 4 | LINKTYPE 2 | reserved 2 | snaplen 4 | options | total 4
func (f *pcapng) describe(in *stream, total uint32) error {
	b, err := f.block(in, total, minInterface)
	if err != nil {
		return err
	}
	if len(f.ifaces) == maxInterfaces {
		return fmt.Errorf("offset %d: more than %d interfaces in a section: the capture is damaged",
			in.off, maxInterfaces)
	}
	one := iface{
		link:    packet.LinkType(f.order.u16(b[8:])),
		snaplen: f.order.u32(b[12:]),
		clock:   newClock(6, 0), // microseconds unless an option says otherwise
	}
	if err := f.options(&one, b[16:total-4]); err != nil {
		return fmt.Errorf("offset %d: interface %d: %w", in.off, len(f.ifaces), err)
	}
	f.ifaces = append(f.ifaces, one)
	in.consume(len(b))
	return nil
}

// options reads those of an interface description: code 2 | length 2 | value, padded to 4. What
// gives a packet its time is read strictly: a wrong time is worse than an error.
func (f *pcapng) options(one *iface, b []byte) error {
	resol, offset := uint8(6), int64(0)
	for len(b) >= 4 {
		code, n := f.order.u16(b), int(f.order.u16(b[2:]))
		b = b[4:]
		if code == optionEnd {
			break
		}
		if n > len(b) {
			return fmt.Errorf("option %d of %d bytes in a block that has %d left: "+
				"the capture is damaged", code, n, len(b))
		}
		value := b[:n]
		b = b[min((n+3)&^3, len(b)):]
		switch {
		case code == optionName:
			one.name = cleanName(value)
		case code == optionResol && n == 1:
			resol = value[0]
		case code == optionOffset && n == 8:
			offset = int64(f.order.u64(value))
		case code == optionResol || code == optionOffset:
			return fmt.Errorf("option %d (time) of %d bytes: the capture is damaged", code, n)
		}
	}
	one.clock = newClock(resol, offset)
	return nil
}

// cleanName makes a string of an if_name: up to a NUL, which some writers add, and valid UTF-8,
// which the format demands and does not enforce.
func cleanName(b []byte) string {
	b, _, _ = bytes.Cut(b[:min(len(b), maxName)], []byte{0})
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
