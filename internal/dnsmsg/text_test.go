// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesAreWrittenInPresentationFormat(t *testing.T) {
	longest := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3) + "\x3d" + strings.Repeat("y", 61)
	for _, tt := range []struct {
		name   string
		wire   string
		off    int
		exact  string
		record string
		next   int
	}{
		{"the root is a dot", "\x00", 0, ".", ".", 1},
		{"case is kept in one form and lost in the other", "\x03WwW\x07eXample\x00", 0,
			"WwW.eXample.", "www.example", 13},
		{"what zone files give a meaning to is escaped", "\x0a.\\\"();@$a-\x00", 0,
			`\.\\\"\(\)\;\@\$a-.`, `\.\\\"\(\)\;\@\$a-`, 12},
		{"what is not printable is decimal", "\x06\x00 \x7f\x80\xff~\x00", 0,
			`\000\032\127\128\255~.`, `\000\032\127\128\255~`, 8},
		{"a label that ends in a dot keeps its escape", "\x02a.\x00", 0, `a\..`, `a\.`, 4},
		{"capitals beyond ASCII are not folded", "\x02\xc0\xdc\x00", 0, `\192\220.`, `\192\220`, 4},
		{"a pointer is followed and ends the name", "\x03com\x00\x03www\xc0\x00\xff", 5,
			"www.com.", "www.com", 11},
		{"a pointer alone is a name", "\x03com\x00\xc0\x00", 5, "com.", "com", 7},
		{"a pointer to a pointer is one", "\x01a\x00\xc0\x00\xc0\x03", 5, "a.", "a", 7},
		{"a pointer to the root is the root", "\x00\xc0\x00", 1, ".", ".", 3},
		{"255 bytes are a name", longest + "\x00", 0,
			strings.Repeat(strings.Repeat("x", 63)+".", 3) + strings.Repeat("y", 61) + ".",
			strings.Repeat(strings.Repeat("x", 63)+".", 3) + strings.Repeat("y", 61), 255},
	} {
		for _, room := range []int{0, 8, 4096} { // with room for all, some or none of it
			dst := append(make([]byte, 0, room), "- "...)
			text, next := AppendName(dst, []byte(tt.wire), tt.off)
			if diff := cmp.Diff("- "+tt.exact, string(text)); diff != "" || next != tt.next {
				t.Errorf("%s: next %d, want %d; -want +got\n%s", tt.name, next, tt.next, diff)
			}
			text, next = AppendQName(dst, []byte(tt.wire), tt.off)
			if diff := cmp.Diff("- "+tt.record, string(text)); diff != "" || next != tt.next {
				t.Errorf("%s: next %d, want %d; -want +got\n%s", tt.name, next, tt.next, diff)
			}
		}
	}
}

func TestMalformedNamesLeaveTheTextAsItWas(t *testing.T) {
	tooLong := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3) + "\x3e" + strings.Repeat("y", 62)
	chain := "\x00" + "\xc0\x00" // the root, and a pointer to each pointer
	for i := range MaxPointers {
		at := 1 + 2*i
		chain += string([]byte{0xc0 | byte(at>>8), byte(at)})
	}
	for _, tt := range []struct {
		name string
		wire string
		off  int
	}{
		{"nothing", "", 0},
		{"an offset past the end", "\x00", 1},
		{"a negative offset", "\x00", -1},
		{"a label that the message cuts", "\x03ab", 0},
		{"a name without its root", "\x01a", 0},
		{"256 bytes", tooLong + "\x00", 0},
		{"256 bytes by way of a pointer", "\x01a\x00" + tooLong[:254] + "\xc0\x00", 3},
		{"half a pointer", "\x00\xc0", 1},
		{"a pointer to itself", "\xc0\x00", 0},
		{"a pointer to its own labels", "\x01a\xc0\x00", 0},
		{"a pointer forward", "\xc0\x02\x00", 0},
		{"a pointer back that leads on to where it came from", "\x01a\xc0\x04\x01b\xc0\x00", 4},
		{"a label type of 01", "\x41\x00", 0},
		{"a label type of 10", "\x81\x00", 0},
		{"more pointers than labels could need", chain, len(chain) - 2},
	} {
		for _, room := range []int{0, 4096} {
			dst := append(make([]byte, 0, room), "- "...)
			text, next := AppendName(dst, []byte(tt.wire), tt.off)
			if diff := cmp.Diff("- ", string(text)); diff != "" || next != -1 {
				t.Errorf("%s: next %d; -want +got\n%s", tt.name, next, diff)
			}
			if text, next = AppendQName(dst, []byte(tt.wire), tt.off); next != -1 ||
				string(text) != "- " {
				t.Errorf("%s: got %q, %d", tt.name, text, next)
			}
		}
	}
	if _, next := AppendName(nil, []byte(chain), len(chain)-4); next < 0 {
		t.Errorf("a name with %d pointers is refused", MaxPointers)
	}
}

func TestNamesAreWrittenWithinTheirRoomAlone(t *testing.T) {
	wire := []byte("\x03www\x07example\x00")
	backing := bytes.Repeat([]byte{'#'}, 1024)
	text, _ := AppendQName(backing[:2], wire, 0)
	untouched := bytes.Repeat([]byte{'#'}, 1024-len(text)-1)
	if diff := cmp.Diff(untouched, backing[len(text)+1:]); diff != "" {
		t.Errorf("bytes after the text and its final dot: -want +got\n%s", diff)
	}
	text, _ = AppendName(backing[:2:8], wire, 0)
	if string(text) != "##www.example." || backing[8] == '.' {
		t.Errorf("beyond its capacity: %q, %q", text, backing[:20])
	}
}

