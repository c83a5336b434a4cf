// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"golang.org/x/net/bpf"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// The layouts here are those that decode/tunnel reads and names the standards of. PPTP, L2TP, TZSP
// and Teredo are not looked into: their headers are many-shaped, and their ends are few but the
// same each way.

// protocols goes on with what a protocol number, in A, names on level i, and falls through for what
// is no tunnel.
func (d *demux) protocols(i int) {
	l := &d.levels[i]
	if d.has(dnsmsg.IPIP, dnsmsg.FourInSix) {
		d.farIf(bpf.JumpEqual, 4, l.ipv4)
	}
	if d.has(dnsmsg.SixInFour, dnsmsg.SixInSix) {
		d.farIf(bpf.JumpEqual, 41, l.ipv6)
	}
	if d.has(dnsmsg.MPLS) {
		d.farIf(bpf.JumpEqual, 137, l.mpls)
	}
	if d.has(dnsmsg.EtherIP) {
		d.ifEqual(97, func() {
			d.advance(2)
			d.jump(l.ethernet)
		})
	}
	if d.has(dnsmsg.GRE) {
		d.ifEqual(47, func() { d.gre(i) })
	}
}

// ifEqual adds code for when A is val. It ends with a jump.
func (d *demux) ifEqual(val uint32, code func()) {
	otherwise := d.label()
	d.farIf(bpf.JumpNotEqual, val, otherwise)
	code()
	d.mark(otherwise)
}

// advanceIf moves X by n bytes when one of the bits of mask is set in the flags. It loads A with
// the flags.
func (d *demux) advanceIf(mask, n uint32) {
	clear := d.label()
	d.add(bpf.LoadScratch{Dst: bpf.RegA, N: scratchFlags})
	d.jumpIf(bpf.JumpBitsNotSet, mask, clear)
	d.advance(n)
	d.mark(clear)
}

