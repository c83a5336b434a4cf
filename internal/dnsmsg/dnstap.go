// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"net/netip"
	"strconv"
	"time"
)

// DNSTap is what a name server says about a message that it reports itself (https://dnstap.info):
// what no capture can see. All of it is optional; slices that are absent are nil. They are
// borrowed like those of the Message.
type DNSTap struct {
	Type                     DNSTapType
	HTTP                     HTTPVersion
	QueryTime, ResponseTime  int64  // nanoseconds since the Unix epoch; 0 is unknown
	Identity, Version, Extra []byte // of the server; bytes of any kind, mostly text
	Zone                     []byte // the query's zone or bailiwick, said to be a name on the wire
	Policy                   Policy
}

// Latency returns the time from query to response, when the server told both.
func (t *DNSTap) Latency() (d time.Duration, ok bool) {
	if t.QueryTime == 0 || t.ResponseTime < t.QueryTime {
		return 0, false
	}
	return time.Duration(t.ResponseTime - t.QueryTime), true
}

// Policy is what an operator's policy did to a message. The zero Policy means that none was told.
type Policy struct {
	Type   []byte // such as RPZ
	Rule   []byte // in a response policy zone, the owner name on the wire
	Value  []byte // what matched: a name on the wire, or the bytes of an address
	Action PolicyAction
	Match  PolicyMatch
}

// Told tells whether there is anything in it.
func (p *Policy) Told() bool {
	return p.Type != nil || p.Rule != nil || p.Value != nil || p.Action != 0 || p.Match != 0
}

// DNSTapType says who reports a message, and where on its way. The values are those of
// dnstap.proto, message Message, enum Type.
type DNSTapType uint32

var dnstapTypes = [...]string{
	1: "AUTH_QUERY", 2: "AUTH_RESPONSE", 3: "RESOLVER_QUERY", 4: "RESOLVER_RESPONSE",
	5: "CLIENT_QUERY", 6: "CLIENT_RESPONSE", 7: "FORWARDER_QUERY", 8: "FORWARDER_RESPONSE",
	9: "STUB_QUERY", 10: "STUB_RESPONSE", 11: "TOOL_QUERY", 12: "TOOL_RESPONSE",
	13: "UPDATE_QUERY", 14: "UPDATE_RESPONSE",
}

// Append appends the name of dnstap.proto, TYPE15 for a value that has none.
func (t DNSTapType) Append(dst []byte) []byte {
	return appendWord(dst, dnstapTypes[:], "TYPE", uint32(t))
}

// HTTPVersion is the version of HTTP below DNS over HTTPS (dnstap.proto, enum HttpProtocol);
// 0 is unknown.
type HTTPVersion uint32

var httpVersions = [...]string{1: "HTTP1", 2: "HTTP2", 3: "HTTP3"}

// Append appends the name of dnstap.proto, HTTP4 for a value that has none.
func (v HTTPVersion) Append(dst []byte) []byte {
	return appendWord(dst, httpVersions[:], "HTTP", uint32(v))
}

// PolicyAction is what a policy did (dnstap.proto, message Policy, enum Action); 0 is unknown.
type PolicyAction uint32

var policyActions = [...]string{1: "NXDOMAIN", 2: "NODATA", 3: "PASS", 4: "DROP", 5: "TRUNCATE",
	6: "LOCAL_DATA"}

// Append appends the name of dnstap.proto, ACTION7 for a value that has none.
func (a PolicyAction) Append(dst []byte) []byte {
	return appendWord(dst, policyActions[:], "ACTION", uint32(a))
}

// PolicyMatch is what a policy matched on (dnstap.proto, message Policy, enum Match); 0 is unknown.
type PolicyMatch uint32

// The matches whose value is an address.
const (
	MatchClientIP   PolicyMatch = 2
	MatchResponseIP PolicyMatch = 3
	MatchNSIP       PolicyMatch = 5
)

var policyMatches = [...]string{1: "QNAME", MatchClientIP: "CLIENT_IP",
	MatchResponseIP: "RESPONSE_IP", 4: "NS_NAME", MatchNSIP: "NS_IP"}

// Append appends the name of dnstap.proto, MATCH6 for a value that has none.
func (m PolicyMatch) Append(dst []byte) []byte {
	return appendWord(dst, policyMatches[:], "MATCH", uint32(m))
}

func appendWord(dst []byte, words []string, prefix string, n uint32) []byte {
	if uint64(n) < uint64(len(words)) && words[n] != "" {
		return append(dst, words[n]...)
	}
	return strconv.AppendUint(append(dst, prefix...), uint64(n), 10)
}

// AppendValue appends what matched: an address as AppendAddr does where the match is on one,
// anything else as AppendTold does.
func (p *Policy) AppendValue(dst []byte) []byte {
	switch p.Match {
	case MatchClientIP, MatchResponseIP, MatchNSIP:
		if a, ok := netip.AddrFromSlice(p.Value); ok {
			return AppendAddr(dst, a)
		}
	}
	return AppendTold(dst, p.Value)
}

// AppendTold appends bytes that should be a name on the wire, and that senders also fill with
// text: a name as AppendQName does, anything else as AppendNSID does. The two cannot be taken for
// each other: a name on the wire ends in a zero byte.
func AppendTold(dst, b []byte) []byte {
	if text, next := AppendQName(dst, b, 0); next == len(b) && b[next-1] == 0 {
		return text
	}
	return AppendNSID(dst, b)
}
