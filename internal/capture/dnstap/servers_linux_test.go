// SPDX-License-Identifier: Apache-2.0

package dnstap_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	record "github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/test/need"
	"github.com/dnsluice/dnsluice/test/netns"
)

// patience is how long a test waits for what must come. Nothing waits that long unless it fails.
const patience = 30 * time.Second

// world is a network namespace with name servers in it, and a source that they report to.
type world struct {
	t      *testing.T
	folder string
	source *dnstap.Source
	listen string

	records []map[string]any
	decoder *decode.Decoder
}

// newWorld makes a world of the tools given, in a network namespace, or skips the test.
func newWorld(t *testing.T, change func(*dnstap.Config), tools ...string) *world {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("PATH"), ":"), "/usr/sbin") {
		t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	}
	for _, tool := range append(tools, "dig") {
		found, err := filepath.Glob(tool) // a module is a path
		if _, missing := exec.LookPath(tool); missing != nil && len(found) == 0 || err != nil {
			need.Cannot(t, "needs ", tool, ": apt-get install bind9 bind9-dnsutils unbound knot "+
				"knot-module-dnstap")
		}
	}
	netns.Enter(t)
	netns.IP(t, "addr add 127.0.0.2/32 dev lo") // BIND asks which ones there are
	w := &world{t: t, folder: t.TempDir()}
	var err error
	if w.decoder, err = decode.New(decode.DefaultConfig(), w.message); err != nil {
		t.Fatal(err)
	}
	w.listen = w.path("dnstap.sock")
	cfg := dnstap.DefaultConfig()
	cfg.Listen = "unix://" + w.listen
	if change != nil {
		change(&cfg)
	}
	if w.source, err = dnstap.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := w.source.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.source.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

func (w *world) write(name, text string) string {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return w.path(name)
}

func (w *world) command(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// message takes the record that the sensor would deliver.
func (w *world) message(m *dnsmsg.Message) {
	var r map[string]any
	text := record.New(encode.Identity{}).Append(nil, 1, m)
	if err := json.Unmarshal(text, &r); err != nil {
		w.t.Errorf("%v in %s", err, text)
	}
	w.records = append(w.records, r)
}

// take reads the source once. The first of two calls that find nothing waits a moment.
func (w *world) take() {
	w.t.Helper()
	var p packet.Packet
	switch err := w.source.Next(&p); err {
	case nil:
		w.decoder.Decode(&p)
	case capture.ErrIdle:
	default:
		w.t.Fatal(err)
	}
}

// until reads the source until it is done.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for limit := time.Now().Add(patience); !done(); w.take() {
		if time.Now().After(limit) {
			w.t.Fatalf("%s: not within %s; %d records: %v", what, patience, len(w.records), w.records)
		}
	}
}

// server starts a name server and waits until it accepts connections, which are no DNS, and until
// it is connected to the source. stop ends it in the orderly way.
func (w *world) server(address string, name string, args ...string) (stop func()) {
	w.t.Helper()
	before := w.source.Stats().Connections
	var log bytes.Buffer
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = &log, &log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = c.Wait() // how it ends says nothing about the source
		close(gone)
	}()
	over := func() bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	}
	w.t.Cleanup(func() {
		_ = c.Process.Kill()
		<-gone
		if w.t.Failed() {
			w.t.Logf("%s said: %s", name, &log)
		}
	})
	w.until(name+" begins", func() bool {
		if over() {
			w.t.Fatalf("%s ended: %s", name, &log)
		}
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil && w.source.Stats().Connections > before
	})
	return func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			w.t.Error(err)
		}
		w.until(name+" ends", over)
	}
}

// dig asks one question and returns the answer's data.
func (w *world) dig(args ...string) string {
	w.t.Helper()
	return strings.TrimSpace(w.command("dig", append([]string{"+short", "+tries=1", "+time=10",
		"+nocookie"}, args...)...))
}

