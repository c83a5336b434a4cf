// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsPrintedIsReadBack(t *testing.T) {
	for name, g := range map[string]given{
		"the default": {args: []string{"--sensor=ns1"}},
		"everything":  {file: everything},
		"words that YAML would take for something else": {args: []string{"--sensor=true",
			"--topic=53", "--read=null", "--read=- a: b # c", "--ledger=\"'"}},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := g.load(t)
			if err != nil {
				t.Fatal(err)
			}
			var printed strings.Builder
			if err := want.WriteYAML(&printed); err != nil {
				t.Fatal(err)
			}
			got, err := given{file: printed.String()}.load(t)
			if err != nil {
				t.Fatalf("%v in:\n%s", err, printed.String())
			}
			want.SASL.Password, want.SASL.ClientSecret = Secret{}, Secret{} // not in print
			if diff := cmp.Diff(want.Config, got.Config); diff != "" {
				t.Errorf("read back (-want +got):\n%s\nprinted:\n%s", diff, printed.String())
			}
		})
	}
}

func TestThePrintedConfigurationExplainsItself(t *testing.T) {
	l, err := given{file: "deliver:\n  linger: 1s\n", env: []string{"DNSLUICE_OPS_PPROF=true"},
		args: []string{"--brokers=k1:9092", "--sensor=ns1"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := l.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Configuration of dnsluice.",
		"\n\n# Name of this sensor, in every record. (--sensor)\nsensor: ns1 # --sensor\n",
		"\n\n# Stage 7: how records get to Kafka.\ndeliver:\n" +
			"  # Kafka brokers to begin with, each as host:port. (--brokers)\n" +
			"  brokers: ['k1:9092'] # --brokers\n",
		"  linger: 1s # dnsluice.yaml:2\n",
		"  pprof: true # DNSLUICE_OPS_PPROF\n",
		"  ports: [53] # default\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("printed configuration lacks %q:\n%s", want, b.String())
		}
	}
}

func TestTheManualHasEveryKey(t *testing.T) {
	var b strings.Builder
	if err := WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, o := range options(&Config{}) {
		if !strings.Contains(b.String(), "\n| `"+o.key+"` | "+code(o.flagName())+" | ") {
			t.Errorf("the manual lacks %s", o.key)
		}
	}
	for _, want := range []string{
		"| `sensor` | `--sensor` | the host's name | Name of this sensor, in every record. |\n",
		"| `ops.memory` | `--memory` | `96MiB` |",
		"| `capture.read` | `--read` | - |",
		"\n## `deliver`\n\nStage 7: how records get to Kafka.\n\n| key |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the manual lacks %q", want)
		}
	}
}

// broken is a writer that cannot.
type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestAWriterThatFailsIsAnError(t *testing.T) {
	l, err := given{args: []string{"--sensor=ns1"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.WriteYAML(broken{}); err == nil {
		t.Error("WriteYAML returned nil")
	}
	if err := WriteMarkdown(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("WriteMarkdown returned %v", err)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"topic", "topic", 0}, {"topci", "topic", 2},
		{"broker", "brokers", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
