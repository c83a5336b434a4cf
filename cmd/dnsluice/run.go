// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/ops/logging"
	"github.com/dnsluice/dnsluice/internal/ops/notify"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Capture and deliver",
		Long: "Capture DNS on interfaces, take it from name servers that report it by dnstap, or read it\n" +
			"from capture files, and deliver it to Kafka.\n\n" +
			"On interfaces and sockets it runs until SIGTERM, SIGINT or SIGHUP, then delivers what it has\n" +
			"within --grace; a second signal ends it at once. With --read it ends when every record is\n" +
			"acknowledged; if one was dropped the exit status is 1.",
		Example: "  dnsluice run --interface eth2 --brokers k1:9092,k2:9092 --topic dns\n" +
			"  dnsluice run --dnstap unix:///run/dnsluice.sock --brokers k1:9092 --topic dns\n" +
			"  dnsluice run --read a.pcap --read b.pcapng.gz --brokers k1:9092 --topic dns",
		Args: usageArgs(noArgs),
	}
	config.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := config.Load(c.Flags(), os.Environ(), config.ReadFile, config.Config.Runnable, enough)
		if err != nil {
			return err
		}
		// A sensor does not die with whoever reads its log, nor waits for him.
		signal.Ignore(syscall.SIGPIPE)
		out := logging.NewWriter(c.ErrOrStderr())
		defer out.Close()
		return run(c.Context(), loaded, out)
	}
	return c
}

func run(ctx context.Context, loaded *config.Loaded, stderr *logging.Writer) error {
	cfg := loaded.Config
	log, err := logging.New(stderr, cfg.Ops.LogLevel, cfg.Ops.LogFormat)
	if err != nil {
		return err
	}
	stderr.OnLoss(func(lost uint64) {
		log.Warn("log: lines were dropped, for what reads standard error had stopped or gone", "lines", lost)
	})
	for _, w := range slices.Concat(loaded.Warnings, loaded.Idle()) {
		log.Warn(w)
	}
	if cfg.Readable() {
		log.Warn("the secret is sent to the brokers in plain text: connect with TLS (--tls), or use SCRAM",
			"mechanism", cfg.SASL.Mechanism)
	}
	cluster, err := kafka.NewCluster(kafkaConfig(cfg))
	if err != nil {
		return err
	}
	producer, err := cluster.Open()
	if err != nil {
		return err
	}
	defer producer.Close()
	settings, err := sensorConfig(cfg)
	if err != nil {
		return err
	}
	settings.Deliver.Cluster = cluster
	if settings.Deliver.Spool, err = spoolOf(cfg, log); err != nil {
		return err
	}
	if settings.Deliver.DeadLetter, err = deadLetters(cfg, log); err != nil {
		return errors.Join(err, closeSpool(settings.Deliver.Spool, log))
	}
	settings.Deliver.Durable = cfg.Deliver.Durable
	s, err := sensor.New(settings, producer, log)
	if err != nil {
		return errors.Join(err, closeSpool(settings.Deliver.Spool, log))
	}
	return service{cfg: cfg, sensor: s, id: settings.Run, log: log, started: time.Now(),
		connections: cluster.Connections, spool: settings.Deliver.Spool}.run(ctx, stderr)
}

// spoolOf opens the spool that the configuration asks for, or says what it means to have none.
func spoolOf(cfg config.Config, log *slog.Logger) (deliver.Spool, error) {
	switch dir := cfg.Spool.Dir; {
	case cfg.Deliver.Mode == config.AtMostOnce:
		if dir != "" {
			log.Info("at most once: the spool is not used", "dir", dir)
		}
		return nil, nil
	case dir == "" && len(cfg.Capture.Interfaces) > 0:
		log.Warn("no spool: what memory cannot hold while the brokers are away is dropped and counted; " +
			"name a directory with --spool-dir")
	}
	return openSpool(cfg.Spool, log)
}

// closeSpool closes the spool, if there is one, and says what waits there for the next start.
func closeSpool(spool deliver.Spool, log *slog.Logger) error {
	if spool == nil {
		return nil
	}
	err := spool.Close()
	s := spool.Stats()
	// What was corrupt from the start was never part of this run, so its ledger does not have it.
	if dropped := s.Dropped[deliver.SpoolCorrupt]; s.Corrupt.Records > dropped {
		log.Warn("records of earlier runs were corrupt on disk when the spool was opened, and are lost",
			"records", s.Corrupt.Records-dropped)
	}
	if s.Records > 0 {
		log.Info("records wait on disk for the next start", "records", s.Records)
	}
	return err
}

