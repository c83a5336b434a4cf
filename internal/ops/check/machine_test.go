// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wellMachine is one where all is as it must be, for settings.
func wellMachine() (Machine, Settings) {
	return Machine{
			MayCapture: func() error { return nil },
			Interface:  func(string) (Link, error) { return Link{Up: true, Running: true}, nil },
			Listen: func(context.Context, string, time.Duration) (Heard, error) {
				return Heard{Packets: 10, Queries: 5, Responses: 5}, nil
			},
			Readable:   func(string) error { return nil },
			Capture:    func(string) error { return nil },
			Socket:     func(string) error { return nil },
			Ledger:     func(string) error { return nil },
			DeadLetter: func(string) error { return nil },
			Limits:     func() ([]Limit, error) { return []Limit{{1 << 30, "the machine"}}, nil },
			OpenFiles:  func() (uint64, error) { return 1024, nil },
			Clock:      func() (Clock, error) { return Clock{true, 3 * time.Millisecond}, nil },
			Probe:      func(string) error { return nil },
			Free:       func(string) (int64, error) { return 100 << 30, nil },
			Bind:       func(context.Context, string) error { return nil },
		}, Settings{
			Interfaces: []string{"eth2"}, Memory: 96 << 20, Listen: 5 * time.Second, HTTP: "127.0.0.1:9953",
			Spool: Spool{Dir: "/spool", Max: 10 << 30, MinFree: 1 << 30},
		}
}

func TestAMachineWhereAllIsWell(t *testing.T) {
	m, s := wellMachine()
	s.Files, s.Sockets = []string{"a.pcap", "-"}, []string{"unix:///d.sock"}
	s.Ledger, s.DeadLetter = "/ledger.json", "/spool/letters"
	lines, worst := made(t, m.Checks(s))
	want := []string{
		"ok capability: packet sockets may be opened",
		"ok eth2: interface eth2 is up",
		"ok dns on eth2: 5 queries and 5 responses in 10 packets on eth2",
		"ok file: a.pcap can be read",
		"ok file: standard input",
		"ok dnstap: unix:///d.sock can be listened on",
		"ok memory: 96 MiB wanted, the machine has 1024 MiB",
		"ok open files: 1024 files may be open at a time",
		"ok clock: synchronised, off by at most 3ms",
		"ok spool: /spool is writable and has 102400 MiB free",
		"ok ledger: /ledger.json can be written",
		"ok dead letters: /spool/letters is in the directory of the spool",
		"ok http: 127.0.0.1:9953 is free",
	}
	if diff := cmp.Diff(want, lines); diff != "" || worst != OK {
		t.Errorf("worst %v (-want +got):\n%s", worst, diff)
	}
}

