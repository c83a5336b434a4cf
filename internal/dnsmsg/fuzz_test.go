// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// labelsOf is the slow and plain way to read a name: nil when it is malformed.
func labelsOf(wire []byte, off int) (labels [][]byte, next int) {
	labels, next = [][]byte{}, -1
	floor, total, hops := off, 1, 0
	for off < len(wire) {
		n := int(wire[off])
		switch {
		case n == 0 && next < 0:
			return labels, off + 1
		case n == 0:
			return labels, next
		case n < 64 && off+1+n <= len(wire) && total+1+n <= 255:
			labels = append(labels, wire[off+1:off+1+n])
			total += 1 + n
			off += 1 + n
		case n >= 192 && off+1 < len(wire) && hops < MaxPointers:
			target := (n-192)*256 + int(wire[off+1])
			if target >= floor {
				return nil, -1
			}
			if next < 0 {
				next = off + 2
			}
			off, floor, hops = target, target, hops+1
		default:
			return nil, -1
		}
	}
	return nil, -1
}

func FuzzName(f *testing.F) {
	f.Add([]byte("\x03wWw\x07example\x00"), 0)
	f.Add([]byte("\x03com\x00\x03www\xc0\x00"), 5)
	f.Add([]byte("\x0a.\\\"();@$ \xff\x00\xc0\x02"), 12)
	f.Add([]byte("\xc0\x00"), 0)
	f.Fuzz(func(t *testing.T, wire []byte, off int) {
		labels, want := [][]byte(nil), -1
		if off >= 0 {
			labels, want = labelsOf(wire, off)
		}
		long, next := AppendName(make([]byte, 0, 1024), wire, off)
		short, shortNext := AppendName(nil, wire, off)
		if next != want || shortNext != want || !bytes.Equal(long, short) {
			t.Fatalf("next %d and %d, want %d; %q and %q", next, shortNext, want, long, short)
		}
		query, _ := AppendQName(nil, wire, off)
		if fast, _ := AppendQName(make([]byte, 0, 1024), wire, off); !bytes.Equal(fast, query) {
			t.Fatalf("%q, and with room %q", query, fast)
		}
		if want < 0 {
			if len(long)+len(query) > 0 {
				t.Fatalf("malformed, but %q and %q", long, query)
			}
			return
		}
		for _, c := range long {
			if c <= ' ' || c > '~' {
				t.Fatalf("byte %#x in %q", c, long)
			}
		}
		folded := strings.ToLower(string(long))
		if len(labels) > 0 {
			folded = strings.TrimSuffix(folded, ".")
		}
		if diff := cmp.Diff(folded, string(query)); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
		// What miekg/dns reads out of the text is the name that was on the wire.
		packed := make([]byte, 256)
		n, err := dns.PackDomainName(string(long), packed, 0, nil, false)
		if err != nil {
			t.Fatalf("miekg/dns refuses %q: %v", long, err)
		}
		var plain []byte
		for _, label := range labels {
			plain = append(append(plain, byte(len(label))), label...)
		}
		if diff := cmp.Diff(append(plain, 0), packed[:n]); diff != "" {
			t.Fatalf("%q: -wire +miekg\n%s", long, diff)
		}
	})
}

func FuzzData(f *testing.F) {
	everyRecord(f, func(rrtype, class uint16, data []byte) { f.Add(rrtype, class, data) })
	f.Fuzz(func(t *testing.T, rrtype, class uint16, data []byte) {
		if len(data) <= 4096 {
			checkText(t, rrtype, class, data)
		}
	})
}
