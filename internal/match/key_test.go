// SPDX-License-Identifier: Apache-2.0

package match

import (
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

func TestTheKeyOfANameIsTheSameWhereverPointersPartIt(t *testing.T) {
	k := newKeys()
	header := strings.Repeat("\x00", dnsmsg.HeaderLen)
	whole := k.name(0, []byte(header+"\x03www\x07example\x00"), 12)
	if parted := k.name(0, []byte(header+"\x07example\x00\x03www\xc0\x0c"), 21); parted != whole {
		t.Errorf("%x with a pointer, %x without", parted, whole)
	}
	if other := k.name(0, []byte(header+"\x07exampla\x00\x03www\xc0\x0c"), 21); other == whole {
		t.Error("what a pointer leads to does not count")
	}
}
