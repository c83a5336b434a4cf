// SPDX-License-Identifier: Apache-2.0

package dnsmsg

// odd appends the data of the types that no list of fields describes.
func (d *cursor) odd(dst []byte, rrtype uint16) []byte {
	switch rrtype {
	case TypeHTTPS, TypeSVCB:
		return d.svcb(dst)
	case TypeLOC:
		return d.loc(dst)
	case TypeAPL:
		return d.apl(dst)
	case TypeIPSECKEY:
		return d.ipseckey(dst)
	case TypeAMTRELAY:
		return d.amtrelay(dst)
	case TypeHIP:
		return d.hip(dst)
	case TypeA6:
		return d.a6(dst)
	case TypeWKS:
		return d.wks(dst)
	case TypeNXT:
		return d.nxt(dst)
	case TypeATMA:
		return d.atma(dst)
	}
	d.bad = true
	return dst
}

// chaosA appends an address of class CH: a domain and a number, in octal (RFC 1035, section
// 3.4.1 leaves it to Chaosnet's own).
func (d *cursor) chaosA(dst []byte) []byte {
	dst = append(d.name(dst), ' ')
	v := d.u16()
	started := false
	for shift := 15; shift >= 0; shift -= 3 {
		digit := byte(v >> shift & 7)
		if started = started || digit != 0 || shift == 0; started {
			dst = append(dst, '0'+digit)
		}
	}
	return dst
}

// loc appends a location (RFC 1876, section 3).
func (d *cursor) loc(dst []byte) []byte {
	version, size, horizontal, vertical := d.u8(), d.u8(), d.u8(), d.u8()
	latitude, longitude, altitude := d.u32(), d.u32(), d.u32()
	if d.bad || version != 0 {
		d.bad = true
		return dst
	}
	dst = d.angle(dst, latitude, 90, 'N', 'S')
	dst = d.angle(append(dst, ' '), longitude, 180, 'E', 'W')
	dst = append(dst, ' ')
	// Centimetres above 100 km below the reference spheroid.
	const ground = 10000000
	if altitude < ground {
		dst = append(dst, '-')
		altitude = ground - altitude
	} else {
		altitude -= ground
	}
	dst = append(AppendUint(dst, uint64(altitude/100)), '.')
	dst = append(appendTwo(dst, int(altitude%100)), 'm')
	for _, precision := range [...]uint8{size, horizontal, vertical} {
		dst = d.precision(append(dst, ' '), precision)
	}
	return dst
}

// angle appends thousandths of a second of arc around 1<<31 as degrees, minutes, seconds.
func (d *cursor) angle(dst []byte, v, limit uint32, positive, negative byte) []byte {
	const equator = 1 << 31
	sign := positive
	if v >= equator {
		v -= equator
	} else {
		v, sign = equator-v, negative
	}
	if v > limit*3600000 {
		d.bad = true
		return dst
	}
	dst = append(AppendUint(dst, uint64(v/3600000)), ' ')
	dst = append(AppendUint(dst, uint64(v/60000%60)), ' ')
	dst = append(AppendUint(dst, uint64(v/1000%60)), '.')
	dst = append(dst, '0'+byte(v/100%10))
	return append(appendTwo(dst, int(v%100)), ' ', sign)
}

// precision appends a length in metres: a digit and a power of ten, in centimetres.
func (d *cursor) precision(dst []byte, v uint8) []byte {
	base, exponent := v>>4, v&15
	if base > 9 || exponent > 9 {
		d.bad = true
		return dst
	}
	switch {
	case exponent == 0:
		return append(dst, '0', '.', '0', '0'+base, 'm')
	case exponent == 1:
		return append(dst, '0', '.', '0'+base, '0', 'm')
	}
	dst = append(dst, '0'+base)
	for ; exponent > 2 && base > 0; exponent-- {
		dst = append(dst, '0')
	}
	return append(dst, 'm')
}

// apl appends a list of address prefixes (RFC 3123, section 4). Trailing zero bytes of an
// address are not on the wire.
func (d *cursor) apl(dst []byte) []byte {
	have := len(dst)
	for !d.bad && d.off < d.end {
		family, prefix, length := d.u16(), d.u8(), d.u8()
		part := d.take(int(length & 0x7f))
		size := addressSize(family)
		if d.bad || size == 0 || len(part) > size || int(prefix) > size*8 ||
			len(part) > 0 && part[len(part)-1] == 0 {
			d.bad = true
			return dst
		}
		if len(dst) > have {
			dst = append(dst, ' ')
		}
		if length&0x80 != 0 {
			dst = append(dst, '!')
		}
		dst = append(AppendUint(dst, uint64(family)), ':')
		dst = appendPrefix(dst, part, size, prefix)
	}
	return dst
}

// addressSize returns how long addresses of an IANA address family are, 0 for an unknown one.
func addressSize(family uint16) int {
	switch family {
	case 1:
		return 4
	case 2:
		return 16
	}
	return 0
}

