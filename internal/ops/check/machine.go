// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// Settings are what a sensor wants of its machine.
type Settings struct {
	Interfaces []string
	Files      []string // to read, - is standard input
	Sockets    []string // to listen on for dnstap
	Ledger     string   // file, empty for none
	DeadLetter string   // the same
	Memory     int64    // bytes
	Listen     time.Duration
	HTTP       string // address, empty for none
	Spool      Spool
}

// Spool is what a spool wants. Dir is empty when there is none.
type Spool struct {
	Dir     string
	Max     int64 // bytes it may grow to; 0 when it decides by itself
	MinFree int64 // bytes it leaves to others
}

// Link is an interface.
type Link struct{ Up, Running bool }

// Heard is what a short capture saw.
type Heard struct{ Packets, Queries, Responses uint64 }

// Limit is a bound on memory, and whose it is.
type Limit struct {
	Bytes int64
	Whose string // "cgroup /system.slice/dnsluice.service", "machine"
}

// Clock is what the kernel says of its clock (adjtimex(2)).
type Clock struct {
	Synchronised bool
	MaxError     time.Duration
}

// Machine is the machine as far as a sensor needs it. Its functions are replaced in tests.
type Machine struct {
	MayCapture func() error // nil when this process may open packet sockets
	Interface  func(name string) (Link, error)
	Listen     func(ctx context.Context, name string, long time.Duration) (Heard, error)
	Readable   func(path string) error
	Capture    func(path string) error   // reads the beginning of what Readable found
	Socket     func(listen string) error // listens there, and stops
	Ledger     func(path string) error   // nil when such a file may be written; so the next
	DeadLetter func(path string) error
	Limits     func() ([]Limit, error)
	OpenFiles  func() (soft uint64, err error)
	Clock      func() (Clock, error)
	Probe      func(dir string) error // writes a file, syncs it, removes it
	Free       func(dir string) (int64, error)
	Bind       func(ctx context.Context, address string) error
}

// The limits below which a sensor is in danger.
const (
	minOpenFiles = 256 // lanes, brokers, segments, HTTP
	minSpool     = 256 << 20
)

// Checks returns the checks of the machine, in their order.
func (m Machine) Checks(s Settings) []Check {
	const group = "machine"
	var all []Check
	add := func(name, needs string, run func(context.Context) Result, advice string) {
		all = append(all, Check{Group: group, Name: name, Needs: needs, Run: run, Advice: advice})
	}
	if len(s.Interfaces) > 0 {
		add("capability", "", m.capability,
			"run as root or grant CAP_NET_RAW: setcap cap_net_raw+ep dnsluice, or AmbientCapabilities=CAP_NET_RAW")
	}
	for _, name := range s.Interfaces {
		add(name, "", func(context.Context) Result { return m.link(name) },
			"ip link lists the interfaces; ip link set "+name+" up sets this one up")
		add("dns on "+name, name, func(ctx context.Context) Result { return m.dns(ctx, name, s.Listen) },
			"see whether tcpdump -ni "+name+" port 53 shows any; a mirror port must send both directions")
	}
	for _, file := range s.Files {
		add("file", "", func(context.Context) Result { return m.file(file) },
			"name a capture file, pcap or pcapng, that this user can read")
	}
	for _, listen := range s.Sockets {
		add("dnstap", "", func(context.Context) Result { return m.socket(listen) },
			"give another path or address with --dnstap, one whose directory is there; for tls see "+
				"capture.dnstap_tls_cert, its key and its client authorities")
	}
	add("memory", "", func(context.Context) Result { return m.memory(s.Memory) },
		"give a smaller --memory, or the service a larger limit (MemoryMax=, resources.limits)")
	add("open files", "", func(context.Context) Result { return m.files() },
		"raise the limit: LimitNOFILE=1024, or ulimit -n 1024")
	add("clock", "", func(context.Context) Result { return m.clock() },
		"let chrony, systemd-timesyncd or ntpd set the clock of this host: brokers refuse records from the future, "+
			"and time stamps that are off mislead whoever reads them")
	add("spool", "", func(context.Context) Result { return m.spool(s.Spool) },
		"name a directory that this user can write to, on a file system with room (--spool-dir)")
	if s.Ledger != "" {
		add("ledger", "", func(context.Context) Result { return written(s.Ledger, s.Spool, m.Ledger) },
			"name a file in a directory that is there and that this user can write to (--ledger)")
	}
	if s.DeadLetter != "" {
		add("dead letters", "",
			func(context.Context) Result { return written(s.DeadLetter, s.Spool, m.DeadLetter) },
			"name a file in a directory that is there and that this user can write to "+
				"(deliver.dead_letter), or off")
	}
	if s.HTTP != "" {
		add("http", "", func(ctx context.Context) Result { return m.http(ctx, s.HTTP) },
			"give another address with --http, or --http off")
	}
	return all
}

func (m Machine) capability(context.Context) Result {
	if err := m.MayCapture(); err != nil {
		return failure("packets cannot be captured: %v", err)
	}
	return ok("packet sockets may be opened")
}

