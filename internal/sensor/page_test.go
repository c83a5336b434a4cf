// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"os"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/match"
)

func TestThePageOfDecodingNamesAllThatIsCounted(t *testing.T) {
	page, err := os.ReadFile("../../docs/decoding.md")
	if err != nil {
		t.Fatal(err)
	}
	has := func(text string) {
		t.Helper()
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/decoding.md does not have %s", text)
		}
	}
	for reason := range decodeStage(decode.Counters{}).Dropped {
		has("| `" + reason + "` |")
	}
	for _, stage := range []map[string]uint64{decodeStage(decode.Counters{}).Detail,
		wireStage(decode.Counters{}).Detail, matchStage(match.Counters{}).Detail} {
		for name := range stage {
			switch group, word, _ := strings.Cut(name, "."); group {
			case "tunnel", "malformed", "unpaired":
				has("| `" + word + "` |") // in a table of their own
			default:
				has("`" + name + "`")
			}
		}
	}
}
