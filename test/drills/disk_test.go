// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/deliver/spool/spooltest"
)

// onDisk puts the spool on a disk that the drill can break.
func onDisk(size int64) (func(*rig), *spooltest.Disk) {
	disk := spooltest.New(size)
	return func(r *rig) {
		plain(r)
		r.disk.MaxBytes, r.disk.Segment = 64<<20, 256<<10
		r.open = func(c spool.Config) (*spool.Spool, error) { return spool.OpenDir(c, disk, quiet) }
	}, disk
}

// degraded waits until the sensor says that its disk fails.
func degraded(r *rig) {
	r.Helper()
	until(r, "the disk is said to fail", promptly, func() bool {
		s := r.s.Status()
		return s.Spool.Error != "" && !s.State.Ready()
	})
}

func TestDrillDiskFull(t *testing.T) {
	config, disk := onDisk(3 << 20)
	drill{number: 27, what: "the spool's disk is full, and then has room", rate: 6000, config: config,
		fault: away, during: func(r *rig) {
			until(r, "the disk is full", patience, func() bool {
				return r.spool.Stats().OwnDropped[deliver.SpoolFull] > 0
			})
			r.state(deliver.Dropping)
			if testing.Short() { // what fails is tried again in its own time
				disk.Resize(1 << 30)
				return
			}
			disk.Resize(64 << 10) // others fill it, and giving up the oldest makes no room
			degraded(r)
			r.passes(2000)
			disk.Resize(1 << 30)
			r.spooled(r.spool.Stats().Records + 1000)
		}, heal: back}.run(t)
}

// segments are the files of the spool, oldest first.
func (r *rig) segments() []string {
	r.Helper()
	all, err := filepath.Glob(filepath.Join(r.disk.Dir, "*.spool"))
	if err != nil {
		r.Fatal(err)
	}
	return all
}

// edit changes a file.
func (r *rig) edit(name string, change func([]byte) []byte) {
	r.Helper()
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Fatal(err)
	}
	if err := os.WriteFile(name, change(data), 0o600); err != nil {
		r.Fatal(err)
	}
}

func TestDrillSpoolCorrupted(t *testing.T) {
	drill{number: 29, what: "bits of the spool flip, ends and holes are torn, foreign files lie there",
		rate: 6000, config: func(r *rig) { plain(r); r.disk.Segment = 256 << 10 },
		fault: away, during: func(r *rig) {
			r.spooled(6000)
			r.again(func() {
				all := r.segments()
				if len(all) < 5 {
					r.Fatalf("%d segments", len(all))
				}
				r.edit(all[0], func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
				r.edit(all[1], func(b []byte) []byte { return b[:len(b)-100] })
				r.edit(all[2], func(b []byte) []byte { clear(b[len(b)/3 : len(b)/3+4096]); return b })
				dir := r.disk.Dir
				r.edit(filepath.Join(dir, "00000000000000009001.spool"), func([]byte) []byte { return nil })
				r.edit(filepath.Join(dir, "00000000000000009002.spool"), func([]byte) []byte {
					return []byte("this is something else altogether")
				})
				first, err := os.ReadFile(all[3])
				if err != nil {
					r.Fatal(err)
				}
				r.edit(filepath.Join(dir, "00000000000000009003.spool"), func([]byte) []byte {
					first[4] = 9 // a version to come
					return first[:68]
				})
				r.edit(filepath.Join(dir, "notes.txt"), func([]byte) []byte { return []byte("mine") })
			})
		}, heal: back, after: func(r *rig, o outcome) {
			if o.Lost == 0 {
				r.Error("nothing is lost: the drill was none")
			}
			if _, err := os.Stat(filepath.Join(r.disk.Dir, "notes.txt")); err != nil {
				r.Error(err)
			}
		}}.run(t)
}

func TestDrillCursor(t *testing.T) {
	drill{number: 30, what: "the spool's cursor is garbage, and then gone", rate: 4000,
		config: func(r *rig) { plain(r); r.disk.Segment = 256 << 10 },
		fault:  away, during: func(r *rig) {
			cursor := filepath.Join(r.disk.Dir, "cursor")
			for _, harm := range []func(){
				func() { r.edit(cursor, func([]byte) []byte { return []byte("\x00\xffnot a cursor") }) },
				func() {
					if err := os.Remove(cursor); err != nil && !errors.Is(err, fs.ErrNotExist) {
						r.Fatal(err)
					}
				},
			} {
				r.spooled(3000)
				all := r.spool.Stats().Records
				back(r)
				until(r, "some are delivered", patience, func() bool { return r.spool.Stats().Records < all*3/4 })
				away(r)
				r.again(harm)
			}
		}, heal: back, after: lossless}.run(t)
}

// files returns how many files this process has open (proc(5)).
func files(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestDrillBacklog(t *testing.T) {
	segments := 1000
	if !testing.Short() {
		segments = 5000
	}
	var open, used int // files, and bytes of the heap
	few := func(r *rig) {
		r.Helper()
		if n := files(r); n > open+50 {
			r.Errorf("%d files are open, and %d were before", n, open)
		}
	}
	drill{number: 31, what: fmt.Sprintf("a start with %d segments in the spool", segments),
		config: func(r *rig) {
			plain(r)
			// What the spool gets in 5 ms is more than half of a segment, so that each has one batch.
			r.cfg.Deliver.Linger, r.cfg.Deliver.SpoolAfter = 2*time.Millisecond, 5*time.Millisecond
			r.disk.Segment, r.disk.MaxBytes, r.disk.Sync = spool.MinSegment, 1<<30, spool.SyncNever
		}, fault: func(r *rig) {
			r.calm() // so that of no batch it is not known whether it arrived
			open, used = files(r), int(heap())
			away(r)
			r.rate(30_000)
		}, during: func(r *rig) {
			took := until(r, "the segments are there", 4*patience, func() bool {
				return r.spool.Stats().Segments >= segments
			})
			r.rate(1000)
			var begun time.Time
			r.again(func() { begun = time.Now() })
			until(r, "packets are taken", patience, func() bool { return r.asked() > 0 })
			opened := time.Since(begun)
			st := r.spool.Stats()
			r.Logf("%d records in %d segments after %v, opened in %v", st.Records, st.Segments, took, opened)
			if opened > 2*time.Second || st.Segments < segments {
				r.Errorf("%d segments took %v to open", st.Segments, opened)
			}
			few(r)
			if n := int(heap()); n > used+32<<20 {
				r.Errorf("the heap has %d MiB, and had %d", n>>20, used>>20)
			}
		}, heal: func(r *rig) {
			back(r)
			r.acknowledged(1000)
			few(r)
		}, after: func(r *rig, o outcome) {
			// A busy machine may drop some while the disk fills: the oracle knows how many.
			if o.Duplicated != 0 {
				r.Errorf("%d are there twice", o.Duplicated)
			}
		}}.run(t)
}
