// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"encoding/binary"
	"hash/maphash"
	"math"

	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/dnstap"
	"github.com/dnsluice/dnsluice/internal/decode/ip"
	"github.com/dnsluice/dnsluice/internal/decode/link"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/decode/tunnel"
	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// Lengths of transport headers without options (RFC 768; RFC 9293, section 3.1).
const (
	udpHeader = 8
	tcpHeader = 20
)

// Decoder turns the packets of one lane into messages. Only the lane's goroutine may use it.
type Decoder struct {
	tunnels  dnsmsg.TunnelSet
	emit     func(*dnsmsg.Message)
	counters Counters

	// The packet being decoded, filled from the outside inwards.
	link    link.Frame
	ip      ip.Packet
	message dnsmsg.Message
	tap     dnstap.Frame // in place of link and ip, for what a server reports
	layer   tunnel.Layer
	onIP    bool   // layer is that of an IP packet: ip has the addresses around it
	context uint64 // of the tunnels that the packet came through, for fragments; 0 for none
	packets uint64 // how many packets it stands for: fragments that were put together are several

	reported bool // what is read of tap is its response

	seed      maphash.Seed // of context
	fragments *defrag.Table

	streams *tcpstream.Streams

	ports portSet // last, for it is large: what is above stays close together
}

// New returns a Decoder that calls emit for each message, or the error of cfg.Validate.
func New(cfg Config, emit func(*dnsmsg.Message)) (*Decoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	tunnels, err := dnsmsg.ParseTunnels(cfg.Tunnels)
	if err != nil {
		return nil, err
	}
	d := &Decoder{
		emit: emit, tunnels: tunnels, seed: maphash.MakeSeed(), fragments: defrag.New(cfg.Defrag),
	}
	d.streams = tcpstream.New(cfg.TCP, d.fromTCP)
	for _, p := range cfg.Ports {
		d.ports.add(p)
	}
	return d, nil
}

// Decode reads one packet. It calls emit for each message in it before it returns; the Message
// and all that it points to are valid until emit returns, and emit may not change them.
func (d *Decoder) Decode(p *packet.Packet) {
	d.counters.Packets++
	d.packets = 1
	if p.Time >= d.fragments.Due() {
		d.fragments.Expire(p.Time)
	}
	switch r := d.frame(p); r {
	case OK:
		d.counters.Carried += d.packets
	case held: // counted by whoever holds it
	default:
		d.counters.Dropped[r] += d.packets
	}
}

// Flush gives up all that is held, as at the end of the input: it calls emit for each message that
// waited behind bytes that were not captured, and drops the rest.
func (d *Decoder) Flush() {
	d.streams.Flush()
	d.fragments.Flush()
}

// Counters returns a copy of the counters.
func (d *Decoder) Counters() Counters {
	c := d.counters
	c.addTCP(d.streams.Stats())
	c.addFragments(d.fragments.Counters())
	return c
}

// frame leads a packet through its layers to its messages.
func (d *Decoder) frame(p *packet.Packet) Reason {
	f := &d.link
	if v := f.Strip(p); v != link.OK {
		if p.Link == packet.LinkDNSTap {
			return d.dnstap(p) // asked here, where captured frames seldom come
		}
		return linkReasons[v]
	}
	m := &d.message
	m.Time, m.Interface, m.Fragmented = p.Time, p.Interface, false
	if m.Tunnel.Count != 0 {
		d.leaveTunnels()
	}
	switch f.Type {
	case link.IPv4: // asked here as well, to be quick with nearly all packets
		return d.network(d.ip.Parse4(f.Payload, f.Size))
	case link.IPv6:
		return d.network(d.ip.Parse6(f.Payload, f.Size))
	}
	return d.open(f.Type, f.Payload, f.Size)
}

// udp reads a datagram. Its length field says where the message ends: it may be less than IP
// carried, and where it claims more, what is there has to do.
func (d *Decoder) udp() Reason {
	b, size := d.ip.Payload, d.ip.Size
	if len(b) < udpHeader {
		return UDPHeader
	}
	kind := dnsmsg.NoTunnel
	if !d.takesPorts(b) {
		kind = tunnel.ByPorts(d.message.SrcPort, d.message.DstPort)
		if !d.tunnels.Has(kind) {
			return Port
		}
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 && !d.ip.Src.Is4() {
		// RFC 2675, section 4: too long for the field. Linux accepts it at any length, so a
		// sensor that did not would not see what the resolver sees.
		length = math.MaxUint16
	}
	if length < udpHeader {
		return UDPHeader
	}
	size = min(size, length)
	if size == udpHeader {
		return UDPEmpty
	}
	b, size = b[udpHeader:min(len(b), size)], size-udpHeader
	if kind != dnsmsg.NoTunnel {
		d.onIP = true
		return d.enter(d.layer.UDP(kind, b, size), Port)
	}
	d.parse(b, size)
	return OK
}

// tcp reads a segment.
func (d *Decoder) tcp() Reason {
	b := d.ip.Payload
	if len(b) < tcpHeader {
		return TCPHeader
	}
	if !d.takesPorts(b) {
		return Port
	}
	header := int(b[12]>>4) * 4
	if header < tcpHeader || header > len(b) {
		return TCPHeader
	}
	m := &d.message
	network := d.context ^ uint64(m.VLAN)<<16 ^ uint64(m.InnerVLAN)
	v := d.streams.Segment(m, network, &tcpstream.Segment{
		Seq:     binary.BigEndian.Uint32(b[4:]),
		Flags:   b[13],
		Payload: b[header:],
		Size:    d.ip.Size - header,
		Packets: uint32(d.packets),
	})
	return tcpReasons[v]
}

// fromTCP reads a message of a stream. When path is not nil, its packets came before this one, by
// way of path.
func (d *Decoder) fromTCP(path *dnsmsg.Message, wire []byte, size int) {
	if path == nil {
		d.parse(wire, size)
		return
	}
	current := d.message
	d.message = *path
	d.message.Questions, d.message.RRs = current.Questions, current.RRs
	d.parse(wire, size)
	current.Questions, current.RRs = d.message.Questions, d.message.RRs
	d.message = current
}

// takesPorts notes the ports, which begin both transport headers, and tells whether the packet
// is DNS by one of them. The lower one is asked for first: it is nearly always the server's, and so
// in the cache, where the bits of clients' ports are not.
func (d *Decoder) takesPorts(b []byte) bool {
	m := &d.message
	m.SrcPort = binary.BigEndian.Uint16(b)
	m.DstPort = binary.BigEndian.Uint16(b[2:])
	return d.ports.has(min(m.SrcPort, m.DstPort)) || d.ports.has(max(m.SrcPort, m.DstPort))
}

// answers tells whether a message that ends before its flags goes from a server to a client: by the
// port of DNS, which is the server's, or by the name that the server gave it. What comes from such
// a port to such a port is taken for a query.
func (d *Decoder) answers() bool {
	m := &d.message
	if m.DNSTap != nil {
		return d.reported
	}
	return d.ports.has(m.SrcPort) && !d.ports.has(m.DstPort)
}

// parse reads one message, which was size bytes long on the wire, and emits it.
func (d *Decoder) parse(b []byte, size int) {
	m := &d.message
	m.Wire, m.Size, m.Cut = b, size, size > len(b)
	wire.Parse(m)
	d.counters.Messages++
	if m.Fault.Reason != dnsmsg.OK {
		d.counters.Malformed[m.Fault.Reason]++
		if m.HeaderFields() < 2 && d.answers() {
			m.Flags = dnsmsg.FlagQR
		}
	}
	d.emit(m)
}
