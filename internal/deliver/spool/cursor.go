// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// The cursor is a text of one line for every segment whose first frames are settled, with the
// segment's number, its random id, the offset before which they are, and where those begin that are
// not, if there are any:
//
//	dnsluice spool cursor 1
//	00000000000000000007 9f86d081884c7d65 1048576
//	00000000000000000008 52bf1e0ac3d87f94 2097152 65536,131072
//	crc32c 5e1f0c7a
//
// It only saves work. A segment that is not in it, or has another id, or no frame at that offset,
// is delivered from its beginning: again, if it must be, but never not at all.
const (
	cursorName = "cursor"
	cursorTemp = "cursor.tmp"
	cursorHead = "dnsluice spool cursor 1\n"
	cursorTail = "crc32c %08x\n"

	// maxCursor bounds what is read of a file that may be anything.
	maxCursor = 16 << 20
)

// mark is one line of a cursor.
type mark struct {
	number uint64
	id     uint64
	offset int64
	kept   []int64 // where frames begin that are before offset and not settled; rising
}

func formatCursor(marks []mark) []byte {
	b := bytes.NewBufferString(cursorHead)
	for _, m := range marks {
		fmt.Fprintf(b, "%020d %016x %d", m.number, m.id, m.offset)
		separator := ' '
		for _, at := range m.kept {
			fmt.Fprintf(b, "%c%d", separator, at)
			separator = ','
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, cursorTail, crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

var errCursor = errors.New("spool: the cursor is damaged; what was delivered since may be again")

// parseCursor returns the marks by segment. Its error is errCursor, and then there are none.
func parseCursor(data []byte) (map[uint64]mark, error) {
	body, tail := data, ""
	if n := len(fmt.Sprintf(cursorTail, 0)); len(data) >= n {
		body, tail = data[:len(data)-n], string(data[len(data)-n:])
	}
	if tail != fmt.Sprintf(cursorTail, crc32.Checksum(body, castagnoli)) {
		return nil, errCursor
	}
	lines, ok := strings.CutPrefix(string(body), cursorHead)
	if !ok {
		return nil, errCursor
	}
	marks := map[uint64]mark{}
	for line := range strings.Lines(lines) {
		m, ok := parseMark(line)
		if !ok {
			return nil, errCursor
		}
		marks[m.number] = m
	}
	return marks, nil
}

func parseMark(line string) (m mark, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 3 || len(fields) > 4 {
		return m, false
	}
	_, err := fmt.Sscanf(strings.Join(fields[:3], " "), "%d %x %d", &m.number, &m.id, &m.offset)
	if err != nil || len(fields) == 3 {
		return m, err == nil
	}
	before := int64(-1)
	for field := range strings.SplitSeq(fields[3], ",") {
		at, err := strconv.ParseInt(field, 10, 64)
		if err != nil || at <= before || at >= m.offset {
			return m, false
		}
		m.kept, before = append(m.kept, at), at
	}
	return m, true
}

// readCursor returns the marks of the cursor in dir, none if there is no cursor.
func readCursor(dir Dir) (map[uint64]mark, error) {
	f, err := dir.Open(cursorName)
	if errors.Is(err, errNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: read the cursor: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, maxCursor))
	if err != nil {
		return nil, fmt.Errorf("spool: read the cursor: %w", err)
	}
	return parseCursor(data)
}

// writeCursor makes data the durable cursor: after a crash at any moment there is the old one or
// the new one, whole.
func writeCursor(dir Dir, data []byte) error {
	if err := replaceTemp(dir, cursorTemp, data); err != nil {
		return fmt.Errorf("spool: write the cursor: %w", err)
	}
	if err := dir.Rename(cursorTemp, cursorName); err != nil {
		return fmt.Errorf("spool: replace the cursor: %w", err)
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("spool: sync the directory of the cursor: %w", err)
	}
	return nil
}

// replaceTemp writes a temporary file and makes its content durable. On an error none is left.
func replaceTemp(dir Dir, name string, data []byte) error {
	if err := dir.Remove(name); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	f, err := dir.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		// What is left of it is removed before the next attempt, too.
		return errors.Join(err, dir.Remove(name))
	}
	return nil
}
