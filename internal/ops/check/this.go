// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// ThisMachine returns the machine that this is. Listen, Capture and Socket are left to who has a
// capture, and DeadLetter to who has a delivery.
func ThisMachine() Machine {
	return Machine{
		MayCapture: mayCapture,
		Interface:  systemLink,
		Readable:   readable,
		Ledger:     ledger.CheckFile,
		Limits:     memoryLimits,
		OpenFiles:  openFiles,
		Clock:      systemClock,
		Probe:      probe,
		Free:       func(dir string) (int64, error) { return freeSpace(existing(dir)) },
		Bind:       bind,
	}
}

func systemLink(name string) (Link, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return Link{}, fmt.Errorf("interface %q: %w", name, err)
	}
	return Link{Up: i.Flags&net.FlagUp != 0, Running: i.Flags&net.FlagRunning != 0}, nil
}

func readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		return nil // opening a FIFO would wait for its writer
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// probe writes a file into dir and removes it again: permissions alone do not tell of a quota, a
// read-only mount or a disk that fails. A directory that is not there is made by the sensor, so
// it is looked at the one above it.
func probe(dir string) error {
	f, err := os.CreateTemp(existing(dir), ".check-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4096))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// existing returns dir, or the first directory above it that is there.
func existing(dir string) string {
	for {
		above := filepath.Dir(dir)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || above == dir {
			return dir
		}
		dir = above
	}
}

func bind(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}
