// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// AppendTransaction implements encode.Encoder. The record is that of the response, or of the
// query when there is none. Where there are both, fields of their own have what the query says
// otherwise.
func (e *Encoder) AppendTransaction(dst []byte, seq uint64, t *dnsmsg.Transaction) []byte {
	return e.append(dst, seq, t.Main(), t)
}

// appendPairing appends the fields from the time to the path.
func appendPairing(dst []byte, t *dnsmsg.Transaction) []byte {
	if t.Query != nil && t.Response != nil {
		dst = appendUint(append(dst, tagLatencyUs...), uint64(t.Latency/1000))
	}
	if t.Reversed {
		dst = append(dst, tagReversed+yes...)
	}
	dst = appendText(append(dst, tagKind...), t.Kind.String())
	if t.Unpaired != dnsmsg.Paired {
		dst = appendText(append(dst, tagUnpaired...), t.Unpaired.String())
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
		dst = appendUint(append(dst, tagRetransmits...), uint64(t.Retransmits))
	}
	if t.Query != nil && t.Response != nil {
		dst = e.appendOnlyQuery(dst, t.Query)
	}
	if t.Retry.After > 0 {
		dst = appendUint(append(dst, tagRetryOfId...), uint64(t.Retry.ID))
		dst = appendUint(append(dst, tagRetryOfPort...), uint64(t.Retry.Port))
		dst = appendUint(append(dst, tagRetryAfterUs...), uint64(t.Retry.After/1000))
	}
	return dst
}

func (e *Encoder) appendOnlyQuery(dst []byte, q *dnsmsg.Message) []byte {
	dst = appendUint(append(dst, tagQuerySize...), uint64(q.Size))
	dst = appendFlag(append(dst, tagQueryRd...), q.Flags&dnsmsg.FlagRD)
	dst = appendFlag(append(dst, tagQueryAd...), q.Flags&dnsmsg.FlagAD)
	dst = appendFlag(append(dst, tagQueryCd...), q.Flags&dnsmsg.FlagCD)
	if edns, ok := q.EDNS(); ok {
		dst = appendEDNS(dst, tagQueryEdns, edns)
	}
	if !encode.HasRecords(q) {
		return dst // as nearly always: the owner that is held stays so
	}
	e.ownerAt = -1
	dst = e.appendSections(dst, q, &querySections)
	e.ownerAt = -1
	return dst
}

// appendFlag appends a boolean that is true unless flag is 0.
func appendFlag(dst []byte, flag uint16) []byte { return appendUint(dst, uint64(min(flag, 1))) }