func newProducer(cfg config.Config) (*kafka.Client, error) {
	return kafka.New(kafkaConfig(cfg))
}

// kafkaConfig is how to get to the topic.
func kafkaConfig(cfg config.Config) kafka.Config {
	return kafka.Config{
		Acks:           acksOf(cfg.Deliver),
		Brokers:        cfg.Deliver.Brokers,
		Topic:          cfg.Deliver.Topic,
		ClientID:       "dnsluice-" + cfg.Sensor,
		RequestTimeout: cfg.Deliver.RequestTimeout,
		TLS:            linkTLS(cfg.TLS),
		SASL:           linkSASL(cfg.SASL),
	}
}

// acksOf returns who must have a batch.
func acksOf(d config.Deliver) kafka.Acks {
	switch {
	case d.Acks == "none":
		return kafka.AcksNone
	case d.Acks == "leader", d.Acks == "auto" && d.Mode == config.AtMostOnce:
		return kafka.AcksLeader
	}
	return kafka.AcksAll
}

// deadLetterFile returns where records go that no broker takes; empty for nowhere.
func deadLetterFile(cfg config.Config) string {
	switch {
	case cfg.Deliver.DeadLetter == config.Off:
		return ""
	case cfg.Deliver.DeadLetter == "" && cfg.Spool.Dir != "":
		return filepath.Join(cfg.Spool.Dir, "dead-letter.jsonl")
	}
	return cfg.Deliver.DeadLetter
}

// deadLetters returns the same, checked. Only a file that was asked for must be there.
func deadLetters(cfg config.Config, log *slog.Logger) (string, error) {
	file := deadLetterFile(cfg)
	err := deliver.CheckDeadLetter(file)
	switch {
	case err == nil:
		return file, nil
	case cfg.Deliver.DeadLetter != "":
		return "", fmt.Errorf("%w; name another with deliver.dead_letter, or off", err)
	}
	log.Warn("records that no broker takes are only counted", "error", err)
	return "", nil
}

// sensorConfig hands each stage its part of the configuration.
func sensorConfig(cfg config.Config) (sensor.Config, error) {
	codec, err := record.ParseCodec(cfg.Deliver.Compression)
	if err != nil {
		return sensor.Config{}, err
	}
	key, err := sensor.ParseKey(cfg.Deliver.Key)
	if err != nil {
		return sensor.Config{}, err
	}
	d := deliver.DefaultConfig()
	if d.Mode, err = deliver.ParseMode(cfg.Deliver.Mode); err != nil {
		return sensor.Config{}, err
	}
	d.Unconfirmed = acksOf(cfg.Deliver) == kafka.AcksNone
	d.Codec = codec
	d.SpoolAfter = cfg.Deliver.SpoolAfter
	d.DeadLetter = deadLetterFile(cfg)
	d.DeadLetterMax = int64(cfg.Deliver.DeadLetterMax)
	d.BatchSize = int(cfg.Deliver.BatchSize)
	d.Linger = cfg.Deliver.Linger
	d.RequestTimeout = cfg.Deliver.RequestTimeout
	d.TimestampMaxAge = cfg.Deliver.TimestampMaxAge
	sockets, err := dnstapConfig(cfg.Capture.DNSTap)
	if err != nil {
		return sensor.Config{}, err
	}
	return sensor.Config{
		DNSTap:      sockets,
		Tunnels:     cfg.Capture.Tunnels,
		TCP:         tcpConfig(cfg.Decode),
		Defrag:      defragConfig(cfg.Decode),
		Match:       matchConfig(cfg.Match),
		Sensor:      cfg.Sensor,
		Run:         sensor.RunID(time.Now()),
		Interfaces:  cfg.Capture.Interfaces,
		Files:       cfg.Capture.Read,
		Lanes:       cfg.Capture.Lanes,
		RingSize:    int(cfg.Capture.RingSize),
		Promiscuous: cfg.Capture.Promiscuous,
		Ports:       cfg.Capture.Ports,
		Format:      cfg.Encode.Format,
		Deliver:     d,
		Key:         key,
		Memory:      int(cfg.Ops.Memory),
		Grace:       cfg.Deliver.Grace,
		Heartbeat:   cfg.Deliver.Heartbeat,
	}, nil
}

