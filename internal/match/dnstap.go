// SPDX-License-Identifier: Apache-2.0

package match

import (
	"encoding/binary"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// What a name server says of a message that it reports is stored behind the bytes of the message:
// the numbers, then each text behind its length plus one, which is 0 for a text that is absent.

// texts returns the places of all texts in t.
func texts(t *dnsmsg.DNSTap) [7]*[]byte {
	p := &t.Policy
	return [...]*[]byte{&t.Identity, &t.Version, &t.Extra, &t.Zone, &p.Type, &p.Rule, &p.Value}
}

// tapLen returns how many bytes appendTap appends.
func tapLen(t *dnsmsg.DNSTap) int {
	n := 6 * 8
	for _, text := range texts(t) {
		n += 4 + len(*text)
	}
	return n
}

// appendTap appends t.
func appendTap(dst []byte, t *dnsmsg.DNSTap) []byte {
	for _, n := range [...]uint64{uint64(t.Type), uint64(t.HTTP), uint64(t.QueryTime),
		uint64(t.ResponseTime), uint64(t.Policy.Action), uint64(t.Policy.Match)} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	for _, text := range texts(t) {
		n := uint32(0)
		if *text != nil {
			n = uint32(len(*text)) + 1
		}
		dst = append(binary.LittleEndian.AppendUint32(dst, n), *text...)
	}
	return dst
}

// readTap fills t with what appendTap wrote. It borrows b.
func readTap(t *dnsmsg.DNSTap, b []byte) {
	number := func() (n uint64) {
		n, b = binary.LittleEndian.Uint64(b), b[8:]
		return n
	}
	*t = dnsmsg.DNSTap{}
	t.Type, t.HTTP = dnsmsg.DNSTapType(number()), dnsmsg.HTTPVersion(number())
	t.QueryTime, t.ResponseTime = int64(number()), int64(number())
	t.Policy.Action, t.Policy.Match = dnsmsg.PolicyAction(number()), dnsmsg.PolicyMatch(number())
	for _, text := range texts(t) {
		n := binary.LittleEndian.Uint32(b)
		b = b[4:]
		if n > 0 {
			*text, b = b[:n-1:n-1], b[n-1:]
		}
	}
}

// vantage tells the pairs of message types in dnstap.proto apart: a resolver and the server it
// asks may both report the same query.
func vantage(t *dnsmsg.DNSTap) uint32 { return uint32(t.Type+1) / 2 }
