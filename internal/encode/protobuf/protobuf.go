// SPDX-License-Identifier: Apache-2.0

// Package protobuf encodes a message as one Protobuf message Record of schema/dns.proto, version 1
// of the record. The tags come from the field table of package schema; docs/record.md describes
// each field. It says what package json says, but for one thing: more fits into a value.
//
// Numbers that are always there and 0 are mostly written, which no reader can tell from those that
// proto3 leaves out: it is a branch less.
//
// The order of the fields, which means nothing either, is for compression: what is another in each
// record stands together behind the framing; what is mostly the same follows; then comes what a
// response has in common with its query. So a record is made of few and long repetitions.
package protobuf

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/schema"
)

var _ encode.Encoder = (*Encoder)(nil)

// Encoder writes records of one lane. It is used by one goroutine.
type Encoder struct {
	prefix []byte // what all records of the lane have

	iface  string                         // the interface that origin shows
	origin [dnsmsg.NoTransport + 1][]byte // transport and interface, for each dnsmsg.Transport

	start   int // of the value in dst
	max     int // bytes that questions and records may fill the value to
	omitted int // questions and records left out of this value

	// Where dst holds the name at the offset ownerAt of the message, with its length before it, so
	// that the many records of one owner cost a copy each. ownerAt is -1 when nothing is held.
	ownerAt, ownerFrom, ownerTo int
}

// New returns an encoder for the lane that id names.
func New(id encode.Identity) *Encoder {
	e := &Encoder{}
	p := appendUint(append(e.prefix, tagV...), schema.Version)
	p = appendText(append(p, tagSensor...), id.Sensor)
	p = appendText(append(p, tagRun...), id.Run)
	e.prefix = appendUint(append(p, tagLane...), uint64(id.Lane))
	e.setInterface("")
	return e
}

// Append implements encode.Encoder.
func (e *Encoder) Append(dst []byte, seq uint64, m *dnsmsg.Message) []byte {
	return e.append(dst, seq, m, nil)
}

// append appends the value that describes m, and t around it, which may be nil.
func (e *Encoder) append(dst []byte, seq uint64, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	edns, hasEDNS := m.EDNS()
	e.start, e.omitted, e.ownerAt = len(dst), 0, -1
	e.max = encode.MaxValue - maxGrowth*len(edns.Options)
	dst = append(appendUint(append(dst, tagSeq...), seq), tagSize...)
	dst = append(appendUint(dst, uint64(m.Size)), tagTs...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Time))
	dst = append(dst, e.prefix...)
	if m.DNSTap == nil {
		dst = appendEnds(appendHeader(appendKind(dst, m, t), m), m)
	} else {
		dst = appendToldEnds(appendHeader(appendToldKind(dst, m, t), m), m)
	}
	dst = e.appendPath(dst, m)
	if m.DNSTap != nil {
		dst = appendDNSTap(dst, m.DNSTap)
	}
	if t == nil {
		dst = e.appendQuestions(dst, m)
	} else {
		dst = e.appendQuery(dst, t)
	}
	dst = e.appendSections(dst, m, &sections)
	if e.omitted > 0 {
		dst = appendUint(append(dst, tagOmitted...), uint64(e.omitted))
	}
	if hasEDNS {
		dst = appendEDNS(dst, tagEdns, edns)
	}
	if m.Fault.Reason != dnsmsg.OK {
		dst = appendMalformed(dst, m)
	}
	if e.omitted > 0 || m.Fault.Reason != dnsmsg.OK {
		dst = appendCounts(dst, m)
	}
	return dst
}

// setInterface makes the fields of all transports for messages from the interface name.
func (e *Encoder) setInterface(name string) {
	e.iface = name
	for i := range e.origin {
		p := e.origin[i][:0]
		if t := dnsmsg.Transport(i); t != dnsmsg.NoTransport {
			p = appendText(append(p, tagTransport...), t.String())
		}
		if name != "" {
			p = appendText(append(p, tagInterface...), name)
		}
		e.origin[i] = p
	}
}

