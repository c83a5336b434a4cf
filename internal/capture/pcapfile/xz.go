// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Of the xz file format, version 1.2.1, section 2.1.
const (
	xzMagic  = "\xfd7zXZ\x00"
	xzFooter = "YZ"
)

// What xz(1) undoes and this package does not.
var (
	errDictionary = fmt.Errorf("the xz dictionary is more than %d MiB", maxWindow>>20)
	errFilter     = errors.New("the xz data went through another filter than LZMA2")
)

// xzReader reads xz streams one after the other, with zeros between and behind them. The library
// takes a cut between two blocks for the end, so xzReader looks whether the end is that of a stream.
type xzReader struct {
	*xz.Reader
	in *tail
}

// newXZ begins with the first stream. It refuses what needs too much memory or another filter by the
// first block: those of one file are alike.
func newXZ(in *bufio.Reader) (*xzReader, error) {
	err := checkBlock(in)
	if err != nil {
		return nil, err
	}
	r := &xzReader{in: &tail{in: in}}
	r.Reader, err = xz.ReaderConfig{DictCap: lzma.MinDictCap}.NewReader(r.in) // or what blocks say
	return r, err
}

// Read implements io.Reader.
func (r *xzReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err == io.EOF && string(r.in.last[:]) != xzFooter {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// tail remembers the last two bytes that are not among zeros at the end.
type tail struct {
	in   io.Reader
	last [2]byte
}

// Read implements io.Reader.
func (t *tail) Read(b []byte) (int, error) {
	n, err := t.in.Read(b)
	if text := bytes.TrimRight(b[:n], "\x00"); len(text) > 1 {
		copy(t.last[:], text[len(text)-2:])
	} else if len(text) == 1 {
		t.last = [2]byte{t.last[1], text[0]}
	}
	return n, err
}

// checkBlock looks at the header of the first block, which is not taken. One that is damaged, or not
// there, is left to the library (section 3.1, and 5.3.1 for LZMA2):
//
//	size 1, flags 1, packed and plain size if there, filters: id 1, length 1, properties
func checkBlock(in *bufio.Reader) error {
	const header, filters, packed, plain, lzma2 = 12, 3, 0x40, 0x80, 0x21
	b, err := in.Peek(header + 1)
	if err != nil || b[header] == 0 { // that is an index: there is no block
		return nil
	}
	if b, err = in.Peek(header + 4 + 4*int(b[header])); err != nil {
		return nil
	}
	flags, b := b[header+1], b[header+2:]
	for _, there := range []byte{packed, plain} {
		if flags&there != 0 {
			_, n := binary.Uvarint(b)
			b = b[max(n, 0):]
		}
	}
	switch {
	case len(b) < 3:
		return nil
	case flags&filters != 0 || b[0] != lzma2:
		return errFilter
	case int64(2|b[2]&1)<<(min(b[2], 40)/2+11) > maxWindow:
		return errDictionary
	}
	return nil
}
