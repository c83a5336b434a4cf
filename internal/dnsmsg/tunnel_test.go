// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"strings"
	"testing"
)

func TestParseTunnels(t *testing.T) {
	for _, test := range []struct {
		names string
		want  TunnelSet
	}{
		{"", 0},
		{"vxlan", 1 << VXLAN},
		{"vxlan vxlan geneve", 1<<VXLAN | 1<<GENEVE},
		{"6in4", 1 << SixInFour},
		{"ip", 1<<IPIP | 1<<SixInFour | 1<<FourInSix | 1<<SixInSix},
		{"erspan2", 1<<ERSPAN2 | 1<<GRE},
		{"erspan", 1<<ERSPAN1 | 1<<ERSPAN2 | 1<<ERSPAN3 | 1<<GRE},
		{"all", AllTunnels},
		{"gtp all", AllTunnels},
	} {
		got, err := ParseTunnels(strings.Fields(test.names))
		if err != nil || got != test.want {
			t.Errorf("%q: %b, %v, want %b", test.names, got, err, test.want)
		}
	}
}

func TestParseTunnelsTellsWhatIsKnown(t *testing.T) {
	for _, name := range []string{"vxlam", "none", "", "VXLAN"} {
		_, err := ParseTunnels([]string{"gre", name})
		if err == nil || !strings.Contains(err.Error(),
			`tunnel "`+name+`" is not known; known are all,`) {
			t.Errorf("%q: %v", name, err)
			continue
		}
		for kind := NoTunnel + 1; kind < NumTunnels; kind++ {
			if !strings.Contains(err.Error(), ", "+kind.String()) {
				t.Errorf("%q: the error does not name %s", name, kind)
			}
		}
	}
}

func TestEachTunnelHasItsOwnNameAndIsOneOfAll(t *testing.T) {
	seen := make(map[string]bool)
	for kind := range NumTunnels {
		if name := kind.String(); name == "" || seen[name] {
			t.Errorf("kind %d is called %q", kind, name)
		} else {
			seen[name] = true
		}
		if AllTunnels.Has(kind) != (kind != NoTunnel) {
			t.Errorf("all has %v: %v", kind, AllTunnels.Has(kind))
		}
	}
}

func TestTunnelsAppend(t *testing.T) {
	var none Tunnels
	if got := none.Append([]byte("x")); string(got) != "x" {
		t.Errorf("none: %q", got)
	}
	two := Tunnels{Kinds: [MaxTunnels]Tunnel{GRE, ERSPAN2, VXLAN}, Count: 2}
	if got := two.Append([]byte("x")); string(got) != "xgre/erspan2" {
		t.Errorf("two: %q", got)
	}
}
