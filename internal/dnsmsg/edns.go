// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

// The options of EDNS that have a text of their own (registry "DNS EDNS0 Option Codes (OPT)").
const (
	OptionNSID      uint16 = 3  // RFC 5001
	OptionDAU       uint16 = 5  // RFC 6975
	OptionDHU       uint16 = 6  // RFC 6975
	OptionN3U       uint16 = 7  // RFC 6975
	OptionECS       uint16 = 8  // client subnet, RFC 7871
	OptionExpire    uint16 = 9  // RFC 7314
	OptionCookie    uint16 = 10 // RFC 7873
	OptionKeepalive uint16 = 11 // RFC 7828
	OptionPadding   uint16 = 12 // RFC 7830
	OptionChain     uint16 = 13 // RFC 7901
	OptionKeyTag    uint16 = 14 // RFC 8145
	OptionEDE       uint16 = 15 // extended DNS error, RFC 8914
	OptionReport    uint16 = 18 // report channel, RFC 9567
)

// EDNS is the view of a message's OPT record (RFC 6891, section 6.1). The extended bits of the
// response code are in Message.Rcode.
type EDNS struct {
	UDPSize uint16
	Version uint8
	DO      bool   // the sender wants DNSSEC records (RFC 3225)
	Z       uint16 // the flags behind DO: 0x4000 is CO (RFC 9824, section 5), the rest are reserved
	Options []byte // as on the wire, borrowed as Message.Wire is
}

// EDNS returns the view of the OPT record, and false when the message has none.
func (m *Message) EDNS() (e EDNS, ok bool) {
	if uint(m.OPT) >= uint(len(m.RRs)) {
		return EDNS{}, false
	}
	rr := &m.RRs[m.OPT]
	start := min(int(rr.Data), len(m.Wire))
	return EDNS{
		UDPSize: rr.Class,
		Version: uint8(rr.TTL >> 16),
		DO:      rr.TTL&0x8000 != 0,
		Z:       uint16(rr.TTL & 0x7fff),
		Options: m.Wire[start:min(start+int(rr.Len), len(m.Wire))],
	}, true
}

// NextOption returns the option at off in Options and the offset of the next. It begins at 0 and
// ends with ok false and next off; bytes left over there are an option that its length, or the
// end of the data, cut off.
func (e EDNS) NextOption(off int) (code uint16, data []byte, next int, ok bool) {
	if off < 0 || off > len(e.Options)-4 {
		return 0, nil, off, false
	}
	head := e.Options[off:]
	length := int(binary.BigEndian.Uint16(head[2:]))
	if length > len(head)-4 {
		return 0, nil, off, false
	}
	return binary.BigEndian.Uint16(head), head[4 : 4+length], off + 4 + length, true
}

// AppendOptionData appends the data of an option as text of printable ASCII:
//
//	NSID            as AppendNSID
//	ECS             192.0.2.0/24/0: prefix, and the scope of the answer
//	EDE             15 (Blocked): extra text, as AppendText
//	PADDING         how many bytes
//	KEEPALIVE       seconds, with one decimal
//	EXPIRE          seconds
//	CHAIN, REPORT-CHANNEL  a name, as AppendName
//	DAU, DHU, N3U, KEY-TAG  numbers with commas
//	COOKIE and all others   hexadecimal
//
// Data that does not fit its option is written in hexadecimal too; no data is no text, but for
// PADDING.
func AppendOptionData(dst []byte, code uint16, data []byte) []byte {
	if code == OptionPadding {
		return AppendUint(dst, uint64(len(data)))
	}
	have := len(dst)
	dst, ok := appendKnownOption(dst, code, data)
	if !ok {
		return AppendHex(dst[:have], data)
	}
	return dst
}

func appendKnownOption(dst []byte, code uint16, data []byte) (text []byte, ok bool) {
	if len(data) == 0 {
		return dst, true
	}
	switch code {
	case OptionNSID:
		return AppendNSID(dst, data), true
	case OptionECS:
		dst, scope, ok := AppendECS(dst, data)
		return appendU8(append(dst, '/'), scope), ok
	case OptionEDE:
		return appendEDE(dst, data)
	case OptionKeepalive:
		if len(data) != 2 { // units of 100 ms (RFC 7828, section 3.1)
			return dst, false
		}
		tenths := binary.BigEndian.Uint16(data)
		dst = AppendUint(dst, uint64(tenths/10))
		return append(dst, '.', '0'+byte(tenths%10)), true
	case OptionExpire:
		if len(data) != 4 {
			return dst, false
		}
		return AppendUint(dst, uint64(binary.BigEndian.Uint32(data))), true
	case OptionChain, OptionReport:
		dst, next := AppendName(dst, data, 0) // data alone: there is nothing to point to
		return dst, next == len(data)
	case OptionKeyTag:
		return appendNumbers(dst, data, appendU16)
	case OptionDAU, OptionDHU, OptionN3U:
		for i, b := range data {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendU8(dst, b)
		}
		return dst, true
	}
	return dst, false
}