func appendKind(dst []byte, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	if t == nil {
		return kinds[encode.KindOf(m)].append(dst)
	}
	return appendPairing(dst, t)
}

// appendEnds appends addresses, ports and the id.
func appendEnds(dst []byte, m *dnsmsg.Message) []byte {
	client, clientPort := m.Client()
	server, serverPort := m.Server()
	dst = append(appendAddr(append(dst, tagClientIp...), client), tagClientPort...)
	dst = append(appendSmall(dst, uint32(clientPort)), tagId...)
	dst = append(appendSmall(dst, uint32(m.ID)), tagServerIp...)
	dst = append(appendAddr(dst, server), tagServerPort...)
	return appendSmall(dst, uint32(serverPort))
}

func (e *Encoder) appendPath(dst []byte, m *dnsmsg.Message) []byte {
	if m.Interface != e.iface {
		e.setInterface(m.Interface)
	}
	dst = append(dst, e.origin[m.Transport&7]...)
	if m.VLAN != 0 {
		dst = appendUint(append(dst, tagVlan...), uint64(m.VLAN))
	}
	if m.InnerVLAN != 0 {
		dst = appendUint(append(dst, tagInnerVlan...), uint64(m.InnerVLAN))
	}
	if m.Tunnel.Count != 0 {
		dst = appendTunnel(dst, m)
	}
	if m.Fragmented {
		dst = append(dst, tagFragmented+yes...)
	}
	return dst
}

func appendTunnel(dst []byte, m *dnsmsg.Message) []byte {
	dst, at := open(dst, tagTunnel)
	dst = seal(m.Tunnel.Append(dst), at)
	if m.TunnelID.Known {
		dst = appendUint(append(dst, tagTunnelId...), uint64(m.TunnelID.Value))
	}
	if m.InnerTunnelID.Known {
		dst = appendUint(append(dst, tagInnerTunnelId...), uint64(m.InnerTunnelID.Value))
	}
	if m.TunnelSrc.IsValid() {
		dst = appendAddr(append(dst, tagTunnelSrcIp...), m.TunnelSrc)
		dst = appendAddr(append(dst, tagTunnelDstIp...), m.TunnelDst)
	}
	return dst
}

// appendHeader appends what the header says but for the id.
func appendHeader(dst []byte, m *dnsmsg.Message) []byte {
	dst = opcodes[m.Opcode()&15].append(dst)
	if rcode := m.Rcode(); int(rcode) < len(rcodes) {
		dst = rcodes[rcode].append(dst)
	} else {
		var at int
		dst, at = open(dst, tagRcode)
		dst = seal(dnsmsg.AppendRcode(dst, rcode), at)
	}
	return flags[m.Flags>>4&127].append(dst)
}

// maxMalformedBytes of a malformed message go into its record.
const maxMalformedBytes = 128

func appendMalformed(dst []byte, m *dnsmsg.Message) []byte {
	dst, at := open(dst, tagMalformed)
	dst = appendText(append(dst, tagMalformedReason...), m.Fault.Reason.String())
	dst = appendUint(append(dst, tagMalformedOffset...), uint64(m.Fault.Offset))
	dst, bytes := open(dst, tagMalformedBytes)
	dst = seal(dnsmsg.AppendHex(dst, m.Wire[:min(len(m.Wire), maxMalformedBytes)]), bytes)
	return seal(dst, at)
}

// appendCounts appends what the header claims.
func appendCounts(dst []byte, m *dnsmsg.Message) []byte {
	dst = appendUint(append(dst, tagQdcount...), uint64(m.QD))
	dst = appendUint(append(dst, tagAncount...), uint64(m.AN))
	dst = appendUint(append(dst, tagNscount...), uint64(m.NS))
	return appendUint(append(dst, tagArcount...), uint64(m.AR))
}
