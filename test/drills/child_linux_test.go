// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/test/drills/result"
)

// program builds the program once, and returns its path.
var program = sync.OnceValues(func() (path string, err error) {
	if programDir, err = os.MkdirTemp("", "drill"); err != nil {
		return "", err
	}
	path = filepath.Join(programDir, "dnsluice")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/dnsluice").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

var programDir string // empty while no test has asked for the program

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// process is the program, and what reports to it as a name server does, by dnstap.
type process struct {
	*rig
	dir    string
	flags  []string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	http   string

	mu   sync.Mutex // guards the following
	sent []time.Time
	quit chan struct{}
	done sync.WaitGroup
}

// client is the address that the queries of a process come from.
const client = "192.0.2.9"

// newProcess is one with short time-outs and env, before one broker.
func newProcess(t *testing.T, env ...string) *process {
	p := prepare(t, &rig{TB: t}, 1)
	p.flags = append([]string{"DNSLUICE_DELIVER_LINGER=20ms", "DNSLUICE_DELIVER_REQUEST_TIMEOUT=1s",
		"DNSLUICE_DELIVER_HEARTBEAT=0s", "DNSLUICE_SPOOL_MIN_FREE=1", "DNSLUICE_SPOOL_SEGMENT=1MiB"}, env...)
	return p
}

// prepare returns one with the defaults of the program, on a rig that has no brokers yet.
func prepare(t *testing.T, r *rig, brokers int, opts ...kfake.Opt) *process {
	p := &process{rig: r, dir: t.TempDir(), quit: make(chan struct{})}
	p.cluster(brokers, append(opts, kfake.SeedTopics(3, topic))...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.http = ln.Addr().String()
	_ = ln.Close() // the port is the program's
	t.Cleanup(func() {
		if p.cmd != nil && p.cmd.ProcessState == nil {
			p.kill()
		}
	})
	return p
}

// launch starts the program, on the spool that it had before.
func (p *process) launch() {
	p.Helper()
	path, err := program()
	if err != nil {
		p.Fatal(err)
	}
	p.stderr.Reset()
	p.cmd = exec.Command(path, "run", "--dnstap", "unix://"+filepath.Join(p.dir, "tap"), "--topic", topic,
		"--brokers", strings.Join(p.c.ListenAddrs(), ","), "--spool-dir", filepath.Join(p.dir, "spool"),
		"--http", p.http, "--memory", "96MiB", "--grace", "3s")
	p.cmd.Env = append(os.Environ(), p.flags...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
}

// kill ends it at once, and returns when that was.
func (p *process) kill() time.Time {
	at := time.Now()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return at
}

// terminate ends it in order, and returns how long it took.
func (p *process) terminate() time.Duration {
	p.Helper()
	at := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.Errorf("%v: %s", err, p.stderr.String())
	}
	return time.Since(at)
}

// report is what a process says of itself.
type report struct {
	Run   string
	State struct {
		Name  string
		Ready bool
	}
	Ledger struct {
		Balanced                                      bool
		Records, Acknowledged, Spooled, Dropped, Held uint64

		Stages []struct {
			Stage  string
			In     uint64
			Detail map[string]uint64
		}
	}
	Detail struct {
		Delivery struct {
			Spool struct{ Records, Bytes uint64 }
		}
		Process struct{ Goroutines int }
	}
}

func (p *process) ask() (r report, err error) {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + p.http + "/api/state")
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// asks waits until what a process says of itself is so.
func (p *process) asks(what string, ok func(report) bool) time.Duration {
	p.Helper()
	return p.asksFor(2*patience, what, ok)
}

func (p *process) asksFor(limit time.Duration, what string, ok func(report) bool) time.Duration {
	p.Helper()
	var last report
	defer func() {
		if p.Failed() {
			p.Logf("%+v: %s", last, p.stderr.String())
		}
	}()
	return until(p, what, limit, func() bool {
		r, err := p.ask()
		last = r
		return err == nil && ok(r)
	})
}

// streamStart begins a stream of dnstap frames: the control frame START of Frame Streams.
const streamStart = "\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x02"

// frame is a dnstap frame of Frame Streams with one query (dnstap.proto).
func (p *process) frame(message []byte, now time.Time) []byte {
	field := func(b []byte, tag uint64, v []byte) []byte {
		b = binary.AppendUvarint(b, tag<<3|2)
		return append(binary.AppendUvarint(b, uint64(len(v))), v...)
	}
	number := func(b []byte, tag, v uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(b, tag<<3), v)
	}
	m := number(number(number(nil, 1, 5), 2, 1), 3, 1) // CLIENT_QUERY, INET, UDP
	m = field(m, 4, []byte{192, 0, 2, 9})
	m = number(number(m, 6, 40000), 8, uint64(now.Unix()))
	m = binary.LittleEndian.AppendUint32(binary.AppendUvarint(m, 9<<3|5), uint32(now.Nanosecond()))
	m = field(m, 10, message)
	tap := number(field(nil, 14, m), 15, 1)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(tap))), tap...)
}

