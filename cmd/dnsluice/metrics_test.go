// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/ops/metrics"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

var update = flag.Bool("update", false, "write the table of metrics")

// scrape is what a sensor shows that uses everything and of which everything can be told.
func scrape(t *testing.T) string {
	t.Helper()
	cfg := config.Default()
	cfg.Capture.Interfaces, cfg.Capture.DNSTap.Listen = []string{"eth0"}, []string{"tcp://127.0.0.1:0"}
	cfg.Capture.Lanes = 1
	cfg.Match.Emit, cfg.Deliver.Brokers = "transactions", []string{"127.0.0.1:1"}
	cfg.Spool.Dir = t.TempDir()
	settings, err := sensorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if settings.Deliver.Spool, err = openSpool(cfg.Spool, log); err != nil {
		t.Fatal(err)
	}
	defer settings.Deliver.Spool.Close()
	s, err := sensor.New(settings, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Ledger()
	capture := l.Stages[slices.IndexFunc(l.Stages, func(s ledger.Stage) bool { return s.Stage == "capture" })]
	capture.Detail["connections"], capture.Detail["ended.stop"] = 1, 1 // which are shown after the first
	full := deliver.Status{State: deliver.Spooling, LastAck: time.Unix(1, 0),
		Spool: &deliver.SpoolStatus{Oldest: time.Unix(1, 0), FullIn: 1}}
	m, err := metrics.New(metrics.Source{Ledger: func() ledger.Ledger { return l }, Version: "1", Log: log,
		Gauges: func() []metrics.Gauge { return gauges(cfg.Ops.Memory, full) }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// table is the metrics of a scrape as the manual lists them.
func table(text string) string {
	kinds, labels := map[string]string{}, map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)`).FindAllStringSubmatch(text, -1) {
		kinds[m[1]] = m[2]
	}
	for _, m := range regexp.MustCompile(`(?m)^(dnsluice_\w+)\{(\w+)=`).FindAllStringSubmatch(text, -1) {
		labels[m[1]] = " by `" + m[2] + "`"
	}
	labels["dnsluice_build_info"] = ""
	out := "| metric | kind | what it is |\n|---|---|---|\n"
	for _, m := range regexp.MustCompile(`(?m)^# HELP (dnsluice_\w+) (.*)`).FindAllStringSubmatch(text, -1) {
		out += fmt.Sprintf("| `%s` | %s%s | %s |\n", m[1], kinds[m[1]], labels[m[1]], m[2])
	}
	return out
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	const page, heading = "../../docs/metrics.md", "| metric | kind |"
	want := table(scrape(t))
	if strings.Contains(want, "Count of ") {
		t.Errorf("a metric has no help text of its own:\n%s", want)
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(data), heading)
	if *update {
		if err := os.WriteFile(page, []byte(before+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, strings.TrimPrefix(string(data), before)); diff != "" {
		t.Errorf("%s (-want +got); run this test with -update:\n%s", page, diff)
	}
	for name := range dropReasons(t) {
		if !strings.Contains(before, "| `"+name+"` |") {
			t.Errorf("%s does not say what the reason %s is", page, name)
		}
	}
}

// dropReasons are the reasons for which records are dropped.
func dropReasons(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`dnsluice_deliver_dropped_total\{reason="(\w+)"`).
		FindAllStringSubmatch(scrape(t), -1) {
		all[m[1]] = true
	}
	if len(all) == 0 {
		t.Error("no reason is shown")
	}
	return all
}

// TestAlertsAreAboutMetricsThatExist reads the rules as Prometheus does, as far as this can be done
// without it: promtool check rules says the rest.
func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.FromSlash("../../deploy/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	shown := scrape(t)
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			if r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s has no summary or no severity", r.Alert)
			}
			for _, name := range regexp.MustCompile(`dnsluice_\w+`).FindAllString(r.Expr, -1) {
				if !strings.Contains(shown, "# TYPE "+name+" ") {
					t.Errorf("%s is about %s, which is not shown", r.Alert, name)
				}
			}
		}
	}
	if len(rules.Groups) == 0 {
		t.Error("no rules")
	}
}
