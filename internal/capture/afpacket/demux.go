// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"golang.org/x/net/bpf"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// demux makes the program by which the kernel gives a packet to a lane (PACKET_FANOUT_CBPF): it
// returns a number, of which the kernel takes the remainder by the number of lanes.
//
// The kernel's own hash (PACKET_FANOUT_HASH) does not do. It has the ports of a query but not those
// of an answer in fragments, which it reassembles for untagged IPv4 alone; and of VXLAN, GENEVE and
// GTP it has the outer header, whose source port is another one each way.
//
// So the number is made of the two IP addresses, in no order, of the innermost packet that can be
// reached, and never of ports where both directions must meet: later fragments have none, and no
// other packet of the pair knows whether it will be cut. Clients vary, and spread well; a single
// pair of addresses is one lane's, also over TCP, where its retries are then in order. The
// innermost addresses are taken because a mirror has but one pair of outer ones.
//
// Each branch depends on what both directions have in common. The exception is a tunnel whose own
// packets are fragments that the kernel does not reassemble, of IPv6 or in another tunnel: they
// stay together, by the addresses around them, apart from the packets of that tunnel that are
// whole.
type demux struct {
	program
	ports   []uint32 // of DNS
	tunnels dnsmsg.TunnelSet
	apart   bool // directions need not meet: datagrams that are whole go by their ports, too

	levels [demuxLevels]level
	done   label
}

// demuxLevels is how many IP headers, one in the other, are looked at: a mirror, an overlay, a
// tunnel in it, and what that carries. What is deeper goes by the addresses reached.
const demuxLevels = 4

// level is where the code for the headers of one level begins. X is at the header; the EtherType or
// the protocol is in A.
type level struct{ ethernet, etherType, mpls, ipv4, ipv6, proto, udp label }

// The scratch memory of the program.
const (
	scratchHash = iota
	scratchX
	scratchA
	scratchFlags
	scratchType
)

const (
	demuxTags   = 4 // tags of a frame that are followed, as in decode
	demuxLabels = 8 // labels of a stack that are followed

	etherFrame   = 0x6558 // Transparent Ethernet Bridging (RFC 1701)
	etherERSPAN  = 0x88be // type I or II
	etherERSPAN3 = 0x22eb // type III
	etherWCCP    = 0x883e

	// The multipliers are odd, and their bits look random: 2^32 over the golden ratio, and those of
	// MurmurHash3's finalizer.
	multiplier1 = 0x9e3779b1
	multiplier2 = 0x85ebca6b
	multiplier3 = 0xc2b2ae35

	// Offsets of the Linux kernel (linux/filter.h): SKF_LL_OFF is where the link header is.
	linkHeader = 0xffe00000
)

// newDemux returns the program for the frames of cfg's interface as the kernel shows them to it. It
// does that in two ways: from the network header on, behind a tag that it has taken out; and, on
// the way out, from the link header on, unless it has put the packet together from fragments.
func newDemux(link packet.LinkType, cfg Config, tunnels dnsmsg.TunnelSet) (
	[]bpf.Instruction, error,
) {
	d := demux{ports: words(cfg.Ports), tunnels: tunnels, apart: !cfg.Pairs}
	if link == packet.LinkRaw {
		return d.build(link, 0)
	}
	received, start := d.label(), d.label()
	d.add(bpf.LoadExtension{Num: bpf.ExtType})
	d.jumpIf(bpf.JumpNotEqual, outgoing, received)
	d.add(bpf.LoadAbsolute{Off: linkHeader, Size: 4}, bpf.TAX{},
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIfX{Cond: bpf.JumpNotEqual, SkipTrue: 2}, // to received
		bpf.LoadConstant{Dst: bpf.RegX, Val: 14})
	d.jump(start)
	d.mark(received)
	d.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 0})
	d.mark(start)
	return d.build(link, linkHeader)
}

// build adds all that follows the choice of X, where the packet begins. header is the offset of the
// link header.
func (d *demux) build(link packet.LinkType, header uint32) ([]bpf.Instruction, error) {
	d.done = d.label()
	for i := range d.levels {
		for _, l := range []*label{&d.levels[i].ethernet, &d.levels[i].etherType, &d.levels[i].mpls,
			&d.levels[i].ipv4, &d.levels[i].ipv6, &d.levels[i].proto, &d.levels[i].udp} {
			*l = d.label()
		}
	}
	d.add(bpf.LoadConstant{Dst: bpf.RegA, Val: 0},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchHash})
	if link == packet.LinkRaw {
		d.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 0})
		d.version(0)
	} else {
		d.add(bpf.LoadAbsolute{Off: header + 12, Size: 2})
		d.jump(d.levels[0].etherType)
	}
	for i := range d.levels {
		d.level(i)
	}
	d.finish()
	return d.resolve()
}

