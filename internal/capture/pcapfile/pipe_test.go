// SPDX-License-Identifier: Apache-2.0

//go:build unix

package pcapfile

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/google/go-cmp/cmp"
)

func namedPipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNamedPipe(t *testing.T) {
	path := namedPipe(t)
	s := New(path)
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	var p packet.Packet
	for range 3 { // longer than it takes to see that nobody writes
		if err := s.Next(&p); err != capture.ErrIdle {
			t.Fatal(err)
		}
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(join(fileHeader(le, magicMicro, 1), record(le, 1, 0, "one")))
	if err := next(s, &p); err != nil || string(p.Data) != "one" {
		t.Errorf("%q, %v", p.Data, err)
	}
	_, _ = w.Write(record(le, 1, 0, "two"))
	_ = w.Close()
	have, err := readAllAfter(t, s, 1)
	if diff := cmp.Diff([]string{"two"}, have); diff != "" || err != io.EOF {
		t.Error(err, diff)
	}
}

// readAllAfter reads s to its end, from which n packets have been read before.
func readAllAfter(t *testing.T, s *Source, n uint64) ([]string, error) {
	t.Helper()
	var have []string
	var p packet.Packet
	for {
		if err := next(s, &p); err != nil {
			if read := s.Stats().Read; read != n+uint64(len(have)) {
				t.Errorf("Stats count %d packets", read)
			}
			_ = s.Close()
			return have, err
		}
		have = append(have, string(p.Data))
	}
}

func TestCloseEndsTheWaitForAPipe(t *testing.T) {
	for _, writer := range []string{"nobody has opened it", "somebody is silent"} {
		t.Run(writer, func(t *testing.T) {
			path := namedPipe(t)
			s := New(path)
			var p packet.Packet
			if err := s.Next(&p); err != capture.ErrIdle {
				t.Fatal(err)
			}
			if writer == "somebody is silent" {
				w, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
			}
			if err := s.Close(); err != nil { // hangs if it does not work
				t.Error(err)
			}
		})
	}
}
