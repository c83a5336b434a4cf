// SPDX-License-Identifier: Apache-2.0

// Package spooltest is a disk in memory that fails when it is told to, for tests of the spool and
// of what uses it. It remembers what was synced and what was not, and forgets the latter, or part
// of it, in a crash.
package spooltest

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/spool"
)

// Op is a kind of operation that can fail.
type Op string

// The operations.
const (
	List    Op = "list"
	Create  Op = "create"
	Open    Op = "open"
	Rename  Op = "rename"
	Remove  Op = "remove"
	SyncDir Op = "sync directory"
	Read    Op = "read"
	Write   Op = "write"
	Sync    Op = "sync"
)

// Disk is a spool.Dir in memory.
type Disk struct {
	mu     sync.Mutex // guards the following
	names  map[string]*inode
	solid  map[string]*inode // the names that a crash leaves, with those of journal that it takes
	log    []change
	fail   func(op Op, name string) error
	size   int64 // of the whole disk
	locked bool
	opened int // files that are open
	syncs  int
	era    int // crashes so far: files opened before are dead
}

// change is one change of the names that was not synced yet.
type change struct {
	name string
	to   *inode // nil when it was removed
}

type inode struct {
	data  []byte // as the page cache has it
	solid []byte // as the platter has it
	late  []write
}

// write is one that was not synced yet.
type write struct {
	off  int64
	data []byte // nil for a truncation to off
}

const sector = 512

var _ spool.Dir = (*Disk)(nil)

// New returns an empty disk of size bytes.
func New(size int64) *Disk {
	return &Disk{names: map[string]*inode{}, solid: map[string]*inode{}, size: size}
}

// Fail makes every operation fail for which fail returns an error; nil heals the disk. A write
// that fails with ENOSPC writes half of its bytes first, as a disk does.
func (d *Disk) Fail(fail func(op Op, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

// Resize changes the size of the disk.
func (d *Disk) Resize(size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size = size
}

// Used returns the bytes of all files.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used()
}

func (d *Disk) used() int64 {
	n := int64(0)
	for _, f := range d.names {
		n += int64(len(f.data))
	}
	return n
}

// Opened returns how many files are open.
func (d *Disk) Opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened
}

// Syncs returns how often a file was synced.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// Kill is the end of the process: open files are dead, the lock is free, the content stays.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
}

func (d *Disk) kill() {
	d.era++
	d.opened, d.locked = 0, false
}

// Crash is a loss of power: of what was not synced, some is there and some is not, by rng. Changes
// of names survive up to one of them, writes in any choice, each whole or up to a sector. Without
// rng nothing of it is there.
func (d *Disk) Crash(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kill()
	if rng == nil {
		d.log = nil
		for _, f := range d.solid {
			f.late = nil
		}
	} else {
		d.log = d.log[:rng.IntN(len(d.log)+1)]
	}
	for _, c := range d.log {
		if c.to == nil {
			delete(d.solid, c.name)
		} else {
			d.solid[c.name] = c.to
		}
	}
	d.log = nil
	d.names = maps.Clone(d.solid)
	for _, f := range d.names {
		for _, w := range f.late {
			switch cut := len(w.data); rng.IntN(3) {
			case 0:
				continue
			case 1:
				cut = min(cut, rng.IntN(cut/sector+1)*sector)
				w.data = w.data[:cut:cut]
				fallthrough
			default:
				f.solid = apply(f.solid, w)
			}
		}
		f.late = nil
		f.data = slices.Clone(f.solid)
	}
}

func apply(data []byte, w write) []byte {
	if w.data == nil {
		return data[:min(w.off, int64(len(data)))]
	}
	if end := w.off + int64(len(w.data)); end > int64(len(data)) {
		data = append(data, make([]byte, end-int64(len(data)))...)
	}
	copy(data[w.off:], w.data)
	return data
}

// Put writes a file as if it had always been there. Get returns one, and whether it is there.
func (d *Disk) Put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &inode{data: slices.Clone(data), solid: slices.Clone(data)}
	d.names[name], d.solid[name] = f, f
}

// Get returns the content of a file, and whether it is there.
func (d *Disk) Get(name string) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, false
	}
	return slices.Clone(f.data), true
}

// Names returns the names of all files, in order.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.names))
}

