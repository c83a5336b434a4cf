// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

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
