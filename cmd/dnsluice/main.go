// SPDX-License-Identifier: Apache-2.0

// Command dnsluice takes DNS off the wire and delivers it to Kafka.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/logging"
)

// The exit statuses. A capture that dies is a failure.
const (
	exitFailure = 1
	exitUsage   = 2
)

// version is set when a release is built; otherwise the build information is used.
var version = ""

func main() {
	// The first signal ends the context, and everything drains. From then on signals do what
	// they do by default, so the second ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	context.AfterFunc(ctx, stop)
	root := command()
	unwritten := remember(root)
	err := errors.Join(root.ExecuteContext(ctx), unwritten())
	var answer exitStatus
	switch {
	case err == nil:
	case errors.As(err, &answer):
		os.Exit(int(answer))
	case isUsage(err):
		say(err.Error())
		os.Exit(exitUsage)
	default:
		say("dnsluice: " + oneLine(err))
		os.Exit(exitFailure)
	}
}

// endings are the signals that end a command in order. A terminal that goes away sends SIGHUP, and
// must not cost what a sensor holds; who started it with nohup wants it to go on.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// say writes the last line, and does not wait for a reader that has stopped.
func say(line string) {
	out := logging.NewWriter(os.Stderr)
	fmt.Fprintln(out, line)
	out.Close()
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "dnsluice",
		Short:         "Take DNS off the wire and deliver it to Kafka",
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(noArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
			if hint := config.Hint(c.Flags(), unknown.GetSpecifiedName()); hint != "" {
				err = fmt.Errorf("%w; %s", err, hint)
			}
		}
		return usageError{fmt.Errorf("%s: %w\nTry '%s --help'", c.CommandPath(), err, c.CommandPath())}
	})
	root.AddCommand(runCommand(), readCommand(), demoCommand(), configCommand(), schemaCommand(),
		versionCommand(), manCommand(), verifyCommand(), checkCommand(), whyCommand(), topCommand(), spoolCommand())
	strict(root)
	complete(root)
	return root
}

// maxErrors is how many errors one line names.
const maxErrors = 5

// oneLine writes the errors of several files or lanes in one line.
func oneLine(err error) string {
	all := strings.Split(err.Error(), "\n")
	if more := len(all) - maxErrors; more > 0 {
		all = append(all[:maxErrors], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, "; ")
}

// exitStatus is how a command ends that has said everything itself.
type exitStatus int

// Error implements error.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is wrong usage of the command line.
type usageError struct{ error }

func isUsage(err error) bool {
	var usage usageError
	var mistakes config.Mistakes
	return errors.As(err, &usage) || errors.As(err, &mistakes)
}

// usageArgs makes what is wrong with the arguments an error of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%s: %w\nTry '%s --help'", c.CommandPath(), err, c.CommandPath())}
		}
		return nil
	}
}

// noArgs is the check of a command that takes none, or that takes another command.
func noArgs(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !c.HasSubCommands():
		return fmt.Errorf("it takes no arguments, and %q is one", args[0])
	}
	c.SuggestionsMinimumDistance = 2 // letters, as cobra has it by default
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no command %q", args[0])
}

// oneArg is the check of a command that takes one argument, and someArgs of one that takes any number
// of them but none; what says what it is.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("it takes one argument, %s, and got %d", what, len(args))
		}
		return someArgs(what)(nil, args)
	}
}

func someArgs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("it needs %s", what)
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usageArgs(noArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "dnsluice", versionText())
			return err
		},
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
