// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import "testing"

func BenchmarkAppendQName(b *testing.B) {
	const message = "\x0bexampleshop\x03com\x00\x00\x01\x00\x01\x03www\xc0\x00" +
		"\x03www\x04shop\x03com\x00"
	for _, bb := range []struct {
		name string
		off  int
	}{
		{"3 labels 14 bytes", 27}, {"2 labels 17 bytes", 0}, {"3 labels 21 bytes, compressed", 21},
	} {
		b.Run(bb.name, func(b *testing.B) {
			wire, dst := []byte(message), make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, next := AppendQName(dst, wire, bb.off); next < 0 {
					b.Fatal("malformed")
				}
			}
		})
	}
}

func BenchmarkAppendData(b *testing.B) {
	for _, text := range []string{
		`A 192.0.2.1`,
		`AAAA 2001:db8:85a3::8a2e:370:7334`,
		`CNAME edge.cdn.example.net.`,
		`MX 10 mail.example.com.`,
		`TXT "v=spf1 include:_spf.example.com -all"`,
		`SOA ns1.example.com. hostmaster.example.com. 2026010100 7200 3600 1209600 3600`,
		`HTTPS 1 . alpn="h3,h2" ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1,2001:db8::2`,
		`RRSIG A 13 2 3600 20260201000000 20260101000000 12345 example.com. ` +
			`oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTrPYGv07h108dUKGMeDPKijVCHX3DDKdfb+v6oB9wf`,
	} {
		rrtype, data := packed(b, zoneLine(b, text))
		m, rr := record(rrtype, ClassIN, data)
		b.Run(TypeName(rrtype), func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				dst = m.AppendData(dst[:0], rr)
			}
		})
	}
}