// gre skips the fields that the flags announce: checksum, key, sequence number.
func (d *demux) gre(i int) {
	const routingAndVersion, checksum, key, sequence = 0x4007, 0x8000, 0x2000, 0x1000
	l := &d.levels[i]
	d.add(bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchType},
		bpf.LoadIndirect{Off: 0, Size: 2},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchFlags})
	d.farIf(bpf.JumpBitsSet, routingAndVersion, d.done)
	d.advance(4)
	for _, flag := range []uint32{checksum, key, sequence} {
		d.advanceIf(flag, 4)
	}
	d.add(bpf.LoadScratch{Dst: bpf.RegA, N: scratchType})
	d.farIf(bpf.JumpEqual, etherIPv4, l.ipv4)
	d.farIf(bpf.JumpEqual, etherIPv6, l.ipv6)
	d.farIf(bpf.JumpEqual, etherFrame, l.ethernet)
	d.farIf(bpf.JumpEqual, etherMPLS, l.mpls)
	d.farIf(bpf.JumpEqual, multiMPLS, l.mpls)
	d.ifEqual(etherERSPAN, func() { // type II has a sequence number and a header
		d.advanceIf(sequence, 8)
		d.jump(l.ethernet)
	})
	d.ifEqual(etherERSPAN3, func() {
		d.add(bpf.LoadIndirect{Off: 10, Size: 2},
			bpf.StoreScratch{Src: bpf.RegA, N: scratchFlags})
		d.advance(12)
		d.advanceIf(1, 8)
		d.add(bpf.LoadScratch{Dst: bpf.RegA, N: scratchFlags},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x7c00})
		d.farIf(bpf.JumpEqual, 0, l.ethernet)
		d.farIf(bpf.JumpNotEqual, 2<<10, d.done)
		d.version(i)
	})
	d.ifEqual(etherWCCP, func() {
		packet := d.label()
		d.add(bpf.LoadIndirect{Off: 0, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
		d.jumpIfAny([]uint32{4, 6}, packet)
		d.advance(4)
		d.mark(packet)
		d.version(i)
	})
	d.jump(d.done)
}

// pppoe goes on with the packet of a session on level i: a header of 6 bytes, then PPP.
func (d *demux) pppoe(i int) {
	short := d.label()
	d.advance(6)
	d.add(bpf.LoadIndirect{Off: 0, Size: 1})
	d.jumpIf(bpf.JumpBitsSet, 1, short) // the first byte of the number is left away
	d.add(bpf.LoadIndirect{Off: 0, Size: 2})
	d.advance(1)
	d.mark(short)
	d.advance(1)
	d.farIf(bpf.JumpEqual, 0x21, d.levels[i].ipv4)
	d.farIf(bpf.JumpEqual, 0x57, d.levels[i].ipv6)
	d.farIf(bpf.JumpEqual, 0x281, d.levels[i].mpls)
	d.jump(d.done)
}

// mpls skips labels and goes on with the packet on level i or, in a pseudowire, the frame on the
// next one.
func (d *demux) mpls(i int) {
	bottom := d.label()
	for range demuxLabels {
		d.add(bpf.LoadIndirect{Off: 2, Size: 1})
		d.advance(4)
		d.jumpIf(bpf.JumpBitsSet, 1, bottom)
	}
	d.jump(d.done)

	// A frame can begin like IP; what is IP has a length that fits.
	d.mark(bottom)
	d.fits(4, 2, 0, d.levels[i].ipv4)
	d.fits(6, 4, 40, d.levels[i].ipv6)
	if i == demuxLevels-1 {
		d.jump(d.done)
		return
	}
	frame, word := d.levels[i+1].ethernet, d.label()
	d.add(bpf.LoadIndirect{Off: 12, Size: 2})
	for _, t := range append([]uint32{etherIPv4, etherIPv6, etherMPLS, multiMPLS, etherPPP}, tags...) {
		d.farIf(bpf.JumpEqual, t, frame)
	}
	d.add(bpf.LoadIndirect{Off: 0, Size: 1})
	d.jumpIf(bpf.JumpLessThan, 0x10, word) // the control word of a pseudowire
	d.version(i)                           // of a packet that was cut short
	d.mark(word)
	d.advance(4)
	d.jump(frame)
}

// fits jumps when an IP packet of the given version is at X whose length, in the field at off plus
// more, does not go beyond the end.
func (d *demux) fits(version, off, more uint32, to label) {
	otherwise := d.label()
	d.add(bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4})
	d.jumpIf(bpf.JumpNotEqual, version, otherwise)
	d.add(bpf.StoreScratch{Src: bpf.RegX, N: scratchX},
		bpf.LoadIndirect{Off: off, Size: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: more},
		bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{}, // where it ends
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIfX{Cond: bpf.JumpLessThan, SkipTrue: 2},
		bpf.LoadScratch{Dst: bpf.RegX, N: scratchX})
	d.jump(to)
	d.add(bpf.LoadScratch{Dst: bpf.RegX, N: scratchX})
	d.mark(otherwise)
}

