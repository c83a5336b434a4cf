// SPDX-License-Identifier: Apache-2.0

package wire

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// The limits and bits of a name (RFC 1035, sections 2.3.4 and 4.1.4).
const (
	maxName     = 255  // bytes of labels with their lengths, the root included
	maxLabel    = 63   // also the highest length byte: the two bits above are 00
	pointerBits = 0xc0 // the two high bits of a pointer
)

// skipName checks the name at offset o, which is at most len(b), through all its pointers. It
// returns the offset after it and OK, or the offset and the reason of its fault.
//
// A pointer must point to before the run of labels that it ends, not just to before itself: each
// run then begins before the last one, and no name can meet itself.
func skipName(b []byte, o int) (next int, reason dnsmsg.Reason) {
	room := maxName
	for pointers := 0; ; pointers++ {
		start, label := o, o
		run := b
		if len(b)-start > room {
			run = b[:start+room]
		}
		// A length of 0 wraps to 255, so one comparison finds all that is not a label.
		for uint(o) < uint(len(run)) && run[o]-1 < maxLabel {
			label = o
			o += int(run[o]) + 1
		}
		if o >= len(run) {
			return overrun(b, run, label, o)
		}
		switch {
		case run[o] == 0:
			if pointers == 0 {
				next = o + 1
			}
			return next, dnsmsg.OK
		case run[o] < pointerBits:
			return o, dnsmsg.NameLabel
		case o+1 >= len(b):
			return o, dnsmsg.NameTruncated
		}
		target := int(run[o]&^pointerBits)<<8 | int(b[o+1])
		if target >= start || pointers == dnsmsg.MaxPointers {
			return o, dnsmsg.NamePointer
		}
		if pointers == 0 {
			next = o + 2
		}
		room -= o - start
		o = target
	}
}

// overrun tells why labels lead to o, past the end of run: run ends where the message does, or
// before it, where the name would become too long. The last label begins at label.
func overrun(b, run []byte, label, o int) (int, dnsmsg.Reason) {
	at := o
	if o > len(run) {
		at = label
	}
	if len(run) < len(b) {
		return at, dnsmsg.NameTooLong
	}
	return at, dnsmsg.NameTruncated
}
