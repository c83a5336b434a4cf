// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wireData are records by their bytes: types and forms that miekg/dns cannot read as text. What
// dig 9.18 printed for them is marked; the others follow their RFC, because dig knows them by
// number only.
var wireData = []struct {
	name   string
	rrtype uint16
	class  uint16
	data   string
	want   string
}{
	{"dig: services by number", TypeWKS, ClassIN, "c0000201 06 00000040",
		"192.0.2.1 6 25"},
	{"dig: services without a port", TypeWKS, ClassIN, "c0000201 06", "192.0.2.1 6"},
	{"dig: NSAP in small letters", TypeNSAP, ClassIN, "47000580005a0000000001e133ffffff00016100",
		"0x47000580005a0000000001e133ffffff00016100"},
	{"dig: NXT with an old bitmap", TypeNXT, ClassIN, "016100 62000002", "a. A NS SOA NXT"},
	{"dig: NXT with a type unknown", TypeNXT, ClassIN, "016100 00000000000002", "a. 54"},
	{"dig: EID", TypeEID, ClassIN, "e32c6f78163a9348", "E32C6F78163A9348"},
	{"dig: NIMLOC", TypeNIMLOC, ClassIN, "32251a030067", "32251A030067"},
	{"dig: ATM number", TypeATMA, ClassIN, "01 31323334353637", "+1234567"},
	{"an ATM number of all digits", TypeATMA, ClassIN, "01 30313233343536373839", "+0123456789"},
	{"dig: ATM address", TypeATMA, ClassIN, "00 47000580ab", "47000580ab"},
	{"dig: A6 without a prefix", TypeA6, ClassIN, "00 20010db8000000000000000000000001",
		"0 2001:db8::1"},
	{"dig: A6 with a prefix", TypeA6, ClassIN, "40 0000000000000001 0161016200",
		"64 ::1 a.b."},
	{"A6 of nothing but a prefix, where dig leaves two spaces", TypeA6, ClassIN, "80 016100",
		"128 a."},
	{"dig: SINK", TypeSINK, ClassIN, "010203 aabb", "1 2 3 qrs="},
	{"dig: SINK without data", TypeSINK, ClassIN, "010203", "1 2 3"},
	{"dig: key that is no key", TypeKEY, ClassIN, "c0000301", "49152 3 1"},
	{"dig: DSYNC", TypeDSYNC, ClassIN, "003b 01 14eb 016100", "CDS NOTIFY 5355 a."},
	{"dig: DSYNC with a scheme unknown", TypeDSYNC, ClassIN, "0001 05 14eb 016100",
		"A 5 5355 a."},
	{"dig: HHIT", TypeHHIT, ClassIN, "010203", "AQID"},
	{"dig: BRID", TypeBRID, ClassIN, "010203", "AQID"},
	{"dig: DOA", TypeDOA, ClassIN, "00000001 00000002 01 0a746578742f706c61696e 0102",
		`1 2 1 "text/plain" AQI=`},
	{"dig: DOA without data", TypeDOA, ClassIN, "00000001 00000002 01 00", `1 2 1 "" -`},
	{"dig: AMT relay of IPv6", TypeAMTRELAY, ClassIN, "0a82 20010db8000000000000000000000015",
		"10 1 2 2001:db8::15"},
	{"dig: AMT relay by name", TypeAMTRELAY, ClassIN, "8083 03616d7400", "128 1 3 amt."},
	{"dig: wallet", TypeWALLET, ClassIN, "03616263 00", `"abc" ""`},
	{"convergence layer adapter", TypeCLA, ClassIN, "03616263", `"abc"`},
	{"node number", TypeIPN, ClassIN, "8000000000000001", "9223372036854775809"},
	{"dig: TKEY", TypeTKEY, ClassIN, "016100 00000001 00000002 0003 0010 0002aabb 0000",
		"a. 1 2 3 BADSIG 2 qrs= 0"},
	{"dig: TKEY with other data", TypeTKEY, ClassIN,
		"016100 00000001 00000002 0003 0000 0001aa 0001aa", "a. 1 2 3 NOERROR 1 qg== 1 qg=="},
	{"TSIG", TypeTSIG, ClassANY,
		"0b686d61632d73686132353600 000061abcdef 012c 0002aabb 1234 0012 0006000061abcdef",
		"hmac-sha256. 1638649327 300 2 qrs= 4660 BADTIME 6 AABhq83v"},
	{"TSIG of an unsigned answer", TypeTSIG, ClassANY,
		"0b686d61632d73686132353600 000061abcdef 012c 0000 1234 0011 0000",
		"hmac-sha256. 1638649327 300 0 4660 BADKEY 0"},
	{"dig: address of Chaosnet, in octal", TypeA, ClassCH, "016100 0102", "a. 402"},
	{"address of Chaosnet 0", TypeA, ClassCH, "00 0000", ". 0"},
	{"dig: address of Hesiod", TypeA, ClassHS, "01020304", "1.2.3.4"},
	{"address of mDNS with the bit to flush caches", TypeA, 0x8001, "01020304", "1.2.3.4"},
	{"dig: APL of nothing", TypeAPL, ClassIN, "", ""},
	{"dig: a list in alpn is escaped twice", TypeSVCB, ClassIN,
		"0001 00 0001 000b 026832 07612c5c20226201",
		`1 . alpn="h2,a\\,\\\\\032\"b\001"`},
	{"dig: a key without value", TypeSVCB, ClassIN, "0001 00 ffdc 0000", "1 . key65500"},
	{"dig: a key without a name", TypeHTTPS, ClassIN, "0001 00 ffff 0001 61", `1 . key65535="a"`},
	{"groups of TLS (dig: key9)", TypeHTTPS, ClassIN, "0001 00 0009 0004 001d0017",
		"1 . tls-supported-groups=29,23"},
	{"path of DNS over CoAP (dig: key10)", TypeSVCB, ClassIN, "0001 00 000a 0005 03646e73 00",
		`1 . docpath="dns,"`},
	{"configuration of a proxy (dig: key11)", TypeHTTPS, ClassIN, "0001 00 000b 0000", "1 . pvd"},
	{"dig: mandatory key without a name", TypeSVCB, ClassIN, "0001 00 0000 0004 0001 0100",
		"1 . mandatory=alpn,key256"},
	{"dig: an alias may have parameters", TypeHTTPS, ClassIN, "0000 00 0003 0002 01bb",
		"0 . port=443"},
	{"times beyond 2038 (dig reads them around today's)", TypeRRSIG, ClassIN,
		"0001 0d 02 00000e10 ffffffff 80000000 1234 00 aabb",
		"A 13 2 3600 21060207062815 20380119031408 4660 . qrs="},
	{"dig: precision of centimetres, heights at sea", TypeLOC, ClassIN,
		"00 10 11 99 80000000 80000000 00989680",
		"0 0 0.000 N 0 0 0.000 E 0.00m 0.01m 0.10m 90000000m"},
	{"dig: a precision of nothing", TypeLOC, ClassIN, "00 02 16 13 8b3cf018 810cbce0 009895b8",
		"52 22 23.000 N 4 53 32.000 E -2.00m 0m 10000m 10m"},
	{"dig: a type without text", 65534, ClassIN, "0a000001", `\# 4 0A000001`},
	{"dig: null", TypeNULL, ClassIN, "0102", `\# 2 0102`},
	{"dig: UINFO", TypeUINFO, ClassIN, "0102", `\# 2 0102`},
	{"OPT", TypeOPT, ClassIN, "000a0000", `\# 4 000A0000`},
	{"UNECE", TypeUNECE, ClassIN, "023230 03363430 03483138", `\# 11 0232300336343003483138`},
	{"NXNAME", TypeNXNAME, ClassIN, "", `\# 0`},
	{"nothing, as in an update that deletes", TypeA, ClassANY, "", `\# 0`},
	{"names may point into the message", TypeMX, ClassIN, "000a 026d78 c012", "10 mx.example."},
	{"also where they should not", TypeRRSIG, ClassIN,
		"0001 0d 02 00000e10 00000000 00000000 1234 c00c aabb",
		"A 13 2 3600 19700101000000 19700101000000 4660 owner.example. qrs="},

	// What does not fit is generic.
	{"an address too short", TypeA, ClassIN, "010203", `\# 3 010203`},
	{"an address too long", TypeAAAA, ClassIN, strings.Repeat("00", 17),
		`\# 17 ` + strings.Repeat("00", 17)},
	{"an address of Chaosnet in three bytes", TypeA, ClassCH, "00 000001", `\# 4 00000001`},
	{"a name that runs past the data", TypeNS, ClassIN, "0361", `\# 2 0361`},
	{"half a pointer", TypeNS, ClassIN, "c0", `\# 1 C0`},
	{"bytes after a name", TypeCNAME, ClassIN, "01610000", `\# 4 01610000`},
	{"a pointer to itself", TypePTR, ClassIN, "c01b", `\# 2 C01B`},
	{"a string too long", TypeTXT, ClassIN, "0161 0562", `\# 4 01610562`},
	{"no string", TypeTXT, ClassIN, "", `\# 0`},
	{"a tag with a space", TypeCAA, ClassIN, "00 03612062 78", `\# 6 000361206278`},
	{"a tag of nothing", TypeCAA, ClassIN, "00 00 78", `\# 3 000078`},
	{"a digest of nothing", TypeDS, ClassIN, "00010801", `\# 4 00010801`},
	{"windows that do not ascend", TypeNSEC, ClassIN, "00 000140 000140", `\# 7 00000140000140`},
	{"a window of nothing", TypeNSEC, ClassIN, "00 0000", `\# 3 000000`},
	{"a window of 32 bytes", TypeNSEC, ClassIN, "00 0020 40" + strings.Repeat("00", 30) + "01",
		". A ANY"},
	{"a window of 33 bytes", TypeCSYNC, ClassIN,
		"00000001 0000 0021" + strings.Repeat("01", 33),
		`\# 41 0000000100000021` + strings.Repeat("01", 33)},
	{"a window that ends in zero", TypeNSEC, ClassIN, "00 00024000", `\# 5 0000024000`},
	{"a hash of nothing", TypeNSEC3, ClassIN, "0100000000 00", `\# 6 010000000000`},
	{"a MAC longer than its record", TypeTSIG, ClassANY, "00 000000000000 0000 0003aabb",
		`\# 13 0000000000000000000003AABB`},
	{"a prefix of an unknown family", TypeAPL, ClassIN, "00030000", `\# 4 00030000`},
	{"a prefix that ends in zero", TypeAPL, ClassIN, "0001 10 02 0a00", `\# 6 000110020A00`},
	{"a prefix longer than addresses", TypeAPL, ClassIN, "0001 21 00", `\# 4 00012100`},
	{"a gateway of type 4", TypeIPSECKEY, ClassIN, "0a0402", `\# 3 0A0402`},
	{"a relay of type 4", TypeAMTRELAY, ClassIN, "0a04", `\# 2 0A04`},
	{"a host identity without key", TypeHIP, ClassIN, "0202 0000 aabb", `\# 6 02020000AABB`},
	{"bits of A6 that are the prefix's", TypeA6, ClassIN, "7c ff 016100", `\# 5 7CFF016100`},
	{"a prefix length of 129", TypeA6, ClassIN, "81 016100", `\# 4 81016100`},
	{"ports that end in zero", TypeWKS, ClassIN, "c0000201 06 4000", `\# 7 C0000201064000`},
	{"a bitmap of NXT with bit 0", TypeNXT, ClassIN, "00 80", `\# 2 0080`},
	{"an ATM number with a letter", TypeATMA, ClassIN, "01 3161", `\# 3 013161`},
	{"an ATM address of format 2", TypeATMA, ClassIN, "02 31", `\# 2 0231`},
	{"a location of version 1", TypeLOC, ClassIN, "01" + strings.Repeat("00", 15),
		`\# 16 01` + strings.Repeat("00", 15)},
	{"a latitude beyond the pole", TypeLOC, ClassIN, "00121613 ffffffff 80000000 00989680",
		`\# 16 00121613FFFFFFFF8000000000989680`},
	{"dig: the pole and the date line", TypeLOC, ClassIN, "00121613 934fd900 59604e00 00989680",
		"90 0 0.000 N 180 0 0.000 W 0.00m 1m 10000m 10m"},
	{"a thousandth of a second beyond the pole", TypeLOC, ClassIN,
		"00121613 934fd901 80000000 00989680",
		`\# 16 00121613934FD9018000000000989680`},
	{"the same beyond the date line", TypeLOC, ClassIN, "00121613 80000000 59604dff 00989680",
		`\# 16 001216138000000059604DFF00989680`},
	{"a precision of ten", TypeLOC, ClassIN, "00a01613 80000000 80000000 00989680",
		`\# 16 00A01613800000008000000000989680`},
	{"keys that do not ascend", TypeSVCB, ClassIN, "0001 00 0003 0002 01bb 0003 0002 01bb",
		`\# 15 00010000030002` + `01BB0003000201BB`},
	{"a port of one byte", TypeSVCB, ClassIN, "0001 00 0003 0001 01", `\# 8 0001000003000101`},
	{"a hint of five bytes", TypeSVCB, ClassIN, "0001 00 0004 0005 0102030405",
		`\# 12 000100000400050102030405`},
	{"a hint of nothing", TypeSVCB, ClassIN, "0001 00 0006 0000", `\# 7 00010000060000`},
	{"a protocol of nothing", TypeSVCB, ClassIN, "0001 00 0001 0001 00", `\# 8 0001000001000100`},
	{"a protocol too long", TypeSVCB, ClassIN, "0001 00 0001 0002 0268",
		`\# 9 000100000100020268`},
	{"a protocol that ends in the next key", TypeSVCB, ClassIN,
		"0001 00 0001 0004 01680269 0003 0002 01bb", `\# 17 0001000001000401680269` + `0003000201BB`},
	{"a value of a key that has none", TypeSVCB, ClassIN, "0001 00 0002 0001 00",
		`\# 8 0001000002000100`},
	{"a value of pvd, which has none", TypeSVCB, ClassIN, "0001 00 000b 0001 00",
		`\# 8 000100000B000100`},
	{"half a mandatory key", TypeSVCB, ClassIN, "0001 00 0000 0001 00", `\# 8 0001000000000100`},
	{"mandatory keys that do not ascend", TypeSVCB, ClassIN, "0001 00 0000 0004 00040001",
		`\# 11 0001000000000400040001`},
	{"mandatory that is mandatory", TypeSVCB, ClassIN, "0001 00 0000 0002 0000",
		`\# 9 000100000000020000`},
	{"a parameter longer than its record", TypeSVCB, ClassIN, "0001 00 ff00 0005 61",
		`\# 8 000100FF00000561`},
}

