// SPDX-License-Identifier: Apache-2.0

package protobuf_test

import (
	"testing"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/protobuf"
)

// BenchmarkLine is a message from its bytes to its record: wire.Parse and Append.
func BenchmarkLine(b *testing.B) {
	all, enc, dst := encodetest.Traffic(b), protobuf.New(lane3), make([]byte, 0, 1<<16)
	b.ReportAllocs()
	seq, size := uint64(0), 0
	for b.Loop() {
		m := all[seq%uint64(len(all))]
		seq++
		wire.Parse(m)
		size += len(enc.Append(dst, seq, m))
	}
	b.ReportMetric(float64(size)/float64(seq), "bytes/record")
}

// BenchmarkAppend is the second half of that.
func BenchmarkAppend(b *testing.B) {
	all, enc, dst := encodetest.Traffic(b), protobuf.New(lane3), make([]byte, 0, 1<<16)
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		enc.Append(dst, seq+1, all[seq%uint64(len(all))])
		seq++
	}
}

// BenchmarkFlood is the largest records that a message of 64 KiB makes: what an attacker gets for
// one.
func BenchmarkFlood(b *testing.B) {
	for _, f := range encodetest.Floods() {
		b.Run(f.Name, func(b *testing.B) {
			m, enc, dst := message(f.Wire, nil), protobuf.New(lane3), make([]byte, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				wire.Parse(m)
				enc.Append(dst, 1, m)
			}
		})
	}
}