// udp goes on with what a datagram on level i carries. DNS is what has a port of DNS, whatever the
// other one is, as in decode: or the answer to a client with the port of a tunnel would be taken
// for one.
func (d *demux) udp(i int) {
	plain := d.label()
	kinds := []struct {
		kind dnsmsg.Tunnel
		code func(int)
	}{
		{dnsmsg.VXLAN, d.vxlan}, {dnsmsg.VXLANGPE, d.vxlanGPE}, {dnsmsg.GENEVE, d.geneve},
		{dnsmsg.GTP, d.gtp},
	}
	if i < demuxLevels-1 && d.has(dnsmsg.VXLAN, dnsmsg.VXLANGPE, dnsmsg.GENEVE, dnsmsg.GTP) {
		dns, tunnel := d.label(), d.label()
		d.eitherPort(d.ports, dns)
		d.jump(tunnel)
		d.mark(dns)
		d.jump(plain)
		d.mark(tunnel)
		begin := make([]label, len(kinds))
		for k := range kinds {
			begin[k] = d.label()
		}
		for _, off := range []uint32{2, 0} { // the destination first
			d.add(bpf.LoadIndirect{Off: off, Size: 2})
			for k, kind := range kinds {
				for _, port := range words(kind.kind.Ports()) {
					if d.has(kind.kind) {
						d.farIf(bpf.JumpEqual, port, begin[k])
					}
				}
			}
		}
		d.jump(plain)
		for k, kind := range kinds {
			d.mark(begin[k])
			if d.has(kind.kind) {
				d.advance(8)
				kind.code(i + 1)
			}
		}
	}
	d.mark(plain)
	if d.apart {
		d.add(bpf.StoreScratch{Src: bpf.RegX, N: scratchX})
		d.pair(0, 2, 2)
	}
	d.jump(d.done)
}

func (d *demux) vxlan(i int) {
	d.add(bpf.LoadIndirect{Off: 0, Size: 1})
	d.farIf(bpf.JumpBitsNotSet, 0x08, d.done)
	d.advance(8)
	d.jump(d.levels[i].ethernet)
}

func (d *demux) vxlanGPE(i int) {
	d.add(bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x38}) // version and the valid bit
	d.farIf(bpf.JumpNotEqual, 0x08, d.done)
	d.add(bpf.LoadIndirect{Off: 3, Size: 1})
	d.advance(8)
	l := &d.levels[i]
	for proto, to := range []label{l.ethernet, l.ipv4, l.ipv6, l.ethernet, d.done, l.mpls} {
		d.farIf(bpf.JumpEqual, uint32(proto), to)
	}
	d.jump(d.done)
}

func (d *demux) geneve(i int) {
	d.add(bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchType},
		bpf.LoadIndirect{Off: 0, Size: 1})
	d.farIf(bpf.JumpGreaterThan, 0x3f, d.done) // the version is not 0
	d.add(bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 8},
		bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{},
		bpf.LoadScratch{Dst: bpf.RegA, N: scratchType})
	l := &d.levels[i]
	d.farIf(bpf.JumpEqual, etherFrame, l.ethernet)
	d.farIf(bpf.JumpEqual, etherIPv4, l.ipv4)
	d.farIf(bpf.JumpEqual, etherIPv6, l.ipv6)
	d.farIf(bpf.JumpEqual, etherMPLS, l.mpls)
	d.farIf(bpf.JumpEqual, multiMPLS, l.mpls)
	d.jump(d.done)
}

// gtp follows two extension headers: 5G has one, the other way none.
func (d *demux) gtp(i int) {
	const headers = 2
	named, packet := d.label(), d.label()
	d.add(bpf.LoadIndirect{Off: 1, Size: 1})
	d.farIf(bpf.JumpNotEqual, 255, d.done)
	d.add(bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.StoreScratch{Src: bpf.RegA, N: scratchFlags},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0})
	d.farIf(bpf.JumpNotEqual, 0x30, d.done)
	d.advance(8)
	d.add(bpf.LoadScratch{Dst: bpf.RegA, N: scratchFlags})
	d.jumpIf(bpf.JumpBitsNotSet, 0x07, packet)
	d.advance(3) // the last byte of four names the extension header
	d.jumpIf(bpf.JumpBitsNotSet, 0x04, named)
	for range headers {
		d.add(bpf.LoadIndirect{Off: 0, Size: 1})
		d.jumpIf(bpf.JumpEqual, 0, named)
		d.add(bpf.LoadIndirect{Off: 1, Size: 1}, // its length in words, its own last byte included
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
			bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{})
	}
	d.add(bpf.LoadIndirect{Off: 0, Size: 1})
	d.farIf(bpf.JumpNotEqual, 0, d.done)
	d.mark(named)
	d.advance(1)
	d.mark(packet)
	d.version(i)
}