// summary is what the records say, without what differs from run to run, sorted.
func (w *world) summary() []string {
	var lines []string
	for _, r := range w.records {
		line := fmt.Sprint(r["dnstap_identity"], " ", r["dnstap_type"], " ", r["kind"], " ",
			r["transport"], " ", r["client_ip"], " ", r["server_ip"], " ", r["rcode"], " ",
			r["qname"], " ", r["qtype"])
		if zone, ok := r["query_zone"]; ok {
			line += fmt.Sprint(" zone ", zone)
		}
		if _, ok := r["latency_us"]; ok {
			line += " latency"
		}
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(r["ts"]))
		if err != nil || time.Since(at).Abs() > time.Hour {
			line += fmt.Sprint(" at ", r["ts"], err)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// check compares the records with want, and how the connections ended.
func (w *world) check(want []string, ends map[capture.End]uint64) {
	w.t.Helper()
	w.until("all connections are over", func() bool {
		over := uint64(0)
		st := w.source.Stats()
		for _, n := range st.Ended {
			over += n
		}
		return over == st.Connections
	})
	slices.Sort(want)
	if diff := cmp.Diff(w.summary(), want); diff != "" {
		w.t.Errorf("records (-got +want):\n%s", diff)
	}
	got := map[capture.End]uint64{}
	for e, n := range w.source.Stats().Ended {
		if n > 0 {
			got[capture.End(e)] = n
		}
	}
	if diff := cmp.Diff(got, ends); diff != "" {
		w.t.Errorf("ends (-got +want):\n%s", diff)
	}
	c := w.decoder.Counters()
	if c.Carried != c.Packets || c.Malformed != [dnsmsg.NumReasons]uint64{} {
		w.t.Errorf("counters %+v", c)
	}
	w.source.Drain()
	var p packet.Packet
	err := capture.ErrIdle
	for err == capture.ErrIdle {
		err = w.source.Next(&p)
	}
	if err != io.EOF {
		w.t.Errorf("after Drain: %v", err)
	}
}

const zoneFile = `$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
ns A 127.0.0.2
www A 192.0.2.80
big TXT "over TCP"
`

// bind starts BIND as the authority of example.test on 127.0.0.2.
func (w *world) bind() (stop func()) {
	w.t.Helper()
	zone := w.write("example.test", zoneFile)
	conf := w.write("named.conf", fmt.Sprintf(`
options {
  directory %q; pid-file none; session-keyfile none; lock-file none; managed-keys-directory %q;
  listen-on { 127.0.0.2; }; listen-on-v6 { none; };
  recursion no; dnssec-validation no; empty-zones-enable no; minimal-responses yes;
  dnstap { auth; }; dnstap-output unix %q; dnstap-identity "authority";
};
controls { };
zone "example.test" { type primary; file %q; };
`, w.folder, w.folder, w.listen, zone))
	return w.server("127.0.0.2:53", "named", "-g", "-n", "1", "-c", conf)
}

// unbound starts a resolver on 127.0.0.1 that asks the authority for example.test.
func (w *world) unbound(report string) (stop func()) {
	w.t.Helper()
	conf := w.write("unbound.conf", fmt.Sprintf(`
server:
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  interface: 127.0.0.1
  do-ip6: no
  do-not-query-localhost: no
  module-config: "iterator"
  qname-minimisation: no
  local-zone: "test." nodefault
remote-control:
  control-enable: no
stub-zone:
  name: "example.test"
  stub-addr: 127.0.0.2
  stub-prime: no
dnstap:
  dnstap-enable: yes
  dnstap-bidirectional: yes
  dnstap-send-identity: yes
  dnstap-identity: "resolver"
  dnstap-send-version: yes
  dnstap-log-client-query-messages: yes
  dnstap-log-client-response-messages: yes
  dnstap-log-resolver-query-messages: yes
  dnstap-log-resolver-response-messages: yes
%s`, w.folder, report))
	return w.server("127.0.0.1:53", "unbound", "-d", "-c", conf)
}

// TestUnboundAndBIND lets a resolver and an authority report the same exchange, each its own side.
func TestUnboundAndBIND(t *testing.T) {
	w := newWorld(t, nil, "named", "unbound")
	stopBIND := w.bind()
	stopUnbound := w.unbound(fmt.Sprintf("  dnstap-socket-path: %q\n", w.listen))
	for question, want := range map[string]string{
		"www.example.test A":       "192.0.2.80",
		"big.example.test TXT tcp": `"over TCP"`,
	} {
		words := strings.Fields(question)
		args := append([]string{"@127.0.0.1"}, words[:2]...)
		if len(words) == 3 {
			args = append(args, "+tcp")
		}
		if got := w.dig(args...); got != want {
			t.Fatalf("%s: %q, want %q", question, got, want)
		}
	}
	w.until("twelve records", func() bool { return len(w.records) >= 12 })
	stopUnbound()
	stopBIND()

	var want []string
	for question, transport := range map[string]string{
		"www.example.test A": "udp", "big.example.test TXT": "tcp",
	} {
		want = append(want,
			"resolver CLIENT_QUERY query "+transport+" 127.0.0.1 127.0.0.1 NOERROR "+question,
			"resolver CLIENT_RESPONSE response "+transport+" 127.0.0.1 127.0.0.1 NOERROR "+question,
			// It does not look which address the kernel sends from, and tells 0.0.0.0.
			"resolver RESOLVER_QUERY query udp <nil> 127.0.0.2 NOERROR "+question+
				" zone example.test",
			"resolver RESOLVER_RESPONSE response udp <nil> 127.0.0.2 NOERROR "+question+
				" zone example.test latency",
			"authority AUTH_QUERY query udp 127.0.0.2 127.0.0.2 NOERROR "+question,
			"authority AUTH_RESPONSE response udp 127.0.0.2 127.0.0.2 NOERROR "+question+
				" zone example.test")
	}
	w.check(want, map[capture.End]uint64{capture.EndStop: 2})
}

// TestUnboundOverTLS lets a resolver report over TLS, with a certificate of its own.
func TestUnboundOverTLS(t *testing.T) {
	ca := dnstap.NewAuthority(t)
	w := newWorld(t, func(cfg *dnstap.Config) {
		folder := t.TempDir()
		put := func(name string, b []byte) string {
			name = filepath.Join(folder, name)
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
			return name
		}
		cert, key := ca.Issue(t, "sensor.example")
		cfg.Listen = "tls://127.0.0.1:6000"
		cfg.Cert, cfg.Key = put("cert.pem", cert), put("key.pem", key)
		cfg.ClientCA = put("ca.pem", ca.PEM())
	}, "unbound")
	cert, key := ca.Issue(t, "resolver.example")
	stop := w.unbound(fmt.Sprintf(`  dnstap-ip: 127.0.0.1@6000
  dnstap-tls: yes
  dnstap-tls-server-name: "sensor.example"
  dnstap-tls-cert-bundle: %q
  dnstap-tls-client-key-file: %q
  dnstap-tls-client-cert-file: %q
`, w.write("ca.pem", string(ca.PEM())), w.write("key.pem", string(key)),
		w.write("cert.pem", string(cert))))
	w.dig("@127.0.0.1", "localhost", "AAAA")
	w.until("two records", func() bool { return len(w.records) >= 2 })
	stop()
	w.check([]string{
		"resolver CLIENT_QUERY query udp 127.0.0.1 127.0.0.1 NOERROR localhost AAAA",
		"resolver CLIENT_RESPONSE response udp 127.0.0.1 127.0.0.1 NOERROR localhost AAAA",
	}, map[capture.End]uint64{capture.EndStop: 1})
}

// knotModule is where Debian's knot-module-dnstap puts it.
const knotModule = "/usr/lib/*/knot/modules-*/dnstap.so"

// TestKnot lets an authority send each query again beside its response: one frame, two messages.
func TestKnot(t *testing.T) {
	w := newWorld(t, nil, "knotd", knotModule)
	w.write("example.test", zoneFile)
	conf := w.write("knot.conf", fmt.Sprintf(`
server:
  rundir: %q
  listen: 127.0.0.2@53
database:
  storage: %q
mod-dnstap:
  - id: report
    sink: "unix:%s"
    identity: authority
    log-queries: off
    responses-with-queries: on
template:
  - id: default
    storage: %q
    global-module: mod-dnstap/report
zone:
  - domain: example.test
    file: example.test
`, w.folder, w.folder, w.listen, w.folder))
	stop := w.server("127.0.0.2:53", "knotd", "-c", conf)
	if got := w.dig("@127.0.0.2", "www.example.test", "A"); got != "192.0.2.80" {
		t.Fatalf("the answer is %q", got)
	}
	w.until("two records", func() bool { return len(w.records) >= 2 })
	stop()
	w.check([]string{
		"authority AUTH_RESPONSE query udp 127.0.0.2 127.0.0.2 NOERROR www.example.test A",
		"authority AUTH_RESPONSE response udp 127.0.0.2 127.0.0.2 NOERROR www.example.test A",
	}, map[capture.End]uint64{capture.EndStop: 1})
}
