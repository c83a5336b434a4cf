// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// most is how many bytes wait for a reader that is slow: more than all lines of a start.
	most = 256 << 10
	// lastWords is how long Close waits for a reader that takes nothing.
	lastWords = time.Second
)

// Writer passes on what is written to it, and never makes anybody wait. Standard error is often a
// pipe, to a supervisor or a terminal, and whoever reads it may stop reading. What logs there holds
// locks, so the whole sensor would stand still, and not even end. What does not fit is dropped.
type Writer struct {
	to   io.Writer
	kick chan struct{} // something waits, or the end has come
	done chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // guards the following
	waits  [][]byte   // in their order
	size   int        // of these, in bytes
	lost   uint64     // writes that were dropped, and not told yet
	tell   func(lost uint64)
	closed bool
}

// NewWriter returns a Writer to w, with a goroutine that Close ends.
func NewWriter(w io.Writer) *Writer {
	out := &Writer{to: w, kick: make(chan struct{}, 1), done: make(chan struct{}), tell: func(uint64) {}}
	go out.run()
	return out
}

// OnLoss makes the Writer call tell when it gets through again, with how many writes were lost.
func (w *Writer) OnLoss(tell func(lost uint64)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell = tell
}

// Write implements io.Writer. It takes all of p or drops it, and never fails. What is larger than
// the room there is passes when nothing else waits: it may be the last words.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.size > 0 && w.size+len(p) > most {
		w.lost++
		return len(p), nil
	}
	w.waits = append(w.waits, slices.Clone(p))
	w.size += len(p)
	w.wake()
	return len(p), nil
}

// Close writes what waits, as far as that is read within a second, and ends the goroutine unless it
// hangs.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.wake()
	w.mu.Unlock()
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}

func (w *Writer) wake() {
	select {
	case w.kick <- struct{}{}:
	default: // awake already
	}
}

func (w *Writer) run() {
	defer close(w.done)
	for range w.kick {
		for p := w.next(); p != nil; p = w.next() {
			if _, err := w.to.Write(p); err != nil {
				w.failed()
				continue
			}
			w.told()
		}
		w.mu.Lock()
		over := w.closed && len(w.waits) == 0
		w.mu.Unlock()
		if over {
			return
		}
	}
}

// next takes what waits for longest; nil when nothing does.
func (w *Writer) next() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waits) == 0 {
		return nil
	}
	p := w.waits[0]
	w.waits = w.waits[1:]
	w.size -= len(p)
	return p
}

// failed notes a write that came to nothing: the reader has gone, or its disk is full.
func (w *Writer) failed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost++
}

// told tells, when all that waited was read, what was lost before: then there is room to tell it.
func (w *Writer) told() {
	w.mu.Lock()
	lost, tell := w.lost, w.tell
	if len(w.waits) > 0 {
		lost = 0
	}
	w.lost -= lost
	w.mu.Unlock()
	if lost > 0 {
		tell(lost) // which may write, so no lock is held
	}
}
