// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/gzip"
)

// members reads the members of gzip data one after the other (RFC 1952, section 2.2), up to its end
// or to zeros that fill it up: blocks of tapes and disks leave those, and gzip(1) reads them so too.
type members struct {
	in  *bufio.Reader // from which dec takes no byte too many, for it can give single ones
	dec *gzip.Reader
}

func newMembers(in *bufio.Reader) (*members, error) {
	dec, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	dec.Multistream(false)
	return &members{in, dec}, nil
}

// Read implements io.Reader.
func (m *members) Read(b []byte) (int, error) {
	for {
		n, err := m.dec.Read(b)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if err := m.next(); err != nil {
			return 0, err
		}
	}
}

// next begins the next member. At the end it returns io.EOF.
func (m *members) next() error {
	if head, err := m.in.Peek(1); err != nil {
		return err
	} else if head[0] == 0 {
		return m.padding()
	}
	if err := m.dec.Reset(m.in); err != nil {
		return err
	}
	m.dec.Multistream(false)
	return nil
}

// padding reads to the end, which it returns as io.EOF unless there is more than zeros.
func (m *members) padding() error {
	for {
		switch c, err := m.in.ReadByte(); {
		case err != nil:
			return err
		case c != 0:
			return gzip.ErrHeader
		}
	}
}
