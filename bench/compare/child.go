// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what the kernel says a child cost, by wait4.
type usage struct {
	cpu time.Duration // user and system
	// rss is the most memory it ever had in RAM, in bytes. A child begins as a copy of this
	// process, whose own peak is the least that can be said of it: this process stays small.
	rss int64
}

// child is one sensor at work.
type child struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has ended
	log    string
}

// start runs a sensor, which ends by itself, by cancel, or with ctx. It may take as long as
// patience to end when asked to; then it is killed.
func start(ctx context.Context, s sensor, j job, patience time.Duration) (*child, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &child{cancel: cancel, ended: make(chan struct{}), log: filepath.Join(j.dir, "log")}
	log, err := os.Create(c.log)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("log of %s: %w", s.name(), err)
	}
	defer log.Close()
	c.cmd = exec.CommandContext(ctx, s.binary, s.args(j)...)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = patience
	c.cmd.Dir = j.dir
	c.cmd.Stdout, c.cmd.Stderr = log, log
	// Nothing of the caller's environment may set one sensor and not the other.
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + j.dir}
	if s.prints {
		out, err := os.Create(filepath.Join(j.records(), "records.json"))
		if err != nil {
			cancel()
			return nil, fmt.Errorf("records of %s: %w", s.name(), err)
		}
		defer out.Close()
		c.cmd.Stdout = out
	}
	if err := c.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", s.name(), err)
	}
	go func() {
		_ = c.cmd.Wait() // its status is in ProcessState
		close(c.ended)
	}()
	return c, nil
}

// stop ends the child, by force if it does not listen.
func (c *child) stop() {
	c.cancel()
	<-c.ended
}

// usage returns what the child cost. It must have ended.
func (c *child) usage() (usage, error) {
	state := c.cmd.ProcessState
	r, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}, errors.New("resource usage of a child: this system does not tell")
	}
	// Linux counts in kilobytes (getrusage(2)).
	return usage{cpu: state.UserTime() + state.SystemTime(), rss: r.Maxrss << 10}, nil
}

// reads tells whether the child has the file open and is not at its end.
func (c *child) reads(file string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid))
	info, err := os.Stat(file)
	if err != nil {
		return false
	}
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return false // it has ended
	}
	for _, fd := range open {
		target, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err != nil || target != file {
			continue
		}
		text, err := os.ReadFile(filepath.Join(proc, "fdinfo", fd.Name()))
		if err == nil && position(string(text)) < info.Size() {
			return true
		}
	}
	return false
}

// position reads "pos:" of proc_pid_fdinfo(5).
func position(fdinfo string) int64 {
	_, rest, _ := strings.Cut(fdinfo, "pos:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// lastWords returns the end of the child's log.
func (c *child) lastWords() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	return string(text[max(0, len(text)-600):])
}

// size returns the bytes of all files of a folder.
func size(folder string) (int64, error) {
	sum := int64(0)
	err := filepath.WalkDir(folder, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum += info.Size()
		return nil
	})
	return sum, err
}

// lines counts the lines that hold something, in all files of a folder.
func lines(folder string) (int64, error) {
	sum := int64(0)
	err := filepath.WalkDir(folder, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n, err := linesOf(p)
		sum += n
		return err
	})
	return sum, err
}

func linesOf(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, last := int64(0), byte('\n')
	buf := make([]byte, 256<<10)
	for {
		read, err := f.Read(buf)
		for b := range bytes.SplitAfterSeq(buf[:read], []byte("\n")) {
			if len(b) > 1 && b[len(b)-1] == '\n' || len(b) == 1 && b[0] == '\n' && last != '\n' {
				n++
			}
			if len(b) > 0 {
				last = b[len(b)-1]
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
