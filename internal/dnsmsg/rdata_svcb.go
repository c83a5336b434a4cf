// SPDX-License-Identifier: Apache-2.0

package dnsmsg

import "encoding/binary"

// Keys of service parameters (registry "Service Parameter Keys (SvcParamKeys)": RFC 9460,
// section 14.3.2; RFC 9461; RFC 9540; RFC 9953; draft-ietf-intarea-proxy-config).
const (
	keyMandatory     = 0
	keyALPN          = 1
	keyNoDefaultALPN = 2
	keyPort          = 3
	keyIPv4Hint      = 4
	keyECH           = 5
	keyIPv6Hint      = 6
	keyDoHPath       = 7
	keyOHTTP         = 8
	keyTLSGroups     = 9
	keyDoCPath       = 10
	keyPvD           = 11
)

var keyNames = [...]string{
	keyMandatory: "mandatory", keyALPN: "alpn", keyNoDefaultALPN: "no-default-alpn",
	keyPort: "port", keyIPv4Hint: "ipv4hint", keyECH: "ech", keyIPv6Hint: "ipv6hint",
	keyDoHPath: "dohpath", keyOHTTP: "ohttp", keyTLSGroups: "tls-supported-groups",
	keyDoCPath: "docpath", keyPvD: "pvd",
}

// svcb appends the data of SVCB and HTTPS: priority, target and parameters, whose keys ascend
// (RFC 9460, section 2.2). A parameter that is malformed makes the whole data so, as the RFC
// wants it.
func (d *cursor) svcb(dst []byte) []byte {
	dst = append(AppendUint(dst, uint64(d.u16())), ' ')
	dst = d.name(dst)
	after := -1
	for !d.bad && d.off < d.end {
		key := d.u16()
		value := d.take(int(d.u16()))
		if d.bad || int(key) <= after {
			d.bad = true
			return dst
		}
		after = int(key)
		ok := false
		dst, ok = appendParam(append(dst, ' '), key, value)
		d.bad = !ok
	}
	return dst
}

func appendKey(dst []byte, key uint16) []byte {
	name := ""
	if int(key) < len(keyNames) {
		name = keyNames[key]
	}
	return appendNamed(dst, name, "key", key)
}

// appendParam appends a parameter; ok says whether its value is one that the key may have.
func appendParam(dst []byte, key uint16, value []byte) (text []byte, ok bool) {
	dst = appendKey(dst, key)
	if len(value) == 0 {
		empty := key == keyNoDefaultALPN || key == keyOHTTP || key == keyDoCPath ||
			key == keyPvD || int(key) >= len(keyNames)
		return dst, empty
	}
	dst = append(dst, '=')
	switch key {
	case keyMandatory:
		dst, ok = appendNumbers(dst, value, appendKey)
		return dst, ok && ascend(value)
	case keyALPN:
		return appendStrings(dst, value, 1)
	case keyNoDefaultALPN, keyOHTTP, keyPvD:
		return dst, false
	case keyPort:
		if len(value) != 2 {
			return dst, false
		}
		return AppendUint(dst, uint64(binary.BigEndian.Uint16(value))), true
	case keyIPv4Hint, keyIPv6Hint:
		return appendHints(dst, value, key)
	case keyECH:
		return appendBase64(dst, value), true
	case keyTLSGroups:
		return appendNumbers(dst, value, appendU16)
	case keyDoCPath:
		return appendStrings(dst, value, 0)
	}
	return appendString(dst, value), true // dohpath, and keys without a name
}

// ascend tells whether numbers of two bytes ascend from 1, as the keys that are mandatory must:
// mandatory itself is not among them (RFC 9460, section 8).
func ascend(value []byte) bool {
	after := uint16(0)
	for ; len(value) >= 2; value = value[2:] {
		key := binary.BigEndian.Uint16(value)
		if key <= after {
			return false
		}
		after = key
	}
	return true
}

func appendU16(dst []byte, v uint16) []byte { return AppendUint(dst, uint64(v)) }

// appendNumbers appends numbers of two bytes, separated by commas.
func appendNumbers(dst, value []byte, one func([]byte, uint16) []byte) ([]byte, bool) {
	if len(value)%2 != 0 {
		return dst, false
	}
	for i := 0; i < len(value); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one(dst, binary.BigEndian.Uint16(value[i:]))
	}
	return dst, true
}

func appendHints(dst, value []byte, key uint16) ([]byte, bool) {
	size := 4
	if key == keyIPv6Hint {
		size = 16
	}
	if len(value)%size != 0 {
		return dst, false
	}
	for i := 0; i < len(value); i += size {
		if i > 0 {
			dst = append(dst, ',')
		}
		if size == 4 {
			dst = appendIPv4(dst, [4]byte(value[i:]))
		} else {
			dst = appendIPv6(dst, [16]byte(value[i:]))
		}
	}
	return dst, true
}

// appendStrings appends character-strings, each of at least so many bytes, as one quoted list
// with commas. It is escaped twice: once as a list, where a comma within a string and a backslash
// take a backslash, and the result as a character-string (RFC 9460, appendix A.1).
func appendStrings(dst, value []byte, least int) ([]byte, bool) {
	dst = append(dst, '"')
	for i := 0; i < len(value); {
		n := int(value[i])
		if n < least || n > len(value)-i-1 {
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		for _, c := range value[i+1 : i+1+n] {
			switch {
			case c == ',':
				dst = append(dst, `\\,`...)
			case c == '\\':
				dst = append(dst, `\\\\`...)
			case c == ' ':
				dst = append(dst, `\032`...) // dig's way, though quotes stand around it
			default:
				dst = appendEscaped(dst, []byte{c}, &quoted)
			}
		}
		i += 1 + n
	}
	return append(dst, '"'), true
}
