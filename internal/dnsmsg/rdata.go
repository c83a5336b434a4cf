// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import "encoding/binary"

// layouts gives, for each type whose data is a plain list of fields, one letter a field, in the
// order of the wire, which is the order of the text. The letters are those of cursor.field:
//
//	1 2 4 6 8   an unsigned number of so many bytes
//	n           a name
//	a A         an IPv4 address, an IPv6 address
//	s o S       a character-string, one that may be missing, one or more to the end
//	q           the rest as one quoted string
//	g           a tag of letters and digits (CAA)
//	x X         the rest in hexadecimal; the same behind 0x (NSAP)
//	k K D       the rest in base64: at least one byte; none is nothing; none is "-" (DOA)
//	B           a length of two bytes and so much base64
//	h H         a length of one byte and so much hexadecimal, or base32 (NSEC3)
//	e E         six or eight bytes in hexadecimal with hyphens (EUI)
//	l           eight bytes as four groups of hexadecimal (NID, L64)
//	T t m       a type, a time, a bitmap of types to the end (DNSSEC)
//	c C r d     mnemonics: certificate type, algorithm, TSIG error, DSYNC scheme
//
// A type without a layout, without an appender in cursor.odd and without a fast path has no
// presentation format of its own: NULL, OPT, UNECE, ISO, UINFO, UID, GID, UNSPEC.
var layouts = [...]string{
	TypeAAAA: "A", TypeMD: "n", TypeMF: "n", TypeMB: "n", TypeMG: "n", TypeMR: "n",
	TypeSOA: "nn44444", TypeHINFO: "ss", TypeMINFO: "nn", TypeMX: "2n", TypeTXT: "S",
	TypeRP: "nn", TypeAFSDB: "2n", TypeX25: "s", TypeISDN: "so", TypeRT: "2n", // RFC 1183
	TypeNSAP: "X", TypeNSAPPTR: "n", // RFC 1706
	TypeSIG: "T114tt2nk", TypeKEY: "211K", // RFC 2535
	TypePX: "2nn", TypeGPOS: "sss", // RFC 2163, RFC 1712
	TypeEID: "x", TypeNIMLOC: "x", // draft-ietf-nimrod-dns
	TypeSRV: "222n", TypeNAPTR: "22sssn", TypeKX: "2n", // RFC 2782, RFC 3403, RFC 2230
	TypeCERT: "c2Ck", TypeDNAME: "n", TypeSINK: "111K", // RFC 4398, RFC 6672
	TypeDS: "211x", TypeSSHFP: "11x", TypeRRSIG: "T114tt2nk", // RFC 4034, RFC 4255
	TypeNSEC: "nm", TypeDNSKEY: "211k", TypeDHCID: "k", // RFC 4034, RFC 4701
	TypeNSEC3: "112hHm", TypeNSEC3PARAM: "112h", // RFC 5155
	TypeTLSA: "111x", TypeSMIMEA: "111x", // RFC 6698, RFC 8162
	TypeNINFO: "S", TypeRKEY: "211k", TypeTALINK: "nn",
	TypeCDS: "211x", TypeCDNSKEY: "211k", TypeOPENPGPKEY: "k", // RFC 7344, RFC 7929
	TypeCSYNC: "42m", TypeZONEMD: "411x", // RFC 7477, RFC 8976
	TypeDSYNC: "Td2n", TypeHHIT: "k", TypeBRID: "k", // RFC 9859, RFC 9886
	TypeSPF: "S", TypeNID: "2l", TypeL32: "2a", TypeL64: "2l", TypeLP: "2n", // RFC 6742
	TypeEUI48: "e", TypeEUI64: "E", // RFC 7043
	TypeTKEY: "n442rBB", TypeTSIG: "n62B2rB", // RFC 2930, RFC 8945
	TypeURI: "22q", TypeCAA: "1gq", TypeAVC: "S", // RFC 7553, RFC 8659
	TypeDOA: "441sD", TypeRESINFO: "S", TypeWALLET: "S", // draft-durand-doa-over-dns, RFC 9606
	TypeCLA: "S", TypeIPN: "8", // draft-johnson-dns-ipn-cla
}

