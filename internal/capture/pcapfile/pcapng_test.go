// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/google/go-cmp/cmp"
)

func TestPcapngFormats(t *testing.T) {
	for _, test := range []struct {
		name string
		file []byte
		want []got
	}{
		{"a section header alone holds no packet", sectionBlock(le), nil},
		{"microseconds unless it is said otherwise",
			join(sectionBlock(be), interfaceBlock(be, 1, 0),
				enhancedBlock(be, 0, epoch2026*1e6+5, "one")),
			[]got{{"one", 3, epoch2026*second + 5000, 1, ""}}},
		{"each interface has its link type, name and resolution",
			join(sectionBlock(le, option(le, 4, "a writer")),
				interfaceBlock(le, 1, 0, option(le, optionName, "eth0"), option(le, optionResol, "\x09"),
					option(le, optionEnd, ""), option(le, optionName, "behind the end")),
				interfaceBlock(le, 113, 0, option(le, optionName, "any\x00xx"),
					option(le, optionResol, "\x83"), option(le, optionOffset, "\x0a"+zeros(7))),
				enhancedBlock(le, 1, 12, "cooked"),
				enhancedBlock(le, 0, 7, "ether")),
			[]got{{"cooked", 6, 11.5 * second, packet.LinkSLL, "any"},
				{"ether", 5, 7, packet.LinkEthernet, "eth0"}}},
		{"each section has its byte order and its interfaces",
			join(sectionBlock(le), interfaceBlock(le, 1, 0, option(le, optionName, "a")),
				enhancedBlock(le, 0, 1, "little"),
				sectionBlock(be), interfaceBlock(be, 101, 0), enhancedBlock(be, 0, 2, "big")),
			[]got{{"little", 6, 1000, 1, "a"}, {"big", 3, 2000, 101, ""}}},
		{"simple packets have no time, and the snapshot length of interface 0",
			join(sectionBlock(le), interfaceBlock(le, 1, 4, option(le, optionName, "a")),
				block(le, blockSimple, fields(le, uint32(9), "abcd")),
				block(le, blockSimple, fields(le, uint32(3), "xyz"))),
			[]got{{"abcd", 9, 0, 1, "a"}, {"xyz", 3, 0, 1, "a"}}},
		{"a simple packet without a snapshot length",
			join(sectionBlock(le), interfaceBlock(le, 1, 0),
				block(le, blockSimple, fields(le, uint32(3), "xyz"))),
			[]got{{"xyz", 3, 0, 1, ""}}},
		{"the obsolete packet block has 16 bits of interface, 16 of drops",
			join(sectionBlock(be), interfaceBlock(be, 1, 0),
				block(be, blockPacket, fields(be, uint16(0), uint16(99), uint32(1), uint32(2),
					uint32(3), uint32(60), "xyz"))),
			[]got{{"xyz", 60, (1<<32 + 2) * 1000, 1, ""}}},
		{"other blocks and options of packets are skipped",
			join(sectionBlock(le), block(le, 0xbad, []byte("custom")), interfaceBlock(le, 1, 0),
				block(le, 5, make([]byte, 3*chunkSize)), block(le, 0x80000001, nil),
				block(le, blockEnhanced, join(fields(le, uint32(0), uint32(0), uint32(1), uint32(4),
					uint32(4), "data"), option(le, 1, "a comment"), option(le, 0, "")))),
			[]got{{"data", 4, 1000, 1, ""}}},
		{"a name that is not UTF-8 is mended, a long one is cut",
			join(sectionBlock(le),
				interfaceBlock(le, 1, 0, option(le, optionName, "a\xff")),
				interfaceBlock(le, 1, 0, option(le, optionName, strings.Repeat("n", 300))),
				enhancedBlock(le, 0, 0, "x"), enhancedBlock(le, 1, 0, "y")),
			[]got{{"x", 1, 0, 1, "a\uFFFD"}, {"y", 1, 0, 1, strings.Repeat("n", maxName)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, whole(t, test.file)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.want, whole(t, zstandarded(test.file))); diff != "" {
				t.Errorf("compressed: %s", diff)
			}
		})
	}
}

