// SPDX-License-Identifier: Apache-2.0

// Package record is the third noun of the path: a Kafka record batch under construction. The
// batch is the unit of memory (one arena of a fixed pool), of disk and of the network: a record
// is framed once, where it will stay, and the sealed bytes are what the broker appends.
package record

import (
	"encoding/binary"
	"hash/crc32"
)

// The record batch, format v2 (KIP-98; the protocol guide, "Record Batch"). Big endian.
//
//	 0  baseOffset            int64   0: the broker sets it
//	 8  batchLength           int32   bytes after this field
//	12  partitionLeaderEpoch  int32   -1: the broker sets it
//	16  magic                 int8    2
//	17  crc                   uint32  CRC-32C of all that follows
//	21  attributes            int16   bits 0-2: Codec
//	23  lastOffsetDelta       int32   records - 1
//	27  baseTimestamp         int64   of the first record, ms
//	35  maxTimestamp          int64   the newest, ms
//	43  producerId            int64
//	51  producerEpoch         int16
//	53  baseSequence          int32
//	57  records               int32
//	61  the records, compressed together
//
// and in them each record, its numbers zigzag varints but for attributes:
//
//	length | attributes int8 (0) | timestampDelta | offsetDelta | keyLength (-1: none) | key |
//	valueLength | value | headers (0)
const (
	offLength     = 8
	offEpoch      = 12
	offMagic      = 16
	offCRC        = 17
	offAttributes = 21
	offLastDelta  = 23
	offBaseTime   = 27
	offMaxTime    = 35
	offProducer   = 43
	offSequence   = 53
	offCount      = 57

	// HeaderLen is the length of everything before the records.
	HeaderLen = 61
)

// nullKey is the key length -1 as a zigzag varint.
const nullKey = 1

// castagnoli is a table, and has hardware behind it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one record batch in one arena. It is open, then sealed by a Compressor, then stamped
// as often as it takes, and then it goes back to its Pool. One goroutine owns it at a time; the
// methods do not lock.
type Batch struct {
	buf   []byte // the header and the records so far; cap(buf) is the arena, until it is split
	limit int    // of the header and the uncompressed records together
	count int32
	base  int64 // ms, of the first record
	max   int64 // ms, the newest

	ms   int64  // the time stamp that Value was told
	head []byte // the framing before the value, from its length, which is not known yet, to its key

	place  Place
	arena  []byte  // from its start, once the batch has been split; else nil
	rest   []part  // after the current one
	shared *shared // the arena that it has in common with others; nil when it has one of its own
}

// newBatch returns an empty batch for limit bytes of records, in an arena of size bytes.
func newBatch(limit, size int) *Batch {
	return &Batch{buf: make([]byte, HeaderLen, size), limit: HeaderLen + limit}
}

// reset empties the batch and keeps its arena.
func (b *Batch) reset() {
	*b = Batch{buf: b.whole()[:HeaderLen], limit: b.limit}
}

// Records returns how many records the batch holds.
func (b *Batch) Records() int { return int(b.count) }

// Size returns the bytes of the batch: uncompressed while it is open, as sent once it is sealed.
func (b *Batch) Size() int { return len(b.buf) }

// Room returns how many bytes of records, framing included, an open batch can still take.
func (b *Batch) Room() int { return b.limit - len(b.buf) }

// Newest returns the newest time stamp of the batch, in ms since the Unix epoch.
func (b *Batch) Newest() int64 { return b.max }

// Value returns the free end of the arena, an empty slice at the place where the value of the
// next record belongs, for an encoder to append to. ms is the record's time stamp. The value
// must be handed back with Commit before the next call, or it is forgotten.
func (b *Batch) Value(ms int64) []byte { return b.KeyedValue(ms, nil) }

// lengthRoom is what is left free for each of the two lengths that are not known before the value
// is: that of the record and that of the value. Values from about 60 to 8,000 bytes need just
// that; Commit moves others by a byte or two.
const lengthRoom = 2

// KeyedValue is Value for a record with a key. A key that is nil is none.
func (b *Batch) KeyedValue(ms int64, key []byte) []byte {
	if b.count == 0 {
		b.base, b.max = ms, ms
	}
	b.ms = ms
	// In the arena, unless that is full.
	head := append(b.buf[len(b.buf):len(b.buf):b.limit], 0, 0, 0) // lengthRoom, attributes
	head = binary.AppendUvarint(head, zigzag(ms-b.base))
	head = binary.AppendUvarint(head, uint64(b.count)<<1)
	if key == nil {
		head = append(head, nullKey)
	} else {
		head = append(binary.AppendUvarint(head, uint64(len(key))<<1), key...)
	}
	b.head = head
	// What does not outgrow the slice fits into the batch, however long its lengths are.
	const rest = 2*(binary.MaxVarintLen32-lengthRoom) + 1
	end := max(cap(head)-rest, 0)
	at := min(len(head)+lengthRoom, end)
	return head[at:at:end]
}

