// SPDX-License-Identifier: Apache-2.0

package json

import (
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// maxGrowth is how many bytes of text come from one of an option's data at most: a byte that is
// not printable is a backslash, which JSON doubles, and three digits.
const maxGrowth = 5

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
	if e.Z != 0 {
		dst = appendUint(append(dst, keyEdnsZ...), uint64(e.Z))
	}
	if len(e.Options) > 0 {
		dst = appendOptions(dst, e)
	}
	return append(dst, '}')
}

func appendOptions(dst []byte, e dnsmsg.EDNS) []byte {
	o := encode.OptionsOf(&e)
	dst = appendKeyed(dst, e, &o)
	if o.Errors > 0 {
		dst = appendEDE(dst, e)
	}
	if o.Padding >= 0 {
		_, data, _, _ := e.NextOption(o.Padding)
		dst = appendUint(append(dst, keyEdnsPadding...), uint64(len(data)))
	}
	if o.Others > 0 {
		dst = appendOthers(dst, e, &o)
	}
	if len(o.Rest) > 0 {
		dst = append(dnsmsg.AppendHex(append(dst, keyEdnsRest+`"`...), o.Rest), '"')
	}
	return dst
}

// appendKeyed appends the options that come before the extended errors.
func appendKeyed(dst []byte, e dnsmsg.EDNS, o *encode.Options) []byte {
	if o.ECS >= 0 {
		_, data, _, _ := e.NextOption(o.ECS)
		text, scope, _ := dnsmsg.AppendECS(append(dst, keyEdnsEcs+`"`...), data)
		dst = append(text, '"')
		if scope > 0 {
			dst = appendUint(append(dst, keyEdnsEcsScope...), uint64(scope))
		}
	}
	if o.Cookie >= 0 {
		_, data, _, _ := e.NextOption(o.Cookie)
		dst = append(dnsmsg.AppendHex(append(dst, keyEdnsCookie+`"`...), data), '"')
	}
	if o.NSID >= 0 {
		_, data, _, _ := e.NextOption(o.NSID)
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
		dst = appendUint(append(dst, `{`+keyEdeCode...), uint64(info))
		if name := dnsmsg.EDEName(info); name != "" {
			dst = append(append(append(dst, keyEdeName+`"`...), name...), '"')
		}
		if len(extra) > 0 {
			dst = append(appendUTF8(append(dst, keyEdeText+`"`...), extra), '"')
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendUTF8 appends text that should be UTF-8 as the content of a string, in ASCII. What does not
// print is escaped, and what escapes it once more, as in all other strings.
func appendUTF8(dst, text []byte) []byte {
	for {
		before, r, n := dnsmsg.NextPrintable(text)
		from := len(dst)
		dst = escape(dnsmsg.AppendText(dst, text[:before]), from)
		if n == 0 {
			return dst
		}
		dst = appendUnits(dst, r)
		text = text[before+n:]
	}
}

func appendOthers(dst []byte, e dnsmsg.EDNS, o *encode.Options) []byte {
	dst = append(dst, keyEdnsOptions+`[`...)
	first := len(dst)
	for off := 0; off < len(e.Options); {
		code, data, next, _ := e.NextOption(off)
		shown := o.Shown(code, data, off)
		off = next
		if shown {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = appendUint(append(dst, `{`+keyOptionCode...), uint64(code))
		dst = dnsmsg.AppendOption(append(dst, keyOptionName+`"`...), code)
		dst = append(dst, `"`+keyOptionData+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendOptionData(dst, code, data), from), `"}`...)
	}
	return append(dst, ']')
}
