// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// prefix begins all names but those of the process and the Go runtime.
const prefix = "dnsluice_"

// collector turns the ledger and the gauges into metrics at each scrape. It is an unchecked
// collector: which stages and reasons there are is only known then.
type collector struct{ src Source }

// Describe sends nothing, which is how a collector says that it is unchecked.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics of this moment.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := scrape{ch: ch, help: map[string]string{}}
	l := c.src.Ledger()
	s.totals(l)
	for _, stage := range l.Stages {
		s.stage(stage)
	}
	if c.src.Gauges == nil {
		return
	}
	for _, g := range c.src.Gauges() {
		s.send(prometheus.GaugeValue, word(g.Name), g.Help, g.Labels, g.Value)
	}
}

// scrape sends the metrics of one scrape.
type scrape struct {
	ch   chan<- prometheus.Metric
	help map[string]string // by name: the registry refuses two texts for one name
}

// counter sends a counter whose name, without prefix and suffix, is path.
func (s scrape) counter(path, help string, labels map[string]string, n uint64) {
	s.send(prometheus.CounterValue, path+"_total", help, labels, float64(n))
}

func (s scrape) gauge(path, help string, n uint64) {
	s.send(prometheus.GaugeValue, path, help, nil, float64(n))
}

// send sends one metric. The first help text given for a name is the one shown.
func (s scrape) send(kind prometheus.ValueType, path, help string, labels map[string]string,
	value float64) {
	if first, known := s.help[path]; known {
		help = first
	}
	s.help[path] = help
	names := slices.Sorted(maps.Keys(labels))
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = strings.ToValidUTF8(labels[name], "\uFFFD")
		names[i] = word(name)
	}
	desc := prometheus.NewDesc(prefix+path, help, names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, value, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	s.ch <- m
}

func (s scrape) totals(l ledger.Ledger) {
	balanced := uint64(0)
	if l.Balanced {
		balanced = 1
	}
	s.gauge("balanced", "1 when the ledger balances: nothing that came in is unaccounted for.",
		balanced)
	s.counter("packets", "Packets that capture was given.", nil, l.Packets)
	s.counter("messages", "DNS messages found in the packets.", nil, l.Messages)
	s.counter("records", "Records made of the messages.", nil, l.Records)
	s.counter("records_acknowledged", "Records that a broker has.", nil, l.Acknowledged)
	s.counter("records_dropped", "Records that were lost, for a reason.", nil, l.Dropped)
	s.gauge("records_held", "Records in memory.", l.Held)
	s.gauge("records_spooled", "Records that wait on disk.", l.Spooled)
}

func (s scrape) stage(st ledger.Stage) {
	stage, unit := word(st.Stage), word(st.Unit)
	what := capital(st.Unit) // the help texts begin with it
	s.counter(stage+"_"+unit, what+" that entered "+st.Stage+".", nil, st.In)
	s.counter(stage+"_out", what+" that left "+st.Stage+", for the next stage or for good.", nil, st.Out)
	s.gauge(stage+"_held_"+unit, what+" that are in "+st.Stage+" now.", st.Held)
	for _, reason := range slices.Sorted(maps.Keys(st.Dropped)) {
		s.counter(stage+"_dropped", what+" that "+st.Stage+" dropped, by reason.",
			map[string]string{"reason": reason}, st.Dropped[reason])
	}
	for _, key := range slices.Sorted(maps.Keys(st.Detail)) {
		s.detail(st, key)
	}
}

// detail sends one count beside the law. Its name must not be one of the four above.
func (s scrape) detail(st ledger.Stage, key string) {
	name, reason, split := strings.Cut(key, ".")
	d, alone := details[st.Stage+"."+key]
	if !alone {
		d = details[st.Stage+"."+name]
	}
	if d.path == "" {
		d.path = word(st.Stage) + "_" + word(name)
		switch word(name) {
		case word(st.Unit), "out", "dropped":
			d.path += "_detail"
		}
	}
	if d.help == "" {
		d.help = "Count of " + name + " in " + st.Stage + "."
	}
	var labels map[string]string
	if split && !alone {
		labels = map[string]string{"reason": reason}
	}
	if d.gauge {
		s.gauge(d.path, d.help, st.Detail[key])
		return
	}
	s.counter(d.path, d.help, labels, st.Detail[key])
}

// word returns s with everything that may not stand in a metric name as an underscore.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
}

// capital returns s with its first letter as a capital.
func capital(s string) string {
	if s == "" {
		return "Things"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
