// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Servers remembers the texts of a few addresses: most messages have one of the same few servers.
type Servers [8]struct {
	addr netip.Addr
	text [48]byte
	n    uint8
}

// Append does what dnsmsg.AppendAddr does.
func (s *Servers) Append(dst []byte, a netip.Addr) []byte {
	t := &s[a.As16()[15]%uint8(len(s))]
	if t.addr != a {
		var text [128]byte
		t.addr, t.n = a, uint8(copy(t.text[:], dnsmsg.AppendAddr(text[:0], a)))
	}
	n := len(dst)
	if cap(dst)-n < len(t.text) {
		return append(dst, t.text[:t.n]...)
	}
	*(*[len(t.text)]byte)(dst[n : n+len(t.text)]) = t.text
	return dst[:n+int(t.n)]
}
