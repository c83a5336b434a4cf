// SPDX-License-Identifier: Apache-2.0

// Package tcpstream finds the DNS messages in TCP segments: each is preceded by its length in two
// bytes (RFC 1035, section 4.2.2). It is the last layer of stage 2 before the messages.
//
// Today it keeps nothing between segments: it reads those that hold whole messages, which is how
// nearly every query and every small response travels, and refuses the rest as Partial. The
// stream that puts segments in order, bounded in bytes and age, takes the place of Streams; its
// callers already pass what it needs.
package tcpstream

import (
	"encoding/binary"
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Verdict says what became of a segment.
type Verdict uint8

// The verdicts.
const (
	OK          Verdict = iota
	Empty               // no data: a handshake, an acknowledgement, a reset
	Partial             // it does not begin and end at the edges of messages
	NumVerdicts         // how many there are; not a verdict
)

// FlagRST is the reset bit in the flags of a TCP header (RFC 9293, section 3.1).
const FlagRST = 0x04

// prefix is how long the length before each message is.
const prefix = 2

// Flow is one direction of one connection.
type Flow struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
}

// Segment is one TCP segment without its header.
type Segment struct {
	Seq     uint32 // sequence number of the SYN when Flags has one, else of the first byte
	Flags   uint8  // the low eight control bits: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN
	Payload []byte // borrowed from the frame
	Size    int    // length of Payload on the wire; more than it holds when the capture cut it
}

// Streams finds messages in the segments of all flows. The zero value is ready.
type Streams struct{}

// Segment takes the next segment of a flow and calls emit, before it returns, for each message
// that it completes: with the bytes, borrowed until emit returns, and with the length that the
// message had, which is more than they are when the capture cut it. The Verdict is OK when emit
// was called.
//
// Every message must be long enough for a DNS header and the last one must end with the segment:
// the middle of a stream looks like that once in some ten thousand times. Of a segment that the
// capture cut, only the last message may be cut, for the same reason.
func (*Streams) Segment(_ Flow, s Segment, emit func(wire []byte, size int)) Verdict {
	b := s.Payload
	if s.Size == 0 || s.Flags&FlagRST != 0 { // a reset may carry a text (RFC 9293, section 3.5.3)
		return Empty
	}
	o := 0
	for o < s.Size {
		if len(b)-o < prefix {
			return Partial
		}
		size := int(binary.BigEndian.Uint16(b[o:]))
		o += prefix + size
		if size < dnsmsg.HeaderLen || o > len(b) && o != s.Size {
			return Partial
		}
	}
	for len(b) > 0 {
		size := int(binary.BigEndian.Uint16(b))
		end := min(len(b), prefix+size)
		emit(b[prefix:end], size)
		b = b[end:]
	}
	return OK
}
