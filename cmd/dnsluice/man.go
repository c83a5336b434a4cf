// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man",
		Short: "Print the manual page",
		Long: "Print the manual page, which says of all commands what --help says of each. To install it:\n" +
			"dnsluice man > /usr/local/share/man/man1/dnsluice.1",
		Example: "  dnsluice man | man -l -",
		Args:    usageArgs(noArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), manual(c.Root()))
			return err
		},
	}
}

// manual is the page in the macros of man(7).
func manual(root *cobra.Command) string {
	var b strings.Builder
	line := func(macro, text string) { b.WriteString(strings.TrimSpace(macro+" "+roff(text)) + "\n") }
	line(".TH DNSLUICE 1", "")
	line(".SH NAME", "")
	line("", "dnsluice - "+root.Short)
	line(".SH SYNOPSIS", "")
	line(".B dnsluice", "")
	line("", "COMMAND [FLAGS]")
	line(".SH COMMANDS", "")
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		if c.HasParent() {
			line(".SS", strings.TrimSuffix(c.UseLine(), " [flags]"))
			text := c.Long
			if text == "" {
				text = c.Short + "."
			}
			for _, paragraph := range strings.Split(text, "\n\n") {
				line(".PP", "")
				line("", paragraph)
			}
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Name == "help" || f.Hidden {
					return
				}
				kind, help := pflag.UnquoteUsage(f)
				line(".TP", "")
				line("", strings.TrimSpace("--"+f.Name+" "+kind))
				if d := f.DefValue; d != "" && d != "false" && d != "[]" {
					help += " Default: " + d + "."
				}
				line("", help)
			})
			if c.Example != "" {
				line(".PP", "")
				line(".nf", "")
				b.WriteString(roff(c.Example) + "\n") // each line is indented
				line(".fi", "")
			}
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				each(sub)
			}
		}
	}
	each(root)
	line(".SH ENVIRONMENT", "")
	line("", "Each key of the configuration is also a variable: deliver.brokers is DNSLUICE_DELIVER_BROKERS. "+
		"DNSLUICE_CONFIG names the file. dnsluice config prints all keys with what they mean.")
	line(".SH EXIT STATUS", "")
	line("", "0 when all is well, 1 after a failure, which one line on standard error names, 2 after wrong usage.")
	return b.String()
}

// roff escapes text: a backslash and a hyphen mean something, and so does what a line begins with.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
