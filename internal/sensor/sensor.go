// SPDX-License-Identifier: Apache-2.0

// Package sensor is the path assembled: lane.go is one lane, from capture to the queue; this
// file starts and stops lanes and delivery. It is the only package that imports the stages.
package sensor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/afpacket"
	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/record"
)

// Config says what a sensor takes in and how it delivers. Interfaces and DNSTap together, Files and
// Sources exclude one another.
type Config struct {
	Sensor string // name of the sensor in each record
	Run    string // of this process; see RunID

	Interfaces  []string // to sniff on
	Lanes       int      // per interface, or that read Files side by side; 0: see lanesFor
	RingSize    int      // bytes per lane, for Interfaces
	Promiscuous bool

	DNSTap []dnstap.Config // sockets for name servers to report to, a lane each

	Files   []string         // to read, - is standard input
	Sources []capture.Source // to read, one lane each, waiting for memory as for files
	Endless bool             // Sources have no end and cannot wait, as an interface

	Ports   []uint16         // of DNS
	Tunnels []string         // to look into; none is all of those that Files and Sources hold, and none live
	TCP     tcpstream.Config // bounds of each lane's streams; its zero value is its default
	Defrag  defrag.Config    // and of its fragments
	Match   *match.Config    // joins queries and responses; nil delivers each message as it comes
	Format  string           // of the records; see newEncoder
	Deliver deliver.Config
	Key     Key           // of the records, which says where they go; see deliver.Config.Keyed
	Memory  int           // bytes that the process may use
	Grace   time.Duration // how long Run goes on delivering after its context has ended

	Heartbeat time.Duration // from one heartbeat record to the next; 0 is none at all
}

// RunID names a run after its start, in a form that sorts as text.
func RunID(start time.Time) string { return start.UTC().Format("20060102T150405.000000Z") }

// Sensor is lanes and a delivery.
type Sensor struct {
	cfg      Config
	lanes    []*lane
	groups   []*afpacket.Group
	sockets  []*dnstap.Source
	delivery *deliver.Delivery
	log      *slog.Logger
	outage   outage
	alarm    atomic.Pointer[Alarm] // of the watchdog; nil while all goes on
	intakes  []*deliver.Intake     // of the lanes
	heart    *heart                // nil without heartbeats
	hard     context.Context       // ends when the grace period is over
	giveUp   context.CancelFunc
	drained  sync.Once
}

// What a process needs besides batches and rings. The program's own pages do not belong to the
// Go heap; the rest is the runtime, the client's buffers, decoders, what garbage there is.
const (
	programText = 16 << 20
	overhead    = programText + 32<<20
)

// HeapLimit returns what of the memory the Go runtime may use: the rings and the program's own
// pages are not its.
func (s *Sensor) HeapLimit() int64 {
	return int64(s.cfg.Memory - programText - rings(s.cfg))
}

// rings returns the memory that the kernel fills.
func rings(cfg Config) int { return len(cfg.Interfaces) * cfg.Lanes * cfg.RingSize }

// state returns the memory for what so many lanes remember between packets: connections and
// datagrams in part, queries that wait, and what name servers are sending.
func state(cfg Config, lanes int) int {
	bytes := 0
	for _, socket := range cfg.DNSTap {
		bytes += socket.Memory()
	}
	if cfg.Match != nil {
		bytes += lanes * cfg.Match.Memory
	}
	return bytes + lanes*decodeConfig(cfg).Memory()
}

// New checks cfg and builds a sensor that delivers to producer. It opens nothing.
func New(cfg Config, producer deliver.Producer, log *slog.Logger) (*Sensor, error) {
	cfg.Deliver.Keyed = cfg.Key != NoKey
	if cfg.Lanes == 0 {
		cfg.Lanes = lanesFor(cfg)
		if cores := runtime.GOMAXPROCS(0); cfg.Lanes < cores && len(cfg.Interfaces) > 0 {
			log.Warn("sensor: memory has no room for a lane on each core: give more with --memory",
				"memory", cfg.Memory, "lanes", cfg.Lanes, "cores", cores)
		}
	}
	if cfg.Match != nil && cfg.Match.Retries == nil {
		shared := *cfg.Match // by the lanes
		shared.Retries = match.NewRetries()
		cfg.Match = &shared
	}
	s := &Sensor{cfg: cfg, log: log}
	inputs, err := s.inputs()
	if err != nil {
		return nil, err
	}
	pool, err := newPool(cfg, len(inputs))
	if err != nil {
		return nil, err
	}
	if s.delivery, err = deliver.New(cfg.Deliver, pool, producer, log); err != nil {
		return nil, err
	}
	if s.live() {
		s.delivery.Live()
	}
	s.hard, s.giveUp = context.WithCancel(context.Background())
	for i, sources := range inputs {
		intake := s.delivery.FileIntake(s.hard)
		if cfg.Endless || i < len(cfg.Interfaces)*cfg.Lanes { // files and name servers can wait
			intake = s.delivery.LiveIntake()
		}
		intake.Watch(fmt.Sprintf("lane %d", i))
		l, err := newLane(cfg, i, sources, intake)
		if err != nil {
			return nil, err
		}
		s.lanes, s.intakes = append(s.lanes, l), append(s.intakes, intake)
	}
	s.heart, err = newHeart(s)
	return s, err
}

