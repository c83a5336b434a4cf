// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestNumbersWithAndWithoutMnemonicsAreWritten(t *testing.T) {
	appenders := map[string]func([]byte, uint16) []byte{
		"type": AppendType, "class": AppendClass, "rcode": AppendRcode, "option": AppendOption,
	}
	for _, tt := range []struct {
		kind   string
		number uint16
		want   string
	}{
		{"type", 0, "TYPE0"}, {"type", 1, "A"}, {"type", 54, "TYPE54"},
		{"type", 69, "UNECE"}, {"type", 70, "ISO"}, {"type", 71, "TYPE71"}, {"type", 255, "ANY"},
		{"type", 264, "IPN"}, {"type", 265, "TYPE265"}, {"type", 32767, "TYPE32767"},
		{"type", 32768, "TA"}, {"type", 32769, "DLV"}, {"type", 65534, "TYPE65534"},
		{"class", 0, "CLASS0"}, {"class", 1, "IN"}, {"class", 2, "CLASS2"}, {"class", 3, "CH"},
		{"class", 4, "HS"}, {"class", 254, "NONE"}, {"class", 255, "ANY"},
		{"class", 32769, "CLASS32769"},
		{"rcode", 0, "NOERROR"}, {"rcode", 3, "NXDOMAIN"}, {"rcode", 11, "DSOTYPENI"},
		{"rcode", 12, "RCODE12"}, {"rcode", 16, "BADVERS"}, {"rcode", 23, "BADCOOKIE"},
		{"rcode", 24, "RCODE24"}, {"rcode", 4095, "RCODE4095"},
		{"option", 4, "OPT4"}, {"option", 8, "ECS"}, {"option", 22, "EDE-EXTRA-TEXT-LANGUAGE"},
		{"option", 23, "FILTERING-CONTACT"}, {"option", 24, "FILTERING-ORGANIZATION"},
		{"option", 25, "FILTERING-DB"}, {"option", 26, "STRUCTURED-DNS-ERROR"},
		{"option", 27, "OPT27"}, {"option", 20292, "UMBRELLA-IDENT"}, {"option", 26946, "DEVICEID"},
		{"option", 65001, "OPT65001"},
	} {
		got := string(appenders[tt.kind]([]byte("- "), tt.number))
		if diff := cmp.Diff("- "+tt.want, got); diff != "" {
			t.Errorf("%s %d: -want +got\n%s", tt.kind, tt.number, diff)
		}
	}
}

func TestEveryMnemonicThatMiekgKnowsIsOurs(t *testing.T) {
	for number, name := range dns.TypeToString {
		switch name {
		case "None", "Reserved": // 0 and 65535 are no types (RFC 6895, section 3.1)
			name = ""
		}
		if diff := cmp.Diff(name, TypeName(number)); diff != "" {
			t.Errorf("type %d: -miekg +got\n%s", number, diff)
		}
	}
	for number, name := range dns.RcodeToString {
		switch number {
		case dns.RcodeNotImplemented:
			name = "NOTIMP"
		case dns.RcodeBadSig:
			name = "BADVERS"
		}
		if diff := cmp.Diff(name, string(AppendRcode(nil, uint16(number)))); diff != "" {
			t.Errorf("rcode %d: -miekg +got\n%s", number, diff)
		}
	}
	for number := range 256 {
		want, known := dns.OpcodeToString[number&15]
		if !known {
			want = "OPCODE" + strconv.Itoa(number&15)
		}
		if number&15 == 6 {
			want = "DSO" // miekg/dns has no name for it
		}
		if diff := cmp.Diff(want, OpcodeName(uint8(number))); diff != "" {
			t.Errorf("opcode %d: -want +got\n%s", number, diff)
		}
	}
}

func TestInfoCodesOfExtendedErrorsHaveNames(t *testing.T) {
	for code, want := range map[uint16]string{
		0: "Other Error", 15: "Blocked", 30: "Invalid Query Type",
		35: "Blocked by Upstream DNS Server", 36: "", 65535: "",
	} {
		if diff := cmp.Diff(want, EDEName(code)); diff != "" {
			t.Errorf("%d: -want +got\n%s", code, diff)
		}
	}
}
