// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
)

// consume reads n records of a topic.
func consume(t *testing.T, brokers string, n uint64) {
	t.Helper()
	reader, err := kafka.NewReader(strings.Split(brokers, ","), "dns")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for got := uint64(0); got < n; {
		records, err := reader.Read(ctx)
		if err != nil {
			t.Fatalf("%d records of %d: %v", got, n, err)
		}
		got += uint64(len(records))
	}
}

func TestRunDeliversFilesAndEnds(t *testing.T) {
	t.Parallel()
	brokers, ledger := broker(t), filepath.Join(t.TempDir(), "ledger.json")
	cmd := program(t, "run", "--read", captures+"bind-types.pcap", "--read", captures+"chaos.pcap",
		"--ledger", ledger)
	cmd.Env = append(cmd.Env, "DNSLUICE_DELIVER_BROKERS="+brokers, "DNSLUICE_OPS_HTTP=off",
		"DNSLUICE_DELIVER_COMPRESSION=zstd")
	r := execute(t, cmd).expect(t, 0)
	a := ledgerOf(t, ledger)
	want := uint64(messages(t, "bind-types.pcap") + messages(t, "chaos.pcap"))
	if a.Packets != want || a.Messages != want || a.Records != want || a.Acknowledged != want {
		t.Errorf("%+v, want %d of all", a, want)
	}
	if !strings.Contains(r.stderr, "the ledger balances") || r.stdout != "" {
		t.Errorf("it said %s%s", r.stdout, r.stderr)
	}
	consume(t, brokers, a.Acknowledged)
}

func TestRunOfAFileThatIsNotThereIsAFailure(t *testing.T) {
	t.Parallel()
	r := execute(t, program(t, "run", "--brokers", broker(t), "--http", "off",
		"--read", "/nowhere.pcap", "--read", captures+"chaos.pcap")).expect(t, 1)
	last := "\ndnsluice: pcapfile: stat /nowhere.pcap: no such file or directory\n"
	delivered := fmt.Sprintf(" %d acknowledged", messages(t, "chaos.pcap"))
	if !strings.HasSuffix(r.stderr, last) || !strings.Contains(r.stderr, delivered) {
		t.Errorf("it said %s", r.stderr)
	}
}

func TestRunWhoseDeadLettersCannotBeWrittenIsAFailureIfItWasAskedForThem(t *testing.T) {
	t.Parallel()
	run := func(more ...string) *exec.Cmd {
		cmd := program(t, "run", "--brokers", broker(t), "--http", "off", "--read", captures+"chaos.pcap")
		cmd.Env = append(cmd.Env, more...)
		return cmd
	}
	file := "DNSLUICE_DELIVER_DEAD_LETTER=" + filepath.Join(t.TempDir(), "no", "letters")
	r := execute(t, run(file)).expect(t, 1)
	if !strings.Contains(r.stderr, "no such file") ||
		!strings.Contains(r.stderr, "deliver.dead_letter, or off") ||
		strings.Contains(r.stderr, "acknowledged") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("it said %s", r.stderr)
	}
	// The directory of a spool that is not used need not be there.
	spool := "DNSLUICE_SPOOL_DIR=" + filepath.Join(t.TempDir(), "none")
	r = execute(t, run("DNSLUICE_DELIVER_MODE=at-most-once", spool)).expect(t, 0)
	if !strings.Contains(r.stderr, "records that no broker takes are only counted") {
		t.Errorf("it said %s", r.stderr)
	}
}

func TestRunWhoseLedgerCannotBeWrittenIsAFailure(t *testing.T) {
	t.Parallel()
	r := execute(t, program(t, "run", "--brokers", broker(t), "--http", "off", "--read",
		captures+"chaos.pcap", "--ledger", "/nowhere/ledger.json")).expect(t, 1)
	if !strings.HasPrefix(r.stderr, "dnsluice: ledger: write /nowhere/ledger.json") {
		// Found out before anything is captured, not after a month.
		t.Errorf("it said %s", r.stderr)
	}
}

// get returns the status and the body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// address is where a process says that it listens.
func (p *process) address() string {
	p.t.Helper()
	_, address, ok := strings.Cut(p.says("http: listening"), "address=")
	if !ok {
		p.t.Fatal("no address")
	}
	return "http://" + address
}

// eventually asks for a page until it has words in it.
func eventually(t *testing.T, url, words string) (int, string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); ; <-tick.C {
		code, body := get(t, url)
		if strings.Contains(body, words) {
			return code, body
		}
		if time.Now().After(end) {
			t.Fatalf("%s never says %q: %s", url, words, body)
		}
	}
}

