// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

type zoneLineCase struct {
	text  string
	miekg string
	why   string
	parse bool // miekg/dns can only read its own way
}

func (c zoneLineCase) source() string {
	if c.parse {
		return c.miekg
	}
	return c.text
}

// zoneLines are records as dig +nosplit prints them, type and data. Where miekg/dns writes the
// same data otherwise, miekg is its way and why says who is right.
var zoneLines = []zoneLineCase{
	{text: `A 192.0.2.1`},
	{text: `A 0.0.0.0`},
	{text: `A 255.10.100.9`},
	{text: `AAAA ::`},
	{text: `AAAA ::1`},
	{text: `AAAA 2001:db8::1`},
	{text: `AAAA 2001:db8:0:1:1:1:1:1`},
	{text: `AAAA 2001:0:0:1::1`},
	{text: `AAAA 1:2:3:4:5:6:7:8`},
	{text: `AAAA fe80::`},
	{text: `AAAA ::ffff:192.0.2.128`},
	{text: `NS ns1.example.`},
	{text: `NS .`},
	{text: `MD md.example.`},
	{text: `MF mf.example.`},
	{text: `CNAME CamelCase.Example.`},
	{
		text:  `CNAME a\.b\"c\(d\)e\;f\@g\$h\\i\000\255\032'j.example.`,
		miekg: `CNAME a\.b\"c\(d\)e\;f\@g$h\\i\000\255\ \'j.example.`,
		why:   "both parse alike; dig escapes $ (of $ORIGIN), and writes a space in decimal",
	},
	{text: `SOA ns1.example. host\.master.example. 2026010100 7200 3600 1209600 4294967295`},
	{text: `MB mb.example.`},
	{text: `MG mg.example.`},
	{text: `MR mr.example.`},
	{text: `PTR host.example.`},
	{text: `HINFO "PDP-11" "UNIX \"V7\""`},
	{text: `MINFO r.example. e.example.`},
	{text: `MX 0 .`},
	{text: `MX 65535 mail.example.`},
	{text: `TXT ""`},
	{text: `TXT "v=spf1 -all" "a;b" "\\ \" \001\127\255"`},
	{text: `RP m.example. t.example.`},
	{text: `AFSDB 1 afs.example.`},
	{text: `X25 "311061700956"`, miekg: `X25 311061700956`,
		why: "dig quotes; RFC 1183 does not", parse: true},
	{
		text:  `ISDN "150862028003217" "004"`,
		miekg: `ISDN "150862028003217" "004"`,
	},
	{text: `RT 10 relay.example.`},
	{text: `NSAP-PTR foo.example.`},
	{text: `SIG A 5 2 3600 20260201000000 20260101000000 12345 example. AQID`},
	{text: `KEY 256 3 8 AwEAAQ==`},
	{text: `PX 50 a.example. b.example.`},
	{
		text: `GPOS "-32.6882" "116.8652" "10.0"`, miekg: `GPOS -32.6882 116.8652 10.0`,
		why: "dig quotes; RFC 1712 does not", parse: true,
	},
	{
		text:  `LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m`,
		miekg: `LOC 52 22 23.000 N 04 53 32.000 E -2m 0.00m 10000m 10m`,
		why:   "dig pads nothing but fractions",
	},
	{text: `SRV 1 2 65535 sip.example.`},
	{text: `NAPTR 100 50 "s" "http+I2L+I2C+I2R" "!^.*$!\\1;!" _http._tcp.example.`},
	{text: `KX 10 kx.example.`},
	{text: `CERT PKIX 65535 RSASHA256 AQIDBA==`},
	{text: `CERT 65535 1 200 AQIDBA==`},
	{text: `DNAME target.example.`},
	{
		text:  `APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32 1:0.0.0.0/0`,
		miekg: `APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32 1:0.0.0.0/0`,
	},
	{text: `DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118`},
	{text: `SSHFP 2 1 123456789ABCDEF67890123456789ABCDEF67890`},
	{text: `IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb`},
	{text: `IPSECKEY 10 0 2 . AQNRU3mG7TVTO2BkR47usntb`},
	{text: `IPSECKEY 10 2 2 2001:db8::1 AQNRU3mG7TVTO2BkR47usntb`},
	{text: `IPSECKEY 10 3 2 gw.example. AQNRU3mG7TVTO2BkR47usntb`},
	{text: `RRSIG TYPE65534 13 2 3600 20380119031407 19700101000000 2642 example. oJB1W6WNGv+l`},
	{text: `NSEC host.example. A MX RRSIG NSEC TYPE1234`},
	{text: `DNSKEY 257 3 13 AwEAAQ==`},
	{text: `DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=`},
	{text: `NSEC3 1 1 12 AABBCCDD 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S A RRSIG`},
	{text: `NSEC3 1 0 0 - 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S`,
		miekg: `NSEC3 1 0 0 - 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S`},
	{text: `NSEC3PARAM 1 0 12 AABBCCDD`},
	{text: `NSEC3PARAM 1 0 0 -`},
	{text: `TLSA 3 1 1 0B9FA5A59EED715C26C1020C711B4F6EC42D58B0015E14337A39DAD301C5AFC3`,
		miekg: `TLSA 3 1 1 0b9fa5a59eed715c26c1020c711b4f6ec42d58b0015e14337a39dad301c5afc3`,
		why:   "the same digits; dig writes capitals"},
	{text: `SMIMEA 3 0 0 ABCD`, miekg: `SMIMEA 3 0 0 abcd`, why: "as TLSA"},
	{text: `HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc rvs.example. r.example.`,
		miekg: `HIP 2 200100107b1a74df365639cc39f1d578 AwEAAbdxyhNuSutc rvs.example. r.example.`,
		why:   "as TLSA"},
	{text: `NINFO "zone status" "fine"`},
	{text: `RKEY 0 3 8 AwEAAQ==`},
	{text: `TALINK prev.example. next.example.`},
	{text: `CDS 0 0 0 00`},
	{text: `CDNSKEY 0 3 0 AA==`},
	{text: `OPENPGPKEY AQIDBA==`},
	{text: `CSYNC 66 3 A NS AAAA`},
	{text: `CSYNC 66 3`},
	{text: `ZONEMD 2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE`,
		miekg: `ZONEMD 2018031500 1 1 febe3d4ce2ec2ffa4ba99d46cd69d6d29711e55217057bee`,
		why:   "as TLSA"},
	{text: `HTTPS 0 pool.svc.example.`},
	{text: `HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ech=AEj+DQ== ` +
		`ipv6hint=2001:db8::1,::1`,
		miekg: `HTTPS 1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1,192.0.2.2" ` +
			`ech="AEj+DQ==" ipv6hint="2001:db8::1,::1"`,
		why: "both parse alike; dig quotes only alpn and texts"},
	{text: `SVCB 16 foo.example. mandatory=alpn,ipv4hint alpn="h2" no-default-alpn ipv4hint=1.2.3.4`,
		miekg: `SVCB 16 foo.example. mandatory="alpn,ipv4hint" alpn="h2" no-default-alpn="" ` +
			`ipv4hint="1.2.3.4"`,
		why: "as HTTPS"},
	{text: `SVCB 1 doh.example. dohpath="/dns-query{?dns}" ohttp key65333="a\"b\\c\001 "`,
		miekg: `SVCB 1 doh.example. dohpath="/dns-query{?dns}" ohttp="" key65333="a\"b\\c\001\ "`,
		why:   "as HTTPS; a space needs no escape within quotes"},
	{text: `SPF "v=spf1 -all"`},
	{text: `NID 10 14:4fff:ff20:ee64`, miekg: `NID 10 0014:4fff:ff20:ee64`,
		why: "RFC 6742 leaves zeros out, as in IPv6", parse: true},
	{text: `L32 10 10.1.2.0`},
	{text: `L64 10 2001:db8:1140:1000`, miekg: `L64 10 2001:0DB8:1140:1000`,
		why: "as NID", parse: true},
	{text: `LP 10 l64-subnet1.example.`},
	{text: `EUI48 00-00-5e-00-53-2a`},
	{text: `EUI64 00-00-5e-ef-10-00-00-2a`},
	{text: `URI 10 1 "ftp://ftp1.example/public?a=\"b\""`},
	{text: `CAA 0 issue "ca.example; policy=ev"`},
	{text: `CAA 128 iodef ""`},
	{text: `AVC "app-name:WOLFGANG|app-class:OAM"`},
	{text: `AMTRELAY 10 0 1 203.0.113.15`},
	{text: `AMTRELAY 10 1 0 .`},
	{text: `AMTRELAY 10 0 2 2001:db8::15`},
	{text: `AMTRELAY 128 0 3 amt.example.`},
	{text: `RESINFO "qnamemin" "exterr=15-17"`},
	{text: `TA 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118`},
	{text: `DLV 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118`},
}

