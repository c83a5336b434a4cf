// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// unreadable are the types whose text miekg/dns cannot read, or reads as something else.
var unreadable = map[uint16]string{
	TypeX25: "quotes", TypeGPOS: "quotes", TypeNID: "leading zeros left out",
	TypeL64: "leading zeros left out", TypeNXT: "the bitmap of NSEC", TypeLOC: "one way of zero",
	TypeISDN: "a subaddress always", TypeAMTRELAY: "no relay behind a discovery bit",
	TypeNSEC3: "hashes of 20 bytes alone", TypeTKEY: "no parser", TypeTSIG: "no parser",
}

// unknownKeys are the service parameters that miekg/dns reads as key65535 inside mandatory=.
var unknownKeys = []string{"tls-supported-groups", "docpath", "pvd"}

// TestRecordsOneByteOffReadTheSameByWayOfMiekg changes every byte of every record in turn. It is
// a table and not a fuzz target: what another parser gets wrong is found once, not by chance.
func TestRecordsOneByteOffReadTheSameByWayOfMiekg(t *testing.T) {
	compared := 0
	everyRecord(t, func(rrtype, class uint16, data []byte) {
		if class != ClassIN || unreadable[rrtype] != "" {
			return
		}
		mutant := make([]byte, len(data))
		for i := range data {
			for _, delta := range []byte{0, 1, 2, 4, 16, 64, 0x80, 0xff} {
				copy(mutant, data)
				mutant[i] += delta
				compared += sameByWayOfMiekg(t, rrtype, mutant)
			}
		}
	})
	if compared < 10_000 {
		t.Errorf("miekg/dns read %d of the records", compared)
	}
}

// sameByWayOfMiekg returns 1 when miekg/dns, which refuses a lot, could read the text.
func sameByWayOfMiekg(t *testing.T, rrtype uint16, data []byte) int {
	t.Helper()
	text := checkText(t, rrtype, ClassIN, data)
	for _, key := range unknownKeys {
		if strings.Contains(text, key) {
			return 0
		}
	}
	if strings.HasPrefix(text, `\#`) {
		return 0
	}
	name := string(AppendType(nil, rrtype))
	rr, err := dns.NewRR(". 0 IN " + name + " " + text)
	if err != nil || rr == nil {
		return 0
	}
	buf := make([]byte, 1<<16)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return 0
	}
	if diff := cmp.Diff(text, textOf(rrtype, ClassIN, buf[11:n])); diff != "" {
		t.Errorf("%s %x: -ours +by way of miekg\n%s", name, data, diff)
	}
	return 1
}