// AppendECS appends the prefix of a client subnet, 192.0.2.0/24, and returns the scope that came
// with it (RFC 7871, section 6). Family 0, which asks for no subnet to be used, is 0/0. When data
// is malformed, more or fewer bytes of address than the prefix needs, or bits beyond it, ok is
// false and dst as it was.
func AppendECS(dst, data []byte) (text []byte, scope uint8, ok bool) {
	if len(data) < 4 {
		return dst, 0, false
	}
	family := binary.BigEndian.Uint16(data)
	source, scope, address := data[2], data[3], data[4:]
	if family == 0 && source == 0 && len(address) == 0 {
		return append(dst, '0', '/', '0'), scope, true
	}
	size := addressSize(family)
	if size == 0 || int(source) > size*8 || int(scope) > size*8 ||
		len(address) != (int(source)+7)/8 {
		return dst, 0, false
	}
	if spare := source % 8; spare != 0 && address[len(address)-1]<<spare != 0 {
		return dst, 0, false
	}
	return appendPrefix(dst, address, size, source), scope, true
}

// AppendNSID appends a name server identifier. Most are names in ASCII, so one of printable ASCII
// is written as it is; any other, and one that itself begins with 0x, in hexadecimal behind 0x.
func AppendNSID(dst, data []byte) []byte {
	plain := len(data) < 2 || data[0] != '0' || data[1] != 'x'
	for _, b := range data {
		plain = plain && b >= ' ' && b <= '~'
	}
	if plain {
		return append(dst, data...)
	}
	return AppendHex(append(dst, '0', 'x'), data)
}

// Cookie tells whether data has a length that a cookie can have: 8 bytes of the client, and none or 8
// to 32 of the server (RFC 7873, section 4).
func Cookie(data []byte) bool {
	return len(data) == 8 || len(data) >= 16 && len(data) <= 40
}

// EDE returns the info code and the extra text, without the zero byte that may end it, of an
// extended DNS error (RFC 8914, section 2). EDEName says what the code means. The text is UTF-8
// by that RFC and anything in practice: NextPrintable finds what of it is fit to print, and AppendText
// makes it so.
func EDE(data []byte) (code uint16, extra []byte, ok bool) {
	if len(data) < 2 {
		return 0, nil, false
	}
	extra = data[2:]
	if n := len(extra); n > 0 && extra[n-1] == 0 {
		extra = extra[:n-1]
	}
	return binary.BigEndian.Uint16(data), extra, true
}

func appendEDE(dst, data []byte) ([]byte, bool) {
	code, extra, ok := EDE(data)
	if !ok {
		return dst, false
	}
	dst = AppendUint(dst, uint64(code))
	if name := EDEName(code); name != "" {
		dst = append(append(append(dst, " ("...), name...), ')')
	}
	if len(extra) > 0 {
		dst = AppendText(append(dst, ": "...), extra)
	}
	return dst, true
}

// AppendText appends text of unknown making as printable ASCII: a backslash before a backslash,
// and \DDD for bytes that are not printable ASCII.
func AppendText(dst, s []byte) []byte { return appendEscaped(dst, s, &loose) }

// NextPrintable looks for the first character beyond ASCII in s that is valid UTF-8 and printable: no
// control, space or mark of direction. It returns how many bytes are before it, the character, and its
// length, which is 0 when there is none; then all of s is before it.
func NextPrintable(s []byte) (before int, r rune, length int) {
	for before < len(s) {
		if s[before] < utf8.RuneSelf {
			before++
			continue
		}
		r, n := utf8.DecodeRune(s[before:])
		if n > 1 && unicode.IsPrint(r) { // what is not valid has length 1
			return before, r, n
		}
		before += n
	}
	return before, 0, 0
}

// AppendHex appends bytes in hexadecimal, as dig writes cookies: small letters, no separators.
func AppendHex(dst, s []byte) []byte { return appendHex(dst, s, hexLower) }
