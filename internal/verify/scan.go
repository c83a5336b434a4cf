// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/json"
	"math"
)

// fields are those of a record that name it and say what it is.
type fields struct {
	version   uint64
	sensor    []byte // this and the next two are borrowed from the value, or owned if it had escapes
	run       []byte
	lane, seq uint64
	kind      []byte

	found uint8 // a bit for each of the six

	protobuf  bool   // the format of the record; the rest is of that alone
	time      int64  // nanoseconds since the Unix epoch
	heartbeat []byte // borrowed
}

const (
	hasVersion uint8 = 1 << iota
	hasSensor
	hasRun
	hasLane
	hasSeq
	hasKind
	hasAll = 1<<iota - 1
)

// maxDepth is how deep a value may be nested; a record's are 5.
const maxDepth = 64

// scan reads the six fields of a record of either format. It returns false when value is none.
func scan(value []byte, f *fields) bool {
	if len(value) > 0 {
		switch value[0] {
		case '{', ' ', '\t', '\n', '\r': // none of which begins a Protobuf record
		default:
			return scanProto(value, f)
		}
	}
	return scanJSON(value, f)
}

// scanJSON reads the six fields of a record and checks that all of it is JSON (RFC 8259). It
// returns false when value is no such object, or lacks one of the fields. It does what
// encoding/json does with names as they are written, in a tenth of the time, and makes no garbage.
func scanJSON(value []byte, f *fields) bool {
	*f = fields{}
	s := scanner{b: value}
	s.space()
	if !s.object(0, f) {
		return false
	}
	s.space()
	return s.i == len(s.b) && f.found == hasAll
}

// scanner reads JSON. Its methods expect what they are named after at i, and return false when it
// is not there.
type scanner struct {
	b []byte
	i int
}

// peek returns the byte at i, 0 at the end, which is no byte that JSON has outside of strings.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// object reads an object. The values of the six fields go to f, unless that is nil.
func (s *scanner) object(depth int, f *fields) bool {
	if depth >= maxDepth || !s.take('{') {
		return false
	}
	s.space()
	if s.take('}') {
		return true
	}
	for {
		key, plain, ok := s.text()
		if !ok {
			return false
		}
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		if f != nil {
			ok = s.field(depth, key, plain, f)
		} else {
			ok = s.value(depth)
		}
		if !ok {
			return false
		}
		s.space()
		switch {
		case s.take('}'):
			return true
		case !s.take(','):
			return false
		}
		s.space()
	}
}

// field reads the value of one of the fields, or of any other.
func (s *scanner) field(depth int, key []byte, plain bool, f *fields) bool {
	if !plain {
		key = unquote(key)
	}
	switch string(key) {
	case "v":
		return s.number64(&f.version, hasVersion, f)
	case "sensor":
		return s.string(&f.sensor, hasSensor, f)
	case "run":
		return s.string(&f.run, hasRun, f)
	case "lane":
		return s.number64(&f.lane, hasLane, f)
	case "seq":
		return s.number64(&f.seq, hasSeq, f)
	case "kind":
		return s.string(&f.kind, hasKind, f)
	}
	return s.value(depth)
}

// null takes a null, which says as much as no field at all.
func (s *scanner) null(has uint8, f *fields) bool {
	f.found &^= has
	return s.word("null")
}

func (s *scanner) string(to *[]byte, has uint8, f *fields) bool {
	if s.peek() == 'n' {
		return s.null(has, f)
	}
	text, plain, ok := s.text()
	if !ok {
		return false
	}
	if !plain {
		text = unquote(text)
	}
	*to = text
	f.found |= has
	return true
}

// number64 reads a number that is an integer and fits.
func (s *scanner) number64(to *uint64, has uint8, f *fields) bool {
	if s.peek() == 'n' {
		return s.null(has, f)
	}
	from := s.i
	if !s.number() {
		return false
	}
	n := uint64(0)
	for _, c := range s.b[from:s.i] {
		d := uint64(c - '0') // far above 9 for what is no digit
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return false
		}
		n = n*10 + d
	}
	*to = n
	f.found |= has
	return true
}

// value passes over a value of any type.
func (s *scanner) value(depth int) bool {
	switch s.peek() {
	case '"':
		_, _, ok := s.text()
		return ok
	case '{':
		return s.object(depth+1, nil)
	case '[':
		return s.array(depth + 1)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

func (s *scanner) array(depth int) bool {
	if depth >= maxDepth || !s.take('[') {
		return false
	}
	s.space()
	if s.take(']') {
		return true
	}
	for {
		if !s.value(depth) {
			return false
		}
		s.space()
		switch {
		case s.take(']'):
			return true
		case !s.take(','):
			return false
		}
		s.space()
	}
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
		s.i++
	}
	return s.i > from
}

// text reads a string and returns what is between its quotes, and whether that is the text itself:
// it has no escapes, and no bytes that may not be UTF-8.
func (s *scanner) text() (text []byte, plain, ok bool) {
	if !s.take('"') {
		return nil, false, false
	}
	from, i := s.i, s.i
	for plain = true; i < len(s.b); i++ {
		c := s.b[i]
		if simple[c] {
			continue
		}
		switch {
		case c == '"':
			s.i = i + 1
			return s.b[from:i], plain, true
		case c < ' ':
			return nil, false, false
		}
		plain = false
		if c == '\\' {
			s.i = i + 1
			if !s.escape() {
				return nil, false, false
			}
			i = s.i
		}
	}
	return nil, false, false
}

// simple has the bytes that stand for themselves in a string.
var simple = func() (table [256]bool) {
	for c := ' '; c < 0x80; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// escape leaves i at the last byte of what follows a backslash.
func (s *scanner) escape() bool {
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			s.i++
			if !isHex(s.peek()) {
				return false
			}
		}
		return true
	}
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unquote returns the text of what stands between quotes, which was checked to be a string.
func unquote(raw []byte) []byte {
	quoted := append(append([]byte{'"'}, raw...), '"')
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return nil
	}
	return []byte(text)
}
