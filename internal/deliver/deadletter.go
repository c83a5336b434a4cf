// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// deadLetterQueue bounds the letters that wait for the disk, in bytes.
const deadLetterQueue = 4 << 20

// deadLetter is one line of the dead-letter file.
type deadLetter struct {
	Time      time.Time       `json:"time"`
	Reason    string          `json:"reason"` // as in the ledger
	Error     string          `json:"error"`
	Partition int32           `json:"partition"`              // -1: none was asked
	Value     json.RawMessage `json:"value,omitempty"`        // of the record, when it is JSON
	Base64    []byte          `json:"value_base64,omitempty"` // of the record, when it is not
}

// deadLetters keeps records that no broker takes in a file, for somebody to look at. They are
// dropped and counted all the same. It never blocks: what the disk cannot take in time, or what
// no longer fits into the file, is not kept.
type deadLetters struct {
	path string
	max  int64 // bytes of the file
	log  *slog.Logger
	kick chan struct{}

	mu     sync.Mutex // guards the following
	lines  [][]byte   // that wait
	size   int        // of them
	late   uint64     // letters that found no room there, since run looked
	kept   uint64     // letters in the file, of this run
	closed bool

	file   *os.File // used by the writer alone, as is the following
	used   int64
	full   bool
	missed uint64 // letters that could not be written, since the log said so
	said   time.Time
}

// CheckDeadLetter returns why records could not be kept in a file of that name, or nil; so that it
// is not found out by the first letter. It leaves nothing behind: what is not there is tried under
// another name, for a sensor that runs may make it at any moment.
func CheckDeadLetter(path string) error {
	if path == "" {
		return nil
	}
	// Not blocking: a FIFO without a reader is an error (fifo(7)).
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.CreateTemp(filepath.Dir(path), ".dead-letter-*"); err == nil {
			err = os.Remove(f.Name())
		}
	}
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("deliver: the dead-letter file %s cannot be written: %w", path, err)
	}
	return nil
}

// newDeadLetters returns nil, which keeps nothing, when there is no path.
func newDeadLetters(path string, most int64, log *slog.Logger) *deadLetters {
	if path == "" {
		return nil
	}
	return &deadLetters{path: path, max: most, log: log, kick: make(chan struct{}, 1)}
}

// put keeps one record, if it can.
func (l *deadLetters) put(letter deadLetter, value []byte) {
	if l == nil {
		return
	}
	letter.Time = time.Now().UTC()
	if json.Valid(value) {
		letter.Value = value
	} else {
		letter.Base64 = value
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // the value stays as it is
	if err := enc.Encode(letter); err != nil {
		l.log.Error("deliver: a dead letter cannot be written", "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+line.Len() > deadLetterQueue || l.closed {
		l.late++
		return
	}
	l.lines, l.size = append(l.lines, line.Bytes()), l.size+line.Len()
	l.wake()
}

func (l *deadLetters) wake() {
	select {
	case l.kick <- struct{}{}:
	default: // awake already
	}
}

// close makes run end when it has written what waits. Nothing is kept any more.
func (l *deadLetters) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// run writes until it is closed.
func (l *deadLetters) run() {
	for range l.kick {
		l.mu.Lock()
		lines, late, closed := l.lines, l.late, l.closed
		l.lines, l.size, l.late = nil, 0, 0
		l.mu.Unlock()
		for _, line := range lines {
			l.write(line)
		}
		if late > 0 && !l.full {
			l.miss(late, errLate)
		}
		if closed {
			break
		}
	}
	if l.missed > 0 {
		l.log.Error("deliver: dead letters are not in the file; the records are counted as dropped",
			"file", l.path, "letters", l.missed)
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			l.log.Error("deliver: the dead-letter file cannot be closed", "error", err)
		}
	}
}

// missEvery is how often the log says that letters cannot be written. There can be one for each
// record.
const missEvery = 5 * time.Minute

// errLate is why letters are missed that the disk had no time for.
var errLate = errors.New("letters come faster than the disk takes them")

// miss counts letters that cannot be written, and says so now and then.
func (l *deadLetters) miss(n uint64, err error) {
	l.missed += n
	now := time.Now()
	if !l.said.IsZero() && now.Sub(l.said) < missEvery {
		return
	}
	l.log.Error("deliver: a dead letter cannot be written; for a while others are only counted",
		"file", l.path, "letters", l.missed, "error", err)
	l.missed, l.said = 0, now
}

func (l *deadLetters) write(line []byte) {
	if l.full {
		return
	}
	if err := l.open(); err != nil {
		l.miss(1, err)
		return
	}
	if l.used+int64(len(line)) > l.max {
		l.full = true
		l.log.Warn("deliver: the dead-letter file is full; further letters are only counted",
			"file", l.path, "bytes", l.used)
		return
	}
	if _, err := l.file.Write(line); err != nil {
		// Half a line is none: the next one must not be appended to it.
		l.miss(1, errors.Join(err, l.file.Truncate(l.used)))
		return
	}
	l.used += int64(len(line))
	l.mu.Lock()
	l.kept++
	l.mu.Unlock()
}

// open opens the file when the first letter comes: most sensors never have one.
func (l *deadLetters) open() error {
	if l.file != nil {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%w; %w", err, f.Close())
	}
	l.file, l.used = f, info.Size()
	return nil
}

// count returns how many letters of this run are in the file.
func (l *deadLetters) count() uint64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept
}
