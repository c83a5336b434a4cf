// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"bytes"
	"strings"
	"testing"
)

// A HIP record may name any number of rendezvous servers. Two bytes of pointer each would become
// a thousand bytes of text, in a message of 64 KiB 47 MB.
func TestRendezvousServersThatAreCompressedAreNotFollowed(t *testing.T) {
	name := append(bytes.Repeat(append([]byte{63}, bytes.Repeat([]byte{0xff}, 63)...), 3), 0)
	rdata := []byte{1, 2, 0, 1, 0xaa, 0xbb} // a HIT of one byte, algorithm 2, a key of one byte
	wire := append(make([]byte, HeaderLen), name...)
	at := len(wire)
	wire = append(wire, rdata...)
	for range 30_000 {
		wire = append(wire, 0xc0, HeaderLen)
	}
	m := Message{Wire: wire}
	text := m.AppendData(nil, &RR{Type: TypeHIP, Data: uint16(at), Len: uint16(len(wire) - at)})
	if !strings.HasPrefix(string(text), `\# 60006 `) || cap(text) > 1<<20 {
		t.Errorf("%d bytes of text in %d: %.60s", len(text), cap(text), text)
	}
}
