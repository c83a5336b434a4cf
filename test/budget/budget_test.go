// SPDX-License-Identifier: Apache-2.0

//go:build budget

package budget

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/sensor"
	"github.com/dnsluice/dnsluice/test/need"
)

var update = flag.Bool("update", false, "store what is measured as the budget")

// cost is what one message costs.
type cost struct {
	Instructions float64 `json:"instructions"`
	Allocations  float64 `json:"allocations"`
}

// budgetFile holds a cost for each way through the line.
const budgetFile = "budget.json"

// What a cost may be above the budget. Allocations are next to none a message, and how many
// batches and requests there are is a matter of time, so theirs is a number and not a share.
const (
	tolerance      = 0.02
	moreAllocation = 0.02
)

// plain makes the runtime and the standard library leave alone what not every amd64 processor of
// today has, up to AVX2, beyond which valgrind shows none: where they copy and compare with it a
// message costs a hundredth less. The compressor of snappy and CRC-32C use nothing of it.
//
// And valgrind crashes on the signals by which the runtime interrupts goroutines.
const plain = "GODEBUG=asyncpreemptoff=1,cpu.avx=off,cpu.avx2=off,cpu.fma=off,cpu.bmi1=off," +
	"cpu.bmi2=off,cpu.erms=off,cpu.fsrm=off,cpu.adx=off"

// wholeBatches makes every batch a full one. How many messages come within the time that a batch
// otherwise waits depends on the machine, and a message costs more in a small one.
const wholeBatches = "DNSLUICE_DELIVER_LINGER=60s"

// The captures: so many times the recordings. The difference is some 36,000 messages.
const small, large = 10, 70

// topic is that of the broker.
const topic = "dns"

// way is one way through the line.
type way struct {
	name   string
	format string // of Kafka records, or "" for lines on standard output
	pairs  bool   // records are transactions
	key    sensor.Key
	spread int // partitions of the topic, which records with keys are sorted for
}

var ways = []way{
	{name: "read to JSON lines", spread: 1},
	{name: "run to Kafka, JSON", format: "json", spread: 1},
	{name: "run to Kafka, Protobuf", format: "protobuf", spread: 1},
	{name: "run to Kafka, JSON transactions", format: "json", pairs: true, spread: 1},
	{name: "run to Kafka, JSON with keys", format: "json", key: sensor.ClientIP, spread: 16},
}

// args returns what makes the program go this way.
func (w way) args(file, broker string) []string {
	if w.format == "" {
		return []string{"read", file}
	}
	emit := "messages"
	if w.pairs {
		emit = "transactions"
	}
	return []string{"run", "--read", file, "--brokers", broker, "--topic", topic, "--http", "off",
		"--sensor", "budget", "--format", w.format, "--emit", emit, "--key", w.key.String()}
}

// config returns the same for a sensor in this process.
func (w way) config(file string) sensor.Config {
	cfg := sensor.Config{Sensor: "budget", Run: sensor.RunID(time.Now()), Files: []string{file},
		Ports: []uint16{53}, Lanes: 1, Format: w.format, Key: w.key,
		Deliver: deliver.DefaultConfig(), Memory: 96 << 20, Grace: 10 * time.Second}
	if w.pairs {
		pairing := match.DefaultConfig()
		cfg.Match = &pairing
	}
	return cfg
}

// serveBroker, a number of partitions, makes the test binary the broker, in a process of its own: its
// instructions and allocations are not the sensor's.
const serveBroker = "DNSLUICE_BUDGET_BROKER"

func TestMain(m *testing.M) {
	spread := os.Getenv(serveBroker)
	if spread == "" {
		os.Exit(m.Run())
	}
	if err := serve(spread); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve is the broker until standard input ends, as it does when the test is gone.
func serve(spread string) error {
	n, err := strconv.ParseInt(spread, 10, 32)
	if err != nil {
		return err
	}
	b, err := embedded.Start(topic, int32(n))
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println(b.Brokers()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startBroker returns the address of a broker that lives as long as the test.
func startBroker(t *testing.T, spread int) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), serveBroker+"="+strconv.Itoa(spread)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("broker: %v", err)
		}
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("broker: %v", err)
	}
	return strings.TrimSpace(address)
}

// buildSensor returns the program, built as it is shipped.
func buildSensor(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "dnsluice")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin,
		"github.com/dnsluice/dnsluice/cmd/dnsluice")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// tries is how often valgrind may fail: it sometimes crashes on Go programs.
const tries = 6

