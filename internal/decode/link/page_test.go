// SPDX-License-Identifier: Apache-2.0

package link

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/packet"
)

func TestThePageOfDecodingHasAllLinkTypes(t *testing.T) {
	b, err := os.ReadFile("../../../docs/decoding.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| LINKTYPE |")
	table, _, _ = strings.Cut(table, "\n\n")
	listed := make(map[packet.LinkType]bool)
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9, ]+) \|`).FindAllStringSubmatch(table, -1) {
		for _, number := range strings.Split(row[1], ", ") {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				t.Error(err)
			}
			listed[packet.LinkType(n)] = true
		}
	}
	for n := range 1 << 16 {
		l := packet.LinkType(n)
		known := new(Frame).Strip(&packet.Packet{Data: make([]byte, 3), Length: 3, Link: l}) != Unknown
		if known != listed[l] {
			t.Errorf("%v: read %v, in docs/decoding.md %v", l, known, listed[l])
		}
	}
}