func TestPcapngRefused(t *testing.T) {
	head := join(sectionBlock(le), interfaceBlock(le, 1, 0)) // 28 and 20 bytes
	enhanced := func(id, captured uint32) []byte {
		return block(le, blockEnhanced, fields(le, id, uint32(0), uint32(0), captured, captured, "four"))
	}
	const damaged = ": the capture is damaged"
	for _, test := range []struct {
		name string
		tail []byte
		want string
	}{
		{"a block shorter than a block", fields(le, uint32(77), uint32(8), uint32(8)),
			"offset 48: block of 8 bytes, where 12 or more and a multiple of 4 are needed" + damaged},
		{"a length that is no multiple of 4", fields(le, uint32(77), uint32(14), "0123456789"),
			"offset 48: block of 14 bytes, where 12 or more and a multiple of 4 are needed" + damaged},
		{"a packet block shorter than its fixed part", block(le, blockEnhanced, make([]byte, 16)),
			"offset 48: block of 28 bytes, where 32 or more and a multiple of 4 are needed" + damaged},
		{"a simple block shorter than its fixed part", block(le, blockSimple, nil),
			"offset 48: block of 12 bytes, where 16 or more and a multiple of 4 are needed" + damaged},
		{"a section shorter than its fixed part",
			fields(le, uint32(blockSection), uint32(24), uint32(byteOrderMagic), uint32(1), uint64(0)),
			"offset 48: block of 24 bytes, where 28 or more and a multiple of 4 are needed" + damaged},
		{"a packet block of 4 GB", fields(le, uint32(blockEnhanced), uint32(0xfffffffc), uint64(0)),
			"offset 48: block of 4294967292 bytes, more than the 524288 that its type may have" + damaged},
		{"lengths that differ around a packet",
			fields(le, uint32(blockEnhanced), uint32(32), zeros(20), uint32(36)),
			"offset 48: block of 32 bytes ends with a length of 36" + damaged},
		{"lengths that differ around another block",
			fields(le, uint32(77), uint32(16), uint32(0), uint32(12)),
			"offset 48: block of 16 bytes ends with a length of 12" + damaged},
		{"an interface that is not described", enhanced(1, 4),
			"offset 48: packet of interface 1, but the section describes 1" + damaged},
		{"interface 4294967295", enhanced(1<<32-1, 4),
			"offset 48: packet of interface 4294967295, but the section describes 1" + damaged},
		{"a simple packet without any interface",
			join(sectionBlock(le), block(le, blockSimple, fields(le, uint32(0)))),
			"offset 76: packet of interface 0, but the section describes none" + damaged},
		{"a packet longer than its block", enhanced(0, 5),
			"offset 48: packet of 5 captured bytes in a block that holds 4, where a packet may " +
				"have 262144" + damaged},
		{"a simple packet longer than its block", block(le, blockSimple, fields(le, uint32(5), "four")),
			"offset 48: packet of 5 captured bytes in a block that holds 4, where a packet may " +
				"have 262144" + damaged},
		{"a packet longer than packets are", block(le, blockEnhanced, fields(le, uint32(0), uint64(0),
			uint32(maxPacket+1), uint32(maxPacket+1), strings.Repeat("x", maxPacket+4))),
			"offset 48: packet of 262145 captured bytes in a block that holds 262148, where a " +
				"packet may have 262144" + damaged},
		{"an unknown byte order", block(le, blockSection, make([]byte, 16)),
			"offset 48: section header with byte-order magic 00 00 00 00, where 1a 2b 3c 4d or its " +
				"reverse is needed" + damaged},
		{"another version", block(le, blockSection, fields(le, uint32(byteOrderMagic), uint16(2),
			uint16(1), uint64(0))), "offset 48: pcapng version 2.1 is not read: version 1 is"},
		{"an option that runs out of its block",
			interfaceBlock(le, 1, 0, fields(le, uint16(9), uint16(5), uint32(0))),
			"offset 48: interface 1: option 9 of 5 bytes in a block that has 4 left" + damaged},
		{"a resolution of two bytes",
			interfaceBlock(le, 1, 0, option(le, optionResol, "\x06\x06")),
			"offset 48: interface 1: option 9 (time) of 2 bytes" + damaged},
		{"an offset of four bytes",
			interfaceBlock(le, 1, 0, option(le, optionOffset, "\x06\x06\x00\x00")),
			"offset 48: interface 1: option 14 (time) of 4 bytes" + damaged},
		{"more interfaces than a capture has",
			bytes.Repeat(interfaceBlock(le, 1, 0), maxInterfaces),
			fmt.Sprintf("offset %d: more than 16384 interfaces in a section"+damaged,
				48+20*(maxInterfaces-1))},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readBytes(t, join(head, test.tail))
			want := "pcapfile: x: " + test.want + "; 0 packets before it were read"
			if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

func TestPcapngCutAtEveryByte(t *testing.T) {
	var file []byte
	var ends []int
	for _, b := range [][]byte{
		sectionBlock(le, option(le, 4, "a writer")),
		interfaceBlock(le, 1, 0, option(le, optionName, "eth0")),
		enhancedBlock(le, 0, 1, "first"),
		block(le, 0xbad, []byte("custom")),
		block(le, blockSimple, fields(le, uint32(6), "second")),
		sectionBlock(be),
		interfaceBlock(be, 1, 0),
		block(be, blockPacket, fields(be, uint32(0), uint64(0), uint32(5), uint32(5), "third")),
	} {
		file = append(file, b...)
		ends = append(ends, len(file))
	}
	cuts(t, file, whole(t, file), ends)
}

func TestClock(t *testing.T) {
	const most = packet.MaxTime / second
	for _, test := range []struct {
		name   string
		resol  uint8
		offset int64
		units  uint64
		want   int64
	}{
		{"seconds", 0, 0, epoch2026, epoch2026 * second},
		{"seconds beyond 2116", 0, 0, 1 << 33, packet.MaxTime},
		{"milliseconds", 3, 0, 1500, 1.5 * second},
		{"microseconds", 6, 0, 1, 1000},
		{"microseconds, all bits set", 6, 0, math.MaxUint64, packet.MaxTime},
		{"nanoseconds", 9, 0, 1, 1},
		{"nanoseconds, all bits set", 9, 0, math.MaxUint64, packet.MaxTime},
		{"picoseconds", 12, 0, 1999, 1},
		{"the finest that matters", 28, 0, math.MaxUint64, 1},
		{"finer than that", 29, 0, math.MaxUint64, 0},
		{"the finest power of ten", 127, 0, math.MaxUint64, 0},
		{"two to the minus 0 is seconds", 0x80, 0, 3, 3 * second},
		{"two to the minus 1", 0x81, 0, 3, 1.5 * second},
		{"two to the minus 32, as NTP", 0xa0, 0, epoch2026<<32 | 1<<31, epoch2026*second + second/2},
		{"two to the minus 63", 0xbf, 0, 1 << 62, second / 2},
		{"two to the minus 64", 0xc0, 0, 1 << 63, second / 2},
		{"two to the minus 65", 0xc1, 0, 1 << 63, second / 4},
		{"the finest power of two", 0xff, 0, math.MaxUint64, 0},
		{"an offset", 9, 2, 5, 2*second + 5},
		{"an offset into the past", 9, -2, 5, -2*second + 5},
		{"hundreds of nanoseconds since 1900", 7, -2208988800, (epoch2026 + 2208988800) * 1e7,
			epoch2026 * second},
		{"hundreds of nanoseconds since 1601, as Windows counts", 7, -11644473600,
			(epoch2026 + 11644473600) * 1e7, epoch2026 * second},
		{"two to the minus 24 since the year 1", 0x98, -62135596800, (epoch2026 + 62135596800) << 24,
			epoch2026 * second},
		{"1823, to the nanosecond", 9, -most - 1, second - packet.MaxTime%second, -packet.MaxTime},
		{"a nanosecond before 1823", 9, -most - 1, second - packet.MaxTime%second - 1, -packet.MaxTime},
		{"2116, to the nanosecond", 9, most, packet.MaxTime % second, packet.MaxTime},
		{"a nanosecond before 2116", 9, most, packet.MaxTime%second - 1, packet.MaxTime - 1},
		{"an offset out of range", 9, math.MaxInt64, 0, packet.MaxTime},
		{"an offset out of range, and more", 9, math.MaxInt64, math.MaxInt64, packet.MaxTime},
		{"an offset out of range into the past", 9, math.MinInt64, 0, -packet.MaxTime},
		{"seconds out of range, and an offset that takes them back", 0, -(1 << 61), 1<<61 + 7, 7 * second},
		{"seconds that no offset takes back", 0, math.MinInt64, math.MaxUint64, packet.MaxTime},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock(test.resol, test.offset)
			if got := c.nanoseconds(test.units); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// TestNoPackets proves that a capture of other blocks alone gives the lane its turns.
func TestNoPackets(t *testing.T) {
	s := NewReader("x", newEndless(sectionBlock(le),
		bytes.Repeat(block(le, 77, nil), 1<<14)))
	var p packet.Packet
	for before := int64(0); before < 10*chunkSize; before = s.in.off {
		if err := s.Next(&p); err != capture.ErrIdle {
			t.Fatal(err)
		}
		if read := s.in.off - before; read > 4096 {
			t.Fatalf("one call went past %d bytes", read)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
