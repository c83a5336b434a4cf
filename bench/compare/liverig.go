// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/bench/compare/sender"
)

// isolated tells this program that it is in a network namespace of its own.
const isolated = "DNSLUICE_COMPARE_ISOLATED"

// isolate begins this program anew in a network namespace of its own; it returns only to say why
// it cannot. The namespace has no name and no way out, and goes with the last process in it, even
// if that is killed.
func isolate(args []string) error {
	if os.Geteuid() != 0 {
		return errors.New("live: needs root, for network namespaces: sudo make live")
	}
	// A namespace is a thread's; with exec all of the process is this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("live: make a network namespace: %w", err)
	}
	argv := append([]string{os.Args[0], "live"}, args...)
	err := syscall.Exec("/proc/self/exe", argv, append(os.Environ(), isolated+"=1"))
	return fmt.Errorf("live: begin in the network namespace: %w", err)
}

// source is the sender: a process in a second namespace, which has the far end of the pair.
type source struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// newSource starts the sender, and connects both namespaces. It runs on the given processors, or
// on all if there are none.
func newSource(ctx context.Context, capture string, cpus []int) (*source, error) {
	s := &source{cmd: exec.CommandContext(ctx, "/proc/self/exe", "send", farEnd, capture)}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	s.out = bufio.NewReader(out)
	if err := pinned(cpus, s.cmd.Start); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if _, err := s.out.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("sender: %w", errors.Join(err, s.stop()))
	}
	add := exec.CommandContext(ctx, "ip", "link", "add", nearEnd, "type", "veth", "peer", "name",
		farEnd, "netns", strconv.Itoa(s.cmd.Process.Pid))
	if text, err := add.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pair of interfaces: %w: %s", err, text), s.stop())
	}
	if err := sender.Up(nearEnd); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop ends the sender, and with its namespace both ends of the pair.
func (s *source) stop() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }

// send has frames sent, and waits until they are.
func (s *source) send(r sender.Request) (sender.Reply, error) {
	if err := json.NewEncoder(s.in).Encode(r); err != nil {
		return sender.Reply{}, fmt.Errorf("sender: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	var reply sender.Reply
	if err == nil {
		err = json.Unmarshal(line, &reply)
	}
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	if err != nil {
		return reply, fmt.Errorf("sender: %w", err)
	}
	return reply, nil
}

// received returns how many packets an interface of this namespace has had.
func received(device string) (int64, error) {
	text, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, fmt.Errorf("packets of %s: %w", device, err)
	}
	return receivedOf(string(text), device)
}

// receivedOf reads /proc/net/dev (proc_pid_net(5)): after the name, bytes and packets received.
func receivedOf(text, device string) (int64, error) {
	for line := range strings.Lines(text) {
		name, counts, _ := strings.Cut(line, ":")
		if fields := strings.Fields(counts); strings.TrimSpace(name) == device && len(fields) > 1 {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("packets of %s: %w", device, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("packets of %s: there is no such interface", device)
}

// pinned starts a process that can run on these processors only, or anywhere if none are given. A
// child begins where its parent's thread is allowed to be, and its runtime sees no others.
func pinned(cpus []int, start func() error) error {
	if len(cpus) == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("processors: %w", err)
	}
	for _, cpu := range cpus {
		only.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("processors %v: %w", cpus, err)
	}
	err := start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// allowed returns the processors that this program may use.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
