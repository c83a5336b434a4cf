// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/httpd"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

func TestASensorIsAsked(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := httptest.NewServer(httpd.New(httpd.Config{Log: slog.New(slog.DiscardHandler)}, httpd.Source{
		Sensor: "ns1", Run: "r1",
		State:   func() httpd.State { return httpd.State{Name: "idle", Since: since, Ready: true} },
		Ledger:  func() ledger.Ledger { return ledger.Of(nil, ledger.Totals{Packets: 7}) },
		Metrics: http.NotFoundHandler(),
		Detail: func() any {
			return Detail{Lanes: []Lane{{Lane: 1, Received: 3}}, Delivery: Delivery{Spool: &Spool{Bytes: 5}}}
		},
	}).Handler())
	defer s.Close()
	a, err := Sensor(t.Context(), s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if a.Sensor != "ns1" || !a.State.Ready || !a.State.Since.Equal(since) || a.Ledger.Packets != 7 ||
		a.Detail.Lanes[0].Received != 3 || a.Detail.Delivery.Spool.Bytes != 5 || a.Detail.Delivery.Probe != nil {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsNoSensorIsSaidToBeNone(t *testing.T) {
	body := func(code int, text string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, text)
		}))
	}
	for _, c := range []struct {
		name   string
		server *httptest.Server
		says   string
	}{
		{"a page that is not there", body(404, "{}"), "404"},
		{"a page of another kind", body(200, "<html>"), "not a sensor's"},
		{"another program's JSON", body(200, `{"status":"ok"}`), "not a sensor's"},
		{"an endless answer", body(200, `{"sensor":"`+strings.Repeat("x", longest)), "not a sensor's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer c.server.Close()
			_, err := Sensor(t.Context(), c.server.Listener.Addr().String())
			if !errors.Is(err, ErrNoSensor) || !strings.Contains(err.Error(), c.says) {
				t.Error(err)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // one that says nothing
	defer cancel()
	if _, err := Sensor(ctx, l.Addr().String()); !errors.Is(err, ErrNoSensor) {
		t.Error(err)
	}
}

// TestASensorWhoseCountersHangIsAskedForItsState has a sensor of which only /readyz answers.
func TestASensorWhoseCountersHangIsAskedForItsState(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(503)
		io.WriteString(w, "delivery_stuck: a lock is held for ever\n")
	}))
	defer s.Close()
	a, err := Sensor(t.Context(), s.Listener.Addr().String())
	if want := (State{Name: "delivery_stuck", Sentence: "a lock is held for ever"}); err != nil || a.State != want {
		t.Errorf("%+v, %v", a.State, err)
	}
}

func TestTheNameOfAStateIsReadWhereItsSentenceBeginsWithIt(t *testing.T) {
	const line = "unreachable since 2026-03-01T12:00:00Z: no broker answers"
	var a Answer
	err := a.readReady(503, strings.NewReader(line+"\n"))
	if want := (State{Name: "unreachable", Sentence: line}); err != nil || a.State != want {
		t.Errorf("%+v, %v", a.State, err)
	}
}

func TestAnAddressWithoutAHostIsThisMachine(t *testing.T) {
	for address, want := range map[string]string{
		":9953": "127.0.0.1:9953", "127.0.0.1:1": "127.0.0.1:1", "[::1]:2": "[::1]:2", "ns1:3": "ns1:3",
	} {
		if got := local(address); got != want {
			t.Errorf("%s becomes %s, want %s", address, got, want)
		}
	}
}