// AppendData appends the data of a record in zone-file presentation format as dig +nosplit
// prints it: one line, base64 and hexadecimal in one piece. Where dig leaves a space behind an
// empty last field there is none. A type that dig knows only by its number is written as its RFC
// says.
//
// Form is checked, not sense: a digest of the wrong length, at which dig gives up on the whole
// message, is written as it is. Data that does not fit its type, that has none, or whose type has
// no format is written in the generic form of RFC 3597, section 5: \# 4 0A000001. So every
// record has a text of printable ASCII, whatever its bytes are. The class matters for A alone (in
// CH it is a name and an address of its own); cache-flush bits (RFC 6762, section 10.2) do no
// harm.
func (m *Message) AppendData(dst []byte, rr *RR) []byte {
	start := min(int(rr.Data), len(m.Wire))
	end := min(start+int(rr.Len), len(m.Wire))
	data := m.Wire[start:end]
	switch { // most records, and there is nothing to walk in them
	case rr.Type == TypeA && len(data) == 4 && rr.Class != ClassCH:
		return appendIPv4(dst, [4]byte(data))
	case rr.Type == TypeAAAA && len(data) == 16:
		return appendIPv6(dst, [16]byte(data))
	}
	d := cursor{wire: m.Wire, off: start, end: end}
	have := len(dst)
	dst = d.data(dst, rr.Type, rr.Class)
	if !d.bad && d.off == d.end {
		return dst
	}
	return appendGeneric(dst[:have], data)
}

func appendGeneric(dst, data []byte) []byte {
	dst = append(dst, '\\', '#', ' ')
	dst = AppendUint(dst, uint64(len(data)))
	if len(data) == 0 {
		return dst
	}
	return appendHex(append(dst, ' '), data, hexUpper)
}

// cursor walks the data of one record. Reading past its end, and anything that the text could
// not say, sets bad; what was appended until then is thrown away.
type cursor struct {
	wire     []byte // the whole message: names may be compressed
	off, end int    // what is left of the data
	bad      bool
}

func (d *cursor) data(dst []byte, rrtype, class uint16) []byte {
	switch rrtype {
	case TypeNS, TypeCNAME, TypePTR:
		return d.name(dst)
	case TypeA:
		if class == ClassCH {
			return d.chaosA(dst)
		}
		return d.field(dst, 'a')
	}
	if d.off == d.end && rrtype != TypeAPL { // an empty APL is a list of no prefixes
		d.bad = true
		return dst
	}
	layout := ""
	switch {
	case int(rrtype) < len(layouts):
		layout = layouts[rrtype]
	case rrtype == TypeTA || rrtype == TypeDLV:
		layout = "211x"
	}
	if layout == "" {
		return d.odd(dst, rrtype)
	}
	for i := range len(layout) {
		before := len(dst)
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = d.field(dst, layout[i])
		if i > 0 && len(dst) == before+1 {
			dst = dst[:before] // an optional field that is not there
		}
		if d.bad {
			return dst
		}
	}
	return dst
}

// field appends one field of the kinds that layouts lists.
func (d *cursor) field(dst []byte, kind byte) []byte {
	switch kind {
	case 'n':
		return d.name(dst)
	case '1':
		return appendU8(dst, d.u8())
	case '2':
		return AppendUint(dst, uint64(d.u16()))
	case '4':
		return AppendUint(dst, uint64(d.u32()))
	case '6':
		hi := uint64(d.u16()) << 32
		return AppendUint(dst, hi|uint64(d.u32()))
	case '8':
		hi := uint64(d.u32()) << 32
		return AppendUint(dst, hi|uint64(d.u32()))
	case 'a':
		if b := d.take(4); b != nil {
			return appendIPv4(dst, [4]byte(b))
		}
	case 'A':
		if b := d.take(16); b != nil {
			return appendIPv6(dst, [16]byte(b))
		}
	case 's', 'o', 'S', 'q', 'g':
		return d.text(dst, kind)
	case 'x', 'X', 'k', 'K', 'D', 'B', 'h', 'H', 'e', 'E', 'l':
		return d.blob(dst, kind)
	case 'T':
		return AppendType(dst, d.u16())
	case 't':
		return appendTime(dst, d.u32())
	case 'm':
		return d.bitmap(dst)
	default:
		return d.mnemonic(dst, kind)
	}
	return dst
}

// take returns the next n bytes, or nil and sets bad when there are not so many.
func (d *cursor) take(n int) []byte {
	if d.bad || n > d.end-d.off {
		d.bad = true
		return nil
	}
	b := d.wire[d.off : d.off+n]
	d.off += n
	return b
}

// rest returns all that is left, which may be nothing.
func (d *cursor) rest() []byte { return d.take(d.end - d.off) }

func (d *cursor) u8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *cursor) u16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *cursor) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// name appends a name. It may point anywhere before itself, but its own bytes must lie within
// the data. Pointers are followed in the data of every type: RFC 3597, section 4 forbids to write
// them in the newer ones, yet what dig would call a broken message is still worth reading.
func (d *cursor) name(dst []byte) []byte {
	if d.bad || d.off == d.end {
		d.bad = true
		return dst
	}
	dst, next := AppendName(dst, d.wire, d.off)
	if next < 0 || next > d.end {
		d.bad = true
		return dst
	}
	d.off = next
	return dst
}
