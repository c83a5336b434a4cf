// SPDX-License-Identifier: Apache-2.0

package json

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

const (
	// maxOptions of an OPT record are shown one by one, several times as many as are registered.
	// The empty options that fill a message of 64 KiB would make a record that Kafka refuses.
	maxOptions = 64

	// maxGrowth is how many bytes of text come from one of an option's data at most: a byte that
	// is not printable is a backslash, which JSON doubles, and three digits.
	maxGrowth = 5
)

// keyed are the offsets of the options that have keys of their own, -1 for those that are not
// there. Extended errors are not among them: they all are shown (RFC 8914, section 2).
type keyed struct {
	ecs, cookie, nsid, padding int
}

// take tells whether the option at off has a key of its own, which shows the first of its code
// that fits its format, and notes that it has been found. It may see the options repeatedly.
func (k *keyed) take(code uint16, data []byte, off int) bool {
	var at *int
	switch code {
	case dnsmsg.OptionCookie:
		at = &k.cookie
	case dnsmsg.OptionNSID:
		at = &k.nsid
	case dnsmsg.OptionPadding:
		at = &k.padding
	case dnsmsg.OptionECS:
		var scratch [64]byte
		if _, _, ok := dnsmsg.AppendECS(scratch[:0], data); !ok {
			return false
		}
		at = &k.ecs
	case dnsmsg.OptionEDE:
		_, _, ok := dnsmsg.EDE(data)
		return ok
	default:
		return false
	}
	if *at < 0 {
		*at = off
	}
	return *at == off
}

// appendEDNS appends the OPT record behind its key. The options with keys of their own come first,
// in the order of the field table and not of the wire.
func appendEDNS(dst []byte, start *ednsPieces, e dnsmsg.EDNS) []byte {
	if e.Version == 0 {
		dst = start.version0.append(dst)
	} else {
		dst = appendUint(start.version.append(dst), uint64(e.Version))
		dst = append(dst, keyEdnsUdpSize...)
	}
	dst = appendUint(dst, uint64(e.UDPSize))
	if e.DO {
		dst = append(dst, keyEdnsDo+`true`...)
	} else {
		dst = append(dst, keyEdnsDo+`false`...)
	}
	if len(e.Options) > 0 {
		dst = appendOptions(dst, e)
	}
	return append(dst, '}')
}

func appendOptions(dst []byte, e dnsmsg.EDNS) []byte {
	k := keyed{ecs: -1, cookie: -1, nsid: -1, padding: -1}
	n, end, errors, others := 0, 0, 0, 0
	code, data, next, ok := e.NextOption(0)
	for ; ok && n < maxOptions; code, data, next, ok = e.NextOption(end) {
		switch {
		case !k.take(code, data, end):
			others++
		case code == dnsmsg.OptionEDE:
			errors++
		}
		n, end = n+1, next
	}
	rest := e.Options[end:]
	e.Options = e.Options[:end]
	dst = k.appendKeyed(dst, e)
	if errors > 0 {
		dst = appendEDE(dst, e)
	}
	if k.padding >= 0 {
		_, data, _, _ := e.NextOption(k.padding)
		dst = appendUint(append(dst, keyEdnsPadding...), uint64(len(data)))
	}
	if others > 0 {
		dst = k.appendOthers(dst, e)
	}
	if len(rest) > 0 {
		dst = append(dnsmsg.AppendHex(append(dst, keyEdnsRest+`"`...), rest), '"')
	}
	return dst
}

// appendKeyed appends the options that come before the extended errors.
func (k *keyed) appendKeyed(dst []byte, e dnsmsg.EDNS) []byte {
	if k.ecs >= 0 {
		_, data, _, _ := e.NextOption(k.ecs)
		text, scope, _ := dnsmsg.AppendECS(append(dst, keyEdnsEcs+`"`...), data)
		dst = append(text, '"')
		if scope > 0 {
			dst = appendUint(append(dst, keyEdnsEcsScope...), uint64(scope))
		}
	}
	if k.cookie >= 0 {
		_, data, _, _ := e.NextOption(k.cookie)
		dst = append(dnsmsg.AppendHex(append(dst, keyEdnsCookie+`"`...), data), '"')
	}
	if k.nsid >= 0 {
		_, data, _, _ := e.NextOption(k.nsid)
		dst = append(dst, keyEdnsNsid+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendNSID(dst, data), from), '"')
	}
	return dst
}

func appendEDE(dst []byte, e dnsmsg.EDNS) []byte {
	dst = append(dst, keyEdnsEde+`[`...)
	first := len(dst)
	for code, data, next, ok := e.NextOption(0); ok; code, data, next, ok = e.NextOption(next) {
		info, extra, fits := dnsmsg.EDE(data)
		if code != dnsmsg.OptionEDE || !fits {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = appendUint(append(dst, `{`+keyEdnsEdeCode...), uint64(info))
		if name := dnsmsg.EDEName(info); name != "" {
			dst = append(append(append(dst, keyEdnsEdeName+`"`...), name...), '"')
		}
		if len(extra) > 0 {
			dst = append(dst, keyEdnsEdeText+`"`...)
			from := len(dst)
			dst = append(escape(dnsmsg.AppendText(dst, extra), from), '"')
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (k *keyed) appendOthers(dst []byte, e dnsmsg.EDNS) []byte {
	dst = append(dst, keyEdnsOptions+`[`...)
	first := len(dst)
	for off := 0; off < len(e.Options); {
		code, data, next, _ := e.NextOption(off)
		shown := k.take(code, data, off)
		off = next
		if shown {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = appendUint(append(dst, `{`+keyEdnsOptionCode...), uint64(code))
		dst = dnsmsg.AppendOption(append(dst, keyEdnsOptionName+`"`...), code)
		dst = append(dst, `"`+keyEdnsOptionData+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendOptionData(dst, code, data), from), `"}`...)
	}
	return append(dst, ']')
}
