// SPDX-License-Identifier: Apache-2.0

package encode

import "encoding/binary"

// The compiler calls memmove for bytes whose number it does not know, and that ends in a jump by
// their number, which is another one each time. What follows copies a fixed number of bytes, as many
// as nearly always suffice, and cuts what is too much.

// Text is bytes that are put together seldom and copied into many records. The zero Text is empty.
type Text struct {
	start [128]byte
	whole []byte
}

// Buffer returns the memory of the text, empty, for what Set is to be given.
func (t *Text) Buffer() []byte { return t.whole[:0] }

// Set makes b the text, and keeps it.
func (t *Text) Set(b []byte) {
	t.whole = b
	copy(t.start[:], b)
}

// Append appends the text to dst.
func (t *Text) Append(dst []byte) []byte {
	n := len(dst)
	if cap(dst)-n < len(t.start) || len(t.whole) > len(t.start) {
		return append(dst, t.whole...)
	}
	*(*[len(t.start)]byte)(dst[n : n+len(t.start)]) = t.start
	return dst[:n+len(t.whole)]
}

// AppendAgain appends the bytes of dst from from to to. Words are read before any is written: an
// array that is copied within its own memory would be a call again.
func AppendAgain(dst []byte, from, to int) []byte {
	const few = 32
	n := len(dst)
	if to-from > few || cap(dst)-n < few {
		return append(dst, dst[from:to]...)
	}
	old, out := dst[from:from+few:from+few], dst[n:n+few:n+few]
	a, b := binary.LittleEndian.Uint64(old), binary.LittleEndian.Uint64(old[8:])
	c, d := binary.LittleEndian.Uint64(old[16:]), binary.LittleEndian.Uint64(old[24:])
	binary.LittleEndian.PutUint64(out, a)
	binary.LittleEndian.PutUint64(out[8:], b)
	binary.LittleEndian.PutUint64(out[16:], c)
	binary.LittleEndian.PutUint64(out[24:], d)
	return dst[:n+to-from]
}
