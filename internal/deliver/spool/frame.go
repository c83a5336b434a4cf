// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"
)

// magic begins every header. Its first byte is in no text and in no UTF-8.
var magic = []byte{0xd5, 's', 'p', 'l'}

const (
	version   = 1
	headerLen = 68

	// maxPayload bounds the length that a header may state: more than the arena of the largest
	// batch that can be configured.
	maxPayload = 128 << 20
	// minPayload is the header of a record batch without records.
	minPayload = 61
)

// kind is what a header is the header of.
type kind uint8

const (
	batchKind kind = 1 // one sealed batch
	sealKind  kind = 2 // nothing: the segment is whole, and this is what it holds
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the header of a frame, or the seal at the end of a segment; doc.go draws it.
type header struct {
	kind    kind
	payload uint32 // bytes after the header
	records uint32
	id      uint64 // of the segment
	frame   uint32 // how many frames the segment has before this one
	crc     uint32 // of the payload
	before  uint64 // how many records the segment has before this frame
	first   int64  // ms: when this frame, or the first of a sealed segment, was appended
	last    int64  // ms: the same, or the last
}

// length returns the bytes of the whole frame.
func (h header) length() int64 { return headerLen + int64(h.payload) }

func (h header) put(b *[headerLen]byte) {
	le := binary.LittleEndian
	copy(b[:], magic)
	b[4], b[5] = version, byte(h.kind)
	le.PutUint16(b[6:], headerLen)
	le.PutUint32(b[8:], h.payload)
	le.PutUint32(b[12:], h.records)
	le.PutUint64(b[16:], h.id)
	le.PutUint32(b[24:], h.frame)
	le.PutUint32(b[28:], h.crc)
	le.PutUint64(b[32:], h.before)
	le.PutUint64(b[40:], uint64(h.first))
	le.PutUint64(b[48:], uint64(h.last))
	le.PutUint64(b[56:], 0)
	le.PutUint32(b[64:], crc32.Checksum(b[:64], castagnoli))
}

// parse reads a header. It returns false for bytes that are none, or one of another version.
func parse(b []byte) (header, bool) {
	if len(b) < headerLen || !bytes.HasPrefix(b, magic) || b[4] != version {
		return header{}, false
	}
	le := binary.LittleEndian
	if le.Uint16(b[6:]) != headerLen || le.Uint32(b[64:]) != crc32.Checksum(b[:64], castagnoli) {
		return header{}, false
	}
	h := header{
		kind: kind(b[5]), payload: le.Uint32(b[8:]), records: le.Uint32(b[12:]),
		id: le.Uint64(b[16:]), frame: le.Uint32(b[24:]), crc: le.Uint32(b[28:]),
		before: le.Uint64(b[32:]), first: int64(le.Uint64(b[40:])), last: int64(le.Uint64(b[48:])),
	}
	switch h.kind {
	case batchKind:
		return h, h.payload >= minPayload && h.payload <= maxPayload && h.records > 0
	case sealKind:
		return h, h.payload == 0
	}
	return header{}, false
}

// fromTheFuture tells whether b begins with the header of a later version. Every version has the
// magic, the version, and the length of the header at the same places, and ends the header with
// its CRC.
func fromTheFuture(b []byte) bool {
	if len(b) < headerLen || !bytes.HasPrefix(b, magic) || b[4] <= version {
		return false
	}
	n := int(binary.LittleEndian.Uint16(b[6:]))
	return n >= 12 && n <= len(b) &&
		binary.LittleEndian.Uint32(b[n-4:]) == crc32.Checksum(b[:n-4], castagnoli)
}

// walk goes through the frames of one segment. It reads headers, not payloads.
type walk struct {
	f   io.ReaderAt
	end int64  // nothing is read from here on
	id  uint64 // frames of another are not frames; 0 until one was found

	// patient makes it look behind what cannot be read, a block at a time. Without it the first
	// error of the disk ends the walk, and the same call can be made again later.
	patient bool
	failed  error // the last error of the disk that a patient walk met

	buf []byte // owned; of searchLen, made when first needed
}

const (
	searchLen = 64 << 10
	blockLen  = 4 << 10 // what a disk fails to read at a time
)

// next returns the first frame, or seal, that begins at off or after it and ends before the end,
// and where it begins. Whatever lies between is damaged. It returns io.EOF when there is none.
func (w *walk) next(off int64) (header, int64, error) {
	// Nearly always it is right there, and 68 bytes are all that is read.
	b, err := w.read(off, headerLen)
	if err == nil {
		if h, ok := w.accept(b, off); ok {
			return h, off, nil
		}
	} else if !w.patient {
		return header{}, off, err
	}
	for off+headerLen <= w.end {
		b, err := w.read(off, searchLen)
		if err != nil {
			if !w.patient {
				return header{}, off, err
			}
			w.failed = err
			off += blockLen - off%blockLen
			continue
		}
		i := 0
		for ; i+headerLen <= len(b); i++ {
			n := bytes.Index(b[i:], magic)
			if n < 0 {
				i = len(b) - headerLen + 1
				break
			}
			i += n
			if h, ok := w.accept(b[i:], off+int64(i)); ok {
				return h, off + int64(i), nil
			}
		}
		if len(b) < headerLen {
			break
		}
		off += int64(min(i, len(b)-headerLen+1))
	}
	return header{}, w.end, io.EOF
}

// accept tells whether b begins with the header of a frame that is at off.
func (w *walk) accept(b []byte, off int64) (header, bool) {
	h, ok := parse(b)
	if !ok || off+h.length() > w.end || w.id != 0 && h.id != w.id {
		return header{}, false
	}
	w.id = h.id
	return h, true
}

// read reads up to n bytes at off, fewer only at the end. A file that is shorter than it was
// ends there; that is no error of the disk.
func (w *walk) read(off int64, n int) ([]byte, error) {
	if w.buf == nil {
		w.buf = make([]byte, searchLen)
	}
	n = int(max(min(int64(n), w.end-off), 0))
	got, err := w.f.ReadAt(w.buf[:n], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return w.buf[:got], nil
}

// at returns the header of the frame that begins at off, and is one of the segment id.
func (w *walk) at(off int64, id uint64) (header, bool) {
	b, err := w.read(off, headerLen)
	if err != nil {
		return header{}, false
	}
	h, ok := parse(b)
	return h, ok && h.kind == batchKind && h.id == id && off+h.length() <= w.end
}

// torn returns the header of a frame that begins at off and is cut off by the end.
func (w *walk) torn(off int64) (header, bool) {
	b, err := w.read(off, headerLen)
	if err != nil {
		return header{}, false
	}
	if h, ok := parse(b); ok && h.kind == batchKind && (w.id == 0 || h.id == w.id) {
		return h, true
	}
	return header{}, false
}

// since returns how long before now a header says that it was written. A clock that was set back
// since then makes that no time at all.
func since(ms int64, now time.Time) time.Duration {
	return max(now.Sub(time.UnixMilli(ms)), 0)
}