// TestEachThingThatIsWrongWithAMachine breaks one thing at a time, and looks at the one line.
func TestEachThingThatIsWrongWithAMachine(t *testing.T) {
	hears := func(h Heard, err error) func(*Machine, *Settings) {
		return func(m *Machine, _ *Settings) {
			m.Listen = func(context.Context, string, time.Duration) (Heard, error) { return h, err }
		}
	}
	limits := func(l []Limit, err error) func(*Machine, *Settings) {
		return func(m *Machine, _ *Settings) { m.Limits = func() ([]Limit, error) { return l, err } }
	}
	clock := func(c Clock, err error) func(*Machine, *Settings) {
		return func(m *Machine, _ *Settings) { m.Clock = func() (Clock, error) { return c, err } }
	}
	probes := func(err error) func(*Machine, *Settings) {
		return func(m *Machine, _ *Settings) { m.Probe = func(string) error { return err } }
	}
	free := func(n int64, err error) func(*Machine, *Settings) {
		return func(m *Machine, _ *Settings) { m.Free = func(string) (int64, error) { return n, err } }
	}
	for _, c := range []struct {
		name, check string
		wrong       func(*Machine, *Settings)
		want        string // level, found and a part of the advice
	}{
		{"no right to capture", "capability", func(m *Machine, _ *Settings) {
			m.MayCapture = func() error { return syscall.EPERM }
		}, "failure capability: packets cannot be captured: operation not permitted -> run as root or grant CAP_NET_RAW"},
		{"no such interface", "eth2", func(m *Machine, _ *Settings) {
			m.Interface = func(string) (Link, error) { return Link{}, errors.New("no such interface") }
		}, "failure eth2: no such interface -> ip link lists"},
		{"an interface that is down", "eth2", func(m *Machine, _ *Settings) {
			m.Interface = func(string) (Link, error) { return Link{}, nil }
		}, "failure eth2: interface eth2 is down -> ip link lists the interfaces; ip link set eth2 up"},
		{"no carrier", "eth2", func(m *Machine, _ *Settings) {
			m.Interface = func(string) (Link, error) { return Link{Up: true}, nil }
		}, "warning eth2: interface eth2 is up and has no carrier -> look at the cable"},
		{"no packets", "dns on eth2", hears(Heard{}, nil),
			"warning dns on eth2: no packet of the DNS ports on eth2 within 5s -> see whether tcpdump"},
		{"something else on the port", "dns on eth2", hears(Heard{Packets: 9}, nil),
			"warning dns on eth2: 0 queries and 0 responses in 9 packets on eth2: no DNS among them -> see whether --ports"},
		{"queries only", "dns on eth2", hears(Heard{Packets: 9, Queries: 9}, nil),
			"warning dns on eth2: 9 queries and 0 responses in 9 packets on eth2: one direction only -> mirror both"},
		{"responses only", "dns on eth2", hears(Heard{Packets: 9, Responses: 9}, nil),
			"warning dns on eth2: 0 queries and 9 responses in 9 packets on eth2: one direction only -> mirror both"},
		{"a capture that fails", "dns on eth2", hears(Heard{}, errors.New("no ring")),
			"failure dns on eth2: capture on eth2: no ring -> "},
		{"a file that is not there", "file", func(m *Machine, s *Settings) {
			s.Files = []string{"a.pcap"}
			m.Readable = func(string) error { return fs.ErrNotExist }
		}, "failure file: file does not exist -> name a capture file"},
		{"a file that is no capture", "file", func(m *Machine, s *Settings) {
			s.Files = []string{"a.pcap"}
			m.Capture = func(string) error { return errors.New("no capture") }
		}, "failure file: no capture -> name a capture file, pcap or pcapng"},
		{"a socket without its directory", "dnstap", func(m *Machine, s *Settings) {
			s.Sockets = []string{"unix:///none/d.sock"}
			m.Socket = func(string) error { return fs.ErrNotExist }
		}, "failure dnstap: file does not exist -> give another path or address with --dnstap"},
		{"a socket in use", "dnstap", func(m *Machine, s *Settings) {
			s.Sockets = []string{"tcp://:6000"}
			m.Socket = func(string) error { return fmt.Errorf("listen: %w", syscall.EADDRINUSE) }
		}, "warning dnstap: tcp://:6000 is in use, by a sensor that runs perhaps -> give another path"},
		{"a ledger without its directory", "ledger", func(m *Machine, s *Settings) {
			s.Ledger = "/none/ledger.json"
			m.Ledger = func(string) error { return fs.ErrNotExist }
		}, "failure ledger: file does not exist -> name a file in a directory that is there"},
		{"dead letters of a wrong name", "dead letters", func(m *Machine, s *Settings) {
			s.DeadLetter = "/spool"
			m.DeadLetter = func(string) error { return syscall.EISDIR }
		}, "failure dead letters: is a directory -> name a file in a directory that is there"},
		{"a cgroup smaller than wanted", "memory", limits([]Limit{{1 << 30, "the machine"}, {64 << 20, "the control group /x"}}, nil),
			"failure memory: 96 MiB wanted, and the control group /x has 64 MiB: the kernel would kill the sensor under load -> give a smaller"},
		{"a cgroup hardly larger", "memory", limits([]Limit{{100 << 20, "the control group /x"}}, nil),
			"warning memory: 96 MiB wanted, and the control group /x has 100 MiB"},
		{"limits that cannot be read", "memory", limits(nil, errors.New("no /proc")),
			"warning memory: the limits of memory are not known: no /proc"},
		{"few files", "open files", func(m *Machine, _ *Settings) {
			m.OpenFiles = func() (uint64, error) { return 64, nil }
		}, "warning open files: 64 files may be open at a time -> raise the limit"},
		{"a limit of files that cannot be read", "open files", func(m *Machine, _ *Settings) {
			m.OpenFiles = func() (uint64, error) { return 0, syscall.EPERM }
		}, "warning open files: the limit of open files is not known"},
		{"a clock that nobody sets", "clock", clock(Clock{}, nil), "warning clock: the kernel's clock is not synchronised -> let chrony"},
		{"a clock that does not tell", "clock", clock(Clock{}, syscall.EPERM), "warning clock: the kernel does not tell about its clock: operation not permitted"},
		{"a system without adjtimex", "clock", clock(Clock{}, errors.ErrUnsupported), "skipped clock: this system does not tell"},
		{"no spool", "spool", func(_ *Machine, s *Settings) { s.Spool.Dir = "" }, "skipped spool: no directory"},
		{"a spool that is not there", "spool", probes(fs.ErrNotExist), "failure spool: file does not exist -> name a directory"},
		{"a spool of somebody else", "spool", probes(fmt.Errorf("open: %w", fs.ErrPermission)),
			"failure spool: open: permission denied -> make /spool writable"},
		{"a spool that is read-only", "spool", probes(fmt.Errorf("open: %w", syscall.EROFS)),
			"failure spool: open: read-only file system -> make /spool writable"},
		{"a full disk", "spool", probes(fmt.Errorf("write: %w", syscall.ENOSPC)),
			"failure spool: write: no space left on device -> make room"},
		{"a disk nearly full", "spool", free(1<<30+100<<20, nil),
			"failure spool: /spool has 1124 MiB free, of which 1024 MiB stay free -> make room"},
		{"less room than the spool may take", "spool", free(5<<30, nil),
			"warning spool: /spool has 5120 MiB free, of which 1024 MiB stay free: the spool cannot grow to its 10240 MiB -> make room, or say less"},
		{"free space that is not told", "spool", free(0, errors.New("statfs")),
			"warning spool: /spool is writable; its free space is not known: statfs"},
		{"an address in use", "http", func(m *Machine, _ *Settings) {
			m.Bind = func(context.Context, string) error { return fmt.Errorf("listen: %w", syscall.EADDRINUSE) }
		}, "warning http: 127.0.0.1:9953 is in use, by a sensor that runs perhaps -> give another address"},
		{"an address of another machine", "http", func(m *Machine, _ *Settings) {
			m.Bind = func(context.Context, string) error { return syscall.EADDRNOTAVAIL }
		}, "failure http: cannot assign requested address -> give another address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, s := wellMachine()
			c.wrong(&m, &s)
			lines, _ := made(t, m.Checks(s))
			for _, line := range lines {
				if strings.Contains(line, " "+c.check+": ") {
					if !strings.HasPrefix(line, c.want) {
						t.Errorf("%q\ndoes not begin with\n%q", line, c.want)
					}
					return
				}
			}
			t.Errorf("no line of %s in %q", c.check, lines)
		})
	}
}

