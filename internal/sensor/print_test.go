// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/packet"
)

var errBroken = errors.New("test: broken")

// broken is a source, and a writer, that fails.
type broken struct{}

// Next implements capture.Source.
func (broken) Next(*packet.Packet) error { return errBroken }

// Drain implements capture.Source.
func (broken) Drain() {}

// Stats implements capture.Source.
func (broken) Stats() capture.Stats { return capture.Stats{} }

// Close implements capture.Source.
func (broken) Close() error { return nil }

// Write implements io.Writer.
func (broken) Write([]byte) (int, error) { return 0, errBroken }

// limited is a writer that takes so many writes and then fails.
type limited struct {
	bytes.Buffer
	writes int
}

// Write implements io.Writer.
func (w *limited) Write(b []byte) (int, error) {
	if w.writes--; w.writes < 0 {
		return 0, errBroken
	}
	return w.Buffer.Write(b)
}

func TestFilesArePrintedInTheOrderGiven(t *testing.T) {
	files := own(t, "knot-udp6.pcap", "bind-types.pcap")
	var each, both bytes.Buffer
	for _, f := range files {
		if _, err := Print(t.Context(), settings(f), &each); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Print(t.Context(), settings(files...), &both)
	if err != nil {
		t.Fatal(err)
	}
	balances(t, l)
	want, got := linesOf(&each), linesOf(&both)
	for i := range got {
		want[i], got[i] = about([]byte(want[i])), about([]byte(got[i]))
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func linesOf(b *bytes.Buffer) []string { return slices.Collect(strings.Lines(b.String())) }

func TestWhatCannotBeWrittenIsSaidOnceAndCounted(t *testing.T) {
	types := own(t, "bind-types.pcap", "bind-types.pcap")
	for _, c := range []struct {
		name  string
		files []string
		w     io.Writer
	}{
		{"a small file", own(t, "chaos.pcap"), broken{}},
		{"several files", own(t, "chaos.pcap", "transfer-axfr.pcap.zst", "bind-types.pcap"), broken{}},
		{"a large file", own(t, "transfer-axfr.pcap.zst"), broken{}},
		{"a write that fails between two turns", types, &limited{}},
		{"the last write", types, &limited{writes: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Print(t.Context(), settings(c.files...), c.w)
			if err == nil || err.Error() != "sensor: write records: test: broken" {
				t.Errorf("the error is %v", err)
			}
			balances(t, l)
			written := 0
			if w, ok := c.w.(*limited); ok {
				written = len(linesOf(&w.Buffer))
			}
			if l.Acknowledged != uint64(written) || l.Dropped == 0 {
				t.Errorf("%d lines were written: %+v", written, l)
			}
		})
	}
}

func TestPrintingStopsWhenItIsToldTo(t *testing.T) {
	silent := filepath.Join(t.TempDir(), "pipe") // that nobody writes to
	if err := syscall.Mkfifo(silent, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var l ledger.Ledger
	printed := make(chan error, 1)
	go func() {
		var err error
		l, err = Print(ctx, settings(silent, silent), io.Discard)
		printed <- err
	}()
	cancel()
	if err := <-printed; !errors.Is(err, errInterrupted) {
		t.Errorf("%v, want %v", err, errInterrupted)
	}
	balances(t, l)
}

func TestASourceThatFailsDoesNotKeepALaneFromTheOthers(t *testing.T) {
	var out bytes.Buffer
	file := own(t, "chaos.pcap")[0]
	sources := func(yield func(capture.Source) bool) {
		for _, src := range []capture.Source{broken{}, pcapfile.New(file), broken{}} {
			if !yield(src) {
				return
			}
		}
	}
	l, err := newLane(settings(), 0, sources, newLines(&out))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.run(); !errors.Is(err, errBroken) || strings.Count(err.Error(), "broken") != 2 {
		t.Errorf("the error is %v", err)
	}
	if n, want := len(linesOf(&out)), len(printedRecords(t, file)); n != want {
		t.Errorf("%d records, want %d", n, want)
	}
}

func TestADirectoryIsNoCapture(t *testing.T) {
	l, err := Print(t.Context(), settings(filepath.Dir(listed)), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Error(err)
	}
	balances(t, l)
}

func TestASourceThatIsNeverReadIsClosedAndCounted(t *testing.T) {
	ring := &unread{stats: capture.Stats{Received: 7}}
	l, err := newLane(settings(), 0, one(ring), newLines(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	l.drain()
	if err := l.run(); err != nil {
		t.Error(err)
	}
	if got := l.count().capture; got.Discarded != 7 || got.Received != 7 {
		t.Errorf("%+v", got)
	}
}

// unread is a source whose ring has filled before its lane began.
type unread struct {
	capture.Source
	stats capture.Stats
}

func (u *unread) Stats() capture.Stats { return u.stats }

func (u *unread) Close() error {
	u.stats.Discarded = u.stats.Received
	return nil
}
