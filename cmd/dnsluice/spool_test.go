// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/record"
)

// batchOf is a sealed batch of these values.
func batchOf(t *testing.T, values ...[]byte) *record.Batch {
	t.Helper()
	pool := record.NewPool(1, 100_000)
	pack, err := record.NewCompressor(record.Snappy, pool)
	if err != nil {
		t.Fatal(err)
	}
	b := pool.TryGet()
	for _, value := range values {
		b.Commit(append(b.Value(1), value...))
	}
	pack.Seal(b)
	return b
}

// filled returns the directory of a spool with three batches of two records, the first of them
// settled, and the file of its segment.
func filled(t *testing.T) (dir, segment string) {
	t.Helper()
	dir = t.TempDir()
	cfg := config.Default().Spool
	cfg.Dir = dir
	s, err := openSpool(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		ref, err := s.Append(batchOf(t,
			fmt.Appendf(nil, `{"qname":"example","seq":%d,"pad":"%s"}`, i, strings.Repeat("x", 200)),
			fmt.Appendf(nil, "\x00binary %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			s.Settle(ref)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, "00000000000000000001.spool")
}

func TestSpoolShowsWhatWaits(t *testing.T) {
	t.Parallel()
	dir, segment := filled(t)
	list := execute(t, program(t, "spool", "ls", dir)).expect(t, 0)
	lines := strings.Split(strings.TrimSpace(list.stdout), "\n")
	if len(lines) != 3 || !strings.Contains(list.stdout, filepath.Base(segment)) {
		t.Fatal(list.stdout)
	}
	if f := strings.Fields(lines[1]); f[1] != "3" || f[2] != "6" || f[3] != "2" || f[7] != "sealed" {
		t.Errorf("not 3 frames, 6 records, 2 settled: %s", lines[1])
	}
	cat := execute(t, program(t, "spool", "cat", dir)).expect(t, 0)
	lines = strings.Split(strings.TrimSpace(cat.stdout), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], `{"qname":"example","seq":1,`) ||
		lines[1] != `{"base64":"AGJpbmFyeSAx"}` {
		t.Errorf("records: %s", cat.stdout)
	}
	every := execute(t, program(t, "spool", "cat", "--all", dir)).expect(t, 0)
	if n := strings.Count(every.stdout, "\n"); n != 6 {
		t.Errorf("%d records in all", n)
	}
	check := execute(t, program(t, "spool", "check", dir)).expect(t, 0)
	if check.stdout != "1 segments, 3 whole frames, 0 problems\n" {
		t.Error(check.stdout)
	}
}

func TestSpoolCheckNamesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir, segment := filled(t)
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-100] ^= 1 // in the last payload
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(data[:len(data)-68]), "\xd5spl")
	says := fmt.Sprintf("00000000000000000001.spool: offset %d: crc", at)
	check := execute(t, program(t, "spool", "check", dir)).expect(t, 1)
	if !strings.Contains(check.stdout, says) ||
		!strings.Contains(check.stdout, "2 whole frames, 1 problems") {
		t.Errorf("want %q: %s", says, check.stdout)
	}
	cat := execute(t, program(t, "spool", "cat", dir)).expect(t, 1)
	if strings.Count(cat.stdout, "\n") != 2 || !strings.Contains(cat.stderr, says) {
		t.Errorf("%s%s", cat.stdout, cat.stderr)
	}
	execute(t, program(t, "spool", "check", dir+"/none")).expect(t, 1)
	execute(t, program(t, "spool", "check")).expect(t, 2)
	for _, command := range []string{"ls", "cat", "check"} { // the folder above it, by mistake
		r := execute(t, program(t, "spool", command, filepath.Dir(dir))).expect(t, 1)
		if !strings.Contains(r.stderr, "has files, and none of a spool") {
			t.Errorf("%s says %s", command, r.stderr)
		}
	}
	empty := execute(t, program(t, "spool", "ls", t.TempDir())).expect(t, 0)
	if !strings.Contains(empty.stdout, "total") {
		t.Error(empty.stdout)
	}
}

func TestNoSpoolIsConfigured(t *testing.T) {
	t.Parallel()
	s, err := openSpool(config.Default().Spool, slog.New(slog.DiscardHandler))
	if s != nil || err != nil {
		t.Errorf("%v, %v", s, err)
	}
}

// damaged is a spool of which some was corrupt when it was opened, and some more when it was read.
type damaged struct{ deliver.Spool }

func (damaged) Close() error { return nil }

func (damaged) Stats() (s deliver.SpoolStats) {
	s.Corrupt.Records, s.Dropped[deliver.SpoolCorrupt] = 42, 2
	return s
}

func TestTheEndOfARunTellsWhatWasCorruptFromTheStart(t *testing.T) {
	var out bytes.Buffer
	if err := closeSpool(damaged{}, slog.New(slog.NewTextHandler(&out, nil))); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, "corrupt on disk") || !strings.Contains(s, "records=40\n") {
		t.Errorf("it says %q", s)
	}
}
