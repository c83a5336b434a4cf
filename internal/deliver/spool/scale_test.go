// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/record"
)

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// counted is a directory that counts what is read.
type counted struct {
	spool.Dir
	bytes int
	files int
}

type countedFile struct {
	spool.File
	dir *counted
}

func (d *counted) Open(name string) (spool.File, error) {
	f, err := d.Dir.Open(name)
	d.files++
	return countedFile{f, d}, err
}

func (f countedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.dir.bytes += n
	return n, err
}

func TestABacklogOfFiveThousandSegmentsIsCountedQuickly(t *testing.T) {
	const segments, segmentSize = 5000, 64 << 20
	data := seedOfTest(t)
	frames, seal := data[:len(data)-68], data[len(data)-68:]
	dir := t.TempDir()
	for i := range segments {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%020d.spool", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		// Between the frames and the seal there is a hole of the size of a real segment: it
		// would take minutes to read all of them.
		_, err1 := f.Write(frames)
		_, err2 := f.WriteAt(seal, segmentSize-int64(len(seal)))
		if err := errors.Join(err1, err2, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	cfg := spool.DefaultConfig()
	cfg.Dir, cfg.MaxBytes, cfg.MinFree, cfg.Sync = dir, 1<<40, 1, spool.SyncNever
	real, err := spool.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	reads := &counted{Dir: real}
	start := time.Now()
	s, err := spool.OpenDir(cfg, reads, discard())
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	grown := int64(heap()) - int64(before)
	equal(t, "records", uint64(6*segments), st.Records)
	equal(t, "segments", segments, st.Segments)
	// The time is the machine's; what makes it short is that next to nothing is read.
	if reads.files > segments+1 || reads.bytes > segments*5000 {
		t.Errorf("%d files and %d bytes were read", reads.files, reads.bytes)
	}
	if perSegment := grown / segments; perSegment > 1000 {
		t.Errorf("%d bytes of memory for each segment", perSegment)
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil && len(fds) > 50 {
		t.Errorf("%d files are open", len(fds))
	}
	t.Logf("opened in %s, %d bytes of heap", took, grown)
	p := record.NewPool(1, 4000)
	b := p.TryGet()
	for range 3 {
		ref, err := s.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		s.Settle(ref)
		p.Put(b)
		b = p.TryGet()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// seedOfTest returns a sealed segment of three frames with 1, 2 and 3 records.
func seedOfTest(t *testing.T) []byte {
	t.Helper()
	var data []byte
	virtual(t, func(t *testing.T) { data, _ = specimen(t, true) })
	return data
}

// childDir tells a copy of this test which directory to use.
const childDir = "DNSLUICE_TEST_SPOOL"

// TestMain makes the test binary a process that appends to a spool until it is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	cfg := small()
	cfg.Dir = dir
	s, err := spool.Open(cfg, discard())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pool := record.NewPool(1, 4000)
	pack, err := record.NewCompressor(record.None, pool)
	if err != nil {
		os.Exit(1)
	}
	for i := range 200 {
		b := pool.TryGet()
		b.Commit(fmt.Appendf(b.Value(1), "record %d", i))
		pack.Seal(b)
		ref, err := s.Append(b)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		s.Release(ref)
		pool.Put(b)
	}
	fmt.Println("ready")
	select {} // until it is killed
}

func TestTwoProcessesAndAKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	cfg := small()
	cfg.Dir = dir
	if _, err := spool.Open(cfg, discard()); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("opened beside another process: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	s, err := spool.Open(cfg, discard())
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	defer s.Close()
	pool := record.NewPool(1, 4000)
	for i := range 200 {
		b := pool.TryGet()
		ref, err := s.Next(b)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if err := record.Each(b.Bytes(), func(_ int64, value []byte) error {
			equal(t, "record", fmt.Sprint("record ", i), string(value))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		s.Settle(ref)
		pool.Put(b)
	}
}

// benchSpool returns a spool on a real disk and a sealed batch of about 200 kB.
func benchSpool(b *testing.B, sync spool.Sync) (*spool.Spool, *record.Pool, *record.Batch) {
	b.Helper()
	cfg := spool.DefaultConfig()
	cfg.Dir, cfg.MaxBytes, cfg.MinFree, cfg.Sync = b.TempDir(), 2<<30, 1, sync
	s, err := spool.Open(cfg, discard())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	pool := record.NewPool(2, 900_000)
	batch := pool.TryGet()
	for range 500 {
		batch.Commit(append(batch.Value(1), make([]byte, 390)...))
	}
	pack, err := record.NewCompressor(record.None, pool)
	if err != nil {
		b.Fatal(err)
	}
	pack.Seal(batch)
	b.SetBytes(int64(batch.Size()))
	b.ReportAllocs()
	return s, pool, batch
}

func BenchmarkAppend(b *testing.B) {
	for _, sync := range []spool.Sync{spool.SyncNever, spool.SyncInterval, spool.SyncAlways} {
		b.Run(sync.String(), func(b *testing.B) {
			s, _, batch := benchSpool(b, sync)
			for b.Loop() {
				ref, err := s.Append(batch)
				if err != nil {
					b.Fatal(err)
				}
				s.Settle(ref)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	s, pool, batch := benchSpool(b, spool.SyncNever)
	into := pool.TryGet()
	for b.Loop() {
		ref, err := s.Next(into)
		if errors.Is(err, deliver.ErrSpoolEmpty) {
			b.StopTimer()
			for range 1000 {
				ref, err := s.Append(batch)
				if err != nil {
					b.Fatal(err)
				}
				s.Release(ref)
			}
			b.StartTimer()
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		s.Settle(ref)
		pool.Put(into)
		into = pool.TryGet()
	}
}
