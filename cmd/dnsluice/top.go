// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/top"
)

// What a terminal is told (ECMA-48, and xterm's private modes): the other screen, which has no
// history, and back; the cursor hidden, and shown.
const (
	otherScreen = "\x1b[?1049h"
	mainScreen  = "\x1b[?1049l"
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
)

// The size of a frame that no terminal says the size of.
const (
	onceColumns = 100
	onceRows    = 1000
)

const (
	minEvery    = 100 * time.Millisecond
	resizeEvery = 200 * time.Millisecond // how soon a terminal of another size is drawn anew
)

func topCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "top",
		Short: "Show a running sensor in the terminal, live",
		Long: "Show the sensor at --http in the terminal: what moves, what waits, what is lost, by stage, broker\n" +
			"and lane. q or Ctrl-C ends.",
		Example: "  dnsluice top\n  dnsluice top --once",
		Args:    usageArgs(noArgs),
	}
	config.Bind(c.Flags(), "ops.http")
	every := c.Flags().Duration("every", time.Second, "How often to ask.")
	once := c.Flags().Bool("once", false, "Print one frame, with the rates of one interval, and end; needs no terminal.")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *every < minEvery {
			return usageError{fmt.Errorf("dnsluice top: --every %s: must be %s or more", *every, minEvery)}
		}
		address, err := sensorAddress(c)
		if err != nil {
			return err
		}
		if *once {
			return topOnce(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), address, *every)
		}
		out, ok := c.OutOrStdout().(*os.File)
		if !ok || !term.IsTerminal(int(out.Fd())) {
			return usageError{errors.New("dnsluice top: standard output is no terminal; --once prints one frame")}
		}
		return topLive(c.Context(), os.Stdin, out, address, *every)
	}
	return c
}

// topOnce prints one frame.
func topOnce(ctx context.Context, out, stderr io.Writer, address string, every time.Duration) error {
	view := &top.View{Address: address}
	for i := range 2 {
		if i > 0 {
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		a, err := ask.Sensor(ctx, address)
		if err != nil {
			fmt.Fprintln(stderr, "dnsluice:", oneLine(err))
			return exitStatus(exitNoSensor)
		}
		view.Answer(a)
	}
	var b bytes.Buffer
	for _, line := range view.Frame(onceColumns, onceRows, time.Now()) {
		b.WriteString(line + "\n")
	}
	_, err := out.Write(b.Bytes())
	return err
}

// answered is one question and what came of it.
type answered struct {
	ask.Answer
	err error
}

// topLive draws until q, Ctrl-C or a signal, and leaves the terminal as it was.
func topLive(ctx context.Context, in, out *os.File, address string, every time.Duration) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if term.IsTerminal(int(in.Fd())) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return fmt.Errorf("top: the terminal: %w", err)
		}
		defer term.Restore(int(in.Fd()), before)
		// It ends with the process: nothing ends a read from a terminal.
		go func() {
			waitForEnd(in)
			cancel()
		}()
	}
	if _, err := io.WriteString(out, otherScreen+hideCursor); err != nil {
		return fmt.Errorf("top: the terminal: %w", err)
	}
	defer func() {
		_, restored := io.WriteString(out, showCursor+mainScreen)
		err = errors.Join(err, restored)
	}()
	answers := make(chan answered)
	go askOn(ctx, address, every, answers)
	return drawOn(ctx, out, address, answers)
}

// askOn asks the sensor now and then until ctx ends.
func askOn(ctx context.Context, address string, every time.Duration, answers chan<- answered) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		a, err := ask.Sensor(ctx, address)
		select {
		case answers <- answered{a, err}:
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// drawOn draws each answer, and anew when the terminal has changed its size.
func drawOn(ctx context.Context, out *os.File, address string, answers <-chan answered) error {
	view := &top.View{Address: address}
	tick := time.NewTicker(resizeEvery)
	defer tick.Stop()
	columns, rows := 0, 0
	for draw := true; ; {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil {
			return fmt.Errorf("top: the size of the terminal: %w", err)
		}
		if draw || width != columns || height != rows {
			columns, rows = width, height
			if err := paint(out, view.Frame(columns, rows, time.Now()), rows); err != nil {
				return err
			}
		}
		select {
		case a := <-answers:
			if a.err != nil {
				view.Fail(a.err, time.Now())
			} else {
				view.Answer(a.Answer)
			}
			draw = true
		case <-tick.C:
			draw = false
		case <-ctx.Done():
			return nil
		}
	}
}

// paint writes a frame over the one before, in one write: nothing is erased that is drawn again,
// so nothing flickers.
func paint(out io.Writer, lines []string, rows int) error {
	var b bytes.Buffer
	b.WriteString(home)
	for i, line := range lines {
		b.WriteString(line + eraseLine)
		if i < rows-1 {
			b.WriteString("\r\n") // raw mode makes no \r of its own
		}
	}
	if len(lines) < rows {
		b.WriteString(eraseRest)
	}
	if _, err := out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("top: draw: %w", err)
	}
	return nil
}

// waitForEnd reads keys until one ends the program: q, Ctrl-C, which is a byte in raw mode, or the
// end of the input.
func waitForEnd(in io.Reader) {
	const ctrlC = 3
	for key := make([]byte, 1); ; {
		n, err := in.Read(key)
		if err != nil {
			return
		}
		if n == 1 && (key[0] == 'q' || key[0] == 'Q' || key[0] == ctrlC) {
			return
		}
	}
}
