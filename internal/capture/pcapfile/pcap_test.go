// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/google/go-cmp/cmp"
)

const epoch2026 = 1_767_225_600 // seconds

func TestPcapFormats(t *testing.T) {
	oldHeader := fields(le, uint32(magicMicro), uint16(2), uint16(3), uint32(0), uint32(0),
		uint32(65535), uint32(1))
	for _, test := range []struct {
		name string
		file []byte
		want []got
	}{
		{"a header alone holds no packet", fileHeader(le, magicMicro, 1), nil},
		{"little endian, microseconds",
			join(fileHeader(le, magicMicro, 1), record(le, epoch2026, 123456, "one")),
			[]got{{"one", 3, epoch2026*second + 123456000, packet.LinkEthernet, ""}}},
		{"big endian, microseconds",
			join(fileHeader(be, magicMicro, 276), record(be, epoch2026, 123456, "one")),
			[]got{{"one", 3, epoch2026*second + 123456000, packet.LinkSLL2, ""}}},
		{"little endian, nanoseconds",
			join(fileHeader(le, magicNano, 101), record(le, epoch2026, 123456789, "one")),
			[]got{{"one", 3, epoch2026*second + 123456789, packet.LinkRaw, ""}}},
		{"big endian, nanoseconds",
			join(fileHeader(be, magicNano, 0), record(be, epoch2026, 123456789, "one")),
			[]got{{"one", 3, epoch2026*second + 123456789, packet.LinkNull, ""}}},
		{"seconds are unsigned: 2039 and 2106",
			join(fileHeader(le, magicMicro, 1), record(le, 1<<31+1, 0, "a"),
				record(le, 1<<32-1, 999999, "b")),
			[]got{{"a", 1, (1<<31 + 1) * second, 1, ""},
				{"b", 1, (1<<32-1)*second + 999999000, 1, ""}}},
		{"a length of the check sequence stands beside the link type",
			join(fileHeader(le, magicMicro, 0x54000001), record(le, 1, 0, "a")),
			[]got{{"a", 1, second, 1, ""}}},
		{"records of the modified format have eight bytes more",
			join(fileHeader(be, magicModified, 1),
				fields(be, uint32(7), uint32(8), uint32(3), uint32(9), uint64(0), "abc")),
			[]got{{"abc", 9, 7*second + 8000, 1, ""}}},
		{"the snapshot length cut a frame",
			join(fileHeader(le, magicMicro, 1),
				fields(le, uint32(1), uint32(0), uint32(3), uint32(1500), "abc")),
			[]got{{"abc", 1500, second, 1, ""}}},
		{"a length on the wire below the captured one is mended",
			join(fileHeader(le, magicMicro, 1),
				fields(le, uint32(1), uint32(0), uint32(3), uint32(2), "abc")),
			[]got{{"abc", 3, second, 1, ""}}},
		{"an empty frame is a packet",
			join(fileHeader(le, magicMicro, 1), record(le, 1, 0, "")),
			[]got{{"", 0, second, 1, ""}}},
		{"before version 2.4 the lengths stand either way",
			join(oldHeader, fields(le, uint32(1), uint32(0), uint32(9), uint32(3), "abc"),
				fields(le, uint32(1), uint32(0), uint32(3), uint32(9), "abc")),
			[]got{{"abc", 9, second, 1, ""}, {"abc", 9, second, 1, ""}}},
		{"a packet of the greatest length",
			join(fileHeader(le, magicMicro, 1), record(le, 1, 0, strings.Repeat("x", maxPacket))),
			[]got{{strings.Repeat("x", maxPacket), maxPacket, second, 1, ""}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, whole(t, test.file)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	header := fileHeader(le, magicMicro, 1)
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"an empty file", nil, "pcapfile: x: it is empty: a capture has at least a file header"},
		{"a compressed empty file", gzipped(nil),
			"pcapfile: x: it is empty: a capture has at least a file header"},
		{"a script", []byte("#!/bin/sh\n"), `pcapfile: x: not a capture file, for it begins with ` +
			`23 21 2f 62 ("#!/b"): pcap and pcapng are read, plain or compressed with gzip, zstd, xz or lz4`},
		{"two bytes", []byte("\xd4\xc3"), `pcapfile: x: not a capture file, for it begins with ` +
			`d4 c3 ("\xd4\xc3"): pcap and pcapng are read, plain or compressed with gzip, zstd, xz or lz4`},
		{"gzip in gzip", gzipped(gzipped(header)), `pcapfile: x: not a capture file, for it begins ` +
			`with 1f 8b 08 00 ("\x1f\x8b\b\x00"): pcap and pcapng are read, plain or compressed ` +
			`with gzip, zstd, xz or lz4`},
		{"bzip2", []byte("BZh91AY"), "pcapfile: x: it is compressed with bzip2, which is not " +
			"read here: bzip2 -dc FILE | dnsluice read -"},
		{"an archaic version", fields(le, uint32(magicMicro), uint16(1), uint16(9), "0123456789abcdef"),
			"pcapfile: x: offset 4: pcap version 1.9 is not read: versions from 2.0 on are; " +
				"0 packets before it were read"},
		{"an absurd captured length", join(header, record(le, 1, 0, "abc"),
			fields(le, uint32(1), uint32(0), uint32(maxPacket+1), uint32(60), "abc")),
			"pcapfile: x: offset 43: record of 262145 captured bytes, more than the 262144 that a " +
				"packet may have: the capture is damaged; 1 packets before it were read"},
		{"a cut file header", header[:23], "pcapfile: x: offset 0: file header of 24 bytes is cut " +
			"after 23: the capture was not closed properly; 0 packets before it were read"},
		{"a cut record header", join(header, record(le, 1, 0, "abc"), make([]byte, 15)),
			"pcapfile: x: offset 43: record header of 16 bytes is cut after 15: the capture was " +
				"not closed properly; 1 packets before it were read"},
		{"a cut record", join(header, record(le, 1, 0, "abc"), record(le, 1, 0, "abcd")[:19]),
			"pcapfile: x: offset 43: record of 20 bytes is cut after 19: the capture was not " +
				"closed properly; 1 packets before it were read"},
		{"corrupt gzip", join(gzipped(header), gzipped(header)[:10], []byte("\xff\xff\xff")),
			"pcapfile: x: offset 24: the gzip data is corrupt: flate: corrupt input before offset 1; " +
				"0 packets before it were read"},
		{"cut gzip", gzipped(header)[:20], "pcapfile: x: offset 5: the gzip data is cut: the file " +
			"was not written to its end; 0 packets before it were read"},
		{"garbage behind gzip", join(gzipped(header), []byte("0123456789abcdef")),
			"pcapfile: x: offset 24: the gzip data is corrupt: gzip: invalid header; " +
				"0 packets before it were read"},
		{"cut zstd", zstandarded(header)[:12], "pcapfile: x: offset 0: the zstd data is cut: the " +
			"file was not written to its end; 0 packets before it were read"},
		{"garbage behind zstd", join(zstandarded(header), []byte("0123456789abcdef")),
			"pcapfile: x: offset 24: the zstd data is corrupt: invalid input: magic number " +
				"mismatch; 0 packets before it were read"},
		// The frame header says a window of 64 MiB (RFC 8878, section 3.1.1.1.2).
		{"zstd of a great window", []byte("\x28\xb5\x2f\xfd\x00\x80\x01\x00\x00"),
			"pcapfile: x: offset 0: the zstd window is more than 32 MiB: zstd --long=31 -dc FILE | " +
				"dnsluice read -; 0 packets before it were read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readBytes(t, test.file)
			if diff := cmp.Diff(test.want, fmt.Sprint(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// cuts reads file cut at every byte. A record that ends at one of ends is whole; each cut between
// them must name the offset of the end before it.
func cuts(t *testing.T, file []byte, all []got, ends []int) {
	t.Helper()
	for cut := range len(file) {
		have, err := readBytes(t, file[:cut])
		packets, start, clean := 0, 0, false
		for _, end := range ends {
			if end <= cut {
				start, clean = end, end == cut
			}
		}
		for packets < len(all) && strings.Contains(string(file[:start]), all[packets].Data) {
			packets++
		}
		if diff := cmp.Diff(all[:packets], have); diff != "" && packets+len(have) > 0 {
			t.Fatalf("cut at %d: %s", cut, diff)
		}
		switch {
		case clean && err != io.EOF:
			t.Errorf("cut at %d, between records: %v", cut, err)
		case !clean && cut < 4 && !strings.Contains(err.Error(), "empty") &&
			!strings.Contains(err.Error(), "not a capture"):
			t.Errorf("cut at %d: %v", cut, err)
		case !clean && cut >= 4 &&
			(!strings.Contains(err.Error(), fmt.Sprintf("x: offset %d: ", start)) ||
				!strings.Contains(err.Error(), fmt.Sprintf(" is cut after %d: ", cut-start)) ||
				!strings.HasSuffix(err.Error(), fmt.Sprintf("; %d packets before it were read", packets))):
			t.Errorf("cut at %d, in what begins at %d: %v", cut, start, err)
		}
	}
}

func TestPcapCutAtEveryByte(t *testing.T) {
	for _, magic := range []uint32{magicMicro, magicModified} {
		var file []byte
		var ends []int
		add := func(b []byte) {
			file = append(file, b...)
			ends = append(ends, len(file))
		}
		add(fileHeader(be, magic, 1))
		for _, data := range []string{"first", "the second", "3"} {
			r := record(be, 1, 0, data)
			if magic == magicModified {
				r = join(r[:16], make([]byte, 8), r[16:])
			}
			add(r)
		}
		cuts(t, file, whole(t, file), ends)
	}
}

// TestCompressedCutAtEveryByte proves that what could be decompressed is delivered.
func TestCompressedCutAtEveryByte(t *testing.T) {
	head, body := benchPcap(8)
	all := whole(t, join(head, body))
	for name, compress := range map[string]func([]byte) []byte{
		"gzip": gzipped, "zstd": zstandarded,
	} {
		header := compress(head)
		first := join(header, compress(body[:len(body)/2]))
		file := join(first, compress(body[len(body)/2:]))
		if diff := cmp.Diff(all, whole(t, file)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for cut := range len(file) {
			have, err := readBytes(t, file[:cut])
			if cut >= len(first) && len(have) < 4 {
				t.Errorf("%s cut at %d: only %d packets", name, cut, len(have))
			}
			if !bytes.HasPrefix(fmt.Append(nil, all), bytes.TrimSuffix(fmt.Append(nil, have), []byte("]"))) {
				t.Errorf("%s cut at %d: other packets", name, cut)
			}
			between := cut == len(header) || cut == len(first) // there a file may end
			if errors.Is(err, io.EOF) != between {
				t.Errorf("%s cut at %d of %d: %v", name, cut, len(file), err)
			}
		}
	}
}
