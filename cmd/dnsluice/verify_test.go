// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// report is what verify --json promises.
type report struct {
	Verdict, Sentence                                   string
	Records, Duplicates, Malformed, Heartbeats, Foreign uint64
	Missing, Dropped, Waiting, Unjudged, Unexplained    uint64
	Partitions                                          []struct{ Partition, Start, End, Records int64 }
	Runs                                                []struct {
		Sensor, Run, State string
		Lanes              []struct {
			Lane, First, Last, Records, Missing uint64
			Gaps                                []struct{ First, Last uint64 }
		}
	}
}

func (r result) report(t *testing.T) (parsed report) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	return parsed
}

func TestVerifyProvesARun(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "protobuf"} {
		t.Run(format, func(t *testing.T) { provesARun(t, format) })
	}
}

func provesARun(t *testing.T, format string) {
	t.Parallel()
	brokers := broker(t)
	run := program(t, "run", "--brokers", brokers, "--http", "off", "--sensor", "ns1", "--read",
		captures+"bind-types.pcap", "--read", captures+"chaos.pcap", "--format", format)
	run.Env = append(run.Env, "DNSLUICE_DELIVER_HEARTBEAT=1h") // which files have when asked for
	execute(t, run).expect(t, 0)
	want := uint64(messages(t, "bind-types.pcap") + messages(t, "chaos.pcap"))
	r := execute(t, program(t, "verify", "--brokers", brokers, "--json")).expect(t, 0).report(t)
	if r.Verdict != "complete" || r.Records != want+1 || r.Heartbeats != 1 || len(r.Runs) != 1 ||
		r.Runs[0].State != "ended" || r.Runs[0].Sensor != "ns1" || len(r.Partitions) != 2 {
		t.Errorf("%+v", r)
	}
	text := execute(t, program(t, "verify", "--brokers", brokers)).expect(t, 0).stdout
	if !strings.Contains(text, fmt.Sprintf("all %d records of 1 run are there", want+1)) {
		t.Error(text)
	}
	part := execute(t, program(t, "verify", "--brokers", brokers, "--json", "--from", "1", "--to",
		time.Now().Add(time.Hour).Format(time.RFC3339))).expect(t, 0).report(t)
	// One record less, if all went to one partition.
	if part.Records > want || part.Partitions[0].Start != 1 {
		t.Errorf("%+v", part)
	}
}

func TestVerifyFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	printed := execute(t, program(t, "read", "--sensor", "ns1", captures+"bind-types.pcap")).expect(t, 0).stdout
	lines := strings.SplitAfter(printed, "\n")
	for _, c := range []struct {
		name  string
		lines string
		code  int
		says  []string
	}{
		{"all of it", printed, 0, []string{"are there"}},
		{"without two lines", strings.Join(append(append([]string{}, lines[:3]...), lines[5:]...), ""), 1,
			[]string{"lane 0 lacks 4 to 5", "2 of ", "nobody says why"}},
		{"twice", printed + printed, 0, []string{"are there"}},
		{"with empty lines and what is no record", "\n" + printed + "{}\n", 0,
			[]string{"1 value is no record of dnsluice, at line " + strconv.Itoa(len(lines)+1) + " of "}},
		{"nothing", "", 1, []string{"no record"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, "records.jsonl", []byte(c.lines))
			r := execute(t, program(t, "verify", "--file", file)).expect(t, c.code)
			cmd := program(t, "verify", "--file", "-")
			cmd.Stdin = strings.NewReader(c.lines)
			if piped := execute(t, cmd).expect(t, c.code); piped.stdout != strings.ReplaceAll(r.stdout, file, "standard input") {
				t.Errorf("from standard input it says %s", piped.stdout)
			}
			for _, words := range c.says {
				if !strings.Contains(r.stdout, words) {
					t.Errorf("it does not say %q: %s", words, r.stdout)
				}
			}
			if (c.code == 0) != (r.stderr == "") || strings.Count(r.stderr, "\n") > 1 {
				t.Errorf("on standard error: %s", r.stderr)
			}
		})
	}
}

func TestVerifyFollowsUntilASignal(t *testing.T) {
	t.Parallel()
	brokers := broker(t)
	execute(t, program(t, "run", "--brokers", brokers, "--http", "off", "--read", captures+"chaos.pcap")).expect(t, 0)
	p := start(t, program(t, "verify", "--brokers", brokers, "--follow"))
	p.says(" records, 0 missing, 0 unexplained, 0 twice")
	p.signal(syscall.SIGTERM)
	if said := p.wait(0); !strings.Contains(said, "are there") {
		t.Error(said)
	}
}

func TestVerifyThatCannotReadIsAFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"verify --brokers " + nobody(t) + " --topic dns", 1, "refused"},
		{"verify --brokers " + broker(t) + " --topic other", 1,
			"dnsluice: kafka: topic \"other\": UNKNOWN_TOPIC_OR_PARTITION"},
		{"verify --file /nowhere.jsonl", 1, "/nowhere.jsonl: no such file"},
		{"verify", 2, "--brokers"},
		{"verify --brokers x:1 --from yesterday", 2, `"yesterday"`},
		{"verify --brokers x:1 --sasl-user u", 2, "is of no use to sasl.mechanism none"},
		{"verify --brokers x:1 --to -5", 2, `"-5"`},
		{"verify --brokers x:1 --from 7 --to 7", 2, "nothing lies from 7 to 7"},
		{"verify --brokers x:1 --from 1h --to 90m", 2, "nothing lies from 1h to 90m"},
		{"verify --brokers x:1 --from end", 2, "nothing lies from end to end"},
		{"verify --brokers x:1 --to start", 2, "nothing lies from start to start"},
		{"verify --file x --from 1", 2, "--file"},
		{"verify --follow --to end", 2, "--follow"},
		{"verify topic", 2, "topic"},
	} {
		t.Run(c.args, func(t *testing.T) {
			cmd := program(t, strings.Fields(c.args)...)
			cmd.Env = append(cmd.Env, "DNSLUICE_DELIVER_REQUEST_TIMEOUT=1s")
			if r := execute(t, cmd).expect(t, c.code); !strings.Contains(r.stderr, c.says) {
				t.Errorf("it does not say %q: %s", c.says, r.stderr)
			}
		})
	}
}

func TestBoundsAreRead(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]kafka.Bound{
		"start": kafka.AtStart(), "end": kafka.AtEnd(), "0": kafka.AtOffset(0), "17": kafka.AtOffset(17),
		"2026-11-22T11:00:00Z": kafka.AtTime(now.Add(-time.Hour)), "90m": kafka.AtTime(now.Add(-90 * time.Minute)),
	} {
		if got, err := parseBound(text, now); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestVerifyJudgesAPartOfATopic puts records into a topic, of which two are missing, behind a
// heartbeat that had come to where reading begins.
func TestVerifyJudgesAPartOfATopic(t *testing.T) {
	t.Parallel()
	brokers := broker(t)
	cluster, err := kafka.NewCluster(kafka.Config{Brokers: []string{brokers}, Topic: "dns", RequestTimeout: deadline})
	if err != nil {
		t.Fatal(err)
	}
	w, err := kafka.OpenWindow(t.Context(), cluster, kafka.AtStart(), kafka.AtEnd(), false)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	var values [][]byte
	for seq := 1; seq <= 40; seq++ {
		value := fmt.Sprintf(`{"v":1,"sensor":"ns1","run":"r1","lane":0,"seq":%d,"kind":"query"}`, seq)
		switch {
		case seq == 20: // at the offset 19
			value = fmt.Sprintf(`{"v":1,"sensor":"ns1","run":"r1","lane":1,"seq":1,"kind":"heartbeat",`+
				`"ts":"2026-11-22T12:00:00Z","heartbeat":{"last":false,"interval_ms":10000,"state":"flowing",`+
				`"lanes":[{"lane":0,"seq":19,"dropped":0},{"lane":1,"seq":1,"dropped":0}],"topic_id":%q,`+
				`"reached":[{"partition":0,"end":19}]}}`, w.Topic())
		case seq == 30, seq == 31:
			continue
		}
		values = append(values, []byte(value))
	}
	produce(t, cluster, values...)
	for _, c := range []struct {
		from, code                     int
		verdict                        string
		missing, unexplained, unjudged uint64
	}{
		{19, 1, "gaps", 3, 3, 0},     // and what would have been 20
		{25, 0, "unjudged", 2, 0, 2}, // behind the heartbeat
	} {
		r := execute(t, program(t, "verify", "--brokers", brokers, "--json", "--from", strconv.Itoa(c.from))).
			expect(t, c.code).report(t)
		if r.Verdict != c.verdict || r.Missing != c.missing || r.Unexplained != c.unexplained || r.Unjudged != c.unjudged {
			t.Errorf("from %d: %+v", c.from, r)
		}
	}
}

// produce puts values into the first partition of a topic.
func produce(t *testing.T, cluster *kafka.Cluster, values ...[]byte) {
	t.Helper()
	producer, err := cluster.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	leaders, err := producer.Leaders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, values...)
	b.Stamp(record.NoProducer, -1)
	if err := producer.Produce(t.Context(), leaders[0], 0, b.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// TestHeartbeatsComeWhileNothingElseDoes runs a sensor on a pipe that gives nothing: what comes are
// heartbeats.
func TestHeartbeatsComeWhileNothingElseDoes(t *testing.T) {
	t.Parallel()
	brokers, ledger := broker(t), filepath.Join(t.TempDir(), "ledger.json")
	in := newPipe(t)
	in.feed("chaos.pcap")
	cmd := program(t, "run", "--brokers", brokers, "--http", "127.0.0.1:0", "--read", in.path, "--ledger", ledger)
	cmd.Env = append(cmd.Env, "DNSLUICE_DELIVER_HEARTBEAT=100ms")
	p := start(t, cmd)
	address := p.address()
	want := uint64(messages(t, "chaos.pcap")) + 3
	for end := time.Now().Add(deadline); ; {
		_, body := get(t, address+"/api/state")
		var state struct{ Ledger account }
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			t.Fatal(err)
		}
		if state.Ledger.Acknowledged >= want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no heartbeats: %s", body)
		}
	}
	p.signal(syscall.SIGTERM)
	p.wait(1) // the file was not read to its end
	a := ledgerOf(t, ledger)
	r := execute(t, program(t, "verify", "--brokers", brokers, "--json")).expect(t, 0).report(t)
	if r.Records != a.Acknowledged || r.Heartbeats < 4 || r.Runs[0].State != "ended" {
		t.Errorf("%+v, ledger %+v", r, a)
	}
}

