// SPDX-License-Identifier: Apache-2.0

// Package encode is stage 6 of the path: a message becomes the value of a record. It defines
// what an encoder is; the folders below are the formats. An encoder drops nothing: what does
// not fit a record is left out of it and counted in it.
package encode

import (
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Encoder writes messages or transactions as record values. It is used by one lane.
type Encoder interface {
	// Append appends the value of the record number seq, which describes m, and returns the
	// extended slice. It does not keep m.
	Append(dst []byte, seq uint64, m *dnsmsg.Message) []byte

	// AppendTransaction does the same for a query with its response, or one of them alone.
	AppendTransaction(dst []byte, seq uint64, t *dnsmsg.Transaction) []byte

	// AppendHeartbeat does the same for a heartbeat. It may allocate.
	AppendHeartbeat(dst []byte, seq uint64, h *Heartbeat) []byte
}

// Identity is what all records of a lane have in common. With the number of a record it names
// the record in all the world, so that a consumer can prove that none is missing and remove the
// ones that came twice.
type Identity struct {
	Sensor string // name of the sensor
	Run    string // start of the process, sortable as text
	Lane   int    // from 0
}

// MaxValue is the size in bytes that a value does not exceed by more than its fixed fields (less
// than 8 KiB): half of what Kafka takes for a message unless told otherwise. A whole DNS message
// of 64 KiB from a zone transfer stays well below it.
const MaxValue = 512 << 10

// KindOf returns what a message is when it is a record by itself.
func KindOf(m *dnsmsg.Message) dnsmsg.Kind {
	switch {
	case m.Fault.Reason != dnsmsg.OK:
		return dnsmsg.KindMalformed
	case m.Response():
		return dnsmsg.KindResponse
	}
	return dnsmsg.KindQuery
}

// MaxMalformed is how many bytes of a malformed message go into its record.
const MaxMalformed = 128

// Latency returns how long a response took by what the server says that reports it, where its query,
// which would tell, is not in the record: t is nil or has none. m has a DNSTap.
func Latency(m *dnsmsg.Message, t *dnsmsg.Transaction) (d time.Duration, ok bool) {
	if !m.Response() || t != nil && t.Query != nil {
		return 0, false
	}
	return m.DNSTap.Latency()
}

// ShowsRetransmits tells whether the record of t says how often its query was sent again: also that
// it was not, where somebody waited for its response.
func ShowsRetransmits(t *dnsmsg.Transaction) bool {
	return t.Kind == dnsmsg.KindTransaction || t.Kind == dnsmsg.KindUnanswered || t.Retransmits > 0
}

// HasRecords tells whether m has records besides the OPT record that EDNS shows.
func HasRecords(m *dnsmsg.Message) bool {
	return len(m.RRs) > 1 || len(m.RRs) == 1 && m.OPT != 0
}
