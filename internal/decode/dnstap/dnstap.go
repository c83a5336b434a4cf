// SPDX-License-Identifier: Apache-2.0

// Package dnstap reads what a name server reports of its own messages: one protobuf message of
// the schema dnstap.proto (https://dnstap.info), which stands where a captured packet has its
// link, IP and transport headers. It is the outermost layer of stage 2 for such packets. It owns
// nothing, borrows all bytes, and drops nothing.
package dnstap

import (
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Verdict is what came of a frame.
type Verdict uint8

// The verdicts.
const (
	OK          Verdict = iota
	Malformed           // not a protobuf message: it ends inside a field, or has no such wire type
	Empty               // no DNS message in it
	NumVerdicts         // how many there are; not a verdict
)

// Frame is what one dnstap frame says. All slices are borrowed from the bytes given to Parse.
type Frame struct {
	Tap                    dnsmsg.DNSTap
	Transport              dnsmsg.Transport // NoTransport when it was not told
	Client, Server         netip.Addr       // the zero Addr when it was not told
	ClientPort, ServerPort uint16           // 0 when it was not told
	Query, Response        []byte           // DNS messages, empty when there is none; seldom both
}

// The fields of dnstap.proto by their tags, each its number and its wire type. A field that comes
// with another wire type is one that is not known, and is passed over, as protobuf has it.
const (
	identity = 1<<3 | wireBytes
	version  = 2<<3 | wireBytes
	extra    = 3<<3 | wireBytes
	message  = 14<<3 | wireBytes
	// Field 15, type, says which of the fields above 13 is there, and there is only one.

	messageType     = 1<<3 | wireVarint
	socketProtocol  = 3<<3 | wireVarint
	queryAddress    = 4<<3 | wireBytes
	responseAddress = 5<<3 | wireBytes
	queryPort       = 6<<3 | wireVarint
	responsePort    = 7<<3 | wireVarint
	queryTimeSec    = 8<<3 | wireVarint
	queryTimeNsec   = 9<<3 | wireFixed32
	queryMessage    = 10<<3 | wireBytes
	queryZone       = 11<<3 | wireBytes
	responseTimeSec = 12<<3 | wireVarint
	responseTimeNs  = 13<<3 | wireFixed32
	responseMessage = 14<<3 | wireBytes
	policy          = 15<<3 | wireBytes
	httpProtocol    = 16<<3 | wireVarint

	policyType   = 1<<3 | wireBytes
	policyRule   = 2<<3 | wireBytes
	policyAction = 3<<3 | wireVarint
	policyMatch  = 4<<3 | wireVarint
	policyValue  = 5<<3 | wireBytes
)

// transports are the values of enum SocketProtocol.
var transports = [...]dnsmsg.Transport{
	0: dnsmsg.NoTransport,
	1: dnsmsg.UDP,
	2: dnsmsg.TCP,
	3: dnsmsg.DoT,
	4: dnsmsg.DoH,
	5: dnsmsg.DNSCryptUDP,
	6: dnsmsg.DNSCryptTCP,
	7: dnsmsg.DoQ,
}

// Parse fills f from the bytes of one frame. Where a field comes more than once, the last holds.
func (f *Frame) Parse(b []byte) Verdict {
	*f = Frame{Transport: dnsmsg.NoTransport}
	r := reader{rest: b}
	for r.next() {
		switch r.tag {
		case identity:
			f.Tap.Identity = r.data
		case version:
			f.Tap.Version = r.data
		case extra:
			f.Tap.Extra = r.data
		case message:
			if !f.message(r.data) {
				return Malformed
			}
		}
	}
	switch {
	case r.bad:
		return Malformed
	case len(f.Query) == 0 && len(f.Response) == 0:
		return Empty
	}
	return OK
}

// message reads the protobuf message Message. It returns false when it is malformed.
func (f *Frame) message(b []byte) bool {
	var querySec, responseSec uint64
	var queryNsec, responseNsec uint32
	r := reader{rest: b}
	for r.next() {
		switch r.tag {
		case messageType:
			f.Tap.Type = dnsmsg.DNSTapType(r.value)
		case socketProtocol:
			f.Transport = dnsmsg.NoTransport
			if r.value < uint64(len(transports)) {
				f.Transport = transports[r.value]
			}
		case queryAddress:
			f.Client = address(r.data)
		case responseAddress:
			f.Server = address(r.data)
		case queryPort:
			f.ClientPort = port(r.value)
		case responsePort:
			f.ServerPort = port(r.value)
		case queryTimeSec:
			querySec = r.value
		case queryTimeNsec:
			queryNsec = uint32(r.value)
		case queryMessage:
			f.Query = r.data
		case queryZone:
			f.Tap.Zone = r.data
		case responseTimeSec:
			responseSec = r.value
		case responseTimeNs:
			responseNsec = uint32(r.value)
		case responseMessage:
			f.Response = r.data
		case policy:
			if !readPolicy(&f.Tap.Policy, r.data) {
				return false
			}
		case httpProtocol:
			f.Tap.HTTP = dnsmsg.HTTPVersion(r.value)
		}
	}
	f.Tap.QueryTime = instant(querySec, queryNsec)
	f.Tap.ResponseTime = instant(responseSec, responseNsec)
	return !r.bad
}

func readPolicy(p *dnsmsg.Policy, b []byte) bool {
	r := reader{rest: b}
	for r.next() {
		switch r.tag {
		case policyType:
			p.Type = r.data
		case policyRule:
			p.Rule = r.data
		case policyAction:
			p.Action = dnsmsg.PolicyAction(r.value)
		case policyMatch:
			p.Match = dnsmsg.PolicyMatch(r.value)
		case policyValue:
			p.Value = r.data
		}
	}
	return !r.bad
}

// address returns the zero Addr for what is no address. Neither is 0.0.0.0 or :: one of a host: a
// resolver tells it when it leaves it to the kernel which address it asks from.
func address(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// port returns 0 for what is no port.
func port(v uint64) uint16 {
	if v > 1<<16-1 {
		return 0
	}
	return uint16(v)
}

// instant returns nanoseconds since the Unix epoch, and 0 for what is no time, or is one that 63
// bits of nanoseconds do not reach (the year 2262).
func instant(sec uint64, nsec uint32) int64 {
	const second = 1_000_000_000
	if sec > (1<<63-1)/second-1 || nsec >= second {
		return 0
	}
	return int64(sec)*second + int64(nsec)
}
