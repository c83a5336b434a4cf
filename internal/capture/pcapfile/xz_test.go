// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// xzPacked is data as xz(1) packs it, in blocks of that many bytes.
func xzPacked(t testing.TB, data []byte, block int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16, BlockSize: block}.NewWriter(&out)
	return written(t, &out, w, err, data)
}

// lz4Packed is data as lz4(1) packs it by default, but in small blocks.
func lz4Packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ConcurrencyOption(1))
	return written(t, &out, w, err, data)
}

func written(t testing.TB, out *bytes.Buffer, w io.WriteCloser, err error, data []byte) []byte {
	t.Helper()
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestXZ(t *testing.T) {
	file, all := manyPackets()
	const half, block = 100_000, 20_000
	first, second := xzPacked(t, file[:half], block), xzPacked(t, file[half:], 1<<20)
	for name, data := range map[string][]byte{
		"one stream":       xzPacked(t, file, 1<<20),
		"two streams":      join(first, second),
		"zeros in between": join(first, make([]byte, 8), second, make([]byte, 1<<10)),
	} {
		for how, r := range map[string]io.Reader{
			"in halves": iotest.HalfReader(bytes.NewReader(data)), "whole": bytes.NewReader(data),
			"in bytes": iotest.OneByteReader(bytes.NewReader(data)),
		} {
			have, err := readAll(t, NewReader("x", r))
			if diff := cmp.Diff(all, have); diff != "" || err != io.EOF {
				t.Errorf("%s %s: %v: %s", name, how, err, diff)
			}
		}
	}
}

// TestXZCut cuts a file of several blocks all over, between blocks too: no cut is taken for the end.
func TestXZCut(t *testing.T) {
	file, all := manyPackets()
	data := xzPacked(t, file[:10_000], 2_500)
	have := 0
	for cut := 6; cut < len(data); cut++ {
		got, err := readBytes(t, data[:cut])
		if !strings.Contains(fmt.Sprint(err), "is cut") {
			t.Fatalf("cut at %d of %d: %d packets, then %v", cut, len(data), len(got), err)
		}
		if diff := cmp.Diff(all[:len(got)], got, cmpopts.EquateEmpty()); diff != "" || len(got) < have {
			t.Fatalf("cut at %d: %d packets, %d before: %s", cut, len(got), have, diff)
		}
		have = len(got)
	}
	if have == 0 {
		t.Error("not a packet from any of them")
	}
}

func TestXZRefused(t *testing.T) {
	file, all := manyPackets()
	good := xzPacked(t, file, 1<<20)
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 1
	for _, tt := range []struct {
		name, want string
		data       []byte
		packets    bool
	}{
		{"damaged", "the xz data is corrupt: ", damaged, true},
		{"with more behind it", "the xz data is corrupt: ", join(good, []byte("0123456789abcdef")),
			true},
		{"with a large dictionary", "the xz dictionary is more than 32 MiB: xz -dc FILE |",
			xzHeader(0, 0x21, 28), false},
		{"with the largest, and sizes", "the xz dictionary is more than 32 MiB",
			xzHeader(0xc0, 0x21, 40), false},
		{"with a filter for programs", "another filter than LZMA2: xz -dc FILE |",
			xzHeader(1, 4, 0), false},
	} {
		have, err := readBytes(t, tt.data)
		if !strings.Contains(fmt.Sprint(err), tt.want) || tt.packets != (len(have) > 0) || len(have) > len(all) {
			t.Errorf("%s: %d packets, then %v", tt.name, len(have), err)
		}
	}
}

// xzHeader is the beginning of a file without checks: the header of its stream, and of a block with
// those flags and that filter with one byte of properties.
func xzHeader(flags, filter, properties byte) []byte {
	block := []byte{2, flags}
	if flags&0xc0 != 0 {
		block = append(block, 0x80, 1, 5) // sizes
	}
	block = append(block, filter, 1, properties)
	block = append(block, make([]byte, 8-len(block))...)
	sum := func(b []byte) []byte { return le.AppendUint32(nil, crc32.ChecksumIEEE(b)) }
	none := []byte{0, 0}
	return join([]byte(xzMagic), none, sum(none), block, sum(block))
}

func TestLZ4(t *testing.T) {
	file, all := manyPackets()
	data := join(lz4Packed(t, file[:100_000]), lz4Packed(t, file[100_000:]))
	have, err := readAll(t, NewReader("x", iotest.HalfReader(bytes.NewReader(data))))
	if diff := cmp.Diff(all, have); diff != "" || err != io.EOF {
		t.Errorf("%v: %s", err, diff)
	}
	have, err = readBytes(t, data[:len(data)*3/4])
	if len(have) < len(all)/2 || len(have) == len(all) || !strings.Contains(fmt.Sprint(err), "the lz4 data is cut") {
		t.Errorf("cut: %d packets of %d, then %v", len(have), len(all), err)
	}
	have, err = readBytes(t, join(data, []byte("garbage")))
	if len(have) != len(all) || !strings.Contains(fmt.Sprint(err), "the lz4 data is corrupt: ") {
		t.Errorf("garbage behind it: %d packets of %d, then %v", len(have), len(all), err)
	}
}
