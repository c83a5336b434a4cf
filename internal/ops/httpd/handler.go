// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// Handler answers the requests of one server. It is exported for tests and for embedding; Run
// serves it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux() // not the default one: that is where libraries put things
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /api/state", s.state)
	mux.Handle("GET /metrics", s.src.Metrics)
	mux.HandleFunc("GET /{$}", s.index)
	if s.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return headers(mux)
}

// headers says what is true of every answer: it is of this moment, and it is what it says it is.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		next.ServeHTTP(w, r)
	})
}

// livez answers while the process turns at all.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	sentence(w, http.StatusOK, "alive")
}

// readyz answers with the state's sentence, and 503 when the sensor is not ready.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	state := s.src.State()
	code := http.StatusOK
	if !state.Ready {
		code = http.StatusServiceUnavailable
	}
	sentence(w, code, state.line())
}

// line is the state in one line, which begins with its name: most sentences do so themselves.
func (s State) line() string {
	if strings.HasPrefix(s.Sentence, s.Name+" ") {
		return s.Sentence
	}
	return s.Name + ": " + s.Sentence
}

func sentence(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	io.WriteString(w, text+"\n") // a reader that went away is no news
}

// report is the body of /api/state.
type report struct {
	Version string        `json:"version"`
	Sensor  string        `json:"sensor"`
	Run     string        `json:"run"`
	State   State         `json:"state"`
	Ledger  ledger.Ledger `json:"ledger"`
	Detail  any           `json:"detail,omitempty"`
}

// state answers with all that is known of the sensor, as JSON.
func (s *Server) state(w http.ResponseWriter, _ *http.Request) {
	state := s.src.State()
	if state.Evidence == nil {
		state.Evidence = map[string]string{}
	}
	all := report{
		Version: s.src.Version, Sensor: s.src.Sensor, Run: s.src.Run,
		State: state, Ledger: s.src.Ledger(),
	}
	if s.src.Detail != nil {
		all.Detail = s.src.Detail()
	}
	body, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		s.cfg.Log.Error("httpd: encode /api/state", "error", err)
		sentence(w, http.StatusInternalServerError, "the state cannot be encoded: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n'))
}
