// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestThePageOfDecodingNamesAllThatHasAName(t *testing.T) {
	b, err := os.ReadFile("../../docs/decoding.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	has := func(text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("docs/decoding.md does not have %s", text)
		}
	}
	for n := range 1 << 16 {
		if name := TypeName(uint16(n)); name != "" {
			has(fmt.Sprintf("`%s` %d", name, n))
		}
		if name := optionName(uint16(n)); name != "" {
			has(fmt.Sprintf("`%s` %d", name, n))
		}
	}
	for opcode, name := range opcodeNames {
		if name != fmt.Sprintf("OPCODE%d", opcode) {
			has("`" + name + "`")
		}
	}
	for _, name := range keyNames {
		has("`" + name + "`")
	}
	for _, name := range dnstapTypes[1:] {
		has("`" + name + "`")
	}
	for kind := NoTunnel + 1; kind < NumTunnels; kind++ {
		row := regexp.MustCompile("(?m)^\\| `" + kind.String() + "` \\|.*$").FindString(page)
		for _, port := range kind.Ports() {
			if !regexp.MustCompile(fmt.Sprintf(`\b%d\b`, port)).MatchString(row) {
				t.Errorf("docs/decoding.md does not have port %d of %s", port, kind)
			}
		}
	}
}
