// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dnsluice/dnsluice/internal/ops/config"
)

// complete tells the shell what may follow: the words of a flag that has a few, the interfaces of
// this machine, folders. Where only the user can know, it keeps the names of files away, which are
// what a shell offers by itself.
func complete(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if words := wordsOf(f); words != nil {
			// Its error is that the flag has one already, or is not there.
			_ = c.RegisterFlagCompletionFunc(f.Name, words)
		}
	})
	if c.ValidArgs == nil && c.ValidArgsFunction == nil && c.Name() != "read" && c.Name() != "help" {
		c.ValidArgsFunction = cobra.NoFileCompletions
		if c.HasParent() && c.Parent().Name() == "spool" {
			c.ValidArgsFunction = folders
		}
	}
	for _, sub := range c.Commands() {
		complete(sub)
	}
}

// wordsOf returns what completes a flag; nil leaves it to the shell, which names files.
func wordsOf(f *pflag.Flag) cobra.CompletionFunc {
	if words := config.Choices(f.Name); words != nil {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	switch f.Name {
	case "interface", "capture":
		return interfaces
	case "spool-dir":
		return folders
	case "config", "read", "file", "ledger", "tls-ca", "tls-cert", "tls-key", "sasl-password-file":
		return nil
	}
	return cobra.NoFileCompletions
}

func folders(_ *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func interfaces(_ *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
