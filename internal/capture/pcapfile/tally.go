// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"sync/atomic"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// tellEvery is after how many packets a tally tells of itself.
const tellEvery = 256

// tally counts the packets that a source has given. The lane counts in memory of its own: an atomic
// addition waits until all that was written before it, records mostly, has left the core.
type tally struct {
	packets, bytes uint64 // not told yet; of the goroutine that calls Next

	saidPackets, saidBytes atomic.Uint64
}

// count counts a packet. It belongs to the goroutine that calls Next.
func (t *tally) count(p *packet.Packet) {
	t.bytes += uint64(len(p.Data))
	if t.packets++; t.packets == tellEvery {
		t.tell()
	}
}

// tell makes what told returns current. It belongs to the goroutine that calls Next.
func (t *tally) tell() {
	if t.packets > 0 {
		t.saidPackets.Add(t.packets)
		t.saidBytes.Add(t.bytes)
		t.packets, t.bytes = 0, 0
	}
}

// told returns how many packets there were, and their bytes, up to fewer than 256 before the last.
// Any goroutine may ask.
func (t *tally) told() (packets, bytes uint64) {
	// Bytes first: packets in between may be counted without their bytes, never the reverse.
	bytes = t.saidBytes.Load()
	return t.saidPackets.Load(), bytes
}
