// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// appendEDNS appends the OPT record behind its key. The options with keys of their own come first, in the order
// of the field table and not of the wire, so the options are gone through once per key; there
// are seldom more than two.
func appendEDNS(dst []byte, key string, e dnsmsg.EDNS) []byte {
	dst = appendUint(append(append(dst, key...), `{`+keyEdnsVersion...), uint64(e.Version))
	dst = appendUint(append(dst, keyEdnsUdpSize...), uint64(e.UDPSize))
	dst = strconv.AppendBool(append(dst, keyEdnsDo...), e.DO)
	if len(e.Options) == 0 {
		return append(dst, '}')
	}
	dst = appendECS(dst, e)
	if data, at := first(e, dnsmsg.OptionCookie); at >= 0 {
		dst = append(dnsmsg.AppendHex(append(dst, keyEdnsCookie+`"`...), data), '"')
	}
	if data, at := first(e, dnsmsg.OptionNSID); at >= 0 {
		dst = append(dst, keyEdnsNsid+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendNSID(dst, data), from), '"')
	}
	dst = appendEDE(dst, e)
	if data, at := first(e, dnsmsg.OptionPadding); at >= 0 {
		dst = appendUint(append(dst, keyEdnsPadding...), uint64(len(data)))
	}
	return append(appendOtherOptions(dst, e), '}')
}

// first returns the first option with that code and its offset, which is -1 when there is none.
func first(e dnsmsg.EDNS, wanted uint16) (data []byte, at int) {
	for off := 0; ; {
		code, data, next, ok := e.NextOption(off)
		switch {
		case !ok:
			return nil, -1
		case code == wanted:
			return data, off
		}
		off = next
	}
}

func appendECS(dst []byte, e dnsmsg.EDNS) []byte {
	data, at := first(e, dnsmsg.OptionECS)
	if at < 0 {
		return dst
	}
	text, scope, ok := dnsmsg.AppendECS(append(dst, keyEdnsEcs+`"`...), data)
	if !ok {
		return dst // it is shown with the others
	}
	text = append(text, '"')
	if scope > 0 {
		text = appendUint(append(text, keyEdnsEcsScope...), uint64(scope))
	}
	return text
}

// appendEDE appends all extended errors: a resolver may give several (RFC 8914, section 2).
func appendEDE(dst []byte, e dnsmsg.EDNS) []byte {
	opened := false
	for code, data, next, ok := e.NextOption(0); ok; code, data, next, ok = e.NextOption(next) {
		if code != dnsmsg.OptionEDE {
			continue
		}
		info, extra, ok := dnsmsg.EDE(data)
		if !ok {
			continue // it is shown with the others
		}
		if opened {
			dst = append(dst, ',')
		} else {
			dst = append(dst, keyEdnsEde+`[`...)
			opened = true
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
	if opened {
		dst = append(dst, ']')
	}
	return dst
}

// shown tells whether an option has a key of its own, which shows the first of its code.
func shown(code uint16, data []byte, again bool) bool {
	switch code {
	case dnsmsg.OptionCookie, dnsmsg.OptionNSID, dnsmsg.OptionPadding:
		return !again
	case dnsmsg.OptionECS:
		var scratch [64]byte
		_, _, ok := dnsmsg.AppendECS(scratch[:0], data)
		return ok && !again
	case dnsmsg.OptionEDE:
		return len(data) >= 2
	}
	return false
}

func appendOtherOptions(dst []byte, e dnsmsg.EDNS) []byte {
	opened := false
	off := 0
	for {
		code, data, next, ok := e.NextOption(off)
		if !ok {
			break
		}
		_, at := first(e, code)
		again := at != off
		off = next
		if shown(code, data, again) {
			continue
		}
		if opened {
			dst = append(dst, ',')
		} else {
			dst = append(dst, keyEdnsOptions+`[`...)
			opened = true
		}
		dst = appendUint(append(dst, `{`+keyEdnsOptionCode...), uint64(code))
		dst = dnsmsg.AppendOption(append(dst, keyEdnsOptionName+`"`...), code)
		dst = append(dst, `"`+keyEdnsOptionData+`"`...)
		from := len(dst)
		dst = append(escape(dnsmsg.AppendOptionData(dst, code, data), from), `"}`...)
	}
	if opened {
		dst = append(dst, ']')
	}
	if rest := e.Options[off:]; len(rest) > 0 {
		dst = append(dnsmsg.AppendHex(append(dst, keyEdnsRest+`"`...), rest), '"')
	}
	return dst
}
