// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"encoding/binary"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// TestACookieHasALengthThatCookiesHave puts a cookie of each length before one that is whole.
func TestACookieHasALengthThatCookiesHave(t *testing.T) {
	for n := range 64 {
		cookies := appendOption(nil, dnsmsg.OptionCookie, letters(n))
		second := len(cookies)
		e := dnsmsg.EDNS{Options: appendOption(cookies, dnsmsg.OptionCookie, letters(16))}
		want := second
		if n == 8 || n >= 16 && n <= 40 { // RFC 7873, section 4
			want = 0
		}
		if o := OptionsOf(&e); o.Cookie != want || o.Others != 1 {
			t.Errorf("%d bytes: the cookie is at %d, not %d; %d others", n, o.Cookie, want, o.Others)
		}
	}
}

func appendOption(dst []byte, code uint16, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}
