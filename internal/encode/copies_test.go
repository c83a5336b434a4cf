// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"bytes"
	"slices"
	"testing"
)

// letters are n bytes of which no two neighbours are the same.
func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

func TestATextIsAppendedWhateverItsLengthAndTheRoom(t *testing.T) {
	var text Text
	for _, n := range []int{0, 1, 127, 128, 129, 300, 7} {
		text.Set(append(text.Buffer(), letters(n)...))
		for _, room := range []int{0, n, 127, 128, 129, 400} {
			dst := append(make([]byte, 0, 2+room), "- "...)
			got := text.Append(dst)
			if want := append([]byte("- "), letters(n)...); !bytes.Equal(got, want) {
				t.Errorf("%d bytes with room for %d: %q", n, room, got)
			}
		}
	}
}

func TestATextMaySetItselfAnew(t *testing.T) {
	var text Text
	text.Set([]byte("of all"))
	text.Set(append(text.Buffer(), "none"...))
	if got := text.Append(nil); string(got) != "none" {
		t.Errorf("%q", got)
	}
}

func TestWhatIsThereIsAppendedAgain(t *testing.T) {
	for n := range 70 {
		for _, behind := range []int{0, 1, 40} {
			for _, room := range []int{0, n, 31, 32, 33, 100} {
				whole := append([]byte("- "), letters(n+behind)...)
				dst := append(make([]byte, 0, len(whole)+room), whole...)
				got := AppendAgain(dst, 2, 2+n)
				if want := append(slices.Clone(whole), letters(n)...); !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %d behind, room for %d: %q", n, behind, room, got)
				}
			}
		}
	}
}