// dnstapConfig returns what each socket needs.
func dnstapConfig(cfg config.DNSTap) ([]dnstap.Config, error) {
	mode, err := cfg.Mode()
	if err != nil {
		return nil, err
	}
	var sockets []dnstap.Config
	for _, listen := range cfg.Listen {
		c := dnstap.DefaultConfig()
		c.Listen, c.SocketMode, c.Connections = listen, mode, cfg.Connections
		c.Cert, c.Key, c.ClientCA = cfg.Cert, cfg.Key, cfg.ClientCA
		sockets = append(sockets, c)
	}
	return sockets, nil
}

// streamShare is how much memory there is for each TCP stream that can be remembered: its place in
// the table takes less than half of it, the rest is for what waits.
const streamShare = 256

func tcpConfig(cfg config.Decode) tcpstream.Config {
	return tcpstream.Config{Bytes: int(cfg.TCPMemory), Streams: int(cfg.TCPMemory) / streamShare,
		Gap: cfg.TCPGap}
}

func defragConfig(cfg config.Decode) defrag.Config {
	return defrag.Config{Bytes: int(cfg.FragmentMemory), Age: cfg.FragmentAge}
}

// matchConfig returns nil when messages are wanted as they come.
func matchConfig(cfg config.Match) *match.Config {
	if !cfg.Transactions() {
		return nil
	}
	return &match.Config{Timeout: cfg.Timeout, Memory: int(cfg.Memory)}
}

// service is a sensor with what keeps it alive around it.
type service struct {
	cfg    config.Config
	sensor *sensor.Sensor
	id     string // of the run
	log    *slog.Logger

	started     time.Time
	connections func() []kafka.Connection
	spool       deliver.Spool // nil when there is none
}

// run runs the sensor, and at the end writes the ledger.
func (s service) run(ctx context.Context, stderr io.Writer) error {
	debug.SetMemoryLimit(s.sensor.HeapLimit())
	if file := s.cfg.Ops.Ledger; file != "" {
		// An empty one first: a path that cannot be written to must not be found out at the end. It
		// stays there when the process is killed, and then replaces that of the run before.
		var empty ledger.Ledger
		if err := empty.WriteFile(file); err != nil {
			return err
		}
	}
	if err := s.sensor.Open(); err != nil {
		return err
	}
	// The helpers end after the sensor, so that its last state can be seen.
	helpers, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	httpDone, err := s.serveHTTP(helpers)
	if err != nil {
		return err
	}
	s.logStart()
	go reportState(helpers, s.sensor.Status, s.log,
		func(sentence string) { s.notify(notify.Status(sentence)) })
	s.notify(notify.Ready("capturing"))
	stop := context.AfterFunc(ctx, func() { s.notify(notify.Stopping("draining")) })
	defer stop()

	err = s.watched(ctx, stderr)
	cancel()
	if blind(err) { // nobody can read the counters any more
		return err
	}
	// The ledger after the spool: only closing it tells what is there.
	return errors.Join(err, <-httpDone, closeSpool(s.spool, s.log), s.closeLedger(stderr))
}

// logStart says once what runs, for whoever reads the log of a fault long after it.
func (s service) logStart() {
	from := slices.Concat(s.cfg.Capture.Interfaces, s.cfg.Capture.DNSTap.Listen, s.cfg.Capture.Read)
	s.log.Info("sensor: start", "version", versionText(), "sensor", s.cfg.Sensor, "run", s.id,
		"from", strings.Join(from, ","), "lanes", len(s.sensor.Lanes()),
		"brokers", strings.Join(s.cfg.Deliver.Brokers, ","), "topic", s.cfg.Deliver.Topic)
}

// printLedger prints the ledger, whatever is logged, in the log's format: one that is read by a
// program must not end in a table.
func (s service) printLedger(l ledger.Ledger, stderr io.Writer) error {
	if s.cfg.Ops.LogFormat == "text" {
		return l.WriteText(stderr)
	}
	log, err := logging.New(stderr, "info", s.cfg.Ops.LogFormat)
	if err != nil {
		return err
	}
	log.Info("ledger", "ledger", l)
	return nil
}

// closeLedger prints the ledger of the whole run, and writes it where the user wants it.
func (s service) closeLedger(stderr io.Writer) error {
	l := s.sensor.Ledger()
	l.Complete = true
	err := s.printLedger(l, stderr)
	if s.cfg.Ops.Ledger != "" {
		err = errors.Join(err, l.WriteFile(s.cfg.Ops.Ledger))
	}
	if law := l.Check(); law != nil {
		err = errors.Join(err, fmt.Errorf("the ledger does not balance, which is a mistake in dnsluice: %w", law))
	}
	return err
}

func (s service) notify(err error) {
	if err != nil {
		s.log.Warn("the service manager cannot be told", "error", err)
	}
}
