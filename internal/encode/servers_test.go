// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"net/netip"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/google/go-cmp/cmp"
)

func TestServersAreWrittenWhoeverCameBefore(t *testing.T) {
	var addrs []netip.Addr // all in one place
	for _, s := range []string{"192.0.2.8", "::ffff:192.0.2.8", "255.255.255.0", "2001:db8::8",
		"::ffff:0:192.0.2.8", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:fff8", "fe80::8%eth0", "::"} {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	addrs = append(addrs, netip.Addr{})
	var servers Servers
	for _, before := range addrs {
		for _, addr := range addrs {
			want := string(dnsmsg.AppendAddr([]byte("- "), addr))
			for _, room := range []int{2, 100} {
				servers.Append(nil, before)
				got := servers.Append(append(make([]byte, 0, room), "- "...), addr)
				if diff := cmp.Diff(want, string(got)); diff != "" {
					t.Errorf("%v after %v: -want +got\n%s", addr, before, diff)
				}
			}
		}
	}
}
