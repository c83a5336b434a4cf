// SPDX-License-Identifier: Apache-2.0

// Package metrics shows the ledger to Prometheus. It owns no counter: at each scrape it asks for
// the ledger and the gauges, so that what it shows and what the ledger says cannot differ. It is
// the only import of a Prometheus library.
//
// The names are path words. With the stage capture, whose unit is packets:
//
//	dnsluice_capture_packets_total           in
//	dnsluice_capture_out_total               out
//	dnsluice_capture_held_packets            held (a gauge)
//	dnsluice_capture_dropped_total{reason}   dropped
//	dnsluice_capture_<detail>_total          detail
//	dnsluice_capture_<detail>_total{reason}  detail, when its key is "detail.reason"
//
// help.go says what each detail is, and which have names of their own.
//
// The totals of the run have no stage in their names: dnsluice_packets_total,
// dnsluice_messages_total, dnsluice_records_total, and dnsluice_records_<end>_total for
// acknowledged and dropped records; dnsluice_records_held and dnsluice_records_spooled are gauges.
// dnsluice_balanced is 1 when the ledger balances.
package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// Gauge is one value that goes up and down and is no part of the ledger, such as the depth of a
// queue.
type Gauge struct {
	Name   string            // path words without dnsluice_: deliver_queue_bytes
	Help   string            // one sentence; gauges of one name share the first one's
	Labels map[string]string // may be nil; gauges of one name differ in them
	Value  float64
}

// Source is what is shown. Its functions are called at each scrape, from any goroutine, and must
// not block.
type Source struct {
	Ledger  func() ledger.Ledger
	Gauges  func() []Gauge // may be nil
	Version string         // of this program
	Log     *slog.Logger   // hears of metrics that cannot be shown
}

// Metrics is a registry of its own: nothing that a library registers by itself gets in.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger
}

// New returns the metrics of the source, and of the process and the Go runtime. Its error is a
// mistake of the program.
func New(src Source) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry(), log: src.Log}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dnsluice_build_info",
		Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": src.Version, "goversion": runtime.Version(),
			"platform": runtime.GOOS + "/" + runtime.GOARCH},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		build, collector{src},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: register: %w", err)
		}
	}
	return m, nil
}

// Handler answers a scrape. A metric that cannot be shown is logged and left out; the others are
// shown.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:      errorLog{m.log},
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// errorLog is what promhttp logs to. It says of each metric that it could not be sent, when the
// reader has gone or is too slow: that is the reader's business.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) {
	for _, part := range v {
		var sending *net.OpError
		if err, ok := part.(error); ok && errors.As(err, &sending) {
			return
		}
	}
	l.log.Error("metrics: scrape", "error", fmt.Sprint(v...))
}
