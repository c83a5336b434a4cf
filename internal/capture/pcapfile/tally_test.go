// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"testing"

	"github.com/dnsluice/dnsluice/internal/packet"
)

func TestATallyIsNeverFarBehind(t *testing.T) {
	var sum tally
	p := packet.Packet{Data: make([]byte, 3)}
	for n := uint64(1); n <= 5*tellEvery; n++ {
		sum.count(&p)
		packets, bytes := sum.told()
		if packets > n || n-packets >= tellEvery || bytes != 3*packets {
			t.Fatalf("after %d packets: %d, of %d bytes", n, packets, bytes)
		}
	}
	sum.count(&p)
	sum.tell()
	if packets, bytes := sum.told(); packets != 5*tellEvery+1 || bytes != 3*packets {
		t.Errorf("%d packets of %d bytes", packets, bytes)
	}
}