func TestAFileHasNoRunThatGoesOn(t *testing.T) {
	t.Parallel()
	beat := func(at time.Time) []byte {
		return fmt.Appendf(nil, `{"v":1,"sensor":"ns1","run":"r1","lane":1,"seq":1,"ts":%q,"kind":"heartbeat",`+
			`"heartbeat":{"last":false,"interval_ms":10000,"state":"flowing","lanes":[]}}`+"\n", at.Format(time.RFC3339))
	}
	file := write(t, "beats.jsonl", beat(time.Now()))
	out := execute(t, program(t, "verify", "--file", file)).expect(t, 0).stdout
	if !strings.Contains(out, "silent") || strings.Contains(out, "goes on") {
		t.Error(out) // the records of a file are of no certain time
	}
}

func TestALineThatIsTooLongIsNamed(t *testing.T) {
	t.Parallel()
	file := write(t, "long.jsonl", []byte("{}\n"+strings.Repeat("x", longestLine+1)+"\n{}\n"))
	r := execute(t, program(t, "verify", "--file", file)).expect(t, 1)
	if !strings.Contains(r.stderr, file+": line 2 has more than") ||
		strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("it says %s", r.stderr)
	}
}

func TestVerifyEndsWhileStandardInputIsSilent(t *testing.T) {
	t.Parallel()
	silent, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := command()
	c.SetArgs([]string{"verify", "--file", "-"})
	c.SetIn(silent)
	if err := c.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

func TestWhatSpoolCatPrintsCanBeVerified(t *testing.T) {
	t.Parallel()
	var values [][]byte
	for _, format := range []string{"protobuf", "json"} {
		value, err := sensor.Canary(format, format, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	cat := execute(t, program(t, "spool", "cat", spoolWith(t, values...))).expect(t, 0).stdout
	if strings.Count(cat, binaryLine) != 1 || strings.Count(cat, "\n") != 2 {
		t.Fatal(cat)
	}
	verify := program(t, "verify", "--file", "-")
	verify.Stdin = strings.NewReader(cat + binaryLine + "?\"}\n")
	said := execute(t, verify).expect(t, 0).stdout
	for _, words := range []string{"all 2 records of 2 runs are there", "1 value is no record of dnsluice, at line 3 of standard input"} {
		if !strings.Contains(said, words) {
			t.Errorf("it does not say %q: %s", words, said)
		}
	}
}

// spoolWith returns the directory of a spool with a batch of these values.
func spoolWith(t *testing.T, values ...[]byte) string {
	t.Helper()
	cfg := config.Default().Spool
	cfg.Dir = t.TempDir()
	s, err := openSpool(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(batchOf(t, values...)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg.Dir
}
