// SPDX-License-Identifier: Apache-2.0

// Package capture is stage 1 of the path: where packets come from. It defines what a source
// is; the folders below implement it: afpacket for interfaces, pcapfile for capture files, dnstap
// for name servers that report their own messages.
package capture

import (
	"errors"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// ErrIdle is returned by Source.Next when nothing is there to be read now. It is not a failure:
// it gives the lane its turn to look at the clock, and it proves that the lane turns.
var ErrIdle = errors.New("capture: idle")

// Source gives packets to one lane. All its methods but Drain and Stats are called by the
// lane's goroutine alone.
type Source interface {
	// Next fills p with the next packet. The bytes of the one before are no longer valid.
	//
	// When the source runs dry, the first call returns ErrIdle at once and the calls after it
	// wait for at most about 50 ms before they return ErrIdle again, so that a lane never sits
	// on a half-full batch. At the end of the source, and after Drain when all that was already
	// captured has been given, it returns io.EOF. Any other error is final and names what
	// failed, where, and what to do.
	Next(p *packet.Packet) error

	// Drain stops admitting packets: Next gives what was captured before, then io.EOF. For a
	// file that is at once. It may be called from any goroutine, more than once, and does not wait.
	Drain()

	// Stats returns the counters so far. It may be called from any goroutine at any time, also
	// after Close.
	Stats() Stats

	// Close releases the source. Packets in it that were not read are counted as Discarded.
	Close() error
}

// Stats counts the packets of one source. Received = Read + KernelDropped + Discarded + those
// that still wait in the source.
type Stats struct {
	Received      uint64 // packets that passed the kernel filter, or that the file holds so far
	Read          uint64 // packets given by Next
	KernelDropped uint64 // packets the kernel had no room for in the ring
	Discarded     uint64 // packets in the ring when the source was closed or lost its interface
	Bytes         uint64 // captured bytes given by Next
	Reopened      uint64 // times that the interface, or the file of a socket, went away and came back
	Frozen        uint64 // times that the kernel found the ring full (TPACKET_V3 queue freezes)

	// Connections = the sum of Ended + those that are open.
	Connections uint64          // made to a socket that takes dnstap
	Ended       [NumEnds]uint64 // of them, those that are over, by how they ended
}

// Add adds the counters of another source.
func (s *Stats) Add(o Stats) {
	s.Received += o.Received
	s.Read += o.Read
	s.KernelDropped += o.KernelDropped
	s.Discarded += o.Discarded
	s.Bytes += o.Bytes
	s.Reopened += o.Reopened
	s.Frozen += o.Frozen
	s.Connections += o.Connections
	for e, n := range o.Ended {
		s.Ended[e] += n
	}
}

// End is how a connection ended. The set is closed and small, so that an End indexes an array of
// counters.
type End uint8

// The ends: first those in the course of things, then those that are a refusal.
const (
	EndStop        End = iota // the sender said that it was done
	EndLost                   // the connection went away between two frames
	EndCut                    // the connection went away inside a frame, whose bytes are lost
	EndDrained                // this program ends
	EndLimit                  // there were as many connections as may be
	EndTLS                    // no TLS, or no certificate that is trusted
	EndHandshake              // no handshake of Frame Streams, or none in time
	EndContentType            // frames of something else than dnstap
	EndOversize               // a frame longer than any may be
	EndFraming                // a control frame where none may be, or one that makes no sense
	NumEnds                   // how many there are; not an end
)

var endNames = [NumEnds]string{
	EndStop:        "stop",
	EndLost:        "lost",
	EndCut:         "cut",
	EndDrained:     "drained",
	EndLimit:       "limit",
	EndTLS:         "tls",
	EndHandshake:   "handshake",
	EndContentType: "content_type",
	EndOversize:    "oversize",
	EndFraming:     "framing",
}

// String returns the word that metrics and the ledger use.
func (e End) String() string { return endNames[e] }
