// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/afpacket"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/record"
)

// own returns the paths of captures of the project; with no names, of all.
func own(t *testing.T, names ...string) []string {
	t.Helper()
	if len(names) == 0 {
		names = []string{"*.pcap", "*.pcapng", "*.gz", "*.zst"}
	}
	var paths []string
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(ownCaptures, name))
		if err != nil || len(found) == 0 {
			t.Fatalf("no capture %s: %v", name, err)
		}
		paths = append(paths, found...)
	}
	return paths
}

// printedRecords are the records of captures as they are without Kafka, sorted.
func printedRecords(t *testing.T, files ...string) []string {
	t.Helper()
	return printedAs(t, settings(files...))
}

func printedAs(t *testing.T, cfg Config) []string {
	t.Helper()
	var out bytes.Buffer
	if _, err := Print(t.Context(), cfg, &out); err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range bytes.Lines(out.Bytes()) {
		all = append(all, about(line))
	}
	slices.Sort(all)
	return all
}

func abouts(records []sent) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = r.about
	}
	slices.Sort(all)
	return all
}

func TestFilesReachTheTopicOverTwoLanes(t *testing.T) {
	files, brokers := own(t), broker(t)
	// One lane waits at a pipe until the other has delivered something: so both have records.
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	s := build(t, settings(append([]string{pipe}, files[1:]...)...), brokers, quiet)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	firstRecord(t, brokers)
	feed(t, pipe, files[0])
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	back := readBack(t, brokers)
	lanes := complete(t, s.Ledger(), back)
	if len(lanes) != 2 {
		t.Errorf("%d lanes have records: %v", len(lanes), lanes)
	}
	if diff := cmp.Diff(abouts(back), printedRecords(t, files...)); diff != "" {
		t.Errorf("delivered and printed records differ (-delivered +printed):\n%s", diff)
	}
	if status := s.Status(); status.State != deliver.Flowing {
		t.Errorf("the state at the end is %s", status.Sentence)
	}
}

