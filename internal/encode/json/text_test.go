// SPDX-License-Identifier: Apache-2.0

package json

import (
	stdjson "encoding/json"
	"strings"
	"testing"
)

func TestEveryQuoteAndBackslashIsEscaped(t *testing.T) {
	replacer := strings.NewReplacer(`"`, `\"`, `\`, `\\`)
	for length := range 40 {
		clean := strings.Repeat("a.", 20)[:length]
		if got := string(escape([]byte(`"\`+clean), 2)); got != `"\`+clean {
			t.Errorf("%q becomes %q", clean, got)
		}
		for at := range length {
			for _, c := range []string{`"`, `\`} {
				for _, text := range []string{
					clean[:at] + c + clean[at+1:],            // one
					clean[:at] + strings.Repeat(c, 20),       // many at the end
					strings.Repeat(c, at) + clean[at:],       // many at the start
					clean[:at] + c + "[]!#" + clean[at:] + c, // the neighbours of both
				} {
					got := string(escape([]byte(`"\`+text), 2))
					if want := `"\` + replacer.Replace(text); got != want {
						t.Errorf("%q becomes %q, want %q", text, got, want)
					}
				}
			}
		}
	}
}

func TestEveryStringCanBeReadBack(t *testing.T) {
	var all strings.Builder
	for r := range rune(0x3000) {
		all.WriteRune(r)
	}
	for _, s := range []string{
		"", "eth0", `"\/`, "\x00\x1f\x7f", all.String(), "\U0001d11e\U0010ffff", "a\xffb\xc3", "\ufffd",
	} {
		quoted := appendQuoted(nil, s)
		for _, c := range quoted {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %.100s", c, quoted)
			}
		}
		var got string
		if err := stdjson.Unmarshal(quoted, &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%.100q comes back as %.100q: %v", s, got, err)
		}
	}
}

func TestNoPieceIsCutOff(t *testing.T) {
	if p := pieceOf(strings.Repeat("x", 48)); p.n != 47 {
		t.Errorf("48 bytes become %d", p.n)
	}
	all := append(rrTypes[:], questionTypes[:]...)
	all = append(append(append(all, sectionStarts[:]...), querySectionStarts[:]...), kinds[:]...)
	for _, edns := range []ednsPieces{ednsStart, queryEDNSStart} {
		all = append(all, edns.version0, edns.version)
	}
	for i := range all {
		if p := &all[i]; int(p.n) == len(p.text) {
			t.Errorf("%s is cut, or as long as can be", p.text[:])
		}
	}
}
