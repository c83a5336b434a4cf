// SPDX-License-Identifier: Apache-2.0

package json

import (
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// appendToldKind appends the fields from the time to the path.
func appendToldKind(dst []byte, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	dst = append(dst, `Z"`...)
	if d, ok := encode.Latency(m, t); ok {
		dst = appendUint(append(dst, keyLatencyUs...), uint64(d.Microseconds()))
	}
	if t != nil {
		return appendPairing(dst, t)
	}
	return append(append(append(dst, keyKind+`"`...), encode.KindOf(m).String()...), '"')
}

// appendToldEnds appends addresses and ports as far as the server told them.
func appendToldEnds(dst []byte, m *dnsmsg.Message) []byte {
	client, clientPort := m.Client()
	server, serverPort := m.Server()
	dst = appendTold(dst, keyClientIp, keyClientPort, client, clientPort)
	return appendTold(dst, keyServerIp, keyServerPort, server, serverPort)
}

func appendTold(dst []byte, keyIP, keyPort string, addr netip.Addr, port uint16) []byte {
	if addr.IsValid() {
		dst = append(dnsmsg.AppendAddr(append(append(dst, keyIP...), '"'), addr), '"')
	}
	if port != 0 {
		dst = appendUint(append(dst, keyPort...), uint64(port))
	}
	return dst
}

// appendDNSTap appends what only the server knows.
func appendDNSTap(dst []byte, t *dnsmsg.DNSTap) []byte {
	dst = append(t.Type.Append(append(dst, keyDnstapType+`"`...)), '"')
	dst = appendBytes(dst, keyDnstapIdentity, t.Identity)
	dst = appendBytes(dst, keyDnstapVersion, t.Version)
	dst = appendBytes(dst, keyDnstapExtra, t.Extra)
	if t.Zone != nil {
		dst = append(dst, keyQueryZone+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendTold(dst, t.Zone), from), '"')
	}
	if t.HTTP != 0 {
		dst = append(t.HTTP.Append(append(dst, keyHttpProtocol+`"`...)), '"')
	}
	if t.Policy.Told() {
		dst = appendPolicy(dst, &t.Policy)
	}
	return dst
}

func appendPolicy(dst []byte, p *dnsmsg.Policy) []byte {
	dst = append(dst, keyPolicy+`{`+keyPolicyType+`"`...)
	from := len(dst)
	dst = append(escape(dnsmsg.AppendNSID(dst, p.Type), from), '"')
	if p.Rule != nil {
		dst = append(dst, keyPolicyRule+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendTold(dst, p.Rule), from), '"')
	}
	if p.Action != 0 {
		dst = append(p.Action.Append(append(dst, keyPolicyAction+`"`...)), '"')
	}
	if p.Match != 0 {
		dst = append(p.Match.Append(append(dst, keyPolicyMatch+`"`...)), '"')
	}
	if p.Value != nil {
		dst = append(dst, keyPolicyValue+`"`...)
		from := len(dst)
		dst = append(escape(p.AppendValue(dst), from), '"')
	}
	return append(dst, '}')
}

// appendBytes appends bytes that are mostly text, unless there are none.
func appendBytes(dst []byte, key string, b []byte) []byte {
	if b == nil {
		return dst
	}
	dst = append(append(dst, key...), '"')
	from := len(dst)
	return append(escape(dnsmsg.AppendNSID(dst, b), from), '"')
}
