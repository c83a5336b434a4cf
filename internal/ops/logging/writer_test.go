// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is a pipe whose reader can stop, and go.
type reader struct {
	stopped sync.Mutex // held while it reads nothing

	mu   sync.Mutex // guards the following
	got  strings.Builder
	gone bool
}

func (r *reader) Write(p []byte) (int, error) {
	r.stopped.Lock()
	defer r.stopped.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	return r.got.Write(p)
}

func (r *reader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

func write(t *testing.T, w *Writer, text string) {
	t.Helper()
	if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAWriterPassesAllOnInItsOrder(t *testing.T) {
	var r reader
	w := NewWriter(&r)
	var want strings.Builder
	for _, text := range []string{"one\n", "two\n", "three\n"} {
		write(t, w, text)
		want.WriteString(text)
	}
	w.Close()
	if got := r.text(); got != want.String() {
		t.Errorf("%q", got)
	}
	w = NewWriter(&r)
	large := strings.Repeat("x", 2*most)
	write(t, w, large)
	want.WriteString(large)
	w.Close()
	if got := r.text(); got != want.String() {
		t.Errorf("%q", got)
	}
	write(t, w, "too late\n")
	if got := r.text(); got != want.String() {
		t.Errorf("after the end: %q", got)
	}
}

func TestNobodyWaitsForAReaderThatHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reader
		w := NewWriter(&r)
		var told []uint64
		w.OnLoss(func(lost uint64) {
			told = append(told, lost)
			write(t, w, "told\n")
		})
		r.stopped.Lock()
		line := strings.Repeat("x", 1023) + "\n"
		for range 2*most/1024 + 1 {
			write(t, w, line)
		}
		r.stopped.Unlock()
		synctest.Wait()
		// What the goroutine has taken already may have made room for one more.
		if len(told) != 1 || told[0] < most/1024 || told[0] > most/1024+1 {
			t.Errorf("lost %v", told)
		}
		w.Close()
		text := r.text()
		if passed := uint64(strings.Count(text, line)); passed+told[0] != 2*most/1024+1 ||
			!strings.Contains(text, "told\n") {
			t.Errorf("%d passed, %v lost", passed, told)
		}
	})
}

func TestTheEndDoesNotWaitLongForAReaderThatHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		w := NewWriter(held(hold))
		write(t, w, "x\n")
		began := time.Now()
		w.Close()
		if took := time.Since(began); took != lastWords {
			t.Errorf("waited for %s", took)
		}
		close(hold)
	})
}

// held takes nothing until it is closed.
type held chan struct{}

func (h held) Write(p []byte) (int, error) { <-h; return len(p), nil }

func TestWhatAReaderThatIsGoneDoesNotGetIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gone: true}
		w := NewWriter(r)
		var told uint64
		w.OnLoss(func(lost uint64) { told += lost })
		write(t, w, "a\n")
		write(t, w, "b\n")
		synctest.Wait()
		r.mu.Lock()
		r.gone = false
		r.mu.Unlock()
		write(t, w, "c\n")
		w.Close()
		if got := r.text(); got != "c\n" || told != 2 {
			t.Errorf("%q, %d lost", got, told)
		}
	})
}
