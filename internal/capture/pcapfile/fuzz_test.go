// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// FuzzFile reads any bytes twice, whole and in pieces: the same packets and the same end must come
// of both, no packet may be more than the file, and an error must say where.
func FuzzFile(f *testing.F) {
	pcap := join(fileHeader(le, magicMicro, 1), record(le, 1, 2, "one"), record(le, 3, 4, "second"))
	pcapng := join(sectionBlock(be), interfaceBlock(be, 1, 64, option(be, optionName, "eth0"),
		option(be, optionResol, "\x89"), option(be, optionOffset, "12345678")),
		enhancedBlock(be, 0, 1<<40, "one"), block(be, 77, []byte("skipped")),
		sectionBlock(le), interfaceBlock(le, 1, 4), block(le, blockSimple, fields(le, uint32(9), "cut!")),
		block(le, blockPacket, fields(le, uint32(0), uint64(0), uint32(3), uint32(3), "old")))
	for _, seed := range [][]byte{
		pcap, pcapng, gzipped(pcap), zstandarded(pcapng), pcap[:45], pcapng[:99],
		join(fileHeader(be, magicModified, 1), make([]byte, 48)),
		join(gzipped(pcap), gzipped(pcap[24:])), join(zstandarded(pcap), []byte("x")),
		join(gzipped(pcap), make([]byte, 9)), xzPacked(f, pcap, 1<<20), lz4Packed(f, pcap),
	} {
		f.Add(seed)
	}
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, file []byte) {
		read := func(r io.Reader) string {
			const most = 10_000 // packets: a few bytes of gzip hold millions
			s := NewReader("x", r)
			defer s.Close()
			var sum maphash.Hash
			sum.SetSeed(seed)
			var p packet.Packet
			var err error
			n := uint64(0)
			for err = next(s, &p); err == nil && n < most; err = next(s, &p) {
				n++
				if len(p.Data) > maxPacket || p.Length < len(p.Data) {
					t.Fatalf("a packet of %d bytes, captured %d", p.Length, len(p.Data))
				}
				fmt.Fprintln(&sum, p.Length, p.Time, p.Link, p.Interface, len(p.Data))
				_, _ = sum.Write(p.Data)
			}
			if err != nil && err != io.EOF && !strings.HasPrefix(err.Error(), "pcapfile: x: offset ") &&
				!strings.HasPrefix(err.Error(), "pcapfile: x: it is ") &&
				!strings.HasPrefix(err.Error(), "pcapfile: x: not a capture file") {
				t.Errorf("the error says too little: %v", err)
			}
			if st := s.Stats(); err != nil && st.Read != n {
				t.Errorf("%d packets, counted %+v", n, st)
			}
			return fmt.Sprintf("%d packets, sum %x, %v", n, sum.Sum64(), err)
		}
		whole := read(bytes.NewReader(file))
		pieces := read(iotest.HalfReader(iotest.DataErrReader(bytes.NewReader(file))))
		if len(file) < 4096 {
			pieces = read(iotest.OneByteReader(bytes.NewReader(file)))
		}
		if whole != pieces {
			t.Errorf("whole:  %s\npieces: %s", whole, pieces)
		}
	})
}
