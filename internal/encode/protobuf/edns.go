// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
)

// maxGrowth is how many bytes of text come from one of an option's data at most: a byte that is
// not printable is a backslash and three digits. So the options of both sides of a transaction,
// 64 KiB each, fit a value, and those of the query are never left out as in JSON.
const maxGrowth = 4

// appendEDNS appends the OPT record as the message that tag names.
func appendEDNS(dst []byte, tag string, e dnsmsg.EDNS) []byte {
	dst, at := open(dst, tag)
	if e.Version != 0 {
		dst = appendUint(append(dst, tagEdnsVersion...), uint64(e.Version))
	}
	dst = appendSmall(dst, tagEdnsUdpSize, uint32(e.UDPSize))
	if e.DO {
		dst = append(dst, tagEdnsDo+yes...)
	}
	if e.Z != 0 {
		dst = appendUint(append(dst, tagEdnsZ...), uint64(e.Z))
	}
	if len(e.Options) > 0 {
		dst = appendOptions(dst, e)
	}
	return seal(dst, at)
}

func appendOptions(dst []byte, e dnsmsg.EDNS) []byte {
	o := encode.OptionsOf(&e)
	dst = appendOwn(dst, e, &o)
	if o.Errors > 0 {
		dst = appendErrors(dst, e)
	}
	if o.Others > 0 {
		dst = appendOthers(dst, e, &o)
	}
	if len(o.Rest) > 0 {
		var at int
		dst, at = open(dst, tagEdnsRest)
		dst = seal(dnsmsg.AppendHex(dst, o.Rest), at)
	}
	return dst
}

// appendOwn appends the options that have fields of their own.
func appendOwn(dst []byte, e dnsmsg.EDNS, o *encode.Options) []byte {
	at := 0
	if o.ECS >= 0 {
		_, data, _, _ := e.NextOption(o.ECS)
		dst, at = open(dst, tagEdnsEcs)
		text, scope, _ := dnsmsg.AppendECS(dst, data)
		dst = seal(text, at)
		if scope > 0 {
			dst = appendUint(append(dst, tagEdnsEcsScope...), uint64(scope))
		}
	}
	if o.Cookie >= 0 {
		_, data, _, _ := e.NextOption(o.Cookie)
		dst, at = open(dst, tagEdnsCookie)
		dst = seal(dnsmsg.AppendHex(dst, data), at)
	}
	if o.NSID >= 0 {
		_, data, _, _ := e.NextOption(o.NSID)
		dst, at = open(dst, tagEdnsNsid)
		dst = seal(dnsmsg.AppendNSID(dst, data), at)
	}
	if o.Padding >= 0 {
		_, data, _, _ := e.NextOption(o.Padding)
		dst = appendUint(append(dst, tagEdnsPadding...), uint64(len(data)))
	}
	return dst
}

func appendErrors(dst []byte, e dnsmsg.EDNS) []byte {
	for code, data, next, ok := e.NextOption(0); ok; code, data, next, ok = e.NextOption(next) {
		info, extra, fits := dnsmsg.EDE(data)
		if code != dnsmsg.OptionEDE || !fits {
			continue
		}
		opened, at := open(dst, tagEdnsEde)
		dst = appendUint(append(opened, tagEdeCode...), uint64(info))
		if name := dnsmsg.EDEName(info); name != "" {
			dst = appendText(append(dst, tagEdeName...), name)
		}
		if len(extra) > 0 {
			opened, at := open(dst, tagEdeText)
			dst = seal(appendUTF8(opened, extra), at)
		}
		dst = seal(dst, at)
	}
	return dst
}

// appendUTF8 appends text that should be UTF-8. What does not print is escaped.
func appendUTF8(dst, text []byte) []byte {
	for {
		before, _, n := dnsmsg.NextPrintable(text)
		dst = append(dnsmsg.AppendText(dst, text[:before]), text[before:before+n]...)
		if n == 0 {
			return dst
		}
		text = text[before+n:]
	}
}

func appendOthers(dst []byte, e dnsmsg.EDNS, o *encode.Options) []byte {
	for off := 0; off < len(e.Options); {
		code, data, next, _ := e.NextOption(off)
		shown := o.Shown(code, data, off)
		off = next
		if shown {
			continue
		}
		dst = appendOption(dst, code, data)
	}
	return dst
}

func appendOption(dst []byte, code uint16, data []byte) []byte {
	dst, start := open(dst, tagEdnsOptions)
	dst = appendUint(append(dst, tagOptionCode...), uint64(code))
	dst, at := open(dst, tagOptionName)
	dst = seal(dnsmsg.AppendOption(dst, code), at)
	dst, at = open(dst, tagOptionData)
	dst = seal(dnsmsg.AppendOptionData(dst, code, data), at)
	return seal(dst, start)
}
