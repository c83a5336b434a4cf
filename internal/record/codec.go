// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is how the records of a batch are compressed. The values are those of the attributes of
// a record batch.
type Codec int8

// The codecs that every Kafka since 2.1 knows (zstd: KIP-110).
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{None: "none", Gzip: "gzip", Snappy: "snappy", LZ4: "lz4", Zstd: "zstd"}

// String returns the name that configurations use.
func (c Codec) String() string { return codecNames[c] }

// ParseCodec returns the codec of that name.
func ParseCodec(name string) (Codec, error) {
	for c, n := range codecNames {
		if n == name {
			return Codec(c), nil
		}
	}
	return None, fmt.Errorf("compression %q: choose one of %s", name, strings.Join(codecNames[:], ", "))
}

// Compressor seals batches. It owns one spare arena: the compressed records are written into it,
// and then the batch and the compressor swap arenas, so that nothing is copied and memory stays
// what the pool and the compressors hold. It is used by one goroutine.
type Compressor struct {
	codec Codec
	spare []byte
	gzip  *gzip.Writer
	lz4   *lz4.Writer
	zstd  *zstd.Encoder
}

// NewCompressor returns a compressor for the batches of pool.
func NewCompressor(codec Codec, pool *Pool) (*Compressor, error) {
	c := &Compressor{codec: codec, spare: make([]byte, HeaderLen, pool.arena)}
	var err error
	switch codec {
	case Gzip:
		c.gzip, err = gzip.NewWriterLevel(nil, gzip.BestSpeed)
	case LZ4:
		c.lz4 = lz4.NewWriter(nil)
		err = c.lz4.Apply(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ConcurrencyOption(1))
	case Zstd:
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
	}
	if err != nil {
		return nil, fmt.Errorf("record: compressor for %s: %w", codec, err)
	}
	return c, nil
}

// zstdWindow is the distance over which zstd finds repetitions. A batch is less than 1 MiB.
const zstdWindow = 1 << 20

// Seal compresses the records of the open batch b and writes its header. Records that do not
// become smaller are left as they are: the header says so, and the broker takes both.
func (c *Compressor) Seal(b *Batch) {
	packed := c.compress(c.spare[:HeaderLen], b.buf[HeaderLen:])
	if packed == nil || len(packed) >= len(b.buf) {
		b.seal(None)
		return
	}
	b.buf, c.spare = packed, b.buf
	b.seal(c.codec)
}

// compress appends the compressed src to dst, which is the beginning of the spare arena. It
// returns nil when the result does not fit there.
func (c *Compressor) compress(dst, src []byte) []byte {
	switch c.codec {
	case Snappy:
		return appendSnappy(dst, src)
	case Zstd:
		packed := c.zstd.EncodeAll(src, dst)
		if cap(packed) != cap(dst) {
			return nil
		}
		return packed
	case Gzip:
		out := &arenaWriter{dst}
		c.gzip.Reset(out)
		return out.drain(c.gzip, src)
	case LZ4:
		out := &arenaWriter{dst}
		c.lz4.Reset(out)
		return out.drain(c.lz4, src)
	}
	return nil
}

// snappyPiece is the distance over which snappy finds repetitions. What its table points at stays
// in the cache of a core then: that takes a seventh less time than to search all of a batch, for
// 4 % more bytes. The library that defines the format has half of it.
const snappyPiece = 128 << 10

// appendSnappy appends src to dst as one raw Snappy block, as librdkafka and the Java client read
// it: the length of the whole, then the elements of each piece. The pool made the arena large
// enough for any outcome, so this never allocates.
func appendSnappy(dst, src []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(src)))
	for len(src) > 0 {
		piece := src[:min(len(src), snappyPiece)]
		src = src[len(piece):]
		// The encoder writes the length of the piece first, which has no place here: it goes over
		// the end of dst, which is put back.
		at := len(dst) - varintLen(uint64(len(piece)))
		end := [binary.MaxVarintLen32]byte{}
		n := copy(end[:], dst[at:])
		packed := s2.EncodeSnappy(dst[at:cap(dst)], piece)
		dst = dst[:at+len(packed)]
		copy(dst[at:], end[:n])
	}
	return dst
}

// snappyRoom returns what appendSnappy needs for n bytes in the worst case.
func snappyRoom(n int) int {
	return n + (n/snappyPiece+1)*(s2.MaxEncodedLen(snappyPiece)-snappyPiece)
}

var errArenaFull = errors.New("record: arena full")

// arenaWriter appends to a slice within its capacity.
type arenaWriter struct{ buf []byte }

// Write implements io.Writer; it fails instead of growing.
func (w *arenaWriter) Write(p []byte) (int, error) {
	if len(p) > cap(w.buf)-len(w.buf) {
		return 0, errArenaFull
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}

// drain sends src through z, which writes to w, and returns what was written, or nil when the
// arena was too small.
func (w *arenaWriter) drain(z io.WriteCloser, src []byte) []byte {
	_, err := z.Write(src)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil
	}
	return w.buf
}
