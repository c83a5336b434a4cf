// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

var since = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// example returns a source whose sensor has the state given.
func example(state State) Source {
	return Source{
		Version: "1.2.3", Sensor: "ns1", Run: "20260301T120000Z",
		State: func() State { return state },
		Ledger: func() ledger.Ledger {
			return ledger.Of([]ledger.Stage{{Stage: "capture", Unit: "packets", In: 1, Out: 1}},
				ledger.Totals{Packets: 1})
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "dnsluice_packets_total 1\n")
		}),
	}
}

var (
	flowing = State{Name: "flowing", Since: since, Ready: true,
		Sentence: "all records are acknowledged"}
	unreachable = State{Name: "unreachable", Since: since,
		Sentence: "no broker answers; is k1:9092 the right address?",
		Evidence: map[string]string{"k1:9092": "connection refused"}}
)

var idle = State{Name: "idle", Since: since, Ready: true,
	Sentence: "idle since 2026-03-01T12:00:00Z: there is nothing to deliver"}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ask returns the answer to one request.
func ask(cfg Config, state State, method, path string) *httptest.ResponseRecorder {
	cfg.Log = quiet()
	w := httptest.NewRecorder()
	New(cfg, example(state)).Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestAnswers(t *testing.T) {
	pprof := Config{Pprof: true}
	tests := []struct {
		name   string
		cfg    Config
		state  State
		method string
		path   string
		code   int
		body   string // a part of it
	}{
		{"a sensor that is not ready still lives", Config{}, unreachable, "GET", "/livez", 200,
			"alive\n"},
		{"a sensor that flows is ready", Config{}, flowing, "GET", "/readyz", 200,
			"flowing: all records are acknowledged\n"},
		{"a sensor that is not ready says why", Config{}, unreachable, "GET", "/readyz", 503,
			"unreachable: no broker answers; is k1:9092 the right address?\n"},
		{"the page says the state's name once", Config{}, idle, "GET", "/", 200,
			"<p><strong>idle</strong> since 2026-03-01T12:00:00Z: there is nothing to deliver</p>"},
		{"metrics come from their handler", Config{}, flowing, "GET", "/metrics", 200,
			"dnsluice_packets_total 1\n"},
		{"the page links the rest", Config{}, flowing, "GET", "/", 200,
			`<a href="/api/state">/api/state</a>`},
		{"HEAD is allowed", Config{}, flowing, "HEAD", "/readyz", 200, ""},
		{"nothing can be posted", Config{}, flowing, "POST", "/readyz", 405, ""},
		{"nothing can be deleted", pprof, flowing, "DELETE", "/debug/pprof/", 405, ""},
		{"no other path exists", Config{}, flowing, "GET", "/etc/passwd", 404, ""},
		{"profiles are off unless asked for", Config{}, flowing, "GET", "/debug/pprof/", 404, ""},
		{"profiles are there when asked for", pprof, flowing, "GET", "/debug/pprof/", 200,
			"goroutine"},
		{"a named profile", pprof, flowing, "GET", "/debug/pprof/goroutine?debug=1", 200,
			"goroutine profile: total"},
		{"the page links the profiles when they are there", pprof, flowing, "GET", "/", 200,
			`<a href="/debug/pprof/">`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := ask(test.cfg, test.state, test.method, test.path)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, test.code, test.body)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q: a state is of one moment", got)
			}
		})
	}
}

func TestReadyzSaysTheNameOfTheStateOnce(t *testing.T) {
	w := ask(Config{}, idle, "GET", "/readyz")
	if want := idle.Sentence + "\n"; w.Body.String() != want {
		t.Errorf("%q, want %q", w.Body, want)
	}
}

func TestStateHasTheDetailThatThereIs(t *testing.T) {
	src := example(flowing)
	for _, detail := range []any{nil, map[string]any{"lanes": []any{1.0}}} {
		if detail != nil {
			src.Detail = func() any { return detail }
		}
		w := httptest.NewRecorder()
		New(Config{Log: quiet()}, src).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/api/state", nil))
		var got struct{ Detail any }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(detail, got.Detail); diff != "" {
			t.Error(diff)
		}
	}
}

func TestStateIsJSON(t *testing.T) {
	for _, test := range []struct {
		state State
		want  map[string]any
	}{
		{flowing, map[string]any{"name": "flowing", "since": "2026-03-01T12:00:00Z",
			"sentence": "all records are acknowledged", "evidence": map[string]any{},
			"ready": true}},
		{unreachable, map[string]any{"name": "unreachable", "since": "2026-03-01T12:00:00Z",
			"sentence": "no broker answers; is k1:9092 the right address?",
			"evidence": map[string]any{"k1:9092": "connection refused"}, "ready": false}},
	} {
		w := ask(Config{}, test.state, "GET", "/api/state")
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"version": "1.2.3", "sensor": "ns1", "run": "20260301T120000Z", "state": test.want,
			"ledger": map[string]any{"balanced": true, "complete": false, "packets": 1., "messages": 0.,
				"records": 0., "acknowledged": 0., "spooled": 0., "dropped": 0., "held": 0.,
				"stages": []any{map[string]any{"stage": "capture", "unit": "packets",
					"in": 1., "out": 1., "held": 0., "dropped": map[string]any{}}}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("/api/state (-want +got):\n%s", diff)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type is %q", got)
		}
	}
}

