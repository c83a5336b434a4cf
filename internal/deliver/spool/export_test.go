// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// Mark is a line of the cursor, for tests that write one.
type Mark struct {
	Number, ID uint64
	Offset     int64
	Kept       []int64
}

// FormatCursor returns a cursor with a right checksum.
func FormatCursor(marks ...Mark) []byte {
	var all []mark
	for _, m := range marks {
		all = append(all, mark{m.Number, m.ID, m.Offset, m.Kept})
	}
	return formatCursor(all)
}

// ID returns the id of a segment from its first header.
func ID(segment []byte) uint64 {
	h, _ := parse(segment)
	return h.id
}

// FixHeaders returns data with right checksums in all that has the magic of a header.
func FixHeaders(data []byte) []byte {
	data = bytes.Clone(data)
	for at := 0; ; {
		n := bytes.Index(data[at:], magic)
		if n < 0 || at+n+headerLen > len(data) {
			return data
		}
		at += n
		h := data[at:]
		binary.LittleEndian.PutUint32(h[64:], crc32.Checksum(h[:64], castagnoli))
		at += headerLen
	}
}

// Entries returns how many frames the spool keeps an entry for.
func Entries(s *Spool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.holdings)
}
