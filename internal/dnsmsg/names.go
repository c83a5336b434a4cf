// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import "strconv"

// The resource record types that IANA has assigned, by their mnemonics (registry "Resource
// Record (RR) TYPEs", https://www.iana.org/assignments/dns-parameters). 251 to 255 are question
// types.
const (
	TypeA          uint16 = 1
	TypeNS         uint16 = 2
	TypeMD         uint16 = 3
	TypeMF         uint16 = 4
	TypeCNAME      uint16 = 5
	TypeSOA        uint16 = 6
	TypeMB         uint16 = 7
	TypeMG         uint16 = 8
	TypeMR         uint16 = 9
	TypeNULL       uint16 = 10
	TypeWKS        uint16 = 11
	TypePTR        uint16 = 12
	TypeHINFO      uint16 = 13
	TypeMINFO      uint16 = 14
	TypeMX         uint16 = 15
	TypeTXT        uint16 = 16
	TypeRP         uint16 = 17
	TypeAFSDB      uint16 = 18
	TypeX25        uint16 = 19
	TypeISDN       uint16 = 20
	TypeRT         uint16 = 21
	TypeNSAP       uint16 = 22
	TypeNSAPPTR    uint16 = 23
	TypeSIG        uint16 = 24
	TypeKEY        uint16 = 25
	TypePX         uint16 = 26
	TypeGPOS       uint16 = 27
	TypeAAAA       uint16 = 28
	TypeLOC        uint16 = 29
	TypeNXT        uint16 = 30
	TypeEID        uint16 = 31
	TypeNIMLOC     uint16 = 32
	TypeSRV        uint16 = 33
	TypeATMA       uint16 = 34
	TypeNAPTR      uint16 = 35
	TypeKX         uint16 = 36
	TypeCERT       uint16 = 37
	TypeA6         uint16 = 38
	TypeDNAME      uint16 = 39
	TypeSINK       uint16 = 40
	TypeOPT        uint16 = 41
	TypeAPL        uint16 = 42
	TypeDS         uint16 = 43
	TypeSSHFP      uint16 = 44
	TypeIPSECKEY   uint16 = 45
	TypeRRSIG      uint16 = 46
	TypeNSEC       uint16 = 47
	TypeDNSKEY     uint16 = 48
	TypeDHCID      uint16 = 49
	TypeNSEC3      uint16 = 50
	TypeNSEC3PARAM uint16 = 51
	TypeTLSA       uint16 = 52
	TypeSMIMEA     uint16 = 53
	TypeHIP        uint16 = 55
	TypeNINFO      uint16 = 56
	TypeRKEY       uint16 = 57
	TypeTALINK     uint16 = 58
	TypeCDS        uint16 = 59
	TypeCDNSKEY    uint16 = 60
	TypeOPENPGPKEY uint16 = 61
	TypeCSYNC      uint16 = 62
	TypeZONEMD     uint16 = 63
	TypeSVCB       uint16 = 64
	TypeHTTPS      uint16 = 65
	TypeDSYNC      uint16 = 66
	TypeHHIT       uint16 = 67
	TypeBRID       uint16 = 68
	TypeUNECE      uint16 = 69
	TypeISO        uint16 = 70
	TypeSPF        uint16 = 99
	TypeUINFO      uint16 = 100
	TypeUID        uint16 = 101
	TypeGID        uint16 = 102
	TypeUNSPEC     uint16 = 103
	TypeNID        uint16 = 104
	TypeL32        uint16 = 105
	TypeL64        uint16 = 106
	TypeLP         uint16 = 107
	TypeEUI48      uint16 = 108
	TypeEUI64      uint16 = 109
	TypeNXNAME     uint16 = 128
	TypeTKEY       uint16 = 249
	TypeTSIG       uint16 = 250
	TypeIXFR       uint16 = 251
	TypeAXFR       uint16 = 252
	TypeMAILB      uint16 = 253
	TypeMAILA      uint16 = 254
	TypeANY        uint16 = 255
	TypeURI        uint16 = 256
	TypeCAA        uint16 = 257
	TypeAVC        uint16 = 258
	TypeDOA        uint16 = 259
	TypeAMTRELAY   uint16 = 260
	TypeRESINFO    uint16 = 261
	TypeWALLET     uint16 = 262
	TypeCLA        uint16 = 263
	TypeIPN        uint16 = 264
	TypeTA         uint16 = 32768
	TypeDLV        uint16 = 32769
)

// The classes that have a meaning of their own here (RFC 1035, section 3.2.4).
const (
	ClassIN   uint16 = 1
	ClassCH   uint16 = 3
	ClassHS   uint16 = 4
	ClassNONE uint16 = 254 // RFC 2136, section 1.3
	ClassANY  uint16 = 255
)