// Commit makes value the next record. value is what was appended to the slice that Value
// returned; it may have outgrown the arena. Commit returns false, and leaves the batch as it
// was, when the record does not fit: seal this batch and put the value into another.
func (b *Batch) Commit(value []byte) bool {
	start := len(b.buf)
	at := start + len(b.head) + lengthRoom
	end := at + len(value) + 1
	body := end - start - lengthRoom
	if !twoBytes(body) || !twoBytes(len(value)) || end > b.limit || &value[0] != &b.buf[:end][at] {
		return b.move(value)
	}
	arena := b.buf[:end]
	putTwo(arena[start:], body)
	putTwo(arena[at-lengthRoom:], len(value))
	arena[end-1] = 0
	b.add(end)
	return true
}

// twoBytes tells whether a length takes two bytes as a zigzag varint.
func twoBytes(n int) bool { return uint(n)-1<<6 < 1<<13-1<<6 }

// putTwo writes such a length.
func putTwo(b []byte, n int) { binary.LittleEndian.PutUint16(b, uint16(n<<1&0x7f|0x80|n>>6<<8)) }

// move is Commit for a value that lies elsewhere, or whose lengths take other room than is left for
// them, even where both together do not.
func (b *Batch) move(value []byte) bool {
	fixed := b.head[lengthRoom:]
	vlen := uint64(len(value)) << 1
	body := len(fixed) + varintLen(vlen) + len(value) + 1
	start := len(b.buf)
	from := start + varintLen(uint64(body)<<1)
	at := from + len(fixed) + varintLen(vlen)
	end := at + len(value) + 1
	if end > b.limit {
		return false
	}
	arena := b.buf[:end]
	copy(arena[at:], value)
	copy(arena[from:], fixed)
	binary.PutUvarint(arena[start:], uint64(body)<<1)
	binary.PutUvarint(arena[from+len(fixed):], vlen)
	arena[end-1] = 0
	b.add(end)
	return true
}

// add makes the record that stands in the arena up to end, its lack of headers included, part of
// the batch.
func (b *Batch) add(end int) {
	b.buf = b.buf[:end] // no pointer is written, which the garbage collector would have to see
	b.count++
	b.max = max(b.max, b.ms)
}

// Redate moves all time stamps of the batch by the same distance, so that the newest becomes ms.
// Only a stamp after it makes the change valid.
func (b *Batch) Redate(ms int64) {
	b.base += ms - b.max
	b.max = ms
	binary.BigEndian.PutUint64(b.buf[offBaseTime:], uint64(b.base))
	binary.BigEndian.PutUint64(b.buf[offMaxTime:], uint64(b.max))
}

// Producer is an identity that a cluster gave to one idempotent producer (KIP-98).
type Producer struct {
	ID    int64
	Epoch int16
}

// NoProducer is what a batch without idempotence carries.
var NoProducer = Producer{ID: -1, Epoch: -1}

// Stamp writes the producer fields and the checksum over the sealed batch. Until the next Stamp
// the bytes stay as they are: a broker tells a repetition by them.
func (b *Batch) Stamp(p Producer, sequence int32) {
	binary.BigEndian.PutUint64(b.buf[offProducer:], uint64(p.ID))
	binary.BigEndian.PutUint16(b.buf[offProducer+8:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(b.buf[offSequence:], uint32(sequence))
	b.sum()
}

// sum writes the checksum.
func (b *Batch) sum() {
	crc := crc32.Checksum(b.buf[offAttributes:], castagnoli)
	binary.BigEndian.PutUint32(b.buf[offCRC:], crc)
}

// Bytes returns the sealed batch, as it was stamped last, borrowed from the arena until the batch is
// put back into its pool.
func (b *Batch) Bytes() []byte {
	if binary.BigEndian.Uint32(b.buf[offCRC:]) == 0 { // which is no harm if it is the checksum
		b.sum()
	}
	return b.buf
}

// seal writes the header of a batch whose records are compressed with codec, or not at all. The
// batch is whole from then on, stamped with NoProducer: the spool may keep it before it was ever
// given to a partition. Only its checksum is left to Bytes: most batches are stamped before anybody
// asks for that.
func (b *Batch) seal(codec Codec) {
	h := b.buf[:HeaderLen]
	clear(h)
	binary.BigEndian.PutUint32(h[offLength:], uint32(len(b.buf)-offEpoch))
	binary.BigEndian.PutUint32(h[offEpoch:], ^uint32(0))
	h[offMagic] = 2
	binary.BigEndian.PutUint16(h[offAttributes:], uint16(codec))
	binary.BigEndian.PutUint32(h[offLastDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(h[offBaseTime:], uint64(b.base))
	binary.BigEndian.PutUint64(h[offMaxTime:], uint64(b.max))
	binary.BigEndian.PutUint32(h[offCount:], uint32(b.count))
	for i := offProducer; i < offCount; i++ { // NoProducer and no sequence: -1 each
		h[i] = 0xff
	}
}

// NextSequence returns the sequence of the record after n records from sequence on. Sequences
// are 31 bits wide and wrap to 0 (KIP-98).
func NextSequence(sequence int32, n int) int32 {
	return int32((uint32(sequence) + uint32(n)) & 0x7fffffff)
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// varintLen returns how many bytes binary.AppendUvarint writes for v.
func varintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
