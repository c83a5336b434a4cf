// SPDX-License-Identifier: Apache-2.0

// Package dnsmsg is the second noun of the path: one DNS message as a view on borrowed bytes,
// and how its parts are written as text. decode/wire fills the view; the encoders read it.
package dnsmsg

import "net/netip"

// Transport is what carried a message.
type Transport uint8

// The transports of a message. All but the first two are encrypted, so that only a server that
// reports its own messages can know of them.
const (
	UDP         Transport = iota
	TCP                   // RFC 7766
	DoT                   // TLS, RFC 7858
	DoH                   // HTTPS, RFC 8484
	DoQ                   // QUIC, RFC 9250
	DNSCryptUDP           // https://dnscrypt.info/protocol
	DNSCryptTCP           // the same
	NoTransport           // the server did not tell
)

var transportNames = [...]string{UDP: "udp", TCP: "tcp", DoT: "dot", DoH: "doh", DoQ: "doq",
	DNSCryptUDP: "dnscrypt_udp", DNSCryptTCP: "dnscrypt_tcp", NoTransport: "unknown"}

// String returns the name that the record uses.
func (t Transport) String() string { return transportNames[t] }

// Section is the part of a message that a resource record stands in (RFC 1035, section 4.1).
type Section uint8

// The sections that hold resource records. Those of an UPDATE (RFC 2136) are, in the same order:
// prerequisite, update, additional.
const (
	Answer Section = iota
	Authority
	Additional
)

// The bits of Message.Flags (RFC 1035, section 4.1.1; RFC 4035, section 3).
const (
	FlagQR uint16 = 1 << 15 // a response
	FlagAA uint16 = 1 << 10
	FlagTC uint16 = 1 << 9
	FlagRD uint16 = 1 << 8
	FlagRA uint16 = 1 << 7
	FlagAD uint16 = 1 << 5
	FlagCD uint16 = 1 << 4
)

// HeaderLen is the length of a message's header (RFC 1035, section 4.1.1).
const HeaderLen = 12

// Question is one entry of the question section. Name is the offset of its name in Message.Wire.
type Question struct {
	Name        uint16
	Type, Class uint16
}

// RR is one resource record. Name and Data are offsets in Message.Wire; Len is the length of the
// record data. decode/wire has proved that Wire holds all of them and that the owner name is well
// formed; it has not looked into the data.
type RR struct {
	TTL         uint32
	Name        uint16
	Type, Class uint16
	Data, Len   uint16
	Section     Section
}

// Fault says where and why a message could not be read to its end.
type Fault struct {
	Reason Reason // OK when the message is whole
	Offset int    // of the first byte in Wire that makes no sense
}

// Message is one DNS message and the path it took. Every slice and the Wire bytes are borrowed
// from the decoder until its next call.
type Message struct {
	// How it travelled.
	Time             int64 // when its last packet was captured, nanoseconds since the Unix epoch
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	VLAN, InnerVLAN  uint16 // ids of the outermost and the innermost tag, wherever; 0 is none
	Transport        Transport
	Fragmented       bool   // it came in more than one IP fragment
	Cut              bool   // the capture's snapshot length cut it: Wire is shorter than the message was
	Size             int    // length of the message as the transport gave it; len(Wire) unless Cut
	Interface        string // empty when the source does not know it

	// DNSTap is what the server that reported the message says of it; nil when it was captured.
	// With it, an address that is not valid and a port of 0 were not told.
	DNSTap *DNSTap

	// Wire is the whole message, header first, without the length prefix of TCP. It can be
	// shorter than HeaderLen: then Fault says so, and of the fields below there are as many as
	// HeaderFields says. The others are zero, but for FlagQR, which is as the ports tell.
	Wire []byte

	// The header. QD to AR are the counts that it claims, which a malformed message need not hold.
	ID             uint16
	Flags          uint16
	QD, AN, NS, AR uint16

	// What could be read before Fault, in the order of the wire.
	Questions []Question
	RRs       []RR

	// OPT is the index in RRs of the first OPT record of the additional section (RFC 6891), or -1.
	OPT int

	Fault Fault

	// What encapsulated it. Src and Dst above are the innermost addresses.
	Tunnel               Tunnels
	TunnelID             TunnelID   // the outermost id that there is
	InnerTunnelID        TunnelID   // the innermost, when there are several
	TunnelSrc, TunnelDst netip.Addr // of the outermost IP header, when it is not the only one
}

// HeaderFields returns how many of the header's six fields are there, from ID to AR.
func (m *Message) HeaderFields() int { return min(len(m.Wire), HeaderLen) / 2 }

// Response tells whether the QR bit is set.
func (m *Message) Response() bool { return m.Flags&FlagQR != 0 }

// Opcode returns the kind of query (RFC 1035, section 4.1.1).
func (m *Message) Opcode() uint8 { return uint8(m.Flags >> 11 & 15) }

// Rcode returns the response code: the four bits of the header and, with EDNS, the eight bits
// above them out of the OPT record (RFC 6891, section 6.1.3).
func (m *Message) Rcode() uint16 {
	rcode := m.Flags & 15
	if m.OPT >= 0 {
		rcode |= uint16(m.RRs[m.OPT].TTL>>24) << 4
	}
	return rcode
}

// Client returns the address and port of the side that asks: the source of a query, the
// destination of a response.
func (m *Message) Client() (netip.Addr, uint16) {
	if m.Response() {
		return m.Dst, m.DstPort
	}
	return m.Src, m.SrcPort
}

// Server returns the address and port of the side that answers.
func (m *Message) Server() (netip.Addr, uint16) {
	if m.Response() {
		return m.Src, m.SrcPort
	}
	return m.Dst, m.DstPort
}
