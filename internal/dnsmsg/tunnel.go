// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"fmt"
	"slices"
	"strings"
)

// Tunnel is a kind of encapsulation. The set is closed and small, so that a kind indexes an array
// of counters and is a bit of a TunnelSet.
type Tunnel uint8

// The kinds of encapsulation.
const (
	NoTunnel   Tunnel = iota
	MPLS              // a stack of labels (RFC 3032), around IP or a pseudowire (RFC 4448)
	PPPoE             // RFC 2516
	GRE               // version 0 (RFC 2784, RFC 2890), which NVGRE is as well (RFC 7637)
	PPTP              // version 1 of GRE (RFC 2637)
	ERSPAN1           // in GRE; it has no header of its own
	ERSPAN2           // in GRE (draft-foschiano-erspan)
	ERSPAN3           // in GRE (draft-foschiano-erspan)
	VXLAN             // RFC 7348
	VXLANGPE          // draft-ietf-nvo3-vxlan-gpe
	GENEVE            // RFC 8926
	IPIP              // IPv4 in IPv4 (RFC 2003)
	SixInFour         // IPv6 in IPv4 (RFC 4213)
	FourInSix         // IPv4 in IPv6 (RFC 2473)
	SixInSix          // IPv6 in IPv6 (RFC 2473)
	EtherIP           // RFC 3378
	GTP               // GTP-U, version 1 (3GPP TS 29.281)
	L2TP              // data of version 2 (RFC 2661)
	TZSP              // of packet mirrors: TaZmen Sniffer Protocol
	Teredo            // RFC 4380
	NumTunnels        // how many there are; not a kind
)

// MaxTunnels is how many tunnels, one in the other, are followed. A mirror of a mirror of an
// overlay has five; the bound is there because an attacker's packet can be all headers.
const MaxTunnels = 8

var tunnelNames = [NumTunnels]string{
	NoTunnel:  "none",
	MPLS:      "mpls",
	PPPoE:     "pppoe",
	GRE:       "gre",
	PPTP:      "pptp",
	ERSPAN1:   "erspan1",
	ERSPAN2:   "erspan2",
	ERSPAN3:   "erspan3",
	VXLAN:     "vxlan",
	VXLANGPE:  "vxlan-gpe",
	GENEVE:    "geneve",
	IPIP:      "ipip",
	SixInFour: "6in4",
	FourInSix: "4in6",
	SixInSix:  "6in6",
	EtherIP:   "etherip",
	GTP:       "gtp",
	L2TP:      "l2tp",
	TZSP:      "tzsp",
	Teredo:    "teredo",
}

// String returns the word that records, metrics and the configuration use.
func (t Tunnel) String() string { return tunnelNames[t] }

// tunnelPorts are the UDP ports of the kinds that run over UDP (IANA registry of service names
// and port numbers, but for 8472, which Linux had before there was one).
var tunnelPorts = [NumTunnels][]uint16{
	VXLAN:    {4789, 8472},
	VXLANGPE: {4790},
	GENEVE:   {6081},
	GTP:      {2152},
	L2TP:     {1701},
	TZSP:     {37008},
	Teredo:   {3544},
}

// Ports returns the UDP ports that the kind is known by, which are none for most.
func (t Tunnel) Ports() []uint16 { return tunnelPorts[t] }

// TunnelSet is a set of kinds.
type TunnelSet uint32

// Has tells whether t is in the set.
func (s TunnelSet) Has(t Tunnel) bool { return s>>t&1 != 0 }

// AllTunnels is the set of all kinds.
const AllTunnels TunnelSet = 1<<NumTunnels - 1<<(NoTunnel+1)

// The words for several kinds at once.
var tunnelFamilies = []struct {
	name string
	set  TunnelSet
}{
	{"all", AllTunnels},
	{"ip", 1<<IPIP | 1<<SixInFour | 1<<FourInSix | 1<<SixInSix},
	{"erspan", 1<<ERSPAN1 | 1<<ERSPAN2 | 1<<ERSPAN3},
}

// ParseTunnels returns the set that the names make: names of kinds, "all", "ip" for the four kinds
// of IP in IP, "erspan" for its three types. ERSPAN brings GRE with it, which it travels in.
func ParseTunnels(names []string) (TunnelSet, error) {
	var set TunnelSet
next:
	for _, name := range names {
		for _, family := range tunnelFamilies {
			if name == family.name {
				set |= family.set
				continue next
			}
		}
		t := slices.Index(tunnelNames[:], name)
		if t <= int(NoTunnel) {
			return 0, fmt.Errorf("tunnel %q is not known; known are %s", name, knownTunnels())
		}
		set |= 1 << t
	}
	if set&tunnelFamilies[2].set != 0 {
		set |= 1 << GRE
	}
	return set, nil
}

func knownTunnels() string {
	var known []string
	for _, family := range tunnelFamilies {
		known = append(known, family.name)
	}
	return strings.Join(append(known, tunnelNames[NoTunnel+1:]...), ", ")
}

// Tunnels are the kinds that a message travelled in, from the outside inwards.
type Tunnels struct {
	Kinds [MaxTunnels]Tunnel
	Count uint8
}

// All returns the kinds. They are borrowed as the Message is.
func (t *Tunnels) All() []Tunnel { return t.Kinds[:t.Count] }

// Append appends the names of the kinds, joined with slashes: gre/erspan2.
func (t *Tunnels) Append(dst []byte) []byte {
	for i, kind := range t.All() {
		if i > 0 {
			dst = append(dst, '/')
		}
		dst = append(dst, kind.String()...)
	}
	return dst
}

// TunnelID is what a tunnel calls itself: the VNI of VXLAN and GENEVE, the key of GRE, the label of
// MPLS, the session of PPPoE, ERSPAN and L2TP, the call of PPTP, the TEID of GTP.
type TunnelID struct {
	Value uint32
	Known bool // the tunnel has an id, which may be 0
}
