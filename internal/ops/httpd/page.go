// SPDX-License-Identifier: Apache-2.0

package httpd

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// page is the sensor for a browser: how it is, the evidence, the ledger, and what else there is to
// read. It needs no script: the browser asks again every two seconds. It is no html/template, for
// with that in it the linker keeps every method of the program, a sixth of its size.
const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="2">
<title>%[2]s: dnsluice %[1]s</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { display: block; margin: 1em 0; overflow-x: auto }
th, td { text-align: left; padding-right: 1em; vertical-align: top }
.n { text-align: right; font-variant-numeric: tabular-nums }
</style>
<h1>dnsluice %[1]s</h1>
<p><strong>%[2]s</strong> since %[3]s: %[4]s</p>
%[5]s<ul>
<li><a href="/api/state">/api/state</a>: state, evidence and ledger, as JSON
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/readyz">/readyz</a>: 200, or 503 and why
<li><a href="/livez">/livez</a>: 200 while the process turns
%[6]s</ul>
<p>version %[7]s, run %[8]s</p>
</html>
`

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	state := s.src.State()
	profiles := ""
	if s.cfg.Pprof {
		profiles = `<li><a href="/debug/pprof/">/debug/pprof</a>: profiles` + "\n"
	}
	esc := html.EscapeString
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, page, esc(s.src.Sensor), esc(state.Name), stamp(state.Since), esc(state.words()),
		evidence(state.Evidence)+account(s.src.Ledger()), profiles, esc(s.src.Version), esc(s.src.Run))
}

// evidence is a table of what was seen.
func evidence(seen map[string]string) string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&b, "<tr><th>%s<td>%s\n", html.EscapeString(what), html.EscapeString(seen[what]))
	}
	return "<table>\n" + b.String() + "</table>\n"
}

// account is the ledger as a table, and its sums.
func account(l ledger.Ledger) string {
	var b strings.Builder
	b.WriteString("<table>\n" + `<tr><th>stage<th><th class="n">in<th class="n">out<th class="n">held` +
		`<th class="n">dropped<th>` + "\n")
	for _, st := range l.Stages {
		fmt.Fprintf(&b, "<tr><td>%s<td>%s", html.EscapeString(st.Stage), html.EscapeString(st.Unit))
		for _, n := range []uint64{st.In, st.Out, st.Held, st.DroppedSum()} {
			fmt.Fprintf(&b, `<td class="n">%s`, ledger.Number(n))
		}
		b.WriteString("<td>")
		for _, reason := range slices.Sorted(maps.Keys(st.Dropped)) {
			if n := st.Dropped[reason]; n > 0 {
				fmt.Fprintf(&b, "%s %s ", html.EscapeString(reason), ledger.Number(n))
			}
		}
		b.WriteString("\n")
	}
	verdict := "balances"
	if !l.Balanced {
		verdict = "does not balance"
	}
	fmt.Fprintf(&b, "</table>\n<p>%s packets, %s messages, %s records: %s acknowledged, %s on disk, "+
		"%s dropped, %s held. The ledger %s.</p>\n", ledger.Number(l.Packets), ledger.Number(l.Messages),
		ledger.Number(l.Records), ledger.Number(l.Acknowledged), ledger.Number(l.Spooled),
		ledger.Number(l.Dropped), ledger.Number(l.Held), verdict)
	return b.String()
}

// words is the sentence without what the page has said before it: the name, and since when.
func (s State) words() string {
	return strings.TrimPrefix(s.Sentence, s.Name+" since "+stamp(s.Since)+": ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