func TestThePageHasTheEvidenceAndTheLedger(t *testing.T) {
	src := example(unreachable)
	src.Ledger = func() ledger.Ledger {
		return ledger.Of([]ledger.Stage{{Stage: "decode", Unit: "packets", In: 1200, Out: 1000,
			Dropped: map[string]uint64{"tcp_empty": 200, "udp_empty": 0}}},
			ledger.Totals{Packets: 1200, Messages: 1000, Records: 1000, Acknowledged: 900, Held: 100})
	}
	w := httptest.NewRecorder()
	New(Config{Log: quiet()}, src).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{
		"<tr><th>k1:9092<td>connection refused\n",
		`<tr><td>decode<td>packets<td class="n">1,200<td class="n">1,000<td class="n">0<td class="n">200` +
			"<td>tcp_empty 200 \n",
		"<p>1,200 packets, 1,000 messages, 1,000 records: 900 acknowledged, 0 on disk, 0 dropped, 100 held. " +
			"The ledger balances.</p>",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, w.Body)
		}
	}
}

func TestThePageEscapesWhatItShows(t *testing.T) {
	state := State{Name: "<n>", Sentence: "<script>alert(1)</script>", Since: since}
	src := example(state)
	src.Sensor, src.Version, src.Run = "<s>", "<v>", "<r>"
	w := httptest.NewRecorder()
	New(Config{Log: quiet()}, src).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, bad := range []string{"<n>", "<script>", "<s>", "<v>", "<r>"} {
		if strings.Contains(w.Body.String(), bad) {
			t.Errorf("the page has %s in it", bad)
		}
	}
	if !strings.Contains(w.Body.String(), "&lt;n&gt;</strong> since 2026-03-01T12:00:00Z") {
		t.Errorf("the page does not show the state:\n%s", w.Body)
	}
}

// running starts a server on a free port, which when it stops waits for requests as long as its
// patience. stop ends it and returns what Run returned.
func running(t *testing.T, src Source, patience time.Duration) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Config{Address: "127.0.0.1:0", Log: quiet()}, src)
	s.patience = patience
	addr, err := s.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return "http://" + addr.String(), stop
}

func TestRunServesUntilTheContextEnds(t *testing.T) {
	url, stop := running(t, example(flowing), time.Minute)
	resp, err := http.Get(url + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "alive\n" {
		t.Errorf("%q, %v", body, err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if _, err := http.Get(url + "/livez"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
}

func TestRunLetsARequestEnd(t *testing.T) {
	src := example(flowing)
	begun, end := make(chan bool), make(chan bool)
	src.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- true
		<-end
		io.WriteString(w, "whole")
	})
	url, stop := running(t, src, time.Minute)
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	// The listener closes first; then the request that is under way may end.
	for listening := true; listening; {
		conn, err := net.Dial("tcp", url[len("http://"):])
		if listening = err == nil; listening {
			conn.Close()
		}
	}
	close(end)
	if body := <-got; body != "whole" {
		t.Errorf("the request under way got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestRunCutsOffAReaderThatDoesNotEnd(t *testing.T) {
	src := example(flowing)
	begun := make(chan bool)
	src.Metrics = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun <- true
		<-r.Context().Done()
	})
	url, stop := running(t, src, time.Millisecond)
	failed := make(chan error, 1)
	go func() {
		_, err := http.Get(url + "/metrics")
		failed <- err
	}()
	<-begun
	if err := stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if <-failed == nil {
		t.Error("the reader was not cut off")
	}
}

func TestRunThatBeginsAfterTheEndIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(Config{Address: "127.0.0.1:0", Log: quiet()}, Source{}).Run(ctx); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestAnAddressInUseIsAnErrorThatSaysWhatToDo(t *testing.T) {
	url, _ := running(t, example(flowing), time.Minute)
	addr := url[len("http://"):]
	err := New(Config{Address: addr, Log: quiet()}, example(flowing)).Run(t.Context())
	want := "httpd: " + addr + " is in use, by another sensor perhaps: " +
		"give another address with --http, or --http off: "
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error is %v", err)
	}
}

func TestABadAddressIsAnErrorThatNamesTheFlag(t *testing.T) {
	err := New(Config{Address: "127.0.0.1:dns luice", Log: quiet()}, Source{}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "listen on 127.0.0.1:dns luice (see --http)") {
		t.Errorf("error is %v", err)
	}
}

func TestOnlyAnAddressThatOthersReachIsWarnedOf(t *testing.T) {
	for address, warned := range map[string]bool{
		"127.0.0.1:0": false, "localhost:0": false, ":0": true, "0.0.0.0:0": true,
	} {
		var log strings.Builder
		s := New(Config{Address: address, Log: slog.New(slog.NewTextHandler(&log, nil))}, Source{})
		if _, err := s.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.listener.Close()
		if got := strings.Contains(log.String(), "other machines can reach"); got != warned {
			t.Errorf("%s: log is %q", address, log.String())
		}
	}
}

func TestEveryConnectionHasTimeouts(t *testing.T) {
	got := New(Config{Log: quiet()}, example(flowing)).server()
	for name, d := range map[string]time.Duration{
		"header": got.ReadHeaderTimeout, "read": got.ReadTimeout, "write": got.WriteTimeout,
		"idle": got.IdleTimeout,
	} {
		if d <= 0 {
			t.Errorf("no %s time-out", name)
		}
	}
	if got := New(Config{Pprof: true, Log: quiet()}, example(flowing)).server(); got.WriteTimeout <=
		30*time.Second {
		t.Error("the profile of 30 s would be refused")
	}
}
