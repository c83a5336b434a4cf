// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrNotSealed is returned for bytes that are not one whole batch as a Compressor seals it.
var ErrNotSealed = errors.New("record: not a sealed batch")

// Sealed is what the header of a sealed batch says.
type Sealed struct {
	Records int
	First   int64 // time stamp of the first record, ms since the Unix epoch
	Newest  int64 // the newest time stamp
	Codec   Codec
}

// legalAttributes are those that this package writes: a codec and nothing else. The other bits say
// that a broker sets the time, that the batch belongs to a transaction, or that it is a control
// batch, which a producer may not send.
const legalAttributes = 7

// Inspect checks that sealed is one whole batch, from its length to its CRC-32C, and returns what
// its header says. The records themselves are not decompressed. Its error wraps ErrNotSealed.
func Inspect(sealed []byte) (Sealed, error) {
	if len(sealed) < HeaderLen {
		return Sealed{}, fmt.Errorf("%w: %d bytes", ErrNotSealed, len(sealed))
	}
	u32 := func(off int) uint32 { return binary.BigEndian.Uint32(sealed[off:]) }
	if n := u32(offLength); int64(n) != int64(len(sealed)-offEpoch) {
		return Sealed{}, fmt.Errorf("%w: length %d in %d bytes", ErrNotSealed, n, len(sealed))
	}
	if m := sealed[offMagic]; m != 2 {
		return Sealed{}, fmt.Errorf("%w: magic %d, want 2", ErrNotSealed, m)
	}
	crc := crc32.Checksum(sealed[offAttributes:], castagnoli)
	if stored := u32(offCRC); stored != crc {
		return Sealed{}, fmt.Errorf("%w: crc %08x, want %08x", ErrNotSealed, stored, crc)
	}
	attributes := binary.BigEndian.Uint16(sealed[offAttributes:])
	count := int32(u32(offCount))
	switch {
	case attributes&^legalAttributes != 0 || Codec(attributes) > Zstd:
		return Sealed{}, fmt.Errorf("%w: attributes %#x", ErrNotSealed, attributes)
	case count <= 0 || int32(u32(offLastDelta)) != count-1:
		return Sealed{}, fmt.Errorf("%w: %d records, last offset %d", ErrNotSealed, count,
			int32(u32(offLastDelta)))
	}
	return Sealed{
		Records: int(count),
		First:   int64(binary.BigEndian.Uint64(sealed[offBaseTime:])),
		Newest:  int64(binary.BigEndian.Uint64(sealed[offMaxTime:])),
		Codec:   Codec(attributes),
	}, nil
}

// Arena returns at least n bytes of the arena of an empty batch, for a sealed batch to be read
// into in place; Load then makes it one. They are borrowed until the next call of any method.
//
// A batch that was sealed in a larger arena than the pool has now gets one of its own size, until
// it goes back to the pool: records that are on disk are not lost by a smaller batch size.
func (b *Batch) Arena(n int) []byte {
	if n > cap(b.buf) {
		b.buf = make([]byte, HeaderLen, n)
	}
	return b.buf[:n]
}

// Load makes an empty batch of the pool the sealed batch whose bytes are given, as it was when
// they were taken from Bytes. It may be stamped and redated again; nothing can be added to it. The
// bytes are copied unless they stand at the beginning of Arena. When they are no whole batch the
// error wraps ErrNotSealed, and the batch stays empty.
func (b *Batch) Load(sealed []byte) error {
	h, err := Inspect(sealed)
	if err != nil {
		return err
	}
	arena := b.Arena(len(sealed))
	if &arena[0] != &sealed[0] {
		copy(arena, sealed)
	}
	b.buf = arena
	b.count, b.base, b.max = int32(h.Records), h.First, h.Newest
	return nil
}
