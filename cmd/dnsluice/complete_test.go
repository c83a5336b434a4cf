// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// completed is what the shell is told to offer behind a line, and what it does besides: 4 is no
// files, 16 is folders alone, 0 is files.
func completed(t *testing.T, line ...string) []string {
	t.Helper()
	c := command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(new(bytes.Buffer))
	c.SetArgs(append([]string{"__complete"}, line...))
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out.String())
}

func TestTheShellIsToldWhatMayFollow(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	for _, test := range []struct {
		line string
		want []string
	}{
		{"run --compression ", []string{"snappy", "zstd", "lz4", "gzip", "none", ":4"}},
		{"run --emit ", []string{"messages", "transactions", ":4"}},
		{"check --delivery ", []string{"at-least-once", "at-most-once", ":4"}},
		{"run --interface ", append(slices.Clone(names), ":4")},
		{"demo --capture ", append(names, ":4")},
		{"run --spool-dir ", []string{":16"}},
		{"run --config ", []string{":0"}},
		{"run --topic ", []string{":4"}},
		{"run ", []string{":4"}},
		{"read ", []string{":0"}},
		{"spool ls ", []string{":16"}},
		{"schema ", []string{"json", "protobuf", ":4"}},
	} {
		got := completed(t, strings.Split(test.line, " ")...)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.line, diff)
		}
	}
}

func TestWhatIsNoCommandIsToldWithTheNearest(t *testing.T) {
	for _, test := range []struct{ line, says string }{
		{"read", "dnsluice read: it needs a capture file, or - for standard input\n"},
		{"spool ls", "dnsluice spool ls: it needs the directory of a spool\n"},
		{"spool cat a b", "dnsluice spool cat: it takes one argument, the directory of a spool, and got 2\n"},
		{"run --interfce eth0", "unknown flag: --interfce; did you mean --interface?\n"},
		{"run --lanes 2", "unknown flag: --lanes; capture.lanes has no flag: set it in the file (--config), " +
			"or as DNSLUICE_CAPTURE_LANES\n"},
		{"run --log-level debug", "ops.log_level has no flag"},
		{"run --cert a.pem", "unknown flag: --cert; did you mean --tls-cert?\n"},
		{"verify --folow", "did you mean --follow?"},
		{"why --lanes 2", "capture.lanes has no flag"},
		{"demo --lanes 2", "unknown flag: --lanes\n"}, // it has no configuration
		{"read --memory 1GiB", "unknown flag: --memory\n"},
		{"run --zzzzzz", "unknown flag: --zzzzzz\n"},
		{"run -x", "unknown shorthand flag: 'x' in -x\n"},
		{"rnu", `there is no command "rnu"; did you mean run?`},
		{"zzzzzz", `there is no command "zzzzzz"` + "\n"},
		{"spool chek", `there is no command "chek"; did you mean check?`},
		{"run eth0", `it takes no arguments, and "eth0" is one`},
		{"schema xml", `it takes json or protobuf, not "xml"`},
	} {
		c := command()
		c.SetArgs(strings.Fields(test.line))
		if err := c.Execute(); err == nil || !isUsage(err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.line, err, test.says)
		}
	}
}
