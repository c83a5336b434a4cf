// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/dnsluice/dnsluice/internal/packet"
)

const benchFrame = 136 // bytes: an ordinary DNS message in its frame

// endless reads head once and then body for ever.
type endless struct{ head, body, rest []byte }

func newEndless(head, body []byte) *endless { return &endless{head, body, head} }

func (e *endless) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = e.body
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// benchFrames are as compressible as DNS is: half of each is the same, half is not.
func benchFrames(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	frames := make([]string, n)
	for i := range frames {
		b := make([]byte, benchFrame)
		for j := benchFrame / 2; j < benchFrame; j++ {
			b[j] = byte(r.Uint32N(64))
		}
		frames[i] = string(b)
	}
	return frames
}

func benchPcap(n int) (head, body []byte) {
	for i, frame := range benchFrames(n) {
		body = append(body, record(le, uint32(i), 1, frame)...)
	}
	return fileHeader(le, magicMicro, 1), body
}

func benchPcapng(n int) (head, body []byte) {
	for i, frame := range benchFrames(n) {
		body = append(body, enhancedBlock(le, 0, uint64(i), frame)...)
	}
	return join(sectionBlock(le), interfaceBlock(le, 1, 0, option(le, optionName, "eth0"))), body
}

func BenchmarkNext(b *testing.B) {
	const frames = 1 << 15
	head, body := benchPcap(frames)
	ngHead, ngBody := benchPcapng(frames)
	for _, bench := range []struct {
		name       string
		head, body []byte
	}{
		{"pcap", head, body},
		{"pcapng", ngHead, ngBody},
		{"pcap gzip", gzipped(head), gzipped(body)},
		{"pcap zstd", zstandarded(head), zstandarded(body)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := NewReader("bench", newEndless(bench.head, bench.body))
			var p packet.Packet
			for range frames { // all chunks are in use then
				if err := next(s, &p); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(benchFrame)
			b.ReportAllocs()
			for b.Loop() {
				if err := next(s, &p); err != nil {
					b.Fatal(err)
				}
			}
			_ = s.Close()
		})
	}
}

// BenchmarkFile reads whole files, opened anew, out of the page cache.
func BenchmarkFile(b *testing.B) {
	head, body := benchPcap(1 << 18)
	path := filepath.Join(b.TempDir(), "a.pcap")
	if err := os.WriteFile(path, join(head, body), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	packets := 0
	for b.Loop() {
		s := New(path)
		var p packet.Packet
		var err error
		for err = next(s, &p); err == nil; err = next(s, &p) {
			packets++
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}

func TestNextAllocatesNothing(t *testing.T) {
	const frames = 1 << 14
	head, body := benchPcap(frames)
	ngHead, ngBody := benchPcapng(frames)
	for name, r := range map[string]io.Reader{
		"pcap":        newEndless(head, body),
		"pcapng":      newEndless(ngHead, ngBody),
		"pcap gzip":   newEndless(gzipped(head), gzipped(body)),
		"pcapng zstd": newEndless(zstandarded(ngHead), zstandarded(ngBody)),
	} {
		s := NewReader(name, r)
		var p packet.Packet
		read := func() {
			if err := next(s, &p); err != nil {
				t.Fatal(name, err)
			}
		}
		for range frames {
			read()
		}
		if n := testing.AllocsPerRun(frames, read); n != 0 {
			t.Errorf("%s: %v allocations per packet", name, n)
		}
		_ = s.Close()
	}
}

// TestHugeStream reads 300 MB, which would have to fit in memory if anything kept it.
func TestHugeStream(t *testing.T) {
	head, body := benchPcap(1 << 12)
	rounds := 300 << 20 / len(body)
	size := len(head) + rounds*len(body)
	s := NewReader("huge", io.LimitReader(newEndless(head, body), int64(size)))
	var p packet.Packet
	var err error
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for err == nil {
		err = next(s, &p)
	}
	runtime.ReadMemStats(&after)
	if want := uint64(rounds) << 12; err != io.EOF || s.Stats().Read != want {
		t.Errorf("read %d packets of %d: %v", s.Stats().Read, want, err)
	}
	if total := after.TotalAlloc - before.TotalAlloc; total > 2<<20 {
		t.Errorf("%d bytes were allocated to read 300 MB", total)
	}
	if !bytes.Equal(p.Data, body[len(body)-benchFrame:]) {
		t.Error("the last packet is not the last that was written")
	}
	_ = s.Close()
}