func TestAnInterfaceThatFailedIsNotListenedTo(t *testing.T) {
	m, s := wellMachine()
	m.Interface = func(string) (Link, error) { return Link{}, errors.New("gone") }
	m.Listen = func(context.Context, string, time.Duration) (Heard, error) {
		t.Error("it was listened to")
		return Heard{}, nil
	}
	made(t, m.Checks(s))
}

// What follows asks the machine that the tests run on.

func TestThisMachineAnswers(t *testing.T) {
	m := ThisMachine()
	if _, err := m.Limits(); err != nil {
		t.Error(err)
	}
	if n, err := m.OpenFiles(); err != nil || n == 0 {
		t.Errorf("%d open files, %v", n, err)
	}
	if _, err := m.Clock(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if l, err := m.Interface("lo"); err != nil || !l.Up {
		t.Errorf("lo is %+v, %v", l, err)
	}
	if _, err := m.Interface("nonesuch0"); err == nil || !strings.Contains(err.Error(), "nonesuch0") {
		t.Errorf("nonesuch0: %v", err)
	}
}

func TestTheProbeOfTheSpoolLeavesNothing(t *testing.T) {
	m, dir := ThisMachine(), t.TempDir()
	if err := m.Probe(dir); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v left, %v", left, err)
	}
	if n, err := m.Free(dir); err != nil || n <= 0 {
		t.Errorf("%d free, %v", n, err)
	}
	none := filepath.Join(dir, "none", "of", "these") // the sensor makes it
	if err := m.Probe(none); err != nil {
		t.Error(err)
	}
	if n, err := m.Free(none); err != nil || n <= 0 {
		t.Errorf("%d free, %v", n, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Readable(file); err != nil {
		t.Error(err)
	}
	if m.Probe(file) == nil || m.Readable(dir) == nil || m.Readable(file+".not") == nil {
		t.Error("no error")
	}
}

func TestAnAddressIsFreeUntilItIsTaken(t *testing.T) {
	if err := ThisMachine().Bind(t.Context(), "127.0.0.1:0"); err != nil {
		t.Error(err)
	}
	if err := ThisMachine().Bind(t.Context(), "192.0.2.1:9"); err == nil {
		t.Error("an address of another machine was taken")
	}
}