// typeNames leaves out TA and DLV, which stand far away from the others: TypeName knows them.
var typeNames = [...]string{
	TypeA: "A", TypeNS: "NS", TypeMD: "MD", TypeMF: "MF", TypeCNAME: "CNAME", TypeSOA: "SOA",
	TypeMB: "MB", TypeMG: "MG", TypeMR: "MR", TypeNULL: "NULL", TypeWKS: "WKS", TypePTR: "PTR",
	TypeHINFO: "HINFO", TypeMINFO: "MINFO", TypeMX: "MX", TypeTXT: "TXT", TypeRP: "RP",
	TypeAFSDB: "AFSDB", TypeX25: "X25", TypeISDN: "ISDN", TypeRT: "RT", TypeNSAP: "NSAP",
	TypeNSAPPTR: "NSAP-PTR", TypeSIG: "SIG", TypeKEY: "KEY", TypePX: "PX", TypeGPOS: "GPOS",
	TypeAAAA: "AAAA", TypeLOC: "LOC", TypeNXT: "NXT", TypeEID: "EID", TypeNIMLOC: "NIMLOC",
	TypeSRV: "SRV", TypeATMA: "ATMA", TypeNAPTR: "NAPTR", TypeKX: "KX", TypeCERT: "CERT",
	TypeA6: "A6", TypeDNAME: "DNAME", TypeSINK: "SINK", TypeOPT: "OPT", TypeAPL: "APL",
	TypeDS: "DS", TypeSSHFP: "SSHFP", TypeIPSECKEY: "IPSECKEY", TypeRRSIG: "RRSIG",
	TypeNSEC: "NSEC", TypeDNSKEY: "DNSKEY", TypeDHCID: "DHCID", TypeNSEC3: "NSEC3",
	TypeNSEC3PARAM: "NSEC3PARAM", TypeTLSA: "TLSA", TypeSMIMEA: "SMIMEA", TypeHIP: "HIP",
	TypeNINFO: "NINFO", TypeRKEY: "RKEY", TypeTALINK: "TALINK", TypeCDS: "CDS",
	TypeCDNSKEY: "CDNSKEY", TypeOPENPGPKEY: "OPENPGPKEY", TypeCSYNC: "CSYNC",
	TypeZONEMD: "ZONEMD", TypeSVCB: "SVCB", TypeHTTPS: "HTTPS", TypeDSYNC: "DSYNC",
	TypeHHIT: "HHIT", TypeBRID: "BRID", TypeUNECE: "UNECE", TypeISO: "ISO", TypeSPF: "SPF",
	TypeUINFO: "UINFO", TypeUID: "UID", TypeGID: "GID", TypeUNSPEC: "UNSPEC", TypeNID: "NID",
	TypeL32: "L32", TypeL64: "L64", TypeLP: "LP", TypeEUI48: "EUI48", TypeEUI64: "EUI64",
	TypeNXNAME: "NXNAME", TypeTKEY: "TKEY", TypeTSIG: "TSIG", TypeIXFR: "IXFR", TypeAXFR: "AXFR",
	TypeMAILB: "MAILB", TypeMAILA: "MAILA", TypeANY: "ANY", TypeURI: "URI", TypeCAA: "CAA",
	TypeAVC: "AVC", TypeDOA: "DOA", TypeAMTRELAY: "AMTRELAY", TypeRESINFO: "RESINFO",
	TypeWALLET: "WALLET", TypeCLA: "CLA", TypeIPN: "IPN",
}

// Opcodes (RFC 1035, section 4.1.1; RFC 1996; RFC 2136; RFC 8490). Four bits, so the unknown
// ones have their names here too.
var opcodeNames = [16]string{
	"QUERY", "IQUERY", "STATUS", "OPCODE3", "NOTIFY", "UPDATE", "DSO", "OPCODE7",
	"OPCODE8", "OPCODE9", "OPCODE10", "OPCODE11", "OPCODE12", "OPCODE13", "OPCODE14", "OPCODE15",
}

// Response codes (RFC 6895, section 2.3; RFC 8490; RFC 8945; RFC 7873).
var rcodeNames = [...]string{
	0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
	6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI",
	16: "BADVERS", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE", 20: "BADNAME", 21: "BADALG",
	22: "BADTRUNC", 23: "BADCOOKIE",
}

