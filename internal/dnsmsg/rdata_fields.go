// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import (
	"encoding/base32"
	"iter"
	"time"
)

// base32hex is the encoding of hashed owner names (RFC 5155, section 3.3).
var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// The algorithms of DNSSEC by name (registry "DNS Security Algorithm Numbers"): in CERT dig
// writes them out (RFC 4398, section 2.2), elsewhere they are numbers.
var algorithmNames = [256]string{
	1: "RSAMD5", 2: "DH", 3: "DSA", 5: "RSASHA1", 6: "NSEC3DSA", 7: "NSEC3RSASHA1",
	8: "RSASHA256", 10: "RSASHA512", 12: "ECCGOST", 13: "ECDSAP256SHA256",
	14: "ECDSAP384SHA384", 15: "ED25519", 16: "ED448", 252: "INDIRECT", 253: "PRIVATEDNS",
	254: "PRIVATEOID",
}

// The certificate types by name (RFC 4398, section 2.1).
var certNames = [256]string{
	1: "PKIX", 2: "SPKI", 3: "PGP", 4: "IPKIX", 5: "ISPKI", 6: "IPGP", 7: "ACPKIX",
	8: "IACPKIX", 253: "URI", 254: "OID",
}

// text appends the fields that are character-strings (RFC 1035, section 3.3) or read like them.
func (d *cursor) text(dst []byte, kind byte) []byte {
	switch kind {
	case 'o':
		if d.off == d.end {
			return dst
		}
	case 'q':
		return appendString(dst, d.rest())
	case 'g':
		tag := d.take(int(d.u8()))
		d.bad = d.bad || len(tag) == 0
		for _, c := range tag {
			d.bad = d.bad || !alphanumeric(c)
		}
		return append(dst, tag...)
	}
	dst = appendString(dst, d.take(int(d.u8())))
	for kind == 'S' && !d.bad && d.off < d.end {
		dst = appendString(append(dst, ' '), d.take(int(d.u8())))
	}
	return dst
}

// alphanumeric says what a CAA property tag is made of (RFC 8659, section 4.1).
func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// blob appends the fields that are bytes in some base. Where a field may not be empty, nothing
// could be read back from its text, so that it makes the data bad.
func (d *cursor) blob(dst []byte, kind byte) []byte {
	switch kind {
	case 'e', 'E':
		size := 6
		if kind == 'E' {
			size = 8
		}
		for i, b := range d.take(size) {
			if i > 0 {
				dst = append(dst, '-')
			}
			dst = append(dst, hexLower[b>>4], hexLower[b&15])
		}
		return dst
	case 'l':
		for i := range 4 {
			if i > 0 {
				dst = append(dst, ':')
			}
			dst = appendHex16(dst, d.u16())
		}
		return dst
	case 'B':
		n := d.u16()
		dst = AppendUint(dst, uint64(n))
		if n > 0 {
			dst = appendBase64(append(dst, ' '), d.take(int(n)))
		}
		return dst
	case 'h':
		salt := d.take(int(d.u8()))
		if len(salt) == 0 {
			return append(dst, '-')
		}
		return appendHex(dst, salt, hexUpper)
	case 'H':
		hash := d.take(int(d.u8()))
		d.bad = d.bad || len(hash) == 0
		return base32hex.AppendEncode(dst, hash)
	}
	rest := d.rest()
	if len(rest) == 0 {
		d.bad = d.bad || kind != 'K' && kind != 'D'
		if kind == 'D' {
			dst = append(dst, '-')
		}
		return dst
	}
	switch kind {
	case 'X':
		return appendHex(append(dst, '0', 'x'), rest, hexLower)
	case 'x':
		return appendHex(dst, rest, hexUpper)
	}
	return appendBase64(dst, rest)
}

// bitmap appends the types of a bitmap (RFC 4034, section 4.1.2): windows in ascending order,
// each with 1 to 32 bytes of which the last is not zero.
func (d *cursor) bitmap(dst []byte) []byte {
	first, after := true, -1
	for !d.bad && d.off < d.end {
		window := int(d.u8())
		bytes := d.take(int(d.u8()))
		if window <= after || len(bytes) == 0 || len(bytes) > 32 || bytes[len(bytes)-1] == 0 {
			d.bad = true
			return dst
		}
		after = window
		for bit := range setBits(bytes) {
			if !first {
				dst = append(dst, ' ')
			}
			first = false
			dst = AppendType(dst, uint16(window<<8|bit))
		}
	}
	return dst
}

// setBits gives the numbers of the bits that are set, from 0, the highest of the first byte.
func setBits(bytes []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, b := range bytes {
			for bit := i << 3; b != 0; bit, b = bit+1, b<<1 {
				if b&0x80 != 0 && !yield(bit) {
					return
				}
			}
		}
	}
}

// mnemonic appends the fields that are numbers with names of their own.
func (d *cursor) mnemonic(dst []byte, kind byte) []byte {
	var number uint16
	name := ""
	switch kind {
	case 'c':
		if number = d.u16(); number < 256 {
			name = certNames[number]
		}
	case 'C':
		number = uint16(d.u8())
		name = algorithmNames[number]
	case 'r':
		number = d.u16()
		if name = rcodeName(number); number == 16 {
			name = "BADSIG" // RFC 8945, section 3; BADVERS everywhere else
		}
	case 'd':
		if number = uint16(d.u8()); number == 1 {
			name = "NOTIFY" // RFC 9859, section 2.2
		}
	}
	return appendNamed(dst, name, "", number)
}

// appendTime appends a time of a signature as YYYYMMDDHHmmSS (RFC 4034, section 3.2). It is read
// as the seconds since 1970 that it is, up to 2106, and not as serial arithmetic around the
// present: the text of a record must not depend on the day it is written.
func appendTime(dst []byte, seconds uint32) []byte {
	t := time.Unix(int64(seconds), 0).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendTwo(dst, year/100)
	for _, v := range [...]int{year % 100, int(month), day, hour, minute, second} {
		dst = appendTwo(dst, v)
	}
	return dst
}

func appendTwo(dst []byte, v int) []byte {
	return append(dst, '0'+byte(v/10), '0'+byte(v%10))
}
