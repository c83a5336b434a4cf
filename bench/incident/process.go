// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// child is a process under observation.
type child struct {
	name   string
	cmd    *exec.Cmd
	out    tail
	exited chan struct{} // closed when it has; err is set then
	err    error

	feed    chan []byte   // what the wire brings; nil for what does not capture
	offered atomic.Uint64 // packets on the wire so far
	missed  atomic.Uint64 // of them, that it had no room for, as a kernel would count
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if extra := len(t.text) - 16<<10; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(b), nil
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(bytes.Clone(t.text)))
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// startCapture starts a process whose standard input is the wire. It is killed when ctx ends.
func startCapture(ctx context.Context, name, program string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.CommandContext(ctx, program, args...), feed: make(chan []byte, 64)}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.launch(); err != nil {
		return nil, err
	}
	go func() {
		defer in.Close()
		if _, err := in.Write(pcapHeader()); err != nil {
			return
		}
		for b := range c.feed {
			if _, err := in.Write(b); err != nil {
				return // it is gone, and the table says so
			}
		}
	}()
	return c, nil
}

// environment is this one without what dnsluice would read of it, and without its heartbeats: so
// each packet is one record, in both topics.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DNSLUICE_") })
	return append(env, "DNSLUICE_DELIVER_HEARTBEAT=0s")
}

// launch starts the process.
func (c *child) launch() error {
	c.cmd.Env = environment()
	c.cmd.Stderr, c.exited = &c.out, make(chan struct{})
	// The end of the parent, however it comes, is the end of all.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return nil
}

// take offers packets to a capture. A wire does not wait: what finds no room is gone.
func (c *child) take(packets []byte, n int) {
	c.offered.Add(uint64(n))
	select {
	case c.feed <- packets:
	default:
		c.missed.Add(uint64(n))
	}
}

func (c *child) alive() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// end waits for the process to end by itself, then asks it to, then kills it, and tells which of
// these it took.
func (c *child) end(patience time.Duration) string {
	began := time.Now()
	for _, step := range []struct {
		signal syscall.Signal
		said   string
	}{{0, "ended by itself"}, {syscall.SIGTERM, "ended on SIGTERM"}, {syscall.SIGKILL, "had to be killed"}} {
		if step.signal != 0 {
			_ = c.cmd.Process.Signal(step.signal) // it may have ended meanwhile
		}
		select {
		case <-c.exited:
			return fmt.Sprintf("%s, after %s, with %v", step.said, time.Since(began).Round(time.Second/10), c.cmd.ProcessState)
		case <-time.After(patience):
		}
	}
	return "cannot even be killed"
}

// usage is what the kernel says of a process.
type usage struct {
	rss int64         // bytes
	cpu time.Duration // so far
}

func (c *child) usage() (usage, error) {
	dir := "/proc/" + strconv.Itoa(c.cmd.Process.Pid)
	statm, err := os.ReadFile(dir + "/statm")
	if err != nil {
		return usage{}, err
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return usage{}, fmt.Errorf("%s/statm: %w", dir, err)
	}
	// Fields 14 and 15 (proc(5)), in ticks of 1/100 s; the name before them may hold blanks.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("%s/stat: %w", dir, io.ErrUnexpectedEOF)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("%s/stat: %w", dir, err)
		}
		ticks += n
	}
	return usage{resident * int64(os.Getpagesize()), time.Duration(ticks) * 10 * time.Millisecond}, nil
}