// instructions returns how many the program executes for a capture.
func instructions(t *testing.T, bin, broker string, w way, s sample) float64 {
	t.Helper()
	for try := 1; ; try++ {
		profile := filepath.Join(t.TempDir(), "profile")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		cmd := exec.CommandContext(ctx, "valgrind", append([]string{"--tool=callgrind",
			"--callgrind-out-file=" + profile, bin}, w.args(s.file, broker)...)...)
		// How much of the run a garbage collection covers, with its write barriers, is a matter
		// of time; what makes garbage is counted as allocations.
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", plain, wholeBatches)
		var log strings.Builder
		cmd.Stderr = &log
		err := cmd.Run()
		cancel()
		if err == nil {
			return totals(t, profile)
		}
		t.Logf("valgrind, try %d: %v", try, err)
		if try == tries {
			t.Fatalf("valgrind failed %d times: %v\n%s", tries, err, log.String())
		}
	}
}

// totals reads the sum of a callgrind profile.
func totals(t *testing.T, profile string) float64 {
	t.Helper()
	text, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\ntotals: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		t.Fatalf("%s: sum: %v", profile, err)
	}
	return n
}

// allocations returns how many the line does for a capture, in this process.
func allocations(t *testing.T, broker string, w way, s sample) float64 {
	t.Helper()
	cfg := w.config(s.file)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if w.format == "" {
		if _, err := sensor.Print(t.Context(), cfg, io.Discard); err != nil {
			t.Fatal(err)
		}
	} else {
		producer, err := kafka.New(kafka.Config{Brokers: []string{broker}, Topic: topic,
			ClientID: "budget", RequestTimeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		run, err := sensor.New(cfg, producer, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Open(); err != nil {
			t.Fatal(err)
		}
		if err := run.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// readBudget returns the stored costs by the name of the way.
func readBudget(t *testing.T) map[string]cost {
	t.Helper()
	text, err := os.ReadFile(budgetFile)
	if os.IsNotExist(err) && *update {
		return nil
	}
	b := map[string]cost{}
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheLineKeepsWithinItsBudget(t *testing.T) {
	need.Command(t, "valgrind", "valgrind")
	if runtime.GOARCH != "amd64" {
		t.Skip("the budget is in instructions of amd64")
	}
	budget, measured := readBudget(t), map[string]cost{}
	bin := buildSensor(t)
	few, many := repeated(t, small), repeated(t, large)
	messages := float64(many.messages - few.messages)
	for _, w := range ways {
		broker := startBroker(t, w.spread)
		per := func(of func(sample) float64) float64 { return (of(many) - of(few)) / messages }
		c := cost{
			rounded(per(func(s sample) float64 { return instructions(t, bin, broker, w, s) }), 0),
			rounded(per(func(s sample) float64 { return allocations(t, broker, w, s) }), 3),
		}
		t.Logf("%s: %.0f instructions and %.3f allocations a message, over %.0f messages",
			w.name, c.Instructions, c.Allocations, messages)
		measured[w.name] = c
		if !*update {
			judge(t, w.name, c, budget)
		}
	}
	// Lines need no compression and no sending, so they have no excuse.
	if lines, kafka := measured[ways[0].name], measured[ways[1].name]; lines.Instructions > kafka.Instructions {
		t.Errorf("%s: %.0f instructions a message, more than the %.0f of %s", ways[0].name,
			lines.Instructions, kafka.Instructions, ways[1].name)
	}
	if *update {
		text, err := json.MarshalIndent(measured, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(budgetFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// rounded keeps so many decimals, which are all that repeat.
func rounded(x float64, decimals int) float64 {
	unit := math.Pow10(decimals)
	return max(0, math.Round(x*unit)/unit) // noise around nothing may be below it
}

// judge fails the test if a cost is above its budget.
func judge(t *testing.T, name string, c cost, budget map[string]cost) {
	t.Helper()
	b, ok := budget[name]
	if !ok {
		t.Errorf("%s has no budget: make budget UPDATE=1", name)
		return
	}
	if most := b.Instructions * (1 + tolerance); c.Instructions > most {
		t.Errorf("%s: %.0f instructions a message, the budget is %.0f and %.0f %% more: "+
			"find what costs them, or make budget UPDATE=1 and say why", name, c.Instructions,
			b.Instructions, tolerance*100)
	}
	if c.Allocations > b.Allocations+moreAllocation {
		t.Errorf("%s: %.3f allocations a message, the budget is %.3f and %.2f more", name,
			c.Allocations, b.Allocations, moreAllocation)
	}
}