// manager is the service manager's end of sd_notify(3).
func manager(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn, path
}

// told waits for a line from the sensor.
func told(t *testing.T, conn *net.UnixConn, line string) {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("it does not tell %s: %v", line, err)
		}
		for l := range strings.Lines(string(buf[:n])) {
			if strings.TrimSpace(l) == line {
				return
			}
		}
	}
}

func TestARunningSensorShowsItselfAndDrains(t *testing.T) {
	t.Parallel()
	brokers, capture, ledger := broker(t), newPipe(t), filepath.Join(t.TempDir(), "ledger.json")
	conn, socket := manager(t)
	cmd := program(t, "run", "--read", capture.path, "--brokers", brokers, "--http", "127.0.0.1:0",
		"--ledger", ledger, "--sensor", "ns1")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	p := start(t, cmd)
	told(t, conn, "READY=1")
	capture.feed("bind-types.pcap")
	n := uint64(messages(t, "bind-types.pcap"))
	consume(t, brokers, n)
	url := p.address()
	if code, body := get(t, url+"/livez"); code != 200 {
		t.Errorf("/livez: %d %s", code, body)
	}
	if code, body := eventually(t, url+"/readyz", "flowing"); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	eventually(t, url+"/metrics", fmt.Sprintf("dnsluice_deliver_out_total %d\n", n))
	_, body := eventually(t, url+"/api/state", fmt.Sprintf(`"acknowledged": %d,`, n))
	var state struct {
		Sensor, Run string
		State       struct {
			Name, State, Sentence string
			Ready                 bool
		}
		Ledger account
	}
	if err := json.Unmarshal([]byte(body), &state); err != nil {
		t.Fatal(err)
	}
	if state.Sensor != "ns1" || state.Run == "" || !state.State.Ready || state.Ledger.Packets != n {
		t.Errorf("/api/state: %s", body)
	}
	p.signal(syscall.SIGTERM)
	told(t, conn, "STOPPING=1")
	p.wait(exitFailure) // not all of the file was read
	if a := ledgerOf(t, ledger); a.Acknowledged != n {
		t.Errorf("%+v", a)
	}
}

func TestASignalWithoutABrokerEndsWithinTheGracePeriod(t *testing.T) {
	t.Parallel()
	capture, ledger := newPipe(t), filepath.Join(t.TempDir(), "ledger.json")
	p := start(t, program(t, "run", "--read", capture.path, "--brokers", nobody(t), "--grace", "100ms",
		"--http", "127.0.0.1:0", "--ledger", ledger))
	capture.feed("bind-types.pcap")
	url, n := p.address(), uint64(messages(t, "bind-types.pcap"))
	eventually(t, url+"/api/state", fmt.Sprintf(`"messages": %d,`, n))
	if code, body := eventually(t, url+"/readyz", "unreachable"); code != 503 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	p.signal(syscall.SIGTERM)
	lost := fmt.Sprintf("%d records were not acknowledged within 100ms and are lost", n)
	if said := p.wait(1); !strings.HasSuffix(said, lost) {
		t.Errorf("it said %s", said)
	}
	a := ledgerOf(t, ledger)
	if a.Dropped != n || a.Stages[len(a.Stages)-1].Dropped["shutdown"] != n {
		t.Errorf("%+v", a)
	}
}

func TestAProcessThatWasKilledLeavesNoLedgerThatLooksWhole(t *testing.T) {
	t.Parallel()
	capture, ledger := newPipe(t), filepath.Join(t.TempDir(), "ledger.json")
	p := start(t, program(t, "run", "--read", capture.path, "--brokers", nobody(t), "--http", "127.0.0.1:0",
		"--ledger", ledger))
	p.address()
	p.signal(syscall.SIGKILL)
	p.wait(-1)
	data, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	var a account
	if err := json.Unmarshal(data, &a); err != nil || a.Complete || a.Balanced || !strings.Contains(string(data), "complete") {
		t.Errorf("%v: %s", err, data)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	capture := newPipe(t)
	p := start(t, program(t, "run", "--read", capture.path, "--brokers", nobody(t), "--grace", "1h",
		"--http", "127.0.0.1:0"))
	capture.feed("bind-types.pcap")
	captured := fmt.Sprintf(`"messages": %d,`, messages(t, "bind-types.pcap"))
	eventually(t, p.address()+"/api/state", captured)
	p.signal(syscall.SIGTERM)
	p.says("draining")
	// The first one makes the second deadly a moment after it says so.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			ended = true
		case <-tick.C:
		}
	}
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", p.ProcessState)
	}
}

