// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// example returns a source with something of everything.
func example() Source {
	return Source{
		Version: "1.2.3",
		Ledger: func() ledger.Ledger {
			return ledger.Of([]ledger.Stage{
				{Stage: "capture", Unit: "packets", In: 12, Out: 10,
					Dropped: map[string]uint64{"kernel": 2}, Detail: map[string]uint64{"bytes": 900}},
				{Stage: "decode", Unit: "packets", In: 10, Out: 7, Held: 1,
					Dropped: map[string]uint64{"truncated": 1, "not_ip": 1},
					Detail: map[string]uint64{
						"malformed.name_pointer": 3, "malformed.short_header": 1, "out": 5}},
			}, ledger.Totals{Packets: 12, Messages: 7, Records: 7, Acknowledged: 4, Dropped: 1,
				Held: 2})
		},
		Gauges: func() []Gauge {
			return []Gauge{
				{Name: "deliver_queue_bytes", Help: "Bytes that wait.", Value: 1e6,
					Labels: map[string]string{"partition": "0"}},
				{Name: "deliver_queue_bytes", Help: "Another text.", Value: 2.5,
					Labels: map[string]string{"partition": "1"}},
			}
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

// scraped returns the lines that a scrape of src shows of the names that begin with dnsluice_.
func scraped(t *testing.T, src Source) string {
	t.Helper()
	m, err := New(src)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "dnsluice_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestTheNamesArePathWords(t *testing.T) {
	got := scraped(t, example())
	_, rest, _ := strings.Cut(got, "dnsluice_capture")
	want := `_bytes_total 900
dnsluice_capture_dropped_total{reason="kernel"} 2
dnsluice_capture_held_packets 0
dnsluice_capture_out_total 10
dnsluice_capture_packets_total 12
dnsluice_decode_dropped_total{reason="not_ip"} 1
dnsluice_decode_dropped_total{reason="truncated"} 1
dnsluice_decode_held_packets 1
dnsluice_decode_malformed_total{reason="name_pointer"} 3
dnsluice_decode_malformed_total{reason="short_header"} 1
dnsluice_decode_out_detail_total 5
dnsluice_decode_out_total 7
dnsluice_decode_packets_total 10
dnsluice_deliver_queue_bytes{partition="0"} 1e+06
dnsluice_deliver_queue_bytes{partition="1"} 2.5
dnsluice_messages_total 7
dnsluice_packets_total 12
dnsluice_records_acknowledged_total 4
dnsluice_records_dropped_total 1
dnsluice_records_held 2
dnsluice_records_spooled 0
dnsluice_records_total 7
`
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestBalancedAndTheBuildAreShown(t *testing.T) {
	src := example()
	got := scraped(t, src)
	for _, want := range []string{"dnsluice_balanced 1\n", `dnsluice_build_info{`,
		`version="1.2.3"`} {
		if !strings.Contains(got, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	src.Ledger = func() ledger.Ledger { return ledger.Of(nil, ledger.Totals{Records: 1}) }
	if got := scraped(t, src); !strings.Contains(got, "dnsluice_balanced 0\n") {
		t.Errorf("a ledger that does not balance is not shown:\n%s", got)
	}
}

func TestTheProcessAndTheRuntimeAreShown(t *testing.T) {
	m, err := New(example())
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"\ngo_goroutines ", "\nprocess_resident_memory_bytes "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestPromlintFindsNothing(t *testing.T) {
	m, err := New(example())
	if err != nil {
		t.Fatal(err)
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestEachScrapeAsksAnew(t *testing.T) {
	n := uint64(0)
	src := example()
	src.Gauges = nil
	src.Ledger = func() ledger.Ledger {
		n++
		return ledger.Of(nil, ledger.Totals{Packets: n})
	}
	m, err := New(src)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dnsluice_packets_total 1\n", "dnsluice_packets_total 2\n"} {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestAMetricThatCannotBeShownIsLoggedAndTheOthersAreShown(t *testing.T) {
	var log strings.Builder
	src := example()
	src.Log = slog.New(slog.NewTextHandler(&log, nil))
	twice := Gauge{Name: "queue_bytes", Help: "Bytes that wait."}
	src.Gauges = func() []Gauge { return []Gauge{twice, twice} }
	if got := scraped(t, src); !strings.Contains(got, "dnsluice_packets_total 12\n") {
		t.Errorf("the other metrics are not shown:\n%s", got)
	}
	if !strings.Contains(log.String(), "dnsluice_queue_bytes") {
		t.Errorf("nothing logged of the gauge given twice: %s", log.String())
	}
}

func TestWordsFromElsewhereCannotBreakAScrape(t *testing.T) {
	src := example()
	src.Gauges = nil
	src.Ledger = func() ledger.Ledger {
		return ledger.Of([]ledger.Stage{{Stage: "decode/IP frag", Unit: "Packets",
			Dropped: map[string]uint64{"\xff\"\n": 0}}}, ledger.Totals{})
	}
	got := scraped(t, src)
	want := "dnsluice_decode_ip_frag_dropped_total{reason=\"\uFFFD\\\"\\n\"} 0\n"
	if !strings.Contains(got, want) {
		t.Errorf("metrics lack %q:\n%s", want, got)
	}
}

// gone is a reader that has hung up.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

func TestAReaderThatHasGoneIsNotLogged(t *testing.T) {
	var log strings.Builder
	src := example()
	src.Log = slog.New(slog.NewTextHandler(&log, nil))
	m, err := New(src)
	if err != nil {
		t.Fatal(err)
	}
	m.Handler().ServeHTTP(gone{httptest.NewRecorder()}, httptest.NewRequest("GET", "/metrics", nil))
	if log.Len() > 0 {
		t.Error(log.String())
	}
}