func TestDataIsWrittenAsDigOrTheirRFCWritesIt(t *testing.T) {
	for _, tt := range wireData {
		got := textOf(tt.rrtype, tt.class, unhex(t, tt.data))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}

// everyRecord calls f with the data of both tables.
func everyRecord(t testing.TB, f func(rrtype, class uint16, data []byte)) {
	t.Helper()
	for _, tt := range wireData {
		f(tt.rrtype, tt.class, unhex(t, tt.data))
	}
	for _, line := range zoneLines {
		rrtype, data := packed(t, zoneLine(t, line.source()))
		f(rrtype, ClassIN, data)
	}
}

func TestEveryTypeWithAFormatIsInATable(t *testing.T) {
	seen := map[uint16]bool{}
	everyRecord(t, func(rrtype, class uint16, data []byte) {
		seen[rrtype] = seen[rrtype] || !strings.HasPrefix(textOf(rrtype, class, data), `\#`)
	})
	formless := map[uint16]bool{
		TypeNULL: true, TypeOPT: true, TypeUINFO: true, TypeUID: true, TypeGID: true,
		TypeUNSPEC: true, TypeNXNAME: true, TypeIXFR: true, TypeAXFR: true, TypeMAILB: true,
		TypeMAILA: true, TypeANY: true, TypeUNECE: true, TypeISO: true,
	}
	for rrtype := range uint16(65535) {
		if want := TypeName(rrtype) != "" && !formless[rrtype]; seen[rrtype] != want {
			t.Errorf("%s: in a table %t, want %t", AppendType(nil, rrtype), seen[rrtype], want)
		}
	}
}

func TestDataCutAnywhereIsPrintableAndStaysInItsBounds(t *testing.T) {
	everyRecord(t, func(rrtype, class uint16, data []byte) {
		for n := range len(data) {
			checkText(t, rrtype, class, data[:n])
			// The same with the message going on: what follows is not the record's.
			m, rr := record(rrtype, class, data)
			rr.Len = uint16(n)
			if diff := cmp.Diff(textOf(rrtype, class, data[:n]),
				string(m.AppendData(nil, rr))); diff != "" {
				t.Errorf("%s %x: -alone +followed\n%s", AppendType(nil, rrtype), data[:n], diff)
			}
		}
	})
}

func TestDataWithRandomBytesIsPrintable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	everyRecord(t, func(rrtype, class uint16, data []byte) {
		for range 200 {
			other := append([]byte(nil), data...)
			for range 1 + random.IntN(4) {
				if len(other) > 0 {
					other[random.IntN(len(other))] = byte(random.Uint32())
				}
			}
			checkText(t, rrtype, class, append(other, make([]byte, random.IntN(2))...))
		}
	})
}