// may returns why the operation fails. d.mu is held.
func (d *Disk) may(op Op, name string) error {
	if d.fail != nil {
		if err := d.fail(op, name); err != nil {
			return &fs.PathError{Op: string(op), Path: name, Err: err}
		}
	}
	return nil
}

// List implements spool.Dir.
func (d *Disk) List(sub string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.may(List, sub); err != nil {
		return nil, err
	}
	var all []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if path.Dir(name) == sub {
			all = append(all, fs.FileInfoToDirEntry(info{path.Base(name), int64(len(d.names[name].data))}))
		}
	}
	return all, nil
}

type info struct {
	name string
	size int64
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o600 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }

// Create implements spool.Dir.
func (d *Disk) Create(name string) (spool.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.may(Create, name); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &inode{}
	d.names[name] = f
	d.log = append(d.log, change{name, f})
	d.opened++
	return &file{disk: d, inode: f, name: name, era: d.era}, nil
}

// Open implements spool.Dir.
func (d *Disk) Open(name string) (spool.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.may(Open, name); err != nil {
		return nil, err
	}
	f := d.names[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	d.opened++
	return &file{disk: d, inode: f, name: name, era: d.era}, nil
}

// Rename implements spool.Dir.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.may(Rename, from); err != nil {
		return err
	}
	f := d.names[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(d.names, from)
	d.names[to] = f
	d.log = append(d.log, change{to, f}, change{from, nil})
	return nil
}

// Remove implements spool.Dir.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.may(Remove, name); err != nil {
		return err
	}
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(d.names, name)
	d.log = append(d.log, change{name, nil})
	return nil
}

// Mkdir implements spool.Dir: every folder is there already.
func (d *Disk) Mkdir(string) error { return nil }

// Sync implements spool.Dir.
func (d *Disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.may(SyncDir, "."); err != nil {
		return err
	}
	d.solid, d.log = maps.Clone(d.names), nil
	return nil
}

// Space implements spool.Dir.
func (d *Disk) Space() (spool.Space, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return spool.Space{Free: max(d.size-d.used(), 0), Total: d.size}, nil
}

// Lock implements spool.Dir.
func (d *Disk) Lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, spool.ErrLocked
	}
	d.locked = true
	return &lock{d, d.era}, nil
}

type lock struct {
	disk *Disk
	era  int
}

func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.era == l.disk.era {
		l.disk.locked = false
	}
	return nil
}

// file is an open file.
type file struct {
	disk   *Disk
	inode  *inode
	name   string
	era    int
	closed bool
}

// alive returns why the file cannot be used. The disk's mutex is held.
func (f *file) alive(op Op) error {
	if f.closed || f.era != f.disk.era {
		return &fs.PathError{Op: string(op), Path: f.name, Err: os.ErrClosed}
	}
	return f.disk.may(op, f.name)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.alive(Read); err != nil {
		return 0, err
	}
	if off >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.inode.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	err := f.alive(Write)
	if grows := off + int64(len(p)) - int64(len(f.inode.data)); err == nil && grows > d.size-d.used() {
		err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return 0, err
	}
	if err != nil {
		p = p[:min(int64(len(p)/2), max(d.size-d.used(), 0))]
	}
	w := write{off, slices.Clone(p)}
	if len(p) > 0 {
		f.inode.data = apply(f.inode.data, w)
		f.inode.late = append(f.inode.late, w)
	}
	return len(p), err
}

func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.alive(Write); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	w := write{off: size}
	f.inode.data = apply(f.inode.data, w)
	f.inode.late = append(f.inode.late, w)
	return nil
}

func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.inode.data)), nil
}

// Sync implements spool.File. When it fails the writes are forgotten: no later Sync makes them
// durable, as with Linux.
func (f *file) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.alive(Sync); err != nil {
		if !errors.Is(err, os.ErrClosed) {
			f.inode.late = nil
		}
		return err
	}
	f.disk.syncs++
	for _, w := range f.inode.late {
		f.inode.solid = apply(f.inode.solid, w)
	}
	f.inode.late = nil
	return nil
}

func (f *file) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed || f.era != f.disk.era {
		return &fs.PathError{Op: "close", Path: f.name, Err: os.ErrClosed}
	}
	f.closed = true
	f.disk.opened--
	return nil
}

// Segments returns the names of the files that have a segment's name.
func (d *Disk) Segments() []string {
	names := []string{}
	for _, name := range d.Names() {
		if strings.HasSuffix(name, ".spool") && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names
}
