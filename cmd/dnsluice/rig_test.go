// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
)

// beProgram makes the test binary the program itself: what is tested is a process with its
// arguments, signals and exit status, and the race detector sees it when it sees the tests.
const beProgram = "TEST_BE_PROGRAM"

// deadline is how long a test waits for what must come. Nothing waits that long unless it fails.
const deadline = 20 * time.Second

const captures = "../../testdata/"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(beTalker) != "":
		os.Exit(talk())
	case os.Getenv(beProgram) != "":
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns the program with arguments, and nothing of this environment that it would read.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DNSLUICE_") && !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, beProgram+"=1")
	return cmd
}

// result is what a process that has ended left behind.
type result struct {
	code           int
	stdout, stderr string
}

// execute runs the program to its end.
func execute(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// expect checks an exit status.
func (r result) expect(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit status %d, want %d; it said %s", r.code, code, r.stderr)
	}
	return r
}

// process is a program that runs.
type process struct {
	*exec.Cmd
	t     *testing.T
	ended chan struct{}

	mu    sync.Mutex // guards the following
	lines []string   // of both outputs
	more  chan struct{}
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: cmd, t: t, ended: make(chan struct{}), more: make(chan struct{})}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanned := make(chan struct{})
	go func() {
		defer close(scanned)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	go func() {
		_ = cmd.Wait() // its status is in ProcessState
		_ = w.Close()
		<-scanned
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended already where the test passed
		<-p.ended
	})
	return p
}

// says waits for a line with words in it, and returns it.
func (p *process) says(words string) string {
	p.t.Helper()
	timeout := time.After(deadline)
	for n := 0; ; {
		p.mu.Lock()
		lines, more := p.lines, p.more
		p.mu.Unlock()
		for ; n < len(lines); n++ {
			if strings.Contains(lines[n], words) {
				return lines[n]
			}
		}
		select {
		case <-more:
		case <-p.ended:
			if p.mu.Lock(); n == len(p.lines) {
				p.t.Fatalf("it ended and never said %q: %s", words, strings.Join(p.lines, "\n"))
			}
			p.mu.Unlock()
		case <-timeout:
			p.t.Fatalf("it does not say %q: %s", words, strings.Join(lines, "\n"))
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// wait waits for the end, checks the exit status and returns all that was said.
func (p *process) wait(code int) string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(deadline):
		p.t.Fatal("it does not end")
	}
	all := strings.Join(p.lines, "\n")
	if got := p.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit status %d, want %d; it said %s", got, code, all)
	}
	return all
}

func broker(t *testing.T) string {
	t.Helper()
	b, err := embedded.Start("dns", 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return strings.Join(b.Brokers(), ",")
}

// nobody is the address of a broker that is away: its port is free again.
func nobody(t *testing.T) string {
	t.Helper()
	b, err := embedded.Start("dns", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return strings.Join(b.Brokers(), ",")
}

// pipe is a named pipe that a sensor reads: a capture that goes on until the test ends it.
type pipe struct {
	path string
	t    *testing.T
}

func newPipe(t *testing.T) pipe {
	t.Helper()
	p := pipe{filepath.Join(t.TempDir(), "capture"), t}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// feed writes a capture into the pipe and leaves it open. A pipe holds 64 KiB, the capture less.
func (p pipe) feed(file string) {
	p.t.Helper()
	data, err := os.ReadFile(captures + file)
	if err != nil {
		p.t.Fatal(err)
	}
	w, err := os.OpenFile(p.path, os.O_RDWR, 0) // which waits for no reader (fifo(7))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = w.Close() })
	if _, err := w.Write(data); err != nil {
		p.t.Fatal(err)
	}
}

// messages is how many tshark sees in a capture of the project.
func messages(t *testing.T, file string) int {
	t.Helper()
	list, err := os.ReadFile(captures + file + ".tsv")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(list, []byte("\n")) - 1 // the names of the columns
}

// account is the ledger as --ledger writes it.
type account struct {
	Balanced, Complete                                               bool
	Packets, Messages, Records, Acknowledged, Spooled, Dropped, Held uint64
	Stages                                                           []struct {
		Stage, Unit   string
		In, Out, Held uint64
		Dropped       map[string]uint64
		Detail        map[string]uint64
	}
}

// ledgerOf reads the ledger in a file. It has the fields that are promised, no other, and adds up.
func ledgerOf(t *testing.T, path string) account {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var a account
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&a); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	for _, key := range []string{"balanced", "complete", "packets", "messages", "records", "acknowledged",
		"spooled", "dropped", "held", "stages", "stage", "in", "out"} {
		if !bytes.Contains(data, []byte(`"`+key+`":`)) {
			t.Errorf("the ledger has no %q: %s", key, data)
		}
	}
	if !a.Complete || !a.Balanced || a.Held != 0 || a.Records != a.Acknowledged+a.Spooled+a.Dropped {
		t.Errorf("the ledger does not balance: %s", data)
	}
	for _, s := range a.Stages {
		sum := s.Out + s.Held
		for _, n := range s.Dropped {
			sum += n
		}
		if s.In != sum || s.Dropped == nil {
			t.Errorf("stage %s does not balance: %s", s.Stage, data)
		}
	}
	return a
}
