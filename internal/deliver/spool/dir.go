// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Dir is the directory of a spool as the file system presents it: all that the spool asks of one,
// so that a test can put a disk that fails in its place. Names are relative to the directory, and
// errors are those of package os. All methods may be called by several goroutines.
type Dir interface {
	// List returns what is in the folder sub of the directory, "." being itself, by name.
	List(sub string) ([]fs.DirEntry, error)
	// Create makes a file that is not there yet (O_EXCL), to be read and written.
	Create(name string) (File, error)
	// Open opens a file to be read.
	Open(name string) (File, error)
	// Rename replaces to, if it is there, at once.
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string) error
	// Sync makes durable which names there are.
	Sync() error
	Space() (Space, error)
	// Lock keeps every other process out until the lock is closed, or the process ends. When
	// another has it, the error is ErrLocked.
	Lock() (io.Closer, error)
}

// File is an open file of a Dir. Close may be called while other methods run, as with os.File;
// they then return an error that is os.ErrClosed, or end first.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Size() (int64, error)
	// Sync makes the content durable. An error means that what was written since the last Sync
	// may be lost, whatever a later Sync says: the kernel reports such an error once, and marks
	// the pages as clean.
	Sync() error
}

// Space is the room of a file system, in bytes; Total is 0 when it is not known.
type Space struct{ Free, Total int64 }

// ErrLocked is returned for a directory that another process uses.
var ErrLocked = errors.New("another process uses this directory; give each its own")

// osDir is a directory of the operating system.
type osDir struct{ path string }

// OpenOS returns a directory of the operating system. It makes it, with what is above it, if it
// is not there: then only its owner may read it, for DNS tells who asks for what.
func OpenOS(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("spool: make the directory: %w", err)
	}
	return osDir{path}, nil
}

// ReadOS returns a directory of the operating system that must be there already, for List, Open
// and nothing else. One that is full of other things is an error: whoever asks whether records wait
// must not hear that there are none because he has named the wrong one.
func ReadOS(path string) (Dir, error) {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", path)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	ours := func(e fs.DirEntry) bool {
		_, segment := segmentNumber(e.Name())
		return segment || e.Name() == cursorName
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, ours) {
		return nil, fmt.Errorf("spool: %s has files, and none of a spool; name the directory that spool.dir names", path)
	}
	return osDir{path}, nil
}

func (d osDir) at(name string) string { return filepath.Join(d.path, name) }

func (d osDir) List(sub string) ([]fs.DirEntry, error) { return os.ReadDir(d.at(sub)) }
func (d osDir) Rename(from, to string) error           { return os.Rename(d.at(from), d.at(to)) }
func (d osDir) Remove(name string) error               { return os.Remove(d.at(name)) }
func (d osDir) Mkdir(name string) error                { return os.Mkdir(d.at(name), 0o700) }

func (d osDir) Create(name string) (File, error) {
	return asFile(os.OpenFile(d.at(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600))
}

func (d osDir) Open(name string) (File, error) { return asFile(os.Open(d.at(name))) }

func (d osDir) Sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d osDir) Space() (Space, error)    { return space(d.path) }
func (d osDir) Lock() (io.Closer, error) { return lock(d.path) }

// osFile is a file of the operating system.
type osFile struct{ *os.File }

// asFile keeps a nil *os.File from becoming a File that is not nil.
func asFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
