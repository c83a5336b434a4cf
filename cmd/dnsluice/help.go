// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// strict makes wrong usage of the commands that cobra brings, help and completion, wrong usage: by
// themselves they print something else instead, and all is well.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Run, c.RunE = nil, helpOn
		case "completion":
			c.Args = usageArgs(noArgs)
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
			for _, shell := range c.Commands() {
				shell.Args = usageArgs(noArgs)
			}
		}
	}
}

// helpOn is dnsluice help.
func helpOn(c *cobra.Command, args []string) error {
	topic, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usageError{fmt.Errorf("%s: there is no command %q\nTry '%s --help'", c.CommandPath(),
			strings.Join(args, " "), c.Root().Name())}
	}
	topic.InitDefaultHelpFlag()
	topic.InitDefaultVersionFlag()
	return topic.Help()
}

// remember makes help tell that it could not be written, which cobra does not.
func remember(root *cobra.Command) (failed func() error) {
	var out lastingError
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		out.Writer = c.OutOrStdout()
		c.SetOut(&out)
		help(c, args)
		c.SetOut(out.Writer)
	})
	return func() error { return out.err }
}

// lastingError is a writer that remembers its first error.
type lastingError struct {
	io.Writer
	err error
}

// Write implements io.Writer.
func (w *lastingError) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if w.err == nil {
		w.err = err
	}
	return n, err
}
