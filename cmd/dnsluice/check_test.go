// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
)

// checked runs check with --json, and returns the levels of the groups given, by name.
func checked(t *testing.T, status int, groups string, args ...string) map[string]string {
	t.Helper()
	r := execute(t, program(t, append([]string{"check", "--json", "--http", "off"}, args...)...)).expect(t, status)
	var report struct {
		Checks []struct{ Group, Name, Level, Found, Do string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	levels := map[string]string{}
	for _, c := range report.Checks {
		if strings.Contains(groups, c.Group) {
			levels[c.Name] = c.Level
		}
		if bad := c.Level == "warning" || c.Level == "failure"; bad != (c.Do != "") || c.Found == "" {
			t.Errorf("%+v", c)
		}
	}
	return levels
}

func testBroker(t *testing.T) (*embedded.Broker, string) {
	t.Helper()
	b, err := embedded.Start("dns", 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, strings.Join(b.Brokers(), ",")
}

func TestCheckOfAClusterThatIsWell(t *testing.T) {
	t.Parallel()
	_, brokers := testBroker(t)
	capture := filepath.Join(captures, "bind-types.pcap")
	got := checked(t, 0, "configuration cluster", "--read", capture, "--brokers", brokers)
	want := map[string]string{
		"values": "ok", "sensor": "ok", "names": "ok", "connect": "ok", "tls": "ok", "login": "ok",
		"topic": "ok", "advertised": "ok", "partitions": "ok", "write": "ok", "size": "ok",
		"timestamps": "ok", "cleanup": "ok", "canary": "ok",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The canary is there, once, and verify finds nothing wrong with it, in either format.
	checked(t, 0, "cluster", "--read", capture, "--brokers", brokers, "--format", "protobuf")
	r := execute(t, program(t, "verify", "--brokers", brokers, "--json")).expect(t, 0)
	var report struct {
		Records, Foreign int
		Runs             []struct{ Sensor string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Records != 2 || report.Foreign != 0 || len(report.Runs) != 2 ||
		!strings.HasSuffix(report.Runs[0].Sensor, "/canary") {
		t.Errorf("%s", r.stdout)
	}
}

func TestCheckWithoutACanaryWritesNothing(t *testing.T) {
	t.Parallel()
	b, brokers := testBroker(t)
	got := checked(t, 0, "cluster", "--read", "-", "--brokers", brokers, "--no-canary")
	if _, sent := got["canary"]; sent || got["write"] != "ok" {
		t.Errorf("%v", got)
	}
	for p := range int32(3) {
		if info := b.PartitionInfo("dns", p); info == nil || info.HighWatermark != 0 {
			t.Errorf("partition %d: %+v", p, info)
		}
	}
}

func TestCheckOfAMissingTopic(t *testing.T) {
	t.Parallel()
	_, brokers := testBroker(t)
	got := checked(t, 1, "cluster", "--read", "-", "--brokers", brokers, "--topic", "none")
	want := map[string]string{
		"names": "ok", "connect": "ok", "tls": "ok", "login": "ok", "topic": "failure",
		"advertised": "skipped", "partitions": "skipped", "write": "skipped", "size": "skipped",
		"timestamps": "skipped", "cleanup": "skipped", "canary": "skipped",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCheckOfTopicsThatLoseRecords(t *testing.T) {
	t.Parallel()
	b, brokers := testBroker(t)
	if err := b.CreateTopic("odd", 1, map[string]string{
		"cleanup.policy": "compact", "max.message.bytes": "1000", "retention.ms": "1000",
	}); err != nil {
		t.Fatal(err)
	}
	got := checked(t, 1, "cluster", "--read", "-", "--brokers", brokers, "--topic", "odd", "--no-canary")
	if got["cleanup"] != "failure" || got["size"] != "warning" || got["timestamps"] != "warning" {
		t.Errorf("%v", got)
	}
}

func TestCheckOfNobody(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := checked(t, 1, "cluster", "--read", "-", "--brokers", address)
	if got["names"] != "ok" || got["connect"] != "failure" || got["canary"] != "skipped" {
		t.Errorf("%v", got)
	}
}

func TestCheckOfPortsThatSpeakAnotherWay(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	_, plain := testBroker(t)
	for _, c := range []struct {
		brokers string
		args    []string
		want    string
	}{
		{secure.Listener.Addr().String(), nil,
			"closed the connection before it answered: is TLS expected on this port?"},
		{plain, []string{"--tls"}, "the TLS handshake was not answered in time: the port may not speak TLS"},
	} {
		args := append([]string{"check", "--http", "off", "--read", "-", "--brokers", c.brokers}, c.args...)
		cmd := program(t, args...)
		cmd.Env = append(cmd.Env, "DNSLUICE_DELIVER_REQUEST_TIMEOUT=2s")
		if r := execute(t, cmd).expect(t, 1); !strings.Contains(r.stdout, c.want) {
			t.Errorf("no %q in:\n%s", c.want, r.stdout)
		}
	}
}

func TestCheckOfAWrongConfiguration(t *testing.T) {
	t.Parallel()
	r := execute(t, program(t, "check", "--brokers", "x", "--memory", "1MiB")).expect(t, 1)
	for _, want := range []string{
		`failure  configuration values       config: --brokers: deliver.brokers: "x" is not host:port`,
		"failure  configuration values       config: --memory: ops.memory: 1MiB is too little",
		"-> dnsluice config prints", "3 failures",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	execute(t, program(t, "check", "--nonesuch")).expect(t, 2)
	execute(t, program(t, "check", "--listen", "0s")).expect(t, 2)
}

// TestCheckFindsWhatARunWouldRefuse has both look at the same, one thing at a time.
func TestCheckFindsWhatARunWouldRefuse(t *testing.T) {
	t.Parallel()
	_, brokers := testBroker(t)
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const capture = captures + "chaos.pcap"
	secure := write(t, "tls.yaml", []byte("capture:\n  dnstap: ['tls://127.0.0.1:0']\n"+
		"  dnstap_tls_cert: /none\n  dnstap_tls_key: /none\n"))
	for _, c := range []struct {
		what, check, level string
		args               []string
		env                string
	}{
		{"a socket without its directory", "dnstap", "failure",
			[]string{"--dnstap", "unix://" + dir + "/none/d.sock"}, ""},
		{"a port in use", "dnstap", "warning",
			[]string{"--dnstap", "tcp://" + taken.Addr().String()}, ""},
		{"a certificate that is not there", "dnstap", "failure", []string{"--config", secure}, ""},
		{"a ledger without its directory", "ledger", "failure",
			[]string{"--read", capture, "--ledger", dir + "/none/ledger.json"}, ""},
		{"dead letters without their directory", "dead letters", "failure", []string{"--read", capture},
			"DNSLUICE_DELIVER_DEAD_LETTER=" + dir + "/none/letters"},
		{"an empty file", "file", "failure", []string{"--read", write(t, "empty.pcap", nil)}, ""},
		{"a file that is no capture", "file", "failure", []string{"--read", "check_test.go"}, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			args := append([]string{"--http", "off", "--brokers", brokers}, c.args...)
			run := program(t, append([]string{"run"}, args...)...)
			cmd := program(t, append([]string{"check", "--json"}, args...)...)
			run.Env, cmd.Env = append(run.Env, c.env), append(cmd.Env, c.env)
			execute(t, run).expect(t, 1)
			r := execute(t, cmd)
			var report struct {
				Checks []struct{ Name, Level, Found, Do string }
			}
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
				t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
			}
			for _, line := range report.Checks {
				if line.Name == c.check && line.Level == c.level && line.Do != "" {
					return
				}
			}
			t.Errorf("no %s of %s in %+v", c.level, c.check, report.Checks)
		})
	}
}

func TestCheckLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	_, brokers := testBroker(t)
	dir := t.TempDir()
	cmd := program(t, "check", "--http", "off", "--brokers", brokers, "--no-canary", "--json",
		"--dnstap", "unix://"+dir+"/d.sock", "--ledger", dir+"/ledger.json", "--spool-dir", dir+"/spool")
	cmd.Env = append(cmd.Env, "DNSLUICE_DELIVER_DEAD_LETTER="+dir+"/letters")
	r := execute(t, cmd)
	for _, words := range []string{"can be listened on", dir + "/ledger.json can be written",
		dir + "/letters can be written"} {
		if !strings.Contains(r.stdout, words) {
			t.Errorf("no %q in %s%s", words, r.stdout, r.stderr)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
