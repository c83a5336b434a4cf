// SPDX-License-Identifier: Apache-2.0

package encode

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// maxOptions of an OPT record are shown one by one, several times as many as are registered.
// The empty options that fill a message of 64 KiB would make a record that Kafka refuses.
const maxOptions = 64

// Options says which field of the record shows which option of an OPT record. ECS, Cookie, NSID
// and Padding are the offsets of the options that have fields of their own, -1 for those that are
// not there. Extended errors are not among them: they all are shown (RFC 8914, section 2).
type Options struct {
	ECS, Cookie, NSID, Padding int

	Errors, Others int    // how many extended errors, and options without a field of their own
	Rest           []byte // what no option shows, borrowed as the message is
}

// OptionsOf looks through the options of e, and takes from e those that are not shown.
func OptionsOf(e *dnsmsg.EDNS) Options {
	o := Options{ECS: -1, Cookie: -1, NSID: -1, Padding: -1}
	n, end := 0, 0
	code, data, next, ok := e.NextOption(0)
	for ; ok && n < maxOptions; code, data, next, ok = e.NextOption(end) {
		switch {
		case !o.Shown(code, data, end):
			o.Others++
		case code == dnsmsg.OptionEDE:
			o.Errors++
		}
		n, end = n+1, next
	}
	e.Options, o.Rest = e.Options[:end], e.Options[end:]
	return o
}

// Shown tells whether the option at off has a field of its own, which shows the first of its code
// that fits its format, and notes that it has been found. It may see the options repeatedly.
func (o *Options) Shown(code uint16, data []byte, off int) bool {
	var at *int
	switch code {
	case dnsmsg.OptionCookie:
		if !dnsmsg.Cookie(data) {
			return false
		}
		at = &o.Cookie
	case dnsmsg.OptionNSID:
		at = &o.NSID
	case dnsmsg.OptionPadding:
		at = &o.Padding
	case dnsmsg.OptionECS:
		var scratch [128]byte
		if _, _, ok := dnsmsg.AppendECS(scratch[:0], data); !ok {
			return false
		}
		at = &o.ECS
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