// checkText checks what holds for any data: the text is printable ASCII without a space at its
// ends, and a generic one gives the bytes back.
func checkText(t testing.TB, rrtype, class uint16, data []byte) string {
	t.Helper()
	text := textOf(rrtype, class, data)
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			t.Fatalf("%s %x: byte %#x in %q", AppendType(nil, rrtype), data, c, text)
		}
	}
	if strings.TrimSpace(text) != text {
		t.Fatalf("%s %x: spaces around %q", AppendType(nil, rrtype), data, text)
	}
	if strings.HasPrefix(text, `\#`) {
		fields := strings.Fields(text)
		if diff := cmp.Diff(strings.ToUpper(hex.EncodeToString(data)),
			strings.Join(fields[2:], "")); diff != "" {
			t.Fatalf("%s: -data +generic\n%s", AppendType(nil, rrtype), diff)
		}
	}
	return text
}

func TestARecordPastTheEndOfItsMessageIsWhatIsThere(t *testing.T) {
	m, rr := record(TypeA, ClassIN, []byte{1, 2, 3, 4})
	rr.Len = 5
	if got := string(m.AppendData(nil, rr)); got != "1.2.3.4" {
		t.Errorf("data that claims more: %q", got)
	}
	rr.Data = 60000
	if got := string(m.AppendData(nil, rr)); got != `\# 0` {
		t.Errorf("data that begins past the end: %q", got)
	}
}

func TestWritingDataAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	everyRecord(t, func(rrtype, class uint16, data []byte) {
		m, rr := record(rrtype, class, data)
		if n := testing.AllocsPerRun(10, func() { dst = m.AppendData(dst[:0], rr) }); n != 0 {
			t.Errorf("%s %x: %v allocations", AppendType(nil, rrtype), data, n)
		}
	})
}