// feed writes a capture into a pipe that somebody reads.
func feed(t *testing.T, pipe, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(pipe, data, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryCodecIsReadBack(t *testing.T) {
	file := own(t, "bind-types.pcap")
	want := printedRecords(t, file...)
	for _, name := range []string{"none", "snappy", "zstd", "lz4", "gzip"} {
		t.Run(name, func(t *testing.T) {
			brokers, cfg := broker(t), settings(file...)
			codec, err := record.ParseCodec(name)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Deliver.Codec = codec
			s := build(t, cfg, brokers, quiet)
			if err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			back := readBack(t, brokers)
			complete(t, s.Ledger(), back)
			if diff := cmp.Diff(abouts(back), want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFileThatFailsDoesNotKeepTheOthersOut(t *testing.T) {
	whole := own(t, "bind-types.pcap")[0]
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(cut, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		says       []string
		some       bool
	}{
		{"a file that is cut gives what is whole", cut, []string{cut, "offset"}, true},
		{"a file that is not there", cut + ".not", []string{cut + ".not", "no such file"}, false},
		{"a file that is no capture", "sensor.go", []string{"sensor.go"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			brokers := broker(t)
			cfg := settings(c.file, whole)
			cfg.Lanes = 1
			s := build(t, cfg, brokers, quiet)
			err := s.Run(t.Context())
			for _, word := range c.says {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("the error is %v, and does not say %q", err, word)
				}
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %v", err)
			}
			back := readBack(t, brokers)
			complete(t, s.Ledger(), back)
			if more := len(back) - len(printedRecords(t, whole)); more > 0 != c.some || more < 0 {
				t.Errorf("%d records more than the whole file has", more)
			}
		})
	}
}

func TestEachSourceIsALane(t *testing.T) {
	brokers := broker(t)
	files := own(t, "knot-*.pcap")
	cfg := settings()
	for _, f := range files {
		cfg.Sources = append(cfg.Sources, pcapfile.New(f))
	}
	s := build(t, cfg, brokers, quiet)
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := readBack(t, brokers)
	for lane, n := range complete(t, s.Ledger(), back) {
		if want := len(printedRecords(t, files[lane])); int(n) != want {
			t.Errorf("lane %d has %d records, its capture %d", lane, n, want)
		}
	}
}

func TestASignalDrains(t *testing.T) {
	brokers := broker(t)
	src := newGate(pcapfile.New(own(t, "bind-types.pcap")[0]), 50)
	cfg := settings()
	cfg.Sources = []capture.Source{src}
	s := build(t, cfg, brokers, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	firstRecord(t, brokers)
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	back := readBack(t, brokers)
	complete(t, s.Ledger(), back)
	if len(back) != 50 {
		t.Errorf("%d records of the 50 that were captured", len(back))
	}
}

// firstRecord waits until something is in the topic.
func firstRecord(t *testing.T, brokers []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for stored(ctx, t, brokers) == 0 {
	}
}

func TestASignalBeforeTheStartReadsNothing(t *testing.T) {
	s := build(t, settings(own(t)...), broker(t), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); !errors.Is(err, errInterrupted) {
		t.Fatalf("%v, want %v: a script must not take it for complete", err, errInterrupted)
	}
	if l := s.Ledger(); !l.Balanced || l.Records != l.Acknowledged {
		t.Errorf("%+v", l)
	}
}

func TestWithoutABrokerTheGracePeriodEndsAndTheLossIsCounted(t *testing.T) {
	file := own(t, "bind-types.pcap")
	n := uint64(len(printedRecords(t, file...)))
	src := newGate(pcapfile.New(file[0]), 1000)
	cfg := settings()
	cfg.Sources, cfg.Grace = []capture.Source{src}, 20*time.Millisecond
	away := listen(string(deliver.Unreachable))
	s := build(t, cfg, nobody(t), slog.New(away))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	await(t, "the capture is read", src.closed)
	await(t, "the log says that nobody is there", away.heard)
	cancel()
	err := <-ran
	want := fmt.Sprintf("sensor: %d records were not acknowledged within 20ms and are lost", n)
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
	l := s.Ledger()
	balances(t, l)
	if l.Records != n || l.Dropped != n || l.Stages[4].Dropped["shutdown"] != n {
		t.Errorf("%+v", l)
	}
}

func TestFilesWaitForABrokerWhenMemoryIsFull(t *testing.T) {
	brokers := newRestartable(t)
	addresses := brokers.brokers()
	brokers.cluster.Close()
	var files []string
	for range 40 { // more than twice of what memory holds, by the size of their records
		files = append(files, own(t, "transfer-axfr.pcap.zst", "bind-types.pcap")...)
	}
	cfg := settings(files...)
	cfg.Deliver.BatchSize = deliver.MinBatchSize
	cfg.Memory = overhead + state(cfg, 2) + (8+runtime.GOMAXPROCS(0))*record.ArenaSize(cfg.Deliver.BatchSize)
	away := listen(string(deliver.Unreachable))
	s := build(t, cfg, addresses, slog.New(away))
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	await(t, "the log says that nobody is there", away.heard)
	full(t, s, ran)
	brokers.start()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	complete(t, s.Ledger(), readBack(t, addresses))
}

// full waits until no batch is free.
func full(t *testing.T, s *Sensor, ran <-chan error) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); s.Status().Free > 0; {
		select {
		case <-tick.C:
		case err := <-ran:
			t.Fatal("it ended before memory was full: ", err)
		case <-end:
			t.Fatalf("memory does not fill: %+v", s.Status())
		}
	}
}

func TestABrokerThatRestartsInTheMiddleLosesNothing(t *testing.T) {
	brokers := newRestartable(t)
	src := newGate(pcapfile.New(own(t, "transfer-axfr.pcap.zst")[0]), 300)
	cfg := settings()
	cfg.Sources = []capture.Source{src}
	away := listen(string(deliver.Unreachable))
	s := build(t, cfg, brokers.brokers(), slog.New(away))
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	firstRecord(t, brokers.brokers())
	brokers.cluster.Close()
	close(src.open)
	await(t, "all is captured", src.closed)
	await(t, "the log says that nobody is there", away.heard)
	brokers.start()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	l := s.Ledger()
	complete(t, l, readBack(t, brokers.brokers()))
	if l.Records == 0 || l.Stages[4].Detail["failed"] == 0 {
		t.Errorf("%+v", l)
	}
}

// aged is a capture of 2023: the packets of another with other times.
func aged(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const header, recordHeader = 24, 16 // of pcap, little-endian as tcpdump writes here
	then := uint32(time.Date(2023, 5, 1, 12, 0, 0, 0, time.UTC).Unix())
	for o := header; o < len(data); {
		binary.LittleEndian.PutUint32(data[o:], then)
		o += recordHeader + int(binary.LittleEndian.Uint32(data[o+8:]))
	}
	path := filepath.Join(t.TempDir(), "aged.pcap")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnOldCaptureIsRedatedForTheBroker(t *testing.T) {
	file := aged(t, own(t, "bind-types.pcap")[0])
	for _, c := range []struct {
		name    string
		max     time.Duration
		redated bool
	}{
		{"old records get the time of now", 24 * time.Hour, true},
		{"unless no age is too old", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			brokers, cfg := broker(t), settings(file)
			cfg.Deliver.TimestampMaxAge = c.max
			s := build(t, cfg, brokers, quiet)
			if err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			back := readBack(t, brokers)
			complete(t, s.Ledger(), back)
			for _, r := range back {
				age := time.Since(time.UnixMilli(r.kafka))
				if now := age.Abs() < time.Minute; now != c.redated || !now && r.kafka != r.TS.UnixMilli() {
					t.Fatalf("the record of %v has the time stamp %v", r.TS, time.UnixMilli(r.kafka))
				}
				if r.TS.Year() != 2023 {
					t.Fatalf("the record has the time %v", r.TS)
				}
			}
			if got := s.Ledger().Stages[4].Detail["redated"]; got > 0 != c.redated {
				t.Errorf("%d redated", got)
			}
		})
	}
}

func TestWhatCannotWorkIsRefusedBeforeAnythingOpens(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*Config)
		says string
	}{
		{"nothing to read", func(c *Config) { c.Files = nil }, "nothing to read"},
		{"interfaces and files", func(c *Config) {
			c.Interfaces = []string{"lo"}
		}, "files, and interfaces or dnstap"},
		{"a name that no interface has", func(c *Config) {
			c.Files, c.Interfaces = nil, []string{"a name with spaces"}
		}, "a name with spaces"},
		{"no ports", func(c *Config) { c.Ports = nil }, "ports"},
		{"a batch too small for a record", func(c *Config) {
			c.Deliver.BatchSize = 1000
		}, "batch size of 1000"},
		{"memory too small for its lanes", func(c *Config) {
			c.Memory, c.Lanes = 36<<20, 2
		}, "2 lanes need at least"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := settings("a", "b")
			c.with(&cfg)
			s, err := New(cfg, nil, quiet)
			if s != nil || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

func TestTheMemoryThatIsAskedForIsEnough(t *testing.T) {
	cfg := settings("a", "b")
	cfg.Memory = 0
	_, err := New(cfg, nil, quiet)
	for mib := 1; err != nil && mib < 1000; mib++ {
		said := err.Error()
		cfg.Memory = mib << 20
		_, err = New(cfg, nil, quiet)
		if err == nil && !strings.Contains(said, fmt.Sprintf("at least %d MiB", mib)) {
			t.Errorf("%d MiB are enough, but it said: %s", mib, said)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestTheDefaultStartsOnAMachineOfManyCores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(32))
	cfg := settings()
	cfg.Interfaces, cfg.Lanes, cfg.RingSize = []string{"lo", "eth0"}, 0, 8<<20
	s, err := New(cfg, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.lanes); n < 2 || n >= 64 || n%2 != 0 {
		t.Errorf("%d lanes for two interfaces", n)
	}
}

func TestRunIDsSortAsText(t *testing.T) {
	at := time.Date(2026, 1, 31, 23, 59, 59, 999_999_000, time.FixedZone("", 3600))
	first, second := RunID(at), RunID(at.Add(time.Microsecond))
	if first != "20260131T225959.999999Z" || first >= second {
		t.Errorf("%s, then %s", first, second)
	}
}

func TestACaptureThatDiesEndsTheSensor(t *testing.T) {
	brokers := broker(t)
	cfg := settings()
	cfg.Interfaces, cfg.RingSize = []string{"lo"}, afpacket.DefaultConfig().BlockSize*2
	s := build(t, cfg, brokers, quiet)
	// New opens nothing, so its lanes can be given sources that a test can break.
	alive := newGate(pcapfile.New(own(t, "bind-types.pcap")[0]), 10)
	s.lanes[0].sources = one(broken{})
	s.lanes[1].sources = one(alive)
	err := s.Run(t.Context())
	if err == nil || err.Error() != errBroken.Error() {
		t.Errorf("the error is %v", err)
	}
	back := readBack(t, brokers)
	complete(t, s.Ledger(), back)
}

func TestTheDefaultMemoryHasRoomForTwoLanesThatMatch(t *testing.T) {
	cfg := settings()
	cfg.Interfaces, cfg.Lanes, cfg.RingSize = []string{"lo"}, 0, 8<<20
	matching := match.DefaultConfig()
	cfg.Memory, cfg.Match = 96<<20, &matching
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(64))
	var said bytes.Buffer
	s, err := New(cfg, nil, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.lanes) != 2 || !strings.Contains(said.String(), "lanes=2 cores=64") {
		t.Errorf("%d lanes, and it said %q", len(s.lanes), said.String())
	}
}

func TestARunOverFilesLeavesMostOfTheMemoryAlone(t *testing.T) {
	cfg := Config{Memory: 96 << 20, Deliver: deliver.Config{BatchSize: 900_000}}
	batches := func(memory int, files ...string) int {
		cfg.Memory, cfg.Files = memory, files
		pool, err := newPool(cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		return pool.Batches()
	}
	fewest, _ := least(cfg, 1)
	live, file := batches(96<<20), batches(96<<20, "a.pcap")
	if file-fewest != (live-fewest)/fileShare || file < 2*fewest {
		t.Errorf("%d batches live, %d for a file, of which %d are needed", live, file, fewest)
	}
	if more := batches(512<<20, "a.pcap"); more < 4*file { // many partitions, far away
		t.Errorf("with five times the memory %d batches instead of %d", more, file)
	}
}

// dying is a source that fails when it is drained.
type dying struct {
	broken
	drained chan struct{}
	once    sync.Once
	begins  func() // Next was called; nil: nobody wants to know
}

// Next implements capture.Source.
func (d *dying) Next(p *packet.Packet) error {
	if d.begins != nil {
		d.begins()
	}
	<-d.drained
	return d.broken.Next(p)
}

// Drain implements capture.Source.
func (d *dying) Drain() { d.once.Do(func() { close(d.drained) }) }

func TestASensorDrainsOnceHoweverManyLanesDie(t *testing.T) {
	first := &dying{drained: make(chan struct{})}
	second := &dying{drained: make(chan struct{}), begins: first.Drain}
	cfg := settings()
	cfg.Sources, cfg.Endless = []capture.Source{first, second}, true
	var log bytes.Buffer
	s := build(t, cfg, broker(t), slog.New(slog.NewTextHandler(&log, nil)))
	if err := s.Run(t.Context()); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "sensor: draining"); n != 1 {
		t.Errorf("it says %d times that it drains:\n%s", n, &log)
	}
}