// record returns a message whose only record holds data after a header and an owner name,
// "owner.example." at offset 12, for pointers.
func record(rrtype, class uint16, data []byte) (*Message, *RR) {
	wire := append(make([]byte, HeaderLen), "\x05owner\x07example\x00"...)
	at := len(wire)
	wire = append(wire, data...)
	m := &Message{Wire: wire, Size: len(wire), OPT: -1}
	m.RRs = []RR{{
		Name: HeaderLen, Type: rrtype, Class: class,
		Data: uint16(at), Len: uint16(len(data)),
	}}
	return m, &m.RRs[0]
}

func textOf(rrtype, class uint16, data []byte) string {
	m, rr := record(rrtype, class, data)
	return string(m.AppendData([]byte("before "), rr))[len("before "):]
}

// packed returns the type and the data on the wire of a record of miekg/dns.
func packed(t testing.TB, rr dns.RR) (rrtype uint16, data []byte) {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatalf("miekg/dns packs %v: %v", rr, err)
	}
	owner := len(rr.Header().Name) + 1
	if rr.Header().Name == "." {
		owner = 1
	}
	return rr.Header().Rrtype, buf[owner+10 : n]
}

// miekgText returns what miekg/dns makes of data, with its own parser.
func miekgText(t testing.TB, rrtype uint16, data []byte) string {
	t.Helper()
	h := dns.RR_Header{Name: ".", Rrtype: rrtype, Class: dns.ClassINET, Rdlength: uint16(len(data))}
	rr, _, err := dns.UnpackRRWithHeader(h, data, 0)
	if err != nil {
		t.Fatalf("miekg/dns unpacks %s %x: %v", dns.Type(rrtype), data, err)
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

func zoneLine(t testing.TB, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(". 0 IN " + text)
	if err != nil {
		t.Fatalf("miekg/dns reads %q: %v", text, err)
	}
	return rr
}

func TestDataOfZoneLinesIsWrittenAsDigAndMiekgWriteIt(t *testing.T) {
	for _, line := range zoneLines {
		rrtype, data := packed(t, zoneLine(t, line.source()))
		_, want, _ := strings.Cut(line.text, " ")
		if diff := cmp.Diff(want, textOf(rrtype, ClassIN, data)); diff != "" {
			t.Errorf("%s: -want +got\n%s", line.text, diff)
		}
		if line.miekg != "" {
			_, want, _ = strings.Cut(line.miekg, " ")
		}
		theirs := miekgText(t, rrtype, data)
		if diff := cmp.Diff(want, theirs); diff != "" {
			t.Errorf("%s: -want +miekg\n%s", line.text, diff)
		}
	}
}