func (m Machine) link(name string) Result {
	switch l, err := m.Interface(name); {
	case err != nil:
		return failure("%v", err)
	case !l.Up:
		return failure("interface %s is down", name)
	case !l.Running:
		return warning("interface %s is up and has no carrier", name).but("look at the cable, or the peer, of %s", name)
	}
	return ok("interface %s is up", name)
}

func (m Machine) dns(ctx context.Context, name string, long time.Duration) Result {
	h, err := m.Listen(ctx, name, long)
	seen := fmt.Sprintf("%d queries and %d responses in %d packets on %s", h.Queries, h.Responses, h.Packets, name)
	switch {
	case err != nil:
		return failure("capture on %s: %v", name, err)
	case h.Packets == 0:
		return warning("no packet of the DNS ports on %s within %s", name, long)
	case h.Queries+h.Responses == 0:
		return warning("%s: no DNS among them", seen).but("see whether --ports are those of DNS")
	case h.Queries == 0 || h.Responses == 0:
		return warning("%s: one direction only", seen).but("mirror both directions (rx and tx) to %s", name)
	}
	return ok("%s", seen)
}

func (m Machine) file(path string) Result {
	if path == "-" {
		return ok("standard input")
	}
	if err := m.Readable(path); err != nil {
		return failure("%v", err)
	}
	if err := m.Capture(path); err != nil {
		return failure("%v", err)
	}
	return ok("%s can be read", path)
}

func (m Machine) socket(listen string) Result {
	if err := m.Socket(listen); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return warning("%s is in use, by a sensor that runs perhaps", listen)
		}
		return failure("%v", err)
	}
	return ok("%s can be listened on", listen)
}

// written looks whether a file may be written. The directory of the spool the sensor makes first.
func written(path string, s Spool, try func(string) error) Result {
	if s.Dir != "" && filepath.Dir(path) == filepath.Clean(s.Dir) {
		return ok("%s is in the directory of the spool", path)
	}
	if err := try(path); err != nil {
		return failure("%v", err)
	}
	return ok("%s can be written", path)
}

func (m Machine) memory(want int64) Result {
	limits, err := m.Limits()
	if err != nil {
		return warning("the limits of memory are not known: %v", err)
	}
	least := Limit{}
	for _, l := range limits {
		if least.Whose == "" || l.Bytes < least.Bytes {
			least = l
		}
	}
	switch {
	case least.Whose == "":
		return ok("%s wanted, no limit", mib(want))
	case least.Bytes < want:
		return failure("%s wanted, and %s has %s: the kernel would kill the sensor under load", mib(want), least.Whose, mib(least.Bytes))
	case least.Bytes < want+want/4:
		return warning("%s wanted, and %s has %s, which leaves little to the page cache of the spool", mib(want), least.Whose, mib(least.Bytes))
	}
	return ok("%s wanted, %s has %s", mib(want), least.Whose, mib(least.Bytes))
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func (m Machine) files() Result {
	switch n, err := m.OpenFiles(); {
	case err != nil:
		return warning("the limit of open files is not known: %v", err)
	case n < minOpenFiles:
		return warning("%d files may be open at a time", n)
	default:
		return ok("%d files may be open at a time", n)
	}
}

func (m Machine) clock() Result {
	c, err := m.Clock()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return skipped("this system does not tell whether its clock is synchronised")
	case err != nil:
		return warning("the kernel does not tell about its clock: %v", err)
	case !c.Synchronised:
		return warning("the kernel's clock is not synchronised")
	}
	return ok("synchronised, off by at most %s", c.MaxError.Round(time.Millisecond))
}

func (m Machine) spool(s Spool) Result {
	if s.Dir == "" {
		return skipped("no directory: what does not fit in memory while Kafka is away is dropped and counted")
	}
	if err := m.Probe(s.Dir); err != nil {
		switch {
		case errors.Is(err, syscall.ENOSPC):
			return failure("%v", err).but("make room on the file system of %s", s.Dir)
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
			return failure("%v", err).but("make %s writable for this user", s.Dir)
		}
		return failure("%v", err)
	}
	free, err := m.Free(s.Dir)
	if err != nil {
		return warning("%s is writable; its free space is not known: %v", s.Dir, err)
	}
	room := free - s.MinFree
	switch {
	case room < minSpool:
		return failure("%s has %s free, of which %s stay free", s.Dir, mib(free), mib(s.MinFree)).
			but("make room on the file system of %s, or name another directory (--spool-dir)", s.Dir)
	case s.Max > room:
		return warning("%s has %s free, of which %s stay free: the spool cannot grow to its %s",
			s.Dir, mib(free), mib(s.MinFree), mib(s.Max)).but("make room, or say less with --spool-max")
	}
	return ok("%s is writable and has %s free", s.Dir, mib(free))
}

func (m Machine) http(ctx context.Context, address string) Result {
	if err := m.Bind(ctx, address); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return warning("%s is in use, by a sensor that runs perhaps", address)
		}
		return failure("%v", err)
	}
	return ok("%s is free", address)
}