// appendPrefix appends the leading bytes of an address of 4 or 16 bytes, and its prefix length.
func appendPrefix(dst, part []byte, size int, prefix uint8) []byte {
	var address [16]byte
	copy(address[:], part)
	if size == 4 {
		dst = appendIPv4(dst, [4]byte(address[:4]))
	} else {
		dst = appendIPv6(dst, address)
	}
	return appendU8(append(dst, '/'), prefix)
}

// gateway appends the address or name that stands at the end of IPSECKEY and AMTRELAY.
func (d *cursor) gateway(dst []byte, kind uint8) []byte {
	switch kind {
	case 0:
		return append(dst, '.')
	case 1:
		return d.field(dst, 'a')
	case 2:
		return d.field(dst, 'A')
	case 3:
		return d.name(dst)
	}
	d.bad = true
	return dst
}

// ipseckey: precedence, gateway type, algorithm, gateway, key (RFC 4025, section 3.1).
func (d *cursor) ipseckey(dst []byte) []byte {
	precedence, kind, algorithm := d.u8(), d.u8(), d.u8()
	dst = append(appendU8(dst, precedence), ' ')
	dst = append(appendU8(dst, kind), ' ')
	dst = append(appendU8(dst, algorithm), ' ')
	dst = d.gateway(dst, kind)
	if d.off < d.end {
		dst = d.blob(append(dst, ' '), 'k')
	}
	return dst
}

// amtrelay: precedence, discovery bit, relay type, relay (RFC 8777, section 4.3).
func (d *cursor) amtrelay(dst []byte) []byte {
	precedence, kind := d.u8(), d.u8()
	dst = append(appendU8(dst, precedence), ' ', '0'+kind>>7, ' ')
	kind &= 0x7f
	dst = append(appendU8(dst, kind), ' ')
	return d.gateway(dst, kind)
}

// hip: algorithm, host identity tag, public key, rendezvous servers (RFC 8005, section 6).
func (d *cursor) hip(dst []byte) []byte {
	tagLen, algorithm, keyLen := d.u8(), d.u8(), d.u16()
	tag, key := d.take(int(tagLen)), d.take(int(keyLen))
	if len(tag) == 0 || len(key) == 0 {
		d.bad = true
		return dst
	}
	dst = append(appendU8(dst, algorithm), ' ')
	dst = append(appendHex(dst, tag, hexUpper), ' ')
	dst = appendBase64(dst, key)
	// Names here are not compressed (RFC 8005, section 5). If they could be, each two bytes would
	// become a thousand, 32,000 times; of a name that is not, no byte becomes more than four.
	servers, from := len(dst), d.off
	for !d.bad && d.off < d.end {
		dst = d.name(append(dst, ' '))
		d.bad = d.bad || len(dst)-servers > 4*(d.off-from)
	}
	return dst
}

// a6: prefix length, the rest of the address, the name of the prefix (RFC 2874, section 3.1).
func (d *cursor) a6(dst []byte) []byte {
	prefix := d.u8()
	if prefix > 128 {
		d.bad = true
		return dst
	}
	dst = appendU8(dst, prefix)
	if prefix < 128 {
		var address [16]byte
		at := int(prefix) / 8
		copy(address[at:], d.take(16-at))
		if address[at]&^(0xff>>(prefix%8)) != 0 {
			d.bad = true // bits of the prefix: the text has no room for them
		}
		dst = appendIPv6(append(dst, ' '), address)
	}
	if prefix > 0 {
		dst = d.name(append(dst, ' '))
	}
	return dst
}

// wks: address, protocol and ports (RFC 1035, section 3.4.2), in numbers.
func (d *cursor) wks(dst []byte) []byte {
	dst = append(d.field(dst, 'a'), ' ')
	dst = appendU8(dst, d.u8())
	ports := d.rest()
	if len(ports) > 1<<13 || len(ports) > 0 && ports[len(ports)-1] == 0 {
		d.bad = true
		return dst
	}
	for port := range setBits(ports) {
		dst = AppendUint(append(dst, ' '), uint64(port))
	}
	return dst
}

// nxt: next name and a bitmap of the types 1 to 127 (RFC 2535, section 5.2). A set bit 0 would
// be another format, which was never defined.
func (d *cursor) nxt(dst []byte) []byte {
	dst = d.name(dst)
	bytes := d.rest()
	if len(bytes) > 16 || len(bytes) > 0 && (bytes[0]&0x80 != 0 || bytes[len(bytes)-1] == 0) {
		d.bad = true
		return dst
	}
	for bit := range setBits(bytes) {
		t := uint16(bit)
		dst = appendNamed(append(dst, ' '), TypeName(t), "", t)
	}
	return dst
}

// atma: an ATM end system address in hexadecimal, or an E.164 number behind a plus sign (ATM
// Name System specification 1.0, section 5).
func (d *cursor) atma(dst []byte) []byte {
	format, address := d.u8(), d.rest()
	d.bad = d.bad || len(address) == 0 || format > 1
	if format == 0 {
		return appendHex(dst, address, hexLower)
	}
	for _, c := range address {
		d.bad = d.bad || c < '0' || c > '9'
	}
	return append(append(dst, '+'), address...)
}
