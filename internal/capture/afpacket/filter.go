// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"slices"

	"golang.org/x/net/bpf"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// Numbers of the headers that the filter reads.
const (
	etherIPv4 = 0x0800 // ETH_P_IP of linux/if_ether.h
	etherIPv6 = 0x86dd // ETH_P_IPV6
	ether8021 = 0x8100 // ETH_P_8021Q
	ether88a8 = 0x88a8 // ETH_P_8021AD
	etherQinQ = 0x9100 // ETH_P_QINQ1, of switches older than 802.1ad
	etherMPLS = 0x8847 // ETH_P_MPLS_UC
	multiMPLS = 0x8848 // ETH_P_MPLS_MC
	etherPPP  = 0x8864 // ETH_P_PPP_SES

	protoTCP = 6  // IANA protocol numbers
	protoUDP = 17 //
	protoAH  = 51 //

	outgoing = 4 // PACKET_OUTGOING of linux/if_packet.h

	// whole is how many bytes of a packet the filter asks for: more than any frame has.
	whole = 0x40000
)

// tags are the EtherTypes of an 802.1Q or 802.1ad tag.
var tags = []uint32{ether8021, ether88a8, etherQinQ}

// extensions are the IPv6 extension headers (RFC 8200, section 4, and the IANA registry) that a
// transport header may stand behind: hop-by-hop, routing, fragment, authentication, destination
// options, mobility, HIP and shim6.
var extensions = []uint32{0, 43, 44, 51, 60, 135, 139, 140}

// tunnelProtos are the IANA protocol numbers of the kinds of tunnels that have one, in IPv4 and in
// IPv6.
var tunnelProtos = []struct {
	kind   dnsmsg.Tunnel
	v4, v6 uint32
}{
	{dnsmsg.IPIP, 4, 0}, {dnsmsg.FourInSix, 0, 4},
	{dnsmsg.SixInFour, 41, 0}, {dnsmsg.SixInSix, 0, 41},
	{dnsmsg.GRE, 47, 47}, {dnsmsg.PPTP, 47, 47},
	{dnsmsg.EtherIP, 97, 97}, {dnsmsg.MPLS, 137, 137},
}

// The places that the program jumps to.
const (
	onTag label = iota
	onTags
	onType
	onIPv4
	onIPv4Fragment
	onIPv6
	onIPv6Transport
	onPass
	onPorts
	onReject
	onAccept
	labels
)

// scratchProto is where the filter remembers the protocol in the IP header.
const scratchProto = 0

// filter returns the program that accepts DNS on the given ports in frames of the given link
// type, and the tunnels given, whatever is in them. What it cannot judge without state passes, for
// decode to look at: later fragments of IPv4, and IP with an extension header.
//
// The kernel has taken the outermost VLAN tag out of a received frame before the filter runs, so
// a frame starts with IP or with its second tag. On the way out, and where a driver leaves them
// alone, all tags are still in it: the program knows frames with none, one and two.
func filter(link packet.LinkType, ports []uint16, tunnels dnsmsg.TunnelSet) (
	[]bpf.Instruction, error,
) {
	p := program{place: make([]int, labels)}
	// Linux refuses to load what may not have been stored, and thinks that a program goes on behind
	// a return.
	p.add(bpf.LoadConstant{Dst: bpf.RegA, Val: 0},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchProto})
	if link == packet.LinkRaw {
		p.rawIP()
	} else {
		p.ethernet(tunnels)
	}
	pass4, pass6 := []uint32{protoAH}, slices.Clone(extensions)
	for _, t := range tunnelProtos {
		if tunnels.Has(t.kind) && t.v4 != 0 {
			pass4 = append(pass4, t.v4)
		}
		if tunnels.Has(t.kind) && t.v6 != 0 {
			pass6 = append(pass6, t.v6)
		}
	}
	var overUDP []uint16
	for t := range dnsmsg.NumTunnels {
		if tunnels.Has(t) {
			overUDP = append(overUDP, t.Ports()...)
		}
	}
	p.ipv4(pass4)
	p.ipv6(pass6)
	p.ports(ports, overUDP)
	return p.resolve()
}

// ignoreOutgoing puts before f the test that rejects packets on their way out. The loopback
// interface needs it: each of its packets passes twice, going out and coming in.
func ignoreOutgoing(f []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: outgoing, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}, f...)
}