// Option codes of EDNS (registry "DNS EDNS0 Option Codes (OPT)"). Two stand far away from the
// others: optionName knows them.
var optionNames = [...]string{
	1: "LLQ", 2: "UL", 3: "NSID", 5: "DAU", 6: "DHU", 7: "N3U", 8: "ECS", 9: "EXPIRE",
	10: "COOKIE", 11: "KEEPALIVE", 12: "PADDING", 13: "CHAIN", 14: "KEY-TAG", 15: "EDE",
	16: "CLIENT-TAG", 17: "SERVER-TAG", 18: "REPORT-CHANNEL", 19: "ZONEVERSION",
	20: "MQTYPE-QUERY", 21: "MQTYPE-RESPONSE", 22: "EDE-EXTRA-TEXT-LANGUAGE",
	23: "FILTERING-CONTACT", 24: "FILTERING-ORGANIZATION", 25: "FILTERING-DB",
	26: "STRUCTURED-DNS-ERROR",
}

// Info codes of extended DNS errors (RFC 8914, section 5.2, and what was registered since).
var edeNames = [...]string{
	0: "Other Error", 1: "Unsupported DNSKEY Algorithm", 2: "Unsupported DS Digest Type",
	3: "Stale Answer", 4: "Forged Answer", 5: "DNSSEC Indeterminate", 6: "DNSSEC Bogus",
	7: "Signature Expired", 8: "Signature Not Yet Valid", 9: "DNSKEY Missing",
	10: "RRSIGs Missing", 11: "No Zone Key Bit Set", 12: "NSEC Missing", 13: "Cached Error",
	14: "Not Ready", 15: "Blocked", 16: "Censored", 17: "Filtered", 18: "Prohibited",
	19: "Stale NXDOMAIN Answer", 20: "Not Authoritative", 21: "Not Supported",
	22: "No Reachable Authority", 23: "Network Error", 24: "Invalid Data",
	25: "Signature Expired before Valid", 26: "Too Early",
	27: "Unsupported NSEC3 Iterations Value", 28: "Unable to conform to policy",
	29: "Synthesized", 30: "Invalid Query Type", 31: "Rate Limited", 32: "Over Quota",
	33: "Negative Trust Anchor", 34: "New Delegation Only",
	35: "Blocked by Upstream DNS Server",
}

// TypeName returns the mnemonic of a resource record type, or "" when it has none.
func TypeName(t uint16) string {
	switch {
	case int(t) < len(typeNames):
		return typeNames[t]
	case t == TypeTA:
		return "TA"
	case t == TypeDLV:
		return "DLV"
	}
	return ""
}

// AppendType appends the mnemonic of a resource record type, TYPE65534 for one without (RFC 3597,
// section 5).
func AppendType(dst []byte, t uint16) []byte {
	return appendNamed(dst, TypeName(t), "TYPE", t)
}

// AppendClass appends the mnemonic of a class, CLASS65534 for one without (RFC 3597, section 5).
func AppendClass(dst []byte, class uint16) []byte {
	name := ""
	switch class {
	case ClassIN:
		name = "IN"
	case ClassCH:
		name = "CH"
	case ClassHS:
		name = "HS"
	case ClassNONE:
		name = "NONE"
	case ClassANY:
		name = "ANY"
	}
	return appendNamed(dst, name, "CLASS", class)
}

// OpcodeName returns the mnemonic of the low four bits of opcode, OPCODE7 for one without.
func OpcodeName(opcode uint8) string { return opcodeNames[opcode&15] }

// AppendRcode appends the mnemonic of a response code with its extended bits, RCODE24 for one
// without. 16 is BADVERS; that it means BADSIG in a TSIG record is for AppendData to know.
func AppendRcode(dst []byte, rcode uint16) []byte {
	return appendNamed(dst, rcodeName(rcode), "RCODE", rcode)
}

func rcodeName(rcode uint16) string {
	if int(rcode) < len(rcodeNames) {
		return rcodeNames[rcode]
	}
	return ""
}

// AppendOption appends the mnemonic of an EDNS option code, OPT65001 for one without.
func AppendOption(dst []byte, code uint16) []byte {
	return appendNamed(dst, optionName(code), "OPT", code)
}

func optionName(code uint16) string {
	switch {
	case int(code) < len(optionNames):
		return optionNames[code]
	case code == 20292:
		return "UMBRELLA-IDENT"
	case code == 26946:
		return "DEVICEID"
	}
	return ""
}

// EDEName returns what an info code of an extended DNS error means, in the words of the registry,
// or "" when it is not registered.
func EDEName(code uint16) string {
	if int(code) < len(edeNames) {
		return edeNames[code]
	}
	return ""
}

func appendNamed(dst []byte, name, prefix string, number uint16) []byte {
	if name != "" {
		return append(dst, name...)
	}
	dst = append(dst, prefix...)
	return strconv.AppendUint(dst, uint64(number), 10)
}
