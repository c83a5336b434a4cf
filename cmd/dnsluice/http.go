// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/httpd"
	"github.com/dnsluice/dnsluice/internal/ops/metrics"
)

// serveHTTP shows the sensor until ctx ends. The channel gives the server's last word, also when
// there is no server.
func (s service) serveHTTP(ctx context.Context) (<-chan error, error) {
	done := make(chan error, 1)
	if s.cfg.Ops.HTTP == config.Off {
		done <- nil
		return done, nil
	}
	m, err := metrics.New(metrics.Source{
		Ledger: s.sensor.Ledger, Version: versionText(), Log: s.log,
		Gauges: func() []metrics.Gauge { return gauges(s.cfg.Ops.Memory, s.sensor.Status()) },
	})
	if err != nil {
		return nil, err
	}
	server := httpd.New(
		httpd.Config{Address: s.cfg.Ops.HTTP, Pprof: s.cfg.Ops.Pprof, Log: s.log},
		httpd.Source{
			Version: versionText(), Sensor: s.cfg.Sensor, Run: s.id,
			State: s.state, Ledger: s.sensor.Ledger, Metrics: m.Handler(), Detail: s.detail,
		})
	address, err := server.Listen(ctx)
	if err != nil {
		return nil, err
	}
	s.log.Info("http: listening", "address", address.String())
	go func() { done <- server.Run(ctx) }()
	return done, nil
}

func (s service) state() httpd.State {
	status := s.sensor.Status()
	evidence := map[string]string{
		"partitions":            strconv.Itoa(status.Partitions),
		"partitions_leaderless": strconv.Itoa(status.Leaderless),
		"batches_waiting":       strconv.Itoa(status.Waiting),
		"batches_free":          strconv.Itoa(status.Free),
		"oldest_age_seconds":    fmt.Sprintf("%.3f", status.OldestAge),
	}
	if status.LastError != "" {
		evidence["last_error"] = status.LastError
	}
	if !status.LastAck.IsZero() {
		evidence["last_ack"] = status.LastAck.UTC().Format(time.RFC3339Nano)
	}
	return httpd.State{Name: string(status.State), Since: status.Since,
		Sentence: status.Sentence, Evidence: evidence, Ready: status.State.Ready()}
}

// gauges is what goes up and down of a delivery, and what the process may take.
func gauges(limit config.Size, status deliver.Status) []metrics.Gauge {
	gauges := []metrics.Gauge{
		{Name: "memory_limit_bytes",
			Help:  "Memory that the process is to stay within (ops.memory).",
			Value: float64(limit)},
		{Name: "deliver_batches_waiting", Help: "Batches handed on and not acknowledged.", Value: float64(status.Waiting)},
		{Name: "deliver_batches_free", Help: "Batches that memory has room for.", Value: float64(status.Free)},
		{Name: "deliver_oldest_age_seconds", Help: "Age of the oldest batch that waits, in memory or on disk.", Value: status.OldestAge},
		{Name: "deliver_partitions", Help: "Partitions of the topic; 0 until the cluster was reached.",
			Value: float64(status.Partitions)},
		{Name: "deliver_partitions_leaderless", Help: "Partitions without a leader.", Value: float64(status.Leaderless)},
		{Name: "deliver_state", Help: "Always 1; the label says the state.",
			Labels: map[string]string{"state": string(status.State)}, Value: 1},
	}
	if !status.LastAck.IsZero() {
		gauges = append(gauges, metrics.Gauge{Name: "deliver_last_ack_timestamp_seconds",
			Help: "When a broker last acknowledged; absent before the first time.", Value: float64(status.LastAck.UnixMilli()) / 1000})
	}
	failing := 0
	for _, p := range status.Leaders {
		if p.State != "" {
			failing++
		}
	}
	gauges = append(gauges, metrics.Gauge{Name: "deliver_partitions_failing",
		Help: "Partitions that take nothing now.", Value: float64(failing)})
	return append(gauges, spoolGauges(status.Spool)...)
}

// spoolGauges tells how full the spool is; nothing when there is none.
func spoolGauges(s *deliver.SpoolStatus) []metrics.Gauge {
	if s == nil {
		return nil
	}
	degraded := 0.0
	if s.Error != "" {
		degraded = 1
	}
	gauges := []metrics.Gauge{
		{Name: "spool_bytes", Help: "Bytes that wait on disk.", Value: float64(s.Bytes)},
		{Name: "spool_max_bytes", Help: "Bytes that may wait on disk.", Value: float64(s.MaxBytes)},
		{Name: "spool_disk_free_bytes", Help: "Bytes free on that disk.", Value: float64(s.Free)},
		{Name: "spool_segments", Help: "Files of the spool.", Value: float64(s.Segments)},
		{Name: "spool_degraded", Help: "1 when the disk cannot be written.", Value: degraded},
	}
	if !s.Oldest.IsZero() {
		gauges = append(gauges, metrics.Gauge{Name: "spool_oldest_timestamp_seconds",
			Help: "When the oldest that waits on disk was written; absent when nothing does.", Value: float64(s.Oldest.UnixMilli()) / 1000})
	}
	if s.FullIn > 0 {
		gauges = append(gauges, metrics.Gauge{Name: "spool_full_in_seconds",
			Help:  "Time until the spool is full at the rate of now; absent while it does not grow.",
			Value: s.FullIn})
	}
	return gauges
}
