// SPDX-License-Identifier: Apache-2.0

package json

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

func TestTunnelsAreAPartOfThePath(t *testing.T) {
	kinds := func(k ...dnsmsg.Tunnel) (t dnsmsg.Tunnels) {
		t.Count = uint8(copy(t.Kinds[:], k))
		return t
	}
	id := func(v uint32) dnsmsg.TunnelID { return dnsmsg.TunnelID{Value: v, Known: true} }
	for _, test := range []struct {
		name   string
		change func(*dnsmsg.Message)
		want   string
	}{
		{"none", func(*dnsmsg.Message) {}, ``},
		{
			"one without an id or addresses",
			func(m *dnsmsg.Message) { m.Tunnel = kinds(dnsmsg.MPLS) },
			`,"tunnel":"mpls"`,
		},
		{
			"an id of 0",
			func(m *dnsmsg.Message) { m.Tunnel, m.TunnelID = kinds(dnsmsg.PPPoE), id(0) },
			`,"tunnel":"pppoe","tunnel_id":0`,
		},
		{
			"all",
			func(m *dnsmsg.Message) {
				m.Tunnel = kinds(dnsmsg.VXLAN, dnsmsg.GRE, dnsmsg.ERSPAN2)
				m.TunnelID, m.InnerTunnelID = id(42), id(1<<32-1)
				m.TunnelSrc = netip.MustParseAddr("203.0.113.7")
				m.TunnelDst = netip.MustParseAddr("2001:db8::9")
				m.Fragmented = true
			},
			`,"tunnel":"vxlan/gre/erspan2","tunnel_id":42,"inner_tunnel_id":4294967295` +
				`,"tunnel_src_ip":"203.0.113.7","tunnel_dst_ip":"2001:db8::9","fragmented":true`,
		},
	} {
		m := parsed(t, 0, bare)
		test.change(m)
		got := string(New(encode.Identity{Sensor: "s", Run: "r"}).Append(nil, 1, m))
		if want := `"transport":"udp"` + test.want + `,"id":7,`; !strings.Contains(got, want) {
			t.Errorf("%s: %s\nhas no %s", test.name, got, want)
		}
	}
}
