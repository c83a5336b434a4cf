// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// appendToldKind appends the fields from the time to the path.
func appendToldKind(dst []byte, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	if d, ok := encode.Latency(m, t); ok {
		dst = appendUint(append(dst, tagLatencyUs...), uint64(d.Microseconds()))
	}
	if t != nil {
		return appendPairing(dst, t)
	}
	return appendText(append(dst, tagKind...), encode.KindOf(m).String())
}

// appendToldEnds appends addresses and ports as far as the server told them, and the id.
func appendToldEnds(dst []byte, m *dnsmsg.Message) []byte {
	client, clientPort := m.Client()
	server, serverPort := m.Server()
	dst = appendTold(dst, tagClientIp, tagClientPort, client, clientPort)
	dst = appendSmall(dst, tagId, uint32(m.ID))
	return appendTold(dst, tagServerIp, tagServerPort, server, serverPort)
}

func appendTold(dst []byte, tagIP, tagPort string, addr netip.Addr, port uint16) []byte {
	if addr.IsValid() {
		dst = appendAddr(append(dst, tagIP...), addr)
	}
	if port != 0 {
		dst = appendUint(append(dst, tagPort...), uint64(port))
	}
	return dst
}

// appendDNSTap appends what only the server knows.
func appendDNSTap(dst []byte, t *dnsmsg.DNSTap) []byte {
	dst, at := open(dst, tagDnstapType)
	dst = seal(t.Type.Append(dst), at)
	dst = appendBytes(dst, tagDnstapIdentity, t.Identity)
	dst = appendBytes(dst, tagDnstapVersion, t.Version)
	dst = appendBytes(dst, tagDnstapExtra, t.Extra)
	if t.Zone != nil {
		dst, at = open(dst, tagQueryZone)
		dst = seal(dnsmsg.AppendTold(dst, t.Zone), at)
	}
	if t.HTTP != 0 {
		dst, at = open(dst, tagHttpProtocol)
		dst = seal(t.HTTP.Append(dst), at)
	}
	if t.Policy.Told() {
		dst = appendPolicy(dst, &t.Policy)
	}
	return dst
}

func appendPolicy(dst []byte, p *dnsmsg.Policy) []byte {
	dst, start := open(dst, tagPolicy)
	dst = appendBytes(dst, tagPolicyType, p.Type)
	at := 0
	if p.Rule != nil {
		dst, at = open(dst, tagPolicyRule)
		dst = seal(dnsmsg.AppendTold(dst, p.Rule), at)
	}
	if p.Action != 0 {
		dst, at = open(dst, tagPolicyAction)
		dst = seal(p.Action.Append(dst), at)
	}
	if p.Match != 0 {
		dst, at = open(dst, tagPolicyMatch)
		dst = seal(p.Match.Append(dst), at)
	}
	if p.Value != nil {
		dst, at = open(dst, tagPolicyValue)
		dst = seal(p.AppendValue(dst), at)
	}
	return seal(dst, start)
}

// appendBytes appends bytes that are mostly text, unless there are none.
func appendBytes(dst []byte, tag string, b []byte) []byte {
	if b == nil {
		return dst
	}
	dst, at := open(dst, tag)
	return seal(dnsmsg.AppendNSID(dst, b), at)
}
