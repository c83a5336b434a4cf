// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/deliver/spool/spooltest"
	"github.com/dnsluice/dnsluice/internal/record"
)

const mib = 1 << 20

// rig is a spool on a disk in memory, with a pool of batches and a name for each of them.
type rig struct {
	t    *testing.T
	disk *spooltest.Disk
	cfg  spool.Config
	pool *record.Pool
	pack *record.Compressor
	s    *spool.Spool
	made int
}

// small is the least that can be configured.
func small() spool.Config {
	return spool.Config{Dir: "(memory)", MaxBytes: 16 * spool.MinSegment, MinFree: 1,
		Segment: spool.MinSegment}
}

// newRig returns a rig without a spool yet.
func newRig(t *testing.T, cfg spool.Config) *rig {
	t.Helper()
	r := &rig{t: t, disk: spooltest.New(64 * mib), cfg: cfg, pool: record.NewPool(64, 20_000)}
	r.pool.Poison = true
	var err error
	if r.pack, err = record.NewCompressor(record.None, r.pool); err != nil {
		t.Fatal(err)
	}
	return r
}

// opened is newRig with the spool open.
func opened(t *testing.T, cfg spool.Config) *rig {
	t.Helper()
	r := newRig(t, cfg)
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := spool.OpenDir(r.cfg, r.disk, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.s = s
	r.t.Cleanup(func() { s.Close() }) // a test that failed leaves its goroutine in the bubble
}

// kill ends the process in the middle of everything, and starts the next one.
func (r *rig) kill() {
	r.t.Helper()
	r.die(r.disk.Kill)
	r.open()
}

// die ends the process by end. What is left of it is closed, on a disk that does nothing for it.
func (r *rig) die(end func()) {
	end()
	r.disk.Fail(func(spooltest.Op, string) error { return syscall.EIO })
	r.s.Close()
	r.disk.Fail(nil)
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.s.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
	balanced(r.t, r.s)
}

// batch returns a sealed batch of n records with a name of its own, in about size bytes.
func (r *rig) batch(n, size int) (*record.Batch, string) {
	r.t.Helper()
	r.made++
	name := fmt.Sprintf("b%06d", r.made)
	b := r.pool.TryGet()
	for i := range n {
		value := fmt.Appendf(b.Value(1_700_000_000_000), `{"batch":"%s","i":%d,"pad":"`, name, i)
		value = append(value, bytes.Repeat([]byte{'x'}, max(0, size/n-60))...)
		if !b.Commit(append(value, `"}`...)) {
			r.t.Fatal("no room")
		}
	}
	r.pack.Seal(b)
	return b, name
}

// nameOf returns the name of a batch, after a check that nothing else is in it.
func nameOf(t *testing.T, sealed []byte) string {
	t.Helper()
	name, n := "", 0
	if err := record.Each(sealed, func(_ int64, value []byte) error {
		var got string
		var i int
		if _, err := fmt.Sscanf(string(value), `{"batch":"%7s","i":%d,`, &got, &i); err != nil ||
			i != n || n > 0 && got != name {
			return fmt.Errorf("record %d of %q: %s: %v", n, name, value, err)
		}
		name, n = got, n+1
		return nil
	}); err != nil {
		t.Fatalf("a batch that nobody appended: %v", err)
	}
	return name
}

// append appends a batch of n records, which stays held.
func (r *rig) append(n, size int) (deliver.Ref, string) {
	r.t.Helper()
	b, name := r.batch(n, size)
	defer r.pool.Put(b)
	ref, err := r.s.Append(b)
	if err != nil {
		r.t.Fatalf("append: %v", err)
	}
	if ref.Records != n || ref.Segment == 0 || ref.Recovered {
		r.t.Errorf("ref %+v of %d records", ref, n)
	}
	return ref, name
}

// spill appends a batch whose memory is gone at once.
func (r *rig) spill(n, size int) string {
	r.t.Helper()
	ref, name := r.append(n, size)
	r.s.Release(ref)
	return name
}

// next returns the next frame, and "" when there is none.
func (r *rig) next() (deliver.Ref, string) {
	r.t.Helper()
	b := r.pool.TryGet()
	defer r.pool.Put(b)
	ref, err := r.s.Next(b)
	if errors.Is(err, deliver.ErrSpoolEmpty) {
		if b.Records() != 0 {
			r.t.Errorf("no frame, and %d records", b.Records())
		}
		return ref, ""
	}
	if err != nil {
		r.t.Fatalf("next: %v", err)
	}
	if ref.Records != b.Records() {
		r.t.Errorf("ref of %d records, batch of %d", ref.Records, b.Records())
	}
	return ref, nameOf(r.t, b.Bytes())
}

// drain hands out and settles all, and returns the names in order.
func (r *rig) drain() []string {
	r.t.Helper()
	var names []string
	for {
		ref, name := r.next()
		if name == "" {
			return names
		}
		names = append(names, name)
		r.s.Settle(ref)
	}
}

func dropped(st deliver.SpoolStats) uint64 {
	n := uint64(0)
	for _, d := range st.Dropped {
		n += d
	}
	return n
}

// balanced checks that the account adds up.
func balanced(t *testing.T, s *spool.Spool) {
	t.Helper()
	st := s.Stats()
	if in, out := st.Recovered+st.Appended, st.Settled+dropped(st)+st.Records; in != out {
		t.Errorf("recovered %d + appended %d is not settled %d + dropped %v + waiting %d",
			st.Recovered, st.Appended, st.Settled, st.Dropped, st.Records)
	}
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// pass lets virtual time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// setVersion makes the first header of a segment one of another version, and a right one.
func setVersion(segment []byte, version byte) {
	segment[4] = version
	fixed := spool.FixHeaders(segment[:68])
	copy(segment, fixed)
}

// seedOf returns a segment of three frames for a fuzz target.
func seedOf(f *testing.F, sealed bool) []byte {
	f.Helper()
	pool := record.NewPool(1, 4000)
	pack, err := record.NewCompressor(record.None, pool)
	if err != nil {
		f.Fatal(err)
	}
	disk := spooltest.New(mib)
	s, err := spool.OpenDir(small(), disk, discard())
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		b := pool.TryGet()
		for range i + 1 {
			b.Commit(append(b.Value(1), "a record"...))
		}
		pack.Seal(b)
		if _, err := s.Append(b); err != nil {
			f.Fatal(err)
		}
		pool.Put(b)
	}
	data, _ := disk.Get(firstSegment)
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	if sealed {
		data, _ = disk.Get(firstSegment)
	}
	return data
}
