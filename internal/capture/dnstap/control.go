// SPDX-License-Identifier: Apache-2.0

package dnstap

import "encoding/binary"

// contentType is what a stream must carry, if it says what it carries.
const contentType = "protobuf:dnstap.Dnstap"

// controlType is the type of a control frame, its first four bytes.
type controlType uint32

// The types (fstrm, control.h). A type that is not among them is passed over.
const (
	accept controlType = 1 + iota
	start
	stop
	ready
	finish
)

// fieldContentType is the one type of field that control frames have (fstrm, control.h).
const fieldContentType = 1

// The control frames that a receiver sends, with their escape.
const (
	acceptFrame = "\x00\x00\x00\x00" + "\x00\x00\x00\x22" + "\x00\x00\x00\x01" +
		"\x00\x00\x00\x01" + "\x00\x00\x00\x16" + contentType
	finishFrame = "\x00\x00\x00\x00" + "\x00\x00\x00\x04" + "\x00\x00\x00\x05"
)

func typeOf(control []byte) controlType { return controlType(binary.BigEndian.Uint32(control)) }

// offers reads the fields of READY or START. dnstap tells whether the stream can be dnstap: it says
// so, among others, or says nothing. ok is false when the fields make no sense.
func offers(control []byte) (dnstap, ok bool) {
	named := false
	for b := control[4:]; len(b) > 0; {
		if len(b) < 8 {
			return false, false
		}
		field, length := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		b = b[8:]
		if uint64(length) > uint64(len(b)) {
			return false, false
		}
		if field == fieldContentType {
			named = true
			dnstap = dnstap || string(b[:length]) == contentType
		}
		b = b[length:]
	}
	return dnstap || !named, true
}
