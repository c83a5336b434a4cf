// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"encoding/binary"
	"math"

	"github.com/dnsluice/dnsluice/internal/decode/ip"
	"github.com/dnsluice/dnsluice/internal/decode/link"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
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
	ports    portSet
	emit     func(*dnsmsg.Message)
	counters Counters

	// The packet being decoded, filled from the outside inwards.
	link    link.Frame
	ip      ip.Packet
	message dnsmsg.Message

	streams tcpstream.Streams
	fromTCP func(wire []byte, size int) // d.parse as a value, made once
}

// New returns a Decoder that calls emit for each message, or the error of cfg.Validate.
func New(cfg Config, emit func(*dnsmsg.Message)) (*Decoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Decoder{emit: emit}
	d.fromTCP = d.parse
	for _, p := range cfg.Ports {
		d.ports.add(p)
	}
	return d, nil
}

// Decode reads one packet. It calls emit for each message in it before it returns; the Message
// and all that it points to are valid until emit returns, and emit may not change them.
func (d *Decoder) Decode(p *packet.Packet) {
	d.counters.Packets++
	if r := d.frame(p); r != OK {
		d.counters.Dropped[r]++
		return
	}
	d.counters.Carried++
}

// Counters returns a copy of the counters.
func (d *Decoder) Counters() Counters { return d.counters }

// frame leads a packet through link and IP to its transport.
func (d *Decoder) frame(p *packet.Packet) Reason {
	f := &d.link
	if v := f.Strip(p); v != link.OK {
		return linkReasons[v]
	}
	if v := d.ip.Parse(f.Version, f.Payload, f.Size); v != ip.OK {
		return ipReasons[v]
	}
	if d.ip.Fragment {
		return Fragment // reassembly takes it from here and gives back a whole d.ip
	}
	if d.ip.Proto != ip.UDP && d.ip.Proto != ip.TCP {
		return NotUDPTCP // tunnels lead back to link.Strip from here
	}
	m := &d.message
	m.Time = p.Time
	m.Interface = p.Interface
	m.VLAN, m.InnerVLAN = f.VLAN, f.InnerVLAN
	m.Src, m.Dst = d.ip.Src, d.ip.Dst
	if d.ip.Proto == ip.UDP {
		m.Transport = dnsmsg.UDP
		return d.udp()
	}
	m.Transport = dnsmsg.TCP
	return d.tcp()
}

// udp reads a datagram. Its length field says where the message ends: it may be less than IP
// carried, and where it claims more, what is there has to do.
func (d *Decoder) udp() Reason {
	b, size := d.ip.Payload, d.ip.Size
	if len(b) < udpHeader {
		return UDPHeader
	}
	if !d.takesPorts(b) {
		return Port
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
	d.parse(b[udpHeader:min(len(b), size)], size-udpHeader)
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
	flow := tcpstream.Flow{Src: m.Src, Dst: m.Dst, SrcPort: m.SrcPort, DstPort: m.DstPort}
	v := d.streams.Segment(flow, tcpstream.Segment{
		Seq:     binary.BigEndian.Uint32(b[4:]),
		Flags:   b[13],
		Payload: b[header:],
		Size:    d.ip.Size - header,
	}, d.fromTCP)
	return tcpReasons[v]
}

// takesPorts notes the ports, which begin both transport headers, and tells whether the packet
// is DNS by one of them.
func (d *Decoder) takesPorts(b []byte) bool {
	m := &d.message
	m.SrcPort = binary.BigEndian.Uint16(b)
	m.DstPort = binary.BigEndian.Uint16(b[2:])
	return d.ports.has(m.SrcPort) || d.ports.has(m.DstPort)
}

// parse reads one message, which was size bytes long on the wire, and emits it.
func (d *Decoder) parse(b []byte, size int) {
	m := &d.message
	m.Wire, m.Size, m.Cut = b, size, size > len(b)
	wire.Parse(m)
	d.counters.Messages++
	if m.Fault.Reason != dnsmsg.OK {
		d.counters.Malformed[m.Fault.Reason]++
	}
	d.emit(m)
}