func TestNoMoreIsReadThanTheLongestNameHas(t *testing.T) {
	// Else each of thousands of records could cost a walk over all of a message.
	page := syscall.Getpagesize()
	wire, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(wire)
	copy(wire, strings.Repeat("\x01a", page/2))
	if err := syscall.Mprotect(wire[page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // reading the second page is one
	if text, next := AppendName(make([]byte, 0, 1000), wire, page-256); next >= 0 {
		t.Errorf("%d bytes of text of a name that has no end", len(text))
	}
}

func TestAddressesAreWrittenAsDigWritesThem(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"0.0.0.0", "0.0.0.0"},
		{"255.99.100.10", "255.99.100.10"},
		{"::", "::"},
		{"::1", "::1"},
		{"::5", "::5"},
		{"1::", "1::"},
		{"::1:5", "::0.1.0.5"}, // compatible addresses: Go and miekg/dns write ::1:5
		{"::102:304", "::1.2.3.4"},
		{"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
		{"::ffff:0:1.2.3.4", "::ffff:0:102:304"},
		{"1:0:0:2::3", "1:0:0:2::3"},
		{"0:1:2:3:4:5:6:0", "0:1:2:3:4:5:6:0"},
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
		{"0:0:1::", "0:0:1::"},
		{"fe80::1%eth0", "fe80::1"},
	} {
		got := string(AppendAddr([]byte("- "), netip.MustParseAddr(tt.addr)))
		if diff := cmp.Diff("- "+tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.addr, diff)
		}
	}
	if got := AppendAddr(nil, netip.Addr{}); len(got) != 0 {
		t.Errorf("the zero address is %q", got)
	}
}

func TestAddressesAgreeWithNetip(t *testing.T) {
	// Every pattern of zero and other groups, which is all that the form depends on; the mapped
	// and compatible ones are dig's and in the table above.
	for pattern := range 256 {
		var a [16]byte
		for group := range 8 {
			if pattern>>group&1 != 0 {
				a[2*group], a[2*group+1] = byte(group), 0x0a+byte(pattern)
			}
		}
		if pattern&0x3f == 0 && pattern&0x40 != 0 {
			continue
		}
		addr := netip.AddrFrom16(a)
		if diff := cmp.Diff(addr.String(), string(AppendAddr(nil, addr))); diff != "" {
			t.Errorf("-netip +got\n%s", diff)
		}
	}
}

func TestTextOfUnknownMakingIsPrintable(t *testing.T) {
	got := string(AppendText(nil, []byte("caf\xc3\xa9 \"x\" \\ \n~")))
	if diff := cmp.Diff(`caf\195\169 "x" \\ \010~`, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestEveryByteAtEveryPlaceOfALabel holds the names written with room against those without, also
// where the message ends with the name.
func TestEveryByteAtEveryPlaceOfALabel(t *testing.T) {
	room, more := make([]byte, 0, 512), make([]byte, 0, 512)
	for _, length := range []int{1, 2, 3, 6, 7, 8, 9, 10, 15, 16, 17, 20, 44, 45, 46, 63} {
		for at := range length {
			for b := range 256 {
				label := []byte(strings.Repeat("x", length))
				label[at] = byte(b)
				wire := append(append([]byte{byte(length)}, label...), "\x02zZ\x00\x01Q\xc0\x00"...)
				wire = wire[:len(wire):len(wire)]
				for _, off := range []int{0, length + 5} {
					text, next := AppendName(room, wire, off)
					slow, slowNext := AppendName(nil, wire, off)
					query, _ := AppendQName(more, wire, off)
					slowQuery, _ := AppendQName(nil, wire, off)
					if next != slowNext || !bytes.Equal(text, slow) || !bytes.Equal(query, slowQuery) {
						t.Fatalf("byte %#x at %d of %d, from %d: %q and %q; %q and %q, next %d and %d",
							b, at, length, off, text, slow, query, slowQuery, next, slowNext)
					}
				}
			}
		}
	}
}

func TestNumbersAreWrittenAsStrconvDoes(t *testing.T) {
	check := func(v uint64) {
		if got := string(AppendUint([]byte("x"), v)); got != "x"+strconv.FormatUint(v, 10) {
			t.Fatalf("%d is %s", v, got)
		}
		v %= 1e8
		if got := string(AppendDigits(nil, v)); got != fmt.Sprintf("%08d", v) {
			t.Fatalf("%d is %s", v, got)
		}
	}
	for v := range uint64(100_000) {
		check(v)
		check(v * 1009)      // the four digits before
		check(99999999 - v)  // the largest of eight
		check(v * v * 7919)  // more than eight
		check(1<<64 - 1 - v) // the largest
	}
	for power := uint64(1); power < 1e19; power *= 10 {
		check(power - 1)
		check(power)
		check(power + 1)
	}
}

func TestHexadecimalOfAnyBytes(t *testing.T) {
	all := make([]byte, 256+3)
	for i := range all {
		all[i] = byte(i)
	}
	for from := range 8 {
		for n := range len(all) - from {
			b := all[from : from+n]
			want := hex.EncodeToString(b)
			if got := string(appendHex([]byte("x"), b, hexLower)); got != "x"+want {
				t.Fatalf("%x: %s", b, got)
			}
			if got := string(appendHex(nil, b, hexUpper)); got != strings.ToUpper(want) {
				t.Fatalf("%x: %s", b, got)
			}
		}
	}
}
