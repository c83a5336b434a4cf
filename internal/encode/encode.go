// SPDX-License-Identifier: Apache-2.0

// Package encode is stage 6 of the path: a message becomes the value of a record. It defines
// what an encoder is; the folders below are the formats. An encoder drops nothing: what does
// not fit a record is left out of it and counted in it.
package encode

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

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
