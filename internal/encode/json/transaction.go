// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// AppendTransaction implements encode.Encoder. The record is that of the response, or of the
// query when there is none. Where there are both, keys of their own have what the query says
// otherwise.
func (e *Encoder) AppendTransaction(dst []byte, seq uint64, t *dnsmsg.Transaction) []byte {
	return e.append(dst, seq, t.Main(), t)
}

// appendPairing appends the fields from the time to the path.
func appendPairing(dst []byte, t *dnsmsg.Transaction) []byte {
	if t.Query != nil && t.Response != nil {
		dst = appendUint(append(dst, keyLatencyUs...), uint64(t.Latency/1000))
	}
	if t.Reversed {
		dst = append(dst, keyReversed+`true`...)
	}
	dst = append(append(append(dst, keyKind+`"`...), t.Kind.String()...), '"')
	if t.Unpaired != dnsmsg.Paired {
		dst = append(append(append(dst, keyUnpaired+`"`...), t.Unpaired.String()...), '"')
	}
	return dst
}

// appendQuery appends the question, which a response may leave to its query, and what only the
// query has.
func (e *Encoder) appendQuery(dst []byte, t *dnsmsg.Transaction) []byte {
	asked := t.Asked()
	dst = e.appendQuestions(dst, asked)
	if asked != t.Main() {
		e.ownerAt = -1 // it is of another message
	}
	if encode.ShowsRetransmits(t) {
		dst = appendUint(append(dst, keyRetransmits...), uint64(t.Retransmits))
	}
	if t.Query != nil && t.Response != nil {
		dst = e.appendOnlyQuery(dst, t.Query)
	}
	if t.Retry.After > 0 {
		dst = appendUint(append(dst, keyRetryOfId...), uint64(t.Retry.ID))
		dst = appendUint(append(dst, keyRetryOfPort...), uint64(t.Retry.Port))
		dst = appendUint(append(dst, keyRetryAfterUs...), uint64(t.Retry.After/1000))
	}
	return dst
}

func (e *Encoder) appendOnlyQuery(dst []byte, q *dnsmsg.Message) []byte {
	dst = appendUint(append(dst, keyQuerySize...), uint64(q.Size))
	dst = strconv.AppendBool(append(dst, keyQueryRd...), q.Flags&dnsmsg.FlagRD != 0)
	dst = strconv.AppendBool(append(dst, keyQueryAd...), q.Flags&dnsmsg.FlagAD != 0)
	dst = strconv.AppendBool(append(dst, keyQueryCd...), q.Flags&dnsmsg.FlagCD != 0)
	if edns, ok := q.EDNS(); ok {
		if maxGrowth*len(edns.Options) > e.max { // the response has as many of them
			edns.Options = nil
			e.omitted++
		}
		dst = appendEDNS(dst, &queryEDNSStart, edns)
	}
	if !encode.HasRecords(q) {
		return dst // as nearly always: the owner that is held stays so
	}
	e.ownerAt = -1
	dst = e.appendSections(dst, q, &querySectionStarts)
	e.ownerAt = -1
	return dst
}