func TestAnAddressThatIsTakenIsAFailure(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := execute(t, program(t, "run", "--read", captures+"chaos.pcap", "--brokers", nobody(t),
		"--http", taken.Addr().String())).expect(t, 1)
	if !strings.Contains(r.stderr, taken.Addr().String()) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("want one line: %s", r.stderr)
	}
}

func TestAVariableThatIsNoKeyIsWarnedOf(t *testing.T) {
	t.Parallel()
	cmd := program(t, "run", "--read", captures+"chaos.pcap", "--brokers", broker(t), "--http", "off")
	cmd.Env = append(cmd.Env, "DNSLUICE_DELIVER_TOPICS=x")
	r := execute(t, cmd).expect(t, 0)
	if !strings.Contains(r.stderr, "DNSLUICE_DELIVER_TOPIC?") {
		t.Errorf("no warning: %s", r.stderr)
	}
}

func TestAPasswordForAllToReadIsWarnedOf(t *testing.T) {
	t.Parallel()
	for mechanism, warned := range map[string]int{"PLAIN": 1, "SCRAM-SHA-256": 0} {
		cmd := program(t, "run", "--read", captures+"chaos.pcap", "--brokers", nobody(t), "--http", "off",
			"--grace", "100ms", "--ledger", "/nowhere/ledger.json", // so that it ends
			"--sasl-mechanism", mechanism, "--sasl-user", "u")
		cmd.Env = append(cmd.Env, "DNSLUICE_SASL_PASSWORD=hunter2")
		r := execute(t, cmd).expect(t, 1)
		if strings.Count(r.stderr, "in plain text") != warned || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%s: %s", mechanism, r.stderr)
		}
	}
}

// TestWhatCannotBeDeliveredWaitsOnDiskForTheNextRun is the promise of the spool, from end to end.
func TestWhatCannotBeDeliveredWaitsOnDiskForTheNextRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spool, ledger := filepath.Join(dir, "spool"), filepath.Join(dir, "ledger.json")
	n := uint64(messages(t, "bind-types.pcap"))
	capture := newPipe(t)
	cmd := program(t, "run", "--read", capture.path, "--brokers", nobody(t), "--http", "127.0.0.1:0",
		"--ledger", ledger, "--spool-dir", spool, "--grace", "1s")
	p := start(t, cmd)
	capture.feed("bind-types.pcap")
	url := p.address()
	eventually(t, url+"/metrics", fmt.Sprintf("dnsluice_encode_out_total %d\n", n))
	eventually(t, url+"/readyz", "unreachable")
	p.signal(syscall.SIGTERM)
	p.wait(exitFailure) // not all of the file was read
	a := ledgerOf(t, ledger)
	if a.Spooled < n || a.Dropped != 0 || a.Acknowledged != 0 {
		t.Fatalf("%+v", a)
	}

	brokers := broker(t)
	execute(t, program(t, "run", "--read", captures+"chaos.pcap", "--brokers", brokers, "--http", "off",
		"--ledger", ledger, "--spool-dir", spool)).expect(t, 0)
	b := ledgerOf(t, ledger)
	consume(t, brokers, a.Spooled+b.Acknowledged)
	for _, s := range b.Stages {
		if s.Stage == "spool" && (s.Out != a.Spooled || s.Held != 0) ||
			s.Stage == "deliver" && s.Detail["replayed"] != a.Spooled {
			t.Errorf("%+v", s)
		}
	}
}

// TestALogOfJSONHasTheLedgerInIt reads what a collector of logs reads: each line an object.
func TestALogOfJSONHasTheLedgerInIt(t *testing.T) {
	t.Parallel()
	cmd := program(t, "run", "--brokers", broker(t), "--http", "off", "--read", captures+"chaos.pcap")
	cmd.Env = append(cmd.Env, "DNSLUICE_OPS_LOG_FORMAT=json", "DNSLUICE_OPS_LOG_LEVEL=error")
	r := execute(t, cmd).expect(t, 0)
	var last struct{ Ledger account }
	for line := range strings.Lines(r.stderr) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
	if l := last.Ledger; !l.Balanced || !l.Complete || l.Acknowledged != uint64(messages(t, "chaos.pcap")) {
		t.Errorf("the last line has the ledger %+v", l)
	}
}
