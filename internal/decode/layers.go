// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"hash/maphash"
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/ip"
	"github.com/dnsluice/dnsluice/internal/decode/link"
	"github.com/dnsluice/dnsluice/internal/decode/tunnel"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// held is what a layer says of a packet that it keeps: no reason to drop it.
const held = NumReasons

// open leads what an EtherType names to the layer that reads it. Layers call each other through it,
// from the outside inwards, as deep as note lets them.
func (d *Decoder) open(etherType uint16, b []byte, size int) Reason {
	switch etherType {
	case link.IPv4:
		return d.network(d.ip.Parse4(b, size))
	case link.IPv6:
		return d.network(d.ip.Parse6(b, size))
	case link.Ethernet:
		f := &d.link
		if v := f.Inner(b, size); v != link.OK {
			return linkReasons[v]
		}
		return d.open(f.Type, f.Payload, f.Size)
	}
	d.onIP = false
	return d.enter(d.layer.EtherType(etherType, b, size), NotIP)
}

// network leads an IP packet, of which v was said, to its transport, or to the tunnel that it is.
func (d *Decoder) network(v ip.Verdict) Reason {
	if v != ip.OK {
		return ipReasons[v]
	}
	p := &d.ip
	for p.Fragment { // once, unless a sender fragmented fragments
		if r := d.assemble(); r != OK {
			return r
		}
	}
	m := &d.message
	m.VLAN, m.InnerVLAN = d.link.VLAN, d.link.InnerVLAN
	m.Src, m.Dst = p.Src, p.Dst
	switch p.Proto {
	case ip.UDP:
		m.Transport = dnsmsg.UDP
		return d.udp()
	case ip.TCP:
		m.Transport = dnsmsg.TCP
		return d.tcp()
	}
	d.onIP = true
	return d.enter(d.layer.IP(p.Version(), p.Proto, p.Payload, p.Size), NotUDPTCP)
}

// enter goes on with what a tunnel carries. When it was none, or is not looked into, the packet is
// dropped for the reason that it would be dropped for anyway.
func (d *Decoder) enter(v tunnel.Verdict, otherwise Reason) Reason {
	l := &d.layer
	if v == tunnel.NotTunnel || l.Kind != dnsmsg.NoTunnel && !d.tunnels.Has(l.Kind) {
		return otherwise
	}
	if v != tunnel.OK {
		return tunnelReasons[v]
	}
	if l.Kind != dnsmsg.NoTunnel && !d.note(l.Kind) {
		return TunnelDepth
	}
	if l.Inner != dnsmsg.NoTunnel {
		if !d.tunnels.Has(l.Inner) {
			return NotIP
		}
		if !d.note(l.Inner) {
			return TunnelDepth
		}
	}
	for _, id := range l.ID[:l.IDs] {
		d.noteID(id)
	}
	return d.open(l.Type, l.Payload, l.Size)
}

// note adds a kind to those that the message travels in. It is false when there are too many.
func (d *Decoder) note(kind dnsmsg.Tunnel) bool {
	m := &d.message
	if m.Tunnel.Count == dnsmsg.MaxTunnels {
		return false
	}
	m.Tunnel.Kinds[m.Tunnel.Count] = kind
	m.Tunnel.Count++
	d.counters.Tunnels[kind]++
	if d.onIP && !m.TunnelSrc.IsValid() {
		m.TunnelSrc, m.TunnelDst = d.ip.Src, d.ip.Dst
	}
	at := place{around: d.context, kind: kind}
	if d.onIP {
		at.ends = [2][16]byte{d.ip.Src.As16(), d.ip.Dst.As16()}
		if d.ip.Dst.Less(d.ip.Src) { // the way back is the same place
			at.ends[0], at.ends[1] = at.ends[1], at.ends[0]
		}
	}
	d.context = maphash.Comparable(d.seed, at)
	return true
}

// noteID notes the id of the tunnel that was noted last.
func (d *Decoder) noteID(id uint32) {
	m, known := &d.message, dnsmsg.TunnelID{Value: id, Known: true}
	if m.TunnelID.Known {
		m.InnerTunnelID = known
	} else {
		m.TunnelID = known
	}
	d.context = maphash.Comparable(d.seed, place{around: d.context, id: id})
}

// place is what tells the inside of one tunnel from that of another. Ports are no part of it: a
// sender chooses them by the flow inside, and later fragments show none.
type place struct {
	around uint64
	ends   [2][16]byte
	id     uint32
	kind   dnsmsg.Tunnel
}

// leaveTunnels forgets those of the packet before.
func (d *Decoder) leaveTunnels() {
	m := &d.message
	m.Tunnel, m.TunnelID, m.InnerTunnelID = dnsmsg.Tunnels{}, dnsmsg.TunnelID{}, dnsmsg.TunnelID{}
	m.TunnelSrc, m.TunnelDst = netip.Addr{}, netip.Addr{}
	d.context = 0
}

// assemble gives the fragment that d.ip is to the others of its datagram. With OK, d.ip is the
// whole.
func (d *Decoder) assemble() Reason {
	p := &d.ip
	key := defrag.Key{
		Src: p.Src.As16(), Dst: p.Dst.As16(), Context: d.context, VLAN: d.link.VLAN,
		InnerVLAN: d.link.InnerVLAN, ID: p.ID, Proto: p.Proto,
	}
	if !p.Src.Is4() {
		const fragmentHeader = 44
		key.Proto = fragmentHeader
	}
	switch r := d.wants(); r {
	case OK:
	default:
		if r == Port || p.Version() == 6 { // later ones do not show it
			d.packets += d.fragments.Refuse(key, d.message.Time)
		}
		return r
	}
	whole, v := d.fragments.Add(key, defrag.Fragment{
		Payload: p.Payload, Size: p.Size, Offset: p.Offset, More: p.More, Proto: p.Proto,
		Time: d.message.Time, Packets: d.packets,
	})
	switch v {
	case defrag.Held:
		return held
	case defrag.Refused:
		if p.Proto != ip.UDP && p.Proto != ip.TCP {
			return NotUDPTCP
		}
		return Port
	case defrag.Invalid:
		return FragmentInvalid
	}
	p.Payload, p.Size, p.Proto = whole.Payload, whole.Size, whole.Proto
	d.packets = whole.Packets
	d.message.Fragmented = true
	return ipReasons[p.Continue()]
}

// wants tells whether a fragment can be a part of DNS: from its protocol, and from the ports when
// it is a first one that shows them. Of what shows neither, memory is bounded and time runs out.
func (d *Decoder) wants() Reason {
	p := &d.ip
	switch {
	case p.Offset > 0 && p.Version() == 6:
		return OK // only the first one's protocol counts (RFC 8200, section 4.5)
	case p.Proto == ip.UDP || p.Proto == ip.TCP:
	case p.Extended() || d.tunnels.Has(tunnel.ByProto(p.Version(), p.Proto)):
		return OK
	default:
		return NotUDPTCP
	}
	if p.Offset > 0 || len(p.Payload) < 4 || d.takesPorts(p.Payload) {
		return OK
	}
	m := &d.message
	if p.Proto == ip.UDP && d.tunnels.Has(tunnel.ByPorts(m.SrcPort, m.DstPort)) {
		return OK
	}
	return Port
}