// ethernet leaves in X where the IP header starts.
func (p *program) ethernet(tunnels dnsmsg.TunnelSet) {
	p.add(bpf.LoadAbsolute{Off: 12, Size: 2})
	p.jumpIfAny(tags, onTag)
	p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 14})
	p.jump(onType)

	p.mark(onTag)
	p.add(bpf.LoadAbsolute{Off: 16, Size: 2})
	p.jumpIfAny(tags, onTags)
	p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 18})
	p.jump(onType)

	p.mark(onTags)
	p.add(bpf.LoadAbsolute{Off: 20, Size: 2})
	p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 22})

	p.mark(onType)
	if tunnels.Has(dnsmsg.MPLS) {
		p.jumpIfAny([]uint32{etherMPLS, multiMPLS}, onPass)
	}
	if tunnels.Has(dnsmsg.PPPoE) {
		p.jumpIfAny([]uint32{etherPPP}, onPass)
	}
	p.jumpIfAny([]uint32{etherIPv4}, onIPv4)
	p.jumpIfAny([]uint32{etherIPv6}, onIPv6)
	p.add(bpf.RetConstant{Val: 0})
}

// rawIP is ethernet for links without a header: the version is in the first four bits.
func (p *program) rawIP() {
	p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 0})
	p.add(bpf.LoadAbsolute{Off: 0, Size: 1})
	p.add(bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
	p.jumpIfAny([]uint32{4}, onIPv4)
	p.jumpIfAny([]uint32{6}, onIPv6)
	p.add(bpf.RetConstant{Val: 0})
}

// ipv4 moves X behind the header and its options (RFC 791, section 3.1). The protocols of pass
// pass.
func (p *program) ipv4(pass []uint32) {
	p.mark(onIPv4)
	p.add(bpf.LoadIndirect{Off: 9, Size: 1})
	p.add(bpf.StoreScratch{Src: bpf.RegA, N: scratchProto})
	p.jumpIfAny([]uint32{protoUDP, protoTCP}, onIPv4Fragment)
	p.jumpIfAny(pass, onPass)
	p.add(bpf.RetConstant{Val: 0})

	p.mark(onIPv4Fragment) // the 13 bits of the offset are not zero: there are no ports to see
	p.add(bpf.LoadIndirect{Off: 6, Size: 2})
	p.jumpIf(bpf.JumpBitsSet, 0x1fff, onPass)
	p.add(bpf.LoadIndirect{Off: 0, Size: 1})
	p.add(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0f})
	p.add(bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2})
	p.add(bpf.ALUOpX{Op: bpf.ALUOpAdd})
	p.add(bpf.TAX{})
	p.jump(onPorts)
}

// ipv6 moves X behind the fixed header (RFC 8200, section 3). The protocols of pass pass.
func (p *program) ipv6(pass []uint32) {
	p.mark(onIPv6)
	p.add(bpf.LoadIndirect{Off: 6, Size: 1})
	p.add(bpf.StoreScratch{Src: bpf.RegA, N: scratchProto})
	p.jumpIfAny([]uint32{protoUDP, protoTCP}, onIPv6Transport)
	p.jumpIfAny(pass, onPass)
	p.add(bpf.RetConstant{Val: 0})

	p.mark(onIPv6Transport)
	p.add(bpf.TXA{})
	p.add(bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 40})
	p.add(bpf.TAX{})
	p.jump(onPorts)

	p.mark(onPass) // near, for a conditional jump over all ports would be too far
	p.add(bpf.RetConstant{Val: whole})
}

// ports looks at the two ports that UDP and TCP both begin with. Those of overUDP are no ports of
// TCP: without that, each connection of a client that was given one of them would pass.
func (p *program) ports(ports, overUDP []uint16) {
	p.mark(onPorts)
	p.eitherPort(words(ports), onAccept)
	p.add(bpf.LoadScratch{Dst: bpf.RegA, N: scratchProto})
	p.jumpIf(bpf.JumpEqual, protoTCP, onReject)
	p.eitherPort(words(overUDP), onAccept)
	p.mark(onReject)
	p.add(bpf.RetConstant{Val: 0})
	p.mark(onAccept)
	p.add(bpf.RetConstant{Val: whole})
}

// eitherPort jumps when one of the two ports at X is among those given.
func (p *program) eitherPort(ports []uint32, to label) {
	p.add(bpf.LoadIndirect{Off: 0, Size: 2})
	p.jumpIfAny(ports, to)
	p.add(bpf.LoadIndirect{Off: 2, Size: 2})
	p.jumpIfAny(ports, to)
}

func words(ports []uint16) []uint32 {
	w := make([]uint32, len(ports))
	for i, port := range ports {
		w[i] = uint32(port)
	}
	return w
}
