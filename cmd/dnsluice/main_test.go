// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/schema"
	"github.com/dnsluice/dnsluice/test/need"
)

// write writes a file and returns its path.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrongUsageIsStatusTwo(t *testing.T) {
	t.Parallel()
	config := write(t, "config.yaml", []byte("deliver:\n  topic: dns\n  topicc: dns\n"))
	const enough = "run --brokers k:9092 --read x "
	for _, c := range []struct {
		name string
		args string
		env  string
		says []string
	}{
		{"an unknown flag", "run --nope", "", []string{"unknown flag: --nope", "--help"}},
		{"an unknown command", "sniff", "", []string{`"sniff"`, "--help"}},
		{"no file to read", "read", "", []string{"dnsluice read", "--help"}},
		{"arguments that run does not take", "run eth0", "", []string{"eth0"}},
		{"no brokers", "run --read x.pcap", "", []string{"--brokers"}},
		{"nothing to capture", "run --brokers k:9092", "", []string{"--interface", "--read"}},
		{"both interfaces and files", enough + "--interface lo", "", []string{"--interface and --dnstap, or --read"}},
		{"a port that is none", "read --ports 70000 x.pcap", "", []string{"70000"}},
		{"a codec that is none", enough + "--compression rar", "", []string{"rar", "--compression"}},
		{"a tunnel that is none, of a run", enough + "--tunnels foo", "",
			[]string{`capture.tunnels: "foo" is not known`}},
		{"of files", "read --tunnels gre,foo x.pcap", "", []string{`"foo"`, "vxlan"}},
		{"of a printed configuration", "config", "DNSLUICE_CAPTURE_TUNNELS=foo", []string{`"foo"`}},
		{"an unknown key in the file", "run --config " + config, "",
			[]string{config + ":3", "topicc", "deliver.topic"}},
		{"a file that is not there", "config --config " + config + ".not", "", []string{"no such file"}},
		{"a bad value in the environment", "config", "DNSLUICE_OPS_MEMORY=little",
			[]string{"DNSLUICE_OPS_MEMORY"}},
		{"a format that cannot be read", "read --format protobuf x.pcap", "",
			[]string{"--format protobuf", "lines of JSON"}},
		{"a schema that is none", "schema avro", "", []string{`"avro"`}},
		{"a demo without packets", "demo --rate 0", "", []string{"--rate"}},
		{"a demo of less than no time", "demo --for -1s", "", []string{"--for -1s"}},
		{"a shell that is none", "completion tcsh", "", []string{`"tcsh"`, "completion --help"}},
		{"more than a shell", "completion bash extra", "", []string{`"extra"`}},
		{"help on nothing", "help nope", "", []string{`"nope"`, "--help"}},
		{"help on less than nothing", "help spool nope", "", []string{`"spool nope"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := program(t, strings.Fields(c.args)...)
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			r := execute(t, cmd).expect(t, 2)
			for _, words := range c.says {
				if !strings.Contains(r.stderr, words) {
					t.Errorf("it does not say %q: %s", words, r.stderr)
				}
			}
			if r.stdout != "" {
				t.Errorf("on standard output: %s", r.stdout)
			}
		})
	}
}

func TestFailuresAreStatusOneAndOneLine(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(captures + "bind-types.pcap")
	if err != nil {
		t.Fatal(err)
	}
	cut := write(t, "cut.pcap", whole[:len(whole)-10])
	some := messages(t, "bind-types.pcap") - 1 // one message in a packet
	for _, c := range []struct {
		name  string
		args  string
		says  string
		lines int // on standard output
	}{
		{"a file that is not there", "read /nowhere.pcap", "/nowhere.pcap: no such file", 0},
		{"two that are not there", "read /nowhere.pcap /neither.pcap", "/neither.pcap: no such file", 0},
		{"a directory", "read " + captures, "is a directory", 0},
		{"a file that is no capture", "read main_test.go", "main_test.go", 0},
		{"a file that is cut, after its records", "read " + cut, "offset", some},
		{"the same before a file that is whole", "read " + cut + " " + captures + "chaos.pcap", "offset",
			some + messages(t, "chaos.pcap")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := execute(t, program(t, strings.Fields(c.args)...)).expect(t, 1)
			if !strings.HasPrefix(r.stderr, "dnsluice: ") || strings.Count(r.stderr, "\n") != 1 ||
				!strings.Contains(r.stderr, c.says) {
				t.Errorf("want one line that says %q: %s", c.says, r.stderr)
			}
			if n := strings.Count(r.stdout, "\n"); n != c.lines {
				t.Errorf("%d records, want %d", n, c.lines)
			}
		})
	}
}

func TestAFullDiskIsAFailure(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		need.Cannot(t, "needs /dev/full, which Linux has")
	}
	defer full.Close()
	for _, file := range []string{"chaos.pcap", "transfer-axfr.pcap.zst"} {
		cmd := program(t, "read", captures+file, captures+file)
		cmd.Stdout = full
		r := execute(t, cmd).expect(t, 1)
		if !strings.Contains(r.stderr, "no space left") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: want one line: %s", file, r.stderr)
		}
	}
	for _, args := range []string{"", "--help", "run --help", "help run", "completion"} {
		cmd := program(t, strings.Fields(args)...)
		cmd.Stdout = full
		r := execute(t, cmd).expect(t, 1)
		if !strings.Contains(r.stderr, "no space left") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%q: want one line: %s", args, r.stderr)
		}
	}
	demo := program(t, "demo", "--for", "500ms", "--rate", "200")
	demo.Stdout = full
	execute(t, demo).expect(t, 1)
}

func TestOneLineNamesAFewErrors(t *testing.T) {
	var all []error
	for i := range 100 {
		all = append(all, fmt.Errorf("file %d", i))
	}
	want := "file 0; file 1; file 2; file 3; file 4; and 95 more"
	if got := oneLine(errors.Join(all...)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatOnlyPrints(t *testing.T) {
	t.Parallel()
	for args, words := range map[string]string{
		"":                  "Available Commands",
		"--help":            "Available Commands",
		"run --help":        "--brokers",
		"help":              "Available Commands",
		"help run":          "--brokers",
		"help spool cat":    "spool cat DIR",
		"completion":        "powershell",
		"completion bash":   "bash completion",
		"version":           "dnsluice ",
		"--version":         "dnsluice ",
		"config":            "brokers:",
		"schema":            string(schema.JSON),
		"schema json":       string(schema.JSON),
		"schema protobuf":   string(schema.Proto),
		"config --markdown": "DNSLUICE_DELIVER_BROKERS",
	} {
		r := execute(t, program(t, strings.Fields(args)...)).expect(t, 0)
		if !strings.Contains(r.stdout, words) || r.stderr != "" {
			t.Errorf("%q does not say %q: %s%s", args, words, r.stdout, r.stderr)
		}
	}
}

func TestTheConfigurationIsMerged(t *testing.T) {
	t.Parallel()
	file := write(t, "config.yaml", []byte("sensor: from-file\n"+
		"deliver:\n  topic: from-file\n  compression: zstd\n"))
	cmd := program(t, "config", "--topic", "from-flag")
	cmd.Env = append(cmd.Env, "DNSLUICE_CONFIG="+file, "DNSLUICE_SENSOR=from-environment",
		"DNSLUICE_DELIVER_TOPIC=from-environment")
	r := execute(t, cmd).expect(t, 0)
	for _, line := range []string{
		"sensor: from-environment", "topic: from-flag", "compression: zstd",
	} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("no %q in %s", line, r.stdout)
		}
	}
	printed := write(t, "again.yaml", []byte(r.stdout))
	again := execute(t, program(t, "config", "--config", printed)).expect(t, 0)
	origin := regexp.MustCompile(`(?m)^( *[a-z_]+:.*) # .*$`)
	want, got := origin.ReplaceAllString(r.stdout, "$1"), origin.ReplaceAllString(again.stdout, "$1")
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("what it prints is not read back the same: %s", diff)
	}
}