// feed reports numbered queries, rate of them a second or as many as are taken, to whoever listens,
// until rest.
func (p *process) feed(rate float64) {
	p.done.Go(func() {
		message, at := query()
		var conn net.Conn
		begun, first := time.Now(), len(p.sent)
		for {
			select {
			case <-p.quit:
				if conn != nil {
					_ = conn.Close()
				}
				return
			default:
			}
			now := time.Now()
			if rate > 0 && float64(len(p.sent)-first) > now.Sub(begun).Seconds()*rate {
				<-time.After(time.Millisecond)
				continue
			}
			if conn == nil {
				var err error
				if conn, err = net.Dial("unix", filepath.Join(p.dir, "tap")); err != nil {
					conn = nil
					<-time.After(2 * time.Millisecond)
					begun, first = time.Now(), len(p.sent) // what was not asked is not caught up with
					continue
				}
				_, _ = conn.Write([]byte(streamStart))
			}
			setNumber(message[at:], uint64(len(p.sent)))
			_ = conn.SetWriteDeadline(now.Add(stall))
			_, err := conn.Write(p.frame(message, now))
			p.mu.Lock()
			p.sent = append(p.sent, now)
			p.mu.Unlock()
			if err != nil { // it was not taken, and whether it arrives is not known
				_ = conn.Close()
				conn = nil
			}
		}
	})
}

func (p *process) rest() {
	close(p.quit)
	p.done.Wait()
	p.quit = make(chan struct{})
}

func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// drained waits until nothing waits: after many kills there are thousands of small batches on disk.
func (p *process) drained() time.Duration {
	p.Helper()
	return p.asksFor(10*patience, "all is delivered", func(r report) bool {
		return r.Ledger.Held+r.Ledger.Spooled+r.Detail.Delivery.Spool.Records == 0
	})
}

// settles compares the topic with what was sent. What is missing was sent within window before one
// of the kills.
func (p *process) settles(records []sent, kills []life, window time.Duration) found {
	p.Helper()
	f := judge(p, records, map[string]uint64{client: uint64(len(p.sent))})
	wrong := 0
	for n, there := range f.seen[client] {
		if there {
			continue
		}
		excused := false
		for _, kill := range kills {
			excused = excused || !p.sent[n].After(kill.end.Add(10*time.Millisecond)) &&
				kill.end.Sub(p.sent[n]) < window
		}
		if wrong++; !excused && wrong < 10 {
			p.Errorf("query %d of %v is lost", n, p.sent[n])
		}
	}
	return f
}

// records returns what the topic holds.
func (p *process) records() []sent {
	p.Helper()
	return readBack(p, p.c, topic, p.c.ListenAddrs())
}

func TestDrillTerminate(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	away(p.rig)
	p.launch()
	p.feed(2000)
	p.asks("1000 records wait", func(r report) bool { return r.Ledger.Records > 1000 })
	p.rest()
	n := uint64(len(p.sent))
	p.asks("all came in", func(r report) bool { return r.Ledger.Records == n })
	if took := p.terminate(); took > 3*time.Second+stall {
		t.Errorf("it ended after %v, and has 3 s", took)
	}
	if !strings.Contains(p.stderr.String(), "records wait on disk for the next start") {
		t.Error(p.stderr.String())
	}
	back(p.rig)
	p.launch()
	heal := p.drained()
	p.terminate()
	f := p.settles(p.records(), nil, 0)
	result.Write(t, result.Result{Drill: 26, What: "SIGTERM while the brokers are away, and another start",
		Broker: "fake", In: n, Lost: n - f.there, Duplicated: f.duplicated, Heal: heal})
}

// status returns a number that the kernel tells of a process, such as VmHWM (proc(5)).
func status(t testing.TB, pid int, field string) uint64 {
	t.Helper()
	all, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(all), "\n"+field+":")
	n, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// resident returns the most memory that a process ever had, in bytes.
func resident(t testing.TB, pid int) uint64 {
	t.Helper()
	return status(t, pid, "VmHWM") << 10
}

func TestDrillMemory(t *testing.T) {
	p := newProcess(t)
	p.launch()
	n := 100_000
	if !testing.Short() {
		n = 1_500_000
	}
	p.feed(0)
	p.asks("records are acknowledged", func(r report) bool { return r.Ledger.Acknowledged > 1000 })
	away(p.rig)
	begun, before := time.Now(), p.count()
	until(p, "a full load", 2*patience, func() bool { return p.count() > n })
	took := time.Since(begun)
	p.rest()
	high := resident(t, p.cmd.Process.Pid)
	rate := float64(len(p.sent)-before) / took.Seconds()
	t.Logf("%.0f a second in the outage, %d MiB at most", rate, high>>20)
	back(p.rig)
	heal := p.drained()
	high = max(high, resident(t, p.cmd.Process.Pid))
	if high >= 100<<20 {
		t.Errorf("%d MiB with --memory 96MiB", high>>20)
	}
	p.terminate()
	f := p.settles(p.records(), nil, 0)
	sent := uint64(len(p.sent))
	result.Write(t, result.Result{Drill: 37, What: fmt.Sprintf("outage at %.0f messages a second with --memory 96MiB: "+
		"%d MiB resident at most", rate, high>>20), Broker: "fake", In: sent, Lost: sent - f.there,
		Duplicated: f.duplicated, Heal: heal})
}
