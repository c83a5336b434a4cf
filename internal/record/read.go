// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxPlain bounds what a batch may decompress to. It is above the largest batch that can be
// configured, and there so that damaged bytes cannot ask for any amount of memory.
const maxPlain = 128 << 20

// Each calls yield for every record of a sealed batch, in order, with its time stamp in ms and its
// value, which is borrowed until yield returns. An error of yield ends it and is returned; an
// error about the batch wraps ErrNotSealed. It allocates, and is not for the hot path.
func Each(sealed []byte, yield func(ms int64, value []byte) error) error {
	h, err := Inspect(sealed)
	if err != nil {
		return err
	}
	z, err := newUnzip()
	if err != nil {
		return err
	}
	defer z.Close()
	plain, err := unpack(nil, h.Codec, sealed[HeaderLen:], z)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotSealed, h.Codec, err)
	}
	for i := range h.Records {
		var value []byte
		f, err := parseFrame(plain)
		if err == nil {
			value, err = f.value()
		}
		if err != nil || f.offset != int64(i) {
			return fmt.Errorf("%w: record %d of %d is malformed", ErrNotSealed, i, h.Records)
		}
		plain = plain[f.size:]
		if err := yield(h.First+f.delta, value); err != nil {
			return err
		}
	}
	return nil
}

// frame is one record in the records of a batch.
type frame struct {
	size   int    // in all
	delta  int64  // of its time stamp
	offset int64  // its number in the batch
	rest   []byte // from the key length on
}

// parseFrame returns the first record of src.
func parseFrame(src []byte) (frame, error) {
	all := fields{src}
	length := all.varint()
	if length < 3 || length > int64(len(all.rest)) {
		return frame{}, errMalformed
	}
	f := frame{size: len(src) - len(all.rest) + int(length)}
	one := fields{all.rest[1:length]} // without the attributes, of which none are defined
	f.delta = one.varint()
	f.offset = one.varint()
	f.rest = one.rest
	if len(f.rest) == 0 {
		return frame{}, errMalformed
	}
	return f, nil
}

// value returns the value of the record, borrowed.
func (f frame) value() ([]byte, error) {
	r := fields{f.rest}
	r.take(r.varint()) // key
	value := r.take(r.varint())
	if r.rest == nil {
		return nil, errMalformed
	}
	return value, nil
}

// partition returns where the record belongs, Anywhere without a key.
func (f frame) partition(partitions int32) (int32, error) {
	r := fields{f.rest}
	switch n := r.varint(); {
	case n > int64(len(r.rest)) || n < -1:
		return 0, errMalformed
	case n < 0:
		return Anywhere, nil
	default:
		return Partition(r.rest[:n], partitions), nil
	}
}

// fields reads the fields of a record. rest is nil once one did not fit, and stays so.
type fields struct{ rest []byte }

// varint reads a zigzag varint, as binary.Varint does, which calls what is inlined here.
func (f *fields) varint() int64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.rest = nil
		return 0
	}
	f.rest = f.rest[n:]
	return unzigzag(v)
}

// take reads n bytes. A length of -1 means null (KIP-98), which is read as nothing.
func (f *fields) take(n int64) []byte {
	if n < -1 || n > int64(len(f.rest)) {
		f.rest = nil
		return nil
	}
	n = max(n, 0)
	field := f.rest[:n]
	f.rest = f.rest[n:]
	return field
}

// unpack appends src, decompressed, to dst, up to maxPlain bytes of it. z decodes zstd.
func unpack(dst []byte, codec Codec, src []byte, z *zstd.Decoder) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Snappy:
		n, err := s2.DecodedLen(src)
		if err != nil || n > maxPlain {
			return dst, fmt.Errorf("%d bytes: %w", n, s2.ErrTooLarge)
		}
		dst = slices.Grow(dst, n)
		plain, err := s2.Decode(dst[len(dst):len(dst)+n], src) // in place
		return dst[:len(dst)+len(plain)], err
	case Gzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return dst, err
		}
		return readAll(dst, r)
	case LZ4:
		return readAll(dst, lz4.NewReader(bytes.NewReader(src)))
	case Zstd:
		return z.DecodeAll(src, dst)
	}
	return dst, fmt.Errorf("there is no codec %d", codec)
}

// newUnzip returns what unpack decodes zstd with.
func newUnzip() (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
	if err != nil {
		return nil, fmt.Errorf("record: decoder for zstd: %w", err)
	}
	return z, nil
}

// readAll appends all of r to dst, up to maxPlain.
func readAll(dst []byte, r io.Reader) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	n, err := buf.ReadFrom(io.LimitReader(r, maxPlain+1))
	if err == nil && n > maxPlain {
		err = errMalformed
	}
	return buf.Bytes(), err
}