func newLane(cfg Config, number int, sources iter.Seq[capture.Source], out outlet) (*lane, error) {
	l := &lane{sources: sources, live: cfg.live(), out: out, key: newKeyer(cfg.Key, cfg.Sensor)}
	var err error
	if l.decoder, err = decode.New(decodeConfig(cfg), l.message); err != nil {
		return nil, err
	}
	if cfg.Match != nil {
		if l.matcher, err = match.New(*cfg.Match, wire.Parse, l.transaction); err != nil {
			return nil, err
		}
		l.tally.matching = true
	}
	id := encode.Identity{Sensor: cfg.Sensor, Run: cfg.Run, Lane: number}
	l.encoder, err = newEncoder(cfg.Format, id)
	return l, err
}

func decodeConfig(cfg Config) decode.Config {
	settings := decode.DefaultConfig()
	settings.Ports, settings.TCP, settings.Defrag = cfg.Ports, cfg.TCP, cfg.Defrag
	if len(cfg.Tunnels) > 0 {
		settings.Tunnels = cfg.Tunnels
	}
	return settings
}

// inputs returns the sources of each lane.
func (s *Sensor) inputs() ([]iter.Seq[capture.Source], error) {
	var lanes []iter.Seq[capture.Source]
	switch cfg := s.cfg; {
	case s.live() && len(cfg.Files) > 0:
		return nil, errors.New("sensor: files, and interfaces or dnstap: " +
			"give one kind, and run a second sensor for the other")
	case s.live():
		for _, name := range cfg.Interfaces {
			g, err := afpacket.NewGroup(ringConfig(cfg, name))
			if err != nil {
				return nil, err
			}
			s.groups = append(s.groups, g)
			for i := range cfg.Lanes {
				lanes = append(lanes, one(g.Lane(i)))
			}
		}
		for _, socket := range cfg.DNSTap {
			src, err := dnstap.New(socket)
			if err != nil {
				return nil, err
			}
			s.sockets = append(s.sockets, src)
			lanes = append(lanes, one(src))
		}
		for _, src := range cfg.Sources {
			lanes = append(lanes, one(src))
		}
	case len(cfg.Files) > 0:
		shared := queue(cfg.Files)
		for range min(cfg.Lanes, len(cfg.Files)) {
			lanes = append(lanes, shared)
		}
	case len(cfg.Sources) > 0:
		for _, src := range cfg.Sources {
			lanes = append(lanes, one(src))
		}
	default:
		return nil, errors.New("sensor: nothing to read: name an interface (--interface), " +
			"a capture file (--read) or a socket (--dnstap)")
	}
	return lanes, nil
}

func ringConfig(cfg Config, name string) afpacket.Config {
	ring := afpacket.DefaultConfig()
	ring.Interface, ring.Lanes, ring.Ports = name, cfg.Lanes, cfg.Ports
	ring.Tunnels, ring.Promiscuous = cfg.Tunnels, cfg.Promiscuous
	ring.Pairs = cfg.Match != nil
	if cfg.RingSize > 0 {
		ring.Blocks = max(2, cfg.RingSize/ring.BlockSize)
	}
	return ring
}

func one(src capture.Source) iter.Seq[capture.Source] {
	return func(yield func(capture.Source) bool) { yield(src) }
}

// queue gives each file to the first lane that asks.
func queue(files []string) iter.Seq[capture.Source] {
	next := make(chan string, len(files))
	for _, f := range files {
		next <- f
	}
	close(next)
	return func(yield func(capture.Source) bool) {
		for f := range next {
			if !yield(pcapfile.New(f)) {
				return
			}
		}
	}
}

// lanesFor returns one lane per core, or as many as memory has room for: with fewer lanes a
// sensor works, and the default must start on any machine. Files have one, which reads them in their
// order: where one capture was written to several, streams, fragments and pairs go on in the next.
func lanesFor(cfg Config) int {
	if len(cfg.Interfaces) == 0 {
		return 1
	}
	for cfg.Lanes = runtime.GOMAXPROCS(0); cfg.Lanes > 1; cfg.Lanes-- {
		if _, bytes := least(cfg, cfg.laneCount()); bytes <= cfg.Memory {
			break
		}
	}
	return cfg.Lanes
}

