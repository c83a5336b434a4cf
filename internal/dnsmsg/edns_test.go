// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// withOPT returns a message whose second record is an OPT record with these options.
func withOPT(t testing.TB, options string) *Message {
	t.Helper()
	m, rr := record(TypeOPT, 1232, unhex(t, options))
	rr.TTL = 0x1701c001 // extended rcode 0x17, version 1, DO, CO, the last of the reserved flags
	m.RRs = append([]RR{{Type: TypeA}}, m.RRs...)
	m.OPT = 1
	return m
}

func TestEDNSIsTheViewOfTheOPTRecord(t *testing.T) {
	e, ok := withOPT(t, "000a0000").EDNS()
	want := EDNS{UDPSize: 1232, Version: 1, DO: true, Z: 0x4001, Options: []byte{0, 10, 0, 0}}
	if diff := cmp.Diff(want, e); diff != "" || !ok {
		t.Errorf("ok %t; -want +got\n%s", ok, diff)
	}
	for _, index := range []int{-1, 2} {
		m := withOPT(t, "")
		m.OPT = index
		if e, ok := m.EDNS(); ok {
			t.Errorf("OPT %d of 2 records: %v", index, e)
		}
	}
}

func TestOptionsAreWalkedToTheFirstThatIsCutOff(t *testing.T) {
	type option struct {
		Code uint16
		Data string
	}
	for _, tt := range []struct {
		name    string
		options string
		want    []option
		left    int
	}{
		{"no option", "", nil, 0},
		{"an option without data", "000c0000", []option{{12, ""}}, 0},
		{"two options", "0003000161 fde90002abcd", []option{{3, "a"}, {65001, "\xab\xcd"}}, 0},
		{"half a head after an option", "000c0000 000a00", []option{{12, ""}}, 3},
		{"an option longer than the record", "000c0000 000a0008 0102", []option{{12, ""}}, 6},
	} {
		e, _ := withOPT(t, tt.options).EDNS()
		var got []option
		off := 0
		for {
			code, data, next, ok := e.NextOption(off)
			off = next
			if !ok {
				break
			}
			got = append(got, option{code, string(data)})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || len(e.Options)-off != tt.left {
			t.Errorf("%s: %d left, want %d; -want +got\n%s", tt.name, len(e.Options)-off, tt.left, diff)
		}
	}
	e, _ := withOPT(t, "000c0000").EDNS()
	for _, off := range []int{-1, 1, 4, 1 << 20} {
		if _, _, next, ok := e.NextOption(off); ok || next != off {
			t.Errorf("offset %d: next %d, ok %t", off, next, ok)
		}
	}
}

var optionTexts = []struct {
	name string
	code uint16
	data string
	want string
}{
	{"an identifier in ASCII", OptionNSID, "677072662d31203a", "gprf-1 :"},
	{"an identifier with quotes", OptionNSID, "225c", `"\`},
	{"an identifier in bytes", OptionNSID, "0a00ff", "0x0a00ff"},
	{"an identifier that looks like bytes", OptionNSID, "30786666", "0x30786666"},
	{"an identifier that begins with 0", OptionNSID, "3066", "0f"},
	{"a question for the identifier", OptionNSID, "", ""},
	{"algorithms understood", OptionDAU, "080d0f", "8,13,15"},
	{"hashes understood", OptionDHU, "02", "2"},
	{"NSEC3 hashes understood", OptionN3U, "01", "1"},
	{"a subnet of IPv4", OptionECS, "00011800 c00002", "192.0.2.0/24/0"},
	{"a subnet with scope", OptionECS, "00011810 c00002", "192.0.2.0/24/16"},
	{"a subnet within a byte", OptionECS, "00011500 c00008", "192.0.8.0/21/0"},
	{"a subnet of IPv6", OptionECS, "00023838 20010db8000001", "2001:db8:0:100::/56/56"},
	{"a whole address", OptionECS, "00012000 c0000201", "192.0.2.1/32/0"},
	{"the subnet of all", OptionECS, "00010000", "0.0.0.0/0/0"},
	{"no subnet wanted", OptionECS, "00000000", "0/0/0"},
	{"a subnet of family 3", OptionECS, "00030000", "00030000"},
	{"a subnet of family 0 with address", OptionECS, "0000080001", "0000080001"},
	{"a subnet without scope", OptionECS, "000118", "000118"},
	{"a subnet with too few bytes", OptionECS, "00011800 c000", "00011800c000"},
	{"a subnet with too many bytes", OptionECS, "00011800 c0000201", "00011800c0000201"},
	{"a subnet with bits beyond it", OptionECS, "00011500 c00009", "00011500c00009"},
	{"a subnet longer than addresses", OptionECS, "00012100 c000020180", "00012100c000020180"},
	{"a scope longer than addresses", OptionECS, "00011821 c00002", "00011821c00002"},
	{"an expiry", OptionExpire, "00015180", "86400"},
	{"an expiry of two bytes", OptionExpire, "0001", "0001"},
	{"a cookie", OptionCookie, "24a5ac1223344556", "24a5ac1223344556"},
	{"a cookie too short", OptionCookie, "24a5", "24a5"},
	{"a timeout", OptionKeepalive, "0041", "6.5"},
	{"a timeout of one byte", OptionKeepalive, "41", "41"},
	{"padding", OptionPadding, "000000", "3"},
	{"padding of nothing", OptionPadding, "", "0"},
	{"the closest trust point", OptionChain, "03636f6d00", "com."},
	{"a trust point cut off", OptionChain, "03636f", "03636f"},
	{"a trust point and a byte", OptionChain, "03636f6d0000", "03636f6d0000"},
	{"tags of keys", OptionKeyTag, "4f664a5c", "20326,19036"},
	{"half a tag", OptionKeyTag, "4f664a", "4f664a"},
	{"an error", OptionEDE, "000f", "15 (Blocked)"},
	{"an error with text", OptionEDE, "0016 6e6f205c20c3a900",
		`22 (No Reachable Authority): no \\ \195\169`},
	{"an error not registered", OptionEDE, "c000 78", "49152: x"},
	{"half an error", OptionEDE, "00", "00"},
	{"an agent", OptionReport, "067265706f727407 6578616d706c6500", "report.example."},
	{"an agent that points", OptionReport, "c000", "c000"},
	{"an option of one's own", 65001, "ABCDEF", "abcdef"},
	{"option 0", 0, "", ""},
}

func TestOptionsAreWritten(t *testing.T) {
	for _, tt := range optionTexts {
		data := unhex(t, tt.data)
		got := string(AppendOptionData([]byte("- "), tt.code, data))
		if diff := cmp.Diff("- "+tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}

func TestSubnetsAgreeWithMiekg(t *testing.T) {
	for _, tt := range optionTexts {
		text, scope, ok := AppendECS(nil, unhex(t, tt.data))
		if tt.code != OptionECS || !ok || string(text) == "0/0" {
			continue
		}
		var msg dns.Msg
		e, _ := withOPT(t, "0008"+hexLength(tt.data)+tt.data).EDNS()
		wire := append(make([]byte, 11), "\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00"...)
		wire = append(append(wire, byte(len(e.Options))), e.Options...)
		if err := msg.Unpack(wire); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		subnet := msg.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		address, _, _ := strings.Cut(subnet.String(), "/")
		address = strings.Trim(address, "[]")
		if ours, _, _ := strings.Cut(string(text), "/"); ours != address ||
			scope != subnet.SourceScope {
			t.Errorf("%s: %s, scope %d, miekg has %v", tt.name, text, scope, subnet)
		}
	}
}

func hexLength(data string) string {
	n := len(strings.ReplaceAll(data, " ", "")) / 2
	return "00" + string("0123456789abcdef"[n>>4]) + string("0123456789abcdef"[n&15])
}

func TestWritingOptionsAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	for _, tt := range optionTexts {
		data := unhex(t, tt.data)
		write := func() { dst = AppendOptionData(dst[:0], tt.code, data) }
		if n := testing.AllocsPerRun(10, write); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
	m := withOPT(t, "0003000161 fde90002abcd")
	walk := func() {
		e, _ := m.EDNS()
		for off, ok := 0, true; ok; {
			_, _, off, ok = e.NextOption(off)
		}
	}
	if n := testing.AllocsPerRun(10, walk); n != 0 {
		t.Errorf("walking: %v allocations", n)
	}
}

func TestNextPrintable(t *testing.T) {
	for _, test := range []struct {
		text   string
		before int
		r      rune
	}{
		{"", 0, 0}, {"a\n\\\x7f", 4, 0}, {"h\u00e9", 1, 'é'}, {"\u65e5\u672c", 0, '日'}, {"\U0001d11e", 0, '𝄞'},
		{"\xff\xc3", 2, 0}, {"\xc3\u00e9", 1, 'é'}, {"\ufffd", 0, '\ufffd'},
		{"\u202e\u0085\u00a0\u200b\ufeff\U000e0041", 17, 0},                    // direction, controls, spaces, tags
		{"\xed\xa0\x80", 3, 0}, {"\xc0\x80", 2, 0}, {"\xf4\x90\x80\x80", 4, 0}, // no characters
	} {
		before, r, n := NextPrintable([]byte(test.text))
		if before != test.before || r != test.r || n > 0 && !strings.HasPrefix(test.text[before:], string(r)) {
			t.Errorf("%q: %d before %q, of %d bytes", test.text, before, r, n)
		}
	}
}
