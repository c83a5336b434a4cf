// SPDX-License-Identifier: Apache-2.0

package encodetest

import (
	"testing"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// Bench measures an encoder.
func Bench(b *testing.B, enc encode.Encoder) {
	all, dst := Traffic(b), make([]byte, 0, 1<<20)
	next := func(seq uint64) *dnsmsg.Message { return all[seq%uint64(len(all))] }

	// A message from its bytes to its record.
	b.Run("line", func(b *testing.B) {
		b.ReportAllocs()
		seq, size := uint64(0), 0
		for b.Loop() {
			m := next(seq)
			seq++
			wire.Parse(m)
			size += len(enc.Append(dst, seq, m))
		}
		b.ReportMetric(float64(size)/float64(seq), "bytes/record")
	})
	// The second half of that.
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		seq := uint64(0)
		for b.Loop() {
			enc.Append(dst, seq+1, next(seq))
			seq++
		}
	})
	// The largest records that a message of 64 KiB makes: what an attacker gets for one.
	for _, f := range Floods() {
		b.Run("flood/"+f.Name, func(b *testing.B) {
			m := Message(f.Wire, nil)
			b.ReportAllocs()
			for b.Loop() {
				wire.Parse(m)
				enc.Append(dst, 1, m)
			}
		})
	}
}