// laneCount returns how many lanes inputs makes.
func (cfg Config) laneCount() int {
	if len(cfg.Files) > 0 && !cfg.live() {
		return min(cfg.Lanes, len(cfg.Files))
	}
	return cfg.Lanes*len(cfg.Interfaces) + len(cfg.DNSTap) + len(cfg.Sources)
}

// Least returns how many lanes a sensor of cfg has, and the memory that New wants for it at the
// least. Of cfg.Deliver.Spool only whether it is nil matters.
func Least(cfg Config) (lanes, bytes int) {
	cfg.Deliver.Keyed = cfg.Key != NoKey
	if cfg.Lanes == 0 {
		cfg.Lanes = lanesFor(cfg)
	}
	lanes = max(1, cfg.laneCount())
	_, bytes = least(cfg, lanes)
	return lanes, bytes
}

// least returns how many batches so many lanes need at the least, and the memory for all.
func least(cfg Config, lanes int) (batches, bytes int) {
	batches = 2*lanes + 2
	if cfg.Heartbeat > 0 {
		batches++
	}
	batches += cfg.Deliver.Reserved()
	arenas := (batches + cfg.Deliver.Spare()) * record.ArenaSize(cfg.Deliver.BatchSize)
	return batches, overhead + rings(cfg) + state(cfg, lanes) + arenas
}

// fileShare is the share of what memory is left that a run over files uses. It waits for memory, so
// that more batches than keep brokers busy gain nothing, and those that wait are no longer in the
// cache of the processor when they are compressed and sent.
const fileShare = 4

// newPool makes the pool of batches out of what memory is left.
func newPool(cfg Config, lanes int) (*record.Pool, error) {
	batches, bytes := least(cfg, lanes)
	if cfg.Memory < bytes {
		return nil, fmt.Errorf("sensor: memory of %d MiB: %d lanes need at least %d MiB, "+
			"or fewer lanes, or smaller rings", cfg.Memory>>20, lanes, bytes>>20+1)
	}
	more := (cfg.Memory - bytes) / record.ArenaSize(cfg.Deliver.BatchSize)
	if len(cfg.Files) > 0 {
		more /= fileShare
	}
	return record.NewPool(batches+more, cfg.Deliver.BatchSize), nil
}

// Open begins the capture on interfaces and sockets, so that what cannot work fails before anything
// starts.
func (s *Sensor) Open() error {
	for _, g := range s.groups {
		if err := g.Open(); err != nil {
			return err
		}
	}
	for _, socket := range s.sockets {
		if err := socket.Open(); err != nil {
			return err
		}
	}
	return nil
}

// Run captures and delivers. It returns when all sources are at their end and every record is
// settled; or, after ctx has ended, when what was captured before is delivered or the grace
// period is over. The error says how many records are lost, as far as losses tells.
func (s *Sensor) Run(ctx context.Context) error {
	defer s.giveUp()
	stop := context.AfterFunc(ctx, s.drain)
	defer stop()

	delivered := make(chan error, 1)
	go func() { delivered <- s.delivery.Run(s.hard) }()
	s.heart.start()
	errs := make([]error, len(s.lanes))
	var lanes sync.WaitGroup
	for i, l := range s.lanes {
		lanes.Go(func() {
			if errs[i] = l.run(); errs[i] != nil && s.live() {
				s.drain() // a capture that dies ends the sensor, for somebody must see it
			}
		})
	}
	lanes.Wait()
	if ctx.Err() != nil && len(s.cfg.Files) > 0 {
		errs = append(errs, errInterrupted)
	}
	s.heart.stop()
	s.delivery.Finish()
	errs = append(errs, <-delivered, s.losses())
	return errors.Join(errs...)
}

// errInterrupted is how a run over files ends that a signal has cut short: whoever reads only the
// exit status must not take it for complete.
var errInterrupted = errors.New("sensor: interrupted: not all of the files was read")

// live tells whether what comes in has no end.
func (s *Sensor) live() bool { return s.cfg.live() }

func (cfg Config) live() bool {
	return len(cfg.Interfaces)+len(cfg.DNSTap) > 0 || cfg.Endless
}

// drain stops the admission of packets and starts the grace period, whoever wants it first.
func (s *Sensor) drain() {
	s.drained.Do(func() {
		s.log.Info("sensor: draining", "grace", s.cfg.Grace)
		for _, l := range s.lanes {
			l.drain()
		}
		time.AfterFunc(s.cfg.Grace, s.giveUp)
		s.heart.drain(s.cfg.Grace)
	})
}
