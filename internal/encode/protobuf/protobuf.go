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

	// What messages of the same kind have in common, from the prefix to the interface.
	iface  string // the interface that common shows
	common [32]struct {
		key    uint32 // 0 when there is none
		fields encode.Text
	}

	servers encode.Servers

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
	dst = binary.AppendUvarint(append(dst, tagSeq...), seq)
	dst = appendUint(append(dst, tagSize...), uint64(m.Size))
	dst = binary.LittleEndian.AppendUint64(append(dst, tagTs...), uint64(m.Time))
	switch {
	case m.DNSTap != nil:
		dst = e.commonOf(m, noKind).Append(dst)
		dst = appendToldEnds(appendToldKind(dst, m, t), m)
	case t != nil:
		dst = e.commonOf(m, noKind).Append(dst)
		dst = e.appendEnds(appendPairing(dst, t), m)
	default:
		dst = e.commonOf(m, encode.KindOf(m)).Append(dst)
		dst = e.appendEnds(dst, m)
	}
	dst = appendPath(dst, m)
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

// noKind is for messages whose kind stands elsewhere.
const noKind = dnsmsg.NumKinds

// commonOf returns what m has in common with most others: what is the same in all records of the
// lane, its kind, header, transport and interface. They are put together when they change.
func (e *Encoder) commonOf(m *dnsmsg.Message, kind dnsmsg.Kind) *encode.Text {
	if m.Interface != e.iface {
		e.iface = m.Interface
		for i := range e.common {
			e.common[i].key = 0
		}
	}
	rcode := m.Rcode()
	key := 1<<31 | uint32(m.Transport)<<28 | uint32(kind)<<24 | uint32(rcode>>4)<<16 | uint32(m.Flags)
	c := &e.common[key*0x9e3779b1>>27] // a multiplicative hash, to five bits
	if c.key != key {
		c.key = key
		c.fields.Set(e.appendCommon(c.fields.Buffer(), m, kind, rcode))
	}
	return &c.fields
}

// appendCommon appends what commonOf returns. What tells one kind from the next stands first: where
// a compressor has to look for another repetition, that decides which it finds.
func (e *Encoder) appendCommon(
	dst []byte, m *dnsmsg.Message, kind dnsmsg.Kind, rcode uint16,
) []byte {
	dst = append(dst, e.prefix...)
	for _, f := range []struct {
		flag uint16
		tag  string
	}{
		{dnsmsg.FlagAA, tagAa}, {dnsmsg.FlagAD, tagAd}, {dnsmsg.FlagRA, tagRa},
		{dnsmsg.FlagRD, tagRd}, {dnsmsg.FlagTC, tagTc}, {dnsmsg.FlagCD, tagCd},
	} {
		if m.Flags&f.flag != 0 {
			dst = append(dst, f.tag+yes...)
		}
	}
	dst, at := open(dst, tagRcode)
	dst = seal(dnsmsg.AppendRcode(dst, rcode), at)
	if kind != noKind {
		dst = appendText(append(dst, tagKind...), kind.String())
	}
	dst = appendText(append(dst, tagOpcode...), dnsmsg.OpcodeName(m.Opcode()))
	if m.Transport != dnsmsg.NoTransport {
		dst = appendText(append(dst, tagTransport...), m.Transport.String())
	}
	if m.Interface != "" {
		dst = appendText(append(dst, tagInterface...), m.Interface)
	}
	return dst
}

// appendEnds appends addresses, ports and the id.
func (e *Encoder) appendEnds(dst []byte, m *dnsmsg.Message) []byte {
	client, server := &m.Src, &m.Dst
	clientPort, serverPort := m.SrcPort, m.DstPort
	if m.Response() {
		client, server = server, client
		clientPort, serverPort = serverPort, clientPort
	}
	dst = appendAddr(append(dst, tagClientIp...), *client)
	dst = appendSmall(dst, tagClientPort, uint32(clientPort))
	dst = appendSmall(dst, tagId, uint32(m.ID))
	dst, at := open(dst, tagServerIp)
	dst = e.servers.Append(dst, *server)
	dst[at] = byte(len(dst) - at - 1)
	return appendSmall(dst, tagServerPort, uint32(serverPort))
}

func appendPath(dst []byte, m *dnsmsg.Message) []byte {
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

func appendMalformed(dst []byte, m *dnsmsg.Message) []byte {
	if m.HeaderFields() < 2 { // of a field that comes twice the last counts
		dst = append(dst, tagOpcode+empty+tagRcode+empty...)
	}
	dst, at := open(dst, tagMalformed)
	dst = appendText(append(dst, tagMalformedReason...), m.Fault.Reason.String())
	dst = appendUint(append(dst, tagMalformedOffset...), uint64(m.Fault.Offset))
	dst, bytes := open(dst, tagMalformedBytes)
	dst = seal(dnsmsg.AppendHex(dst, m.Wire[:min(len(m.Wire), encode.MaxMalformed)]), bytes)
	return seal(dst, at)
}

// appendCounts appends what the header claims.
func appendCounts(dst []byte, m *dnsmsg.Message) []byte {
	for i := range max(0, m.HeaderFields()-2) {
		tag := [...]string{tagQdcount, tagAncount, tagNscount, tagArcount}[i]
		dst = appendUint(append(dst, tag...), uint64([...]uint16{m.QD, m.AN, m.NS, m.AR}[i]))
	}
	return dst
}
