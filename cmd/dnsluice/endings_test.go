// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"syscall"
	"testing"
)

// unread returns the writing end of a pipe that is full, and its reading end, where nobody reads.
func unread(t *testing.T) (w, r *os.File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err != syscall.EAGAIN; {
		if _, err = syscall.Write(fds[1], []byte{'x'}); err != nil && err != syscall.EAGAIN {
			t.Fatal(err)
		}
	}
	if err := syscall.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	w, r = os.NewFile(uintptr(fds[1]), "full"), os.NewFile(uintptr(fds[0]), "unread")
	t.Cleanup(func() {
		_ = w.Close() // the reading end may be closed by the test
		_ = r.Close()
	})
	return w, r
}

// The log may go to somebody who has stopped, or who is gone. Neither is a reason to stop, or to die.
func TestARunDoesNotDependOnWhoReadsItsLog(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"he has stopped": false, "he is gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ledger := filepath.Join(t.TempDir(), "ledger.json")
			cmd := program(t, "run", "--read", captures+"bind-types.pcap", "--brokers", broker(t),
				"--http", "off", "--ledger", ledger)
			w, r := unread(t)
			if gone {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Stderr = w
			if err := cmd.Run(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			want := uint64(messages(t, "bind-types.pcap"))
			if a := ledgerOf(t, ledger); !a.Complete || a.Acknowledged != want {
				t.Errorf("%+v, want %d", a, want)
			}
		})
	}
}

func TestAFailureIsOneThoughNobodyReadsWhy(t *testing.T) {
	t.Parallel()
	cmd := program(t, "run", "--read", "/nowhere.pcap", "--brokers", broker(t), "--http", "off")
	cmd.Stderr, _ = unread(t)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitFailure {
		t.Errorf("it ended with %v", err)
	}
}

// A terminal that goes away must not cost what is held.
// hear lets SIGHUP do what it does by default, in programs that the test starts too: whoever runs the
// tests may ignore it.
func hear(t *testing.T) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
}

func TestAHangupDrains(t *testing.T) {
	t.Parallel()
	hear(t)
	capture, ledger := newPipe(t), filepath.Join(t.TempDir(), "ledger.json")
	p := start(t, program(t, "run", "--read", capture.path, "--brokers", nobody(t), "--grace", "100ms",
		"--http", "127.0.0.1:0", "--ledger", ledger))
	capture.feed("bind-types.pcap")
	n := uint64(messages(t, "bind-types.pcap"))
	eventually(t, p.address()+"/api/state", fmt.Sprintf(`"messages": %d,`, n))
	p.signal(syscall.SIGHUP)
	p.wait(exitFailure)
	if a := ledgerOf(t, ledger); !a.Complete || a.Dropped != n {
		t.Errorf("%+v", a)
	}
}

func TestAHangupThatWasIgnoredBeforeTheStartStaysIgnored(t *testing.T) {
	t.Parallel()
	hear(t)
	if !slices.Contains(endings(), os.Signal(syscall.SIGHUP)) {
		t.Error("SIGHUP ends nothing")
	}
	capture := newPipe(t)
	cmd := program(t, "run", "--read", capture.path, "--brokers", broker(t), "--http", "127.0.0.1:0")
	cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	p := start(t, cmd)
	url := p.address()
	p.signal(syscall.SIGHUP)
	capture.feed("bind-types.pcap")
	acknowledged := fmt.Sprintf(`"acknowledged": %d,`, messages(t, "bind-types.pcap"))
	eventually(t, url+"/api/state", acknowledged)
	p.signal(syscall.SIGTERM)
	p.wait(exitFailure) // the pipe was not read to its end
}
