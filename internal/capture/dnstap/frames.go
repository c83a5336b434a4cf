// SPDX-License-Identifier: Apache-2.0

package dnstap

import (
	"encoding/binary"
	"errors"
	"io"
)

// Frame Streams (https://farsightsec.github.io/fstrm): a data frame is its length in four bytes,
// which is not 0, and its bytes. A length of 0 escapes a control frame: a length in four bytes
// again, of at most 512, and its payload.
const (
	prefix     = 4
	maxControl = 512

	firstBuffer = 64 << 10 // what a connection has until a frame is longer
)

// Faults of a stream. What the connection itself returns is none of them.
var (
	errOversize = errors.New("dnstap: a frame is too long")
	errFraming  = errors.New("dnstap: a control frame makes no sense")
)

// run is a part of a stream: data frames, or one control frame. It is borrowed from its reader
// until the next call.
type run struct {
	data    []byte // whole data frames one after the other, each behind its length
	count   int    // of data frames; 0 when this is a control frame
	control []byte // payload, at least 4 bytes
}

// reader takes a stream apart. It holds one buffer, of 64 KiB until a frame needs more, and then
// of one that the longest has room in.
type reader struct {
	src      io.Reader
	buf      []byte
	from, to int   // what of buf is read and not yet given
	err      error // of src, for when that is used up
}

// next returns what comes next: all whole data frames that are there, else a control frame. It
// reads src only when neither is. Its errors are errOversize, errFraming and those of src.
func (r *reader) next() (run, error) {
	for {
		rest := r.buf[r.from:r.to]
		if size, n := whole(rest); n > 0 {
			r.from += size
			return run{data: rest[:size:size], count: n}, nil
		}
		size, err := frameSize(rest)
		if err != nil {
			return run{}, err
		}
		if size <= len(rest) {
			r.from += size
			return run{control: rest[2*prefix : size : size]}, nil
		}
		if err := r.fill(size); err != nil {
			return run{}, err
		}
	}
}

// inside tells whether the stream has stopped within a frame.
func (r *reader) inside() bool { return r.from < r.to }

// fill reads once, into a buffer that has room for size bytes from the first that was not given.
func (r *reader) fill(size int) error {
	if r.err != nil {
		return r.err
	}
	buf := r.buf
	if size > len(buf) {
		buf = make([]byte, max(firstBuffer, size))
		if size > firstBuffer {
			buf = make([]byte, prefix+MaxFrame)
		}
	}
	// What is left is less than a frame: to move it costs less than to read around it.
	r.to = copy(buf, r.buf[r.from:r.to])
	r.buf, r.from = buf, 0
	n, err := r.src.Read(r.buf[r.to:])
	r.to += n
	r.err = err
	if n == 0 {
		return err
	}
	return nil
}

// whole returns the number and the total size of the whole data frames that b begins with.
func whole(b []byte) (size, n int) {
	for len(b)-size >= prefix {
		length := binary.BigEndian.Uint32(b[size:])
		if length == 0 || length > MaxFrame || int(length) > len(b)-size-prefix {
			break
		}
		size += prefix + int(length)
		n++
	}
	return size, n
}

// frameSize returns the size of the frame that b begins with, with all that precedes its bytes. Of
// a frame whose length is not there yet, it returns how many bytes tell more.
func frameSize(b []byte) (int, error) {
	if len(b) < prefix {
		return prefix, nil
	}
	length := binary.BigEndian.Uint32(b)
	if length > MaxFrame {
		return 0, errOversize
	}
	if length > 0 {
		return prefix + int(length), nil
	}
	if len(b) < 2*prefix {
		return 2 * prefix, nil
	}
	length = binary.BigEndian.Uint32(b[prefix:])
	if length < 4 || length > maxControl { // 4 is the type
		return 0, errFraming
	}
	return 2*prefix + int(length), nil
}
