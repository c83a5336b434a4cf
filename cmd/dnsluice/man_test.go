// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

func TestTextOfTheManualIsNotTakenForMacros(t *testing.T) {
	const text = "a\\b - c\n.d\n'e\n f.g"
	const want = "a\\eb \\- c\n\\&.d\n\\&'e\n f.g"
	if got := roff(text); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