// level adds the code for one level, which goes on to the next.
func (d *demux) level(i int) {
	l := &d.levels[i]
	d.mark(l.ethernet)
	d.add(bpf.LoadIndirect{Off: 12, Size: 2})
	d.advance(14)

	d.mark(l.etherType)
	untagged := d.label()
	for range demuxTags {
		tagged := d.label()
		d.jumpIfAny(tags, tagged)
		d.jump(untagged)
		d.mark(tagged)
		d.add(bpf.LoadIndirect{Off: 2, Size: 2})
		d.advance(4)
	}
	d.mark(untagged)
	d.farIf(bpf.JumpEqual, etherIPv4, l.ipv4)
	d.farIf(bpf.JumpEqual, etherIPv6, l.ipv6)
	d.farIf(bpf.JumpEqual, etherMPLS, l.mpls)
	d.farIf(bpf.JumpEqual, multiMPLS, l.mpls)
	d.farIf(bpf.JumpNotEqual, etherPPP, d.done)
	d.pppoe(i)

	d.mark(l.mpls)
	d.mpls(i)

	d.mark(l.ipv4)
	d.addresses(12, 16, 4)
	if i < demuxLevels-1 || d.apart {
		d.add(bpf.LoadIndirect{Off: 6, Size: 2}) // more fragments, and the offset
		d.farIf(bpf.JumpBitsSet, 0x3fff, d.done)
		d.add(bpf.LoadIndirect{Off: 9, Size: 1},
			bpf.StoreScratch{Src: bpf.RegA, N: scratchType},
			bpf.LoadIndirect{Off: 0, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0f},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
			bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{},
			bpf.LoadScratch{Dst: bpf.RegA, N: scratchType})
		d.jump(l.proto)
	} else {
		d.jump(d.done)
	}

	d.mark(l.ipv6)
	d.addresses(8, 24, 16)
	d.add(bpf.LoadIndirect{Off: 6, Size: 1})
	d.advance(40)

	d.mark(l.proto)
	d.farIf(bpf.JumpEqual, protoUDP, l.udp)
	if i < demuxLevels-1 {
		d.protocols(i + 1)
	}
	d.jump(d.done)

	d.mark(l.udp)
	d.udp(i)
}

// addresses makes the hash of n bytes of address from src on and as many from dst on.
func (d *demux) addresses(src, dst, n uint32) {
	d.add(bpf.StoreScratch{Src: bpf.RegX, N: scratchX},
		bpf.LoadConstant{Dst: bpf.RegA, Val: 0},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchHash})
	for o := uint32(0); o < n; o += 4 {
		d.pair(src+o, dst+o, 4)
	}
}

// pair adds two fields of the header at X to the hash, in no order: (hash + (a ^ b)) * multiplier.
// A word at a time, or addresses that have the same number in several of them would lose it.
func (d *demux) pair(a, b uint32, size int) {
	d.add(bpf.LoadIndirect{Off: a, Size: size},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchA},
		bpf.LoadIndirect{Off: b, Size: size},
		bpf.LoadScratch{Dst: bpf.RegX, N: scratchA}, bpf.ALUOpX{Op: bpf.ALUOpXor},
		bpf.LoadScratch{Dst: bpf.RegX, N: scratchHash}, bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: multiplier1},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchHash},
		bpf.LoadScratch{Dst: bpf.RegX, N: scratchX})
}

// finish mixes the hash, as few bits of it choose the lane, and returns it.
func (d *demux) finish() {
	d.mark(d.done)
	d.add(bpf.LoadScratch{Dst: bpf.RegA, N: scratchHash})
	for _, round := range []struct{ shift, multiplier uint32 }{{16, multiplier2}, {13, multiplier3}} {
		d.add(bpf.TAX{}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: round.shift},
			bpf.ALUOpX{Op: bpf.ALUOpXor},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: round.multiplier})
	}
	d.add(bpf.TAX{}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		bpf.ALUOpX{Op: bpf.ALUOpXor}, bpf.RetA{})
}

// advance moves X by n bytes and leaves A as it is.
func (d *demux) advance(n uint32) {
	d.add(bpf.StoreScratch{Src: bpf.RegA, N: scratchA}, bpf.TXA{},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: n}, bpf.TAX{},
		bpf.LoadScratch{Dst: bpf.RegA, N: scratchA})
}

// has tells whether one of the kinds is to be looked into.
func (d *demux) has(kinds ...dnsmsg.Tunnel) bool {
	for _, k := range kinds {
		if d.tunnels.Has(k) {
			return true
		}
	}
	return false
}

// version goes on with the IP packet at X, by its first four bits, on level i.
func (d *demux) version(i int) {
	d.add(bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
	d.farIf(bpf.JumpEqual, 4, d.levels[i].ipv4)
	d.farIf(bpf.JumpEqual, 6, d.levels[i].ipv6)
	d.jump(d.done)
}
