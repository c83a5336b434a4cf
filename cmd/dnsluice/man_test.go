// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dnsluice/dnsluice/internal/ops/config"
)

func TestTheManualHasEveryCommandAndFlag(t *testing.T) {
	root := command()
	page := manual(root)
	if !strings.HasPrefix(page, ".TH DNSLUICE 1\n.SH NAME\ndnsluice \\- ") {
		t.Errorf("it begins with %.60q", page)
	}
	rest := page
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		for _, c := range append([]*cobra.Command{c}, c.Commands()...) {
			_, after, ok := strings.Cut(rest, "\n.SS "+roff(strings.TrimSuffix(c.UseLine(), " [flags]"))+"\n")
			if !ok {
				t.Errorf("it lacks %s, or has it elsewhere", c.UseLine())
				continue
			}
			rest = after
			section, _, _ := strings.Cut(rest, "\n.SS ")
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				says := strings.Contains(section, "\n"+roff("--"+f.Name))
				if want := f.Name != "help" && !f.Hidden; says != want {
					t.Errorf("%s --%s: it says what that is: %t", c.CommandPath(), f.Name, says)
				}
			})
		}
	}
}

func TestTheManualHasDefaultsAndExamplesAsHelpHas(t *testing.T) {
	page := manual(command())
	for _, words := range []string{
		"\n" + roff("How batches are compressed: snappy, zstd, lz4, gzip, none. Default: snappy.") + "\n",
		"\n" + roff("Name of this sensor, in every record. Default: the host's name.") + "\n",
		"\n" + roff("Connect to the brokers with TLS. Default: true with tls.ca, cert, key or server_name, else false.") + "\n",
		"\nPrint the results as JSON.\n",
		"\nSniff on this interface instead of replaying (repeatable).\n",
		"\n.nf\n" + roff("  dnsluice why\n  dnsluice why --http 127.0.0.1:9953 --json") + "\n.fi\n",
	} {
		if !strings.Contains(page, words) {
			t.Errorf("it lacks %q", words)
		}
	}
}

// TestOperatingHasTheFlagsOfEveryCommand has docs/operating.md say what --help says of the flags that
// are no keys of the configuration, which docs/configuration.md has.
func TestOperatingHasTheFlagsOfEveryCommand(t *testing.T) {
	data, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Bind(keys)
	var want []string
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Name == "version" || f.Hidden || keys.Lookup(f.Name) != nil {
				return
			}
			standard := "-"
			if f.DefValue != "false" && f.DefValue != "[]" {
				standard = "`" + f.DefValue + "`"
			}
			want = append(want, "| `"+strings.TrimPrefix(c.CommandPath(), "dnsluice ")+"` | `--"+f.Name+"` | "+
				standard+" | "+f.Usage+" |")
		})
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				each(sub)
			}
		}
	}
	each(command())
	rows := regexp.MustCompile("(?m)^\\| `[^|]*` \\| `--.*$").FindAllString(string(data), -1)
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, strings.Join(want, "\n"))
	}
}

func TestTextOfTheManualIsNotTakenForMacros(t *testing.T) {
	const text = "a\\b - c\n.d\n'e\n f.g"
	const want = "a\\eb \\- c\n\\&.d\n\\&'e\n f.g"
	if got := roff(text); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
