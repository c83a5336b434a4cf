// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

// WriteText writes the ledger as a table for people, and one sentence that adds it up. It
// returns w's error.
func (l Ledger) WriteText(w io.Writer) error {
	rows := [][]string{{"stage", "", "in", "out", "held", "dropped", ""}}
	for _, s := range l.Stages {
		rows = append(rows, []string{s.Stage, s.Unit, Number(s.In), Number(s.Out), Number(s.Held),
			Number(s.DroppedSum()), strings.Join(s.reasons(Number), ", ")})
	}
	var b strings.Builder
	writeTable(&b, rows, "llrrrrl")
	t := l.Totals
	fmt.Fprintf(&b, "%s packets, %s messages, %s records: "+
		"%s acknowledged, %s spooled, %s dropped, %s held\n",
		Number(t.Packets), Number(t.Messages), Number(t.Records),
		Number(t.Acknowledged), Number(t.Spooled), Number(t.Dropped), Number(t.Held))
	if err := l.Check(); err != nil {
		fmt.Fprintf(&b, "the ledger does not balance:\n%v\n", err)
	} else {
		b.WriteString("the ledger balances\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTable writes rows with their columns aligned as align says, l or r for each.
func writeTable(b *strings.Builder, rows [][]string, align string) {
	widths := make([]int, len(align))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// Number returns n as people read it, with a comma between each three digits: 2,000,000.
func Number(n uint64) string {
	s := plain(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plain(n uint64) string { return strconv.FormatUint(n, 10) }

// WriteFile writes the ledger as JSON to path. A reader sees the old file or the new one, never
// half of it: it is written to a new file beside path, which is then renamed. What is no regular
// file, such as /dev/stderr or a FIFO, is written to as it is.
func (l Ledger) WriteFile(path string) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("ledger: encode: %w", err)
	}
	data = append(data, '\n')
	// A rename would replace the device, not write to it.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return wrap(path, writeDevice(path, data))
	}
	return wrap(path, replaceFile(path, data))
}

// CheckFile returns what WriteFile would fail with, as far as that can be told, or nil. It leaves
// nothing behind.
func CheckFile(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return wrap(path, writeDevice(path, nil))
	}
	f, err := createBeside(path)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	return wrap(path, err)
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ledger: write %s: %w", path, err)
}

func writeDevice(path string, data []byte) error {
	// Not blocking: a FIFO without a reader is an error, not a run that never ends (fifo(7)).
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Close())
}

// createBeside makes a file in the directory of path. Its name cannot be guessed: beside a fixed
// one in a shared directory, someone could have put a link for root to follow.
func createBeside(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
}

func replaceFile(path string, data []byte) (err error) {
	f, err := createBeside(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
