// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/record"
)

// openSpool opens the spool of the configuration, or returns nil when it has none.
func openSpool(c config.Spool, log *slog.Logger) (deliver.Spool, error) {
	if c.Dir == "" {
		return nil, nil
	}
	cfg, err := spoolConfig(c)
	if err != nil {
		return nil, err
	}
	s, err := spool.Open(cfg, log)
	if err != nil {
		return nil, err // and not a nil *spool.Spool, which would be a deliver.Spool
	}
	return s, nil
}

// spoolConfig returns what the spool needs.
func spoolConfig(c config.Spool) (spool.Config, error) {
	policy, err := spool.ParseSync(c.Fsync)
	return spool.Config{Dir: c.Dir, MaxBytes: int64(c.Max), MinFree: int64(c.MinFree),
		MaxAge: c.MaxAge, Sync: policy, Segment: int64(c.Segment)}, err
}

func spoolCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "spool",
		Short: "Look at what waits on disk",
		Long: "Look at what waits on disk in the spool directory DIR. Nothing there is changed, and the\n" +
			"sensor may run meanwhile.",
		Args: usageArgs(noArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	list := &cobra.Command{
		Use:   "ls DIR",
		Short: "List the segments: frames, records, bytes, and how many are settled",
		Args:  usageArgs(oneArg("the directory of a spool")),
		RunE:  func(c *cobra.Command, args []string) error { return spoolList(c.OutOrStdout(), args[0]) },
	}
	cat := &cobra.Command{
		Use:   "cat DIR",
		Short: "Print the records that wait, one a line",
		Long: "Print the values of the records that wait, oldest first, one a line. A value that is not one\n" +
			`line of text is printed as {"base64":"..."}; dnsluice verify --file reads both.` + "\n" +
			"What is damaged is told on standard error, and the exit status is 1 then.",
		Args: usageArgs(oneArg("the directory of a spool")),
	}
	all := cat.Flags().Bool("all", false, "Print what is settled and not deleted yet, too.")
	cat.RunE = func(c *cobra.Command, args []string) error {
		return spoolCat(c.OutOrStdout(), c.ErrOrStderr(), args[0], *all)
	}
	check := &cobra.Command{
		Use:   "check DIR",
		Short: "Verify every frame; exit status 1 if one is damaged",
		Long: "Read every frame and verify its checksums, its batch and its records. Each thing that is\n" +
			"not as it was written is one line with the file and the offset; the exit status is 1 then.\n" +
			"Behind the last whole frame of a sensor that runs now, or that was killed, there may be the\n" +
			"beginning of another: that is told as well.",
		Args: usageArgs(oneArg("the directory of a spool")),
		RunE: func(c *cobra.Command, args []string) error { return spoolCheck(c.OutOrStdout(), args[0]) },
	}
	c.AddCommand(list, cat, check)
	return c
}

func spoolList(w io.Writer, path string) error {
	dir, err := spool.ReadOS(path)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "SEGMENT\tFRAMES\tRECORDS\tSETTLED\tBYTES\tFIRST\tLAST\tSTATE\t\n")
	var frames, records, settled uint64
	var size int64
	err = spool.Inspect(dir, spool.Visitor{Segment: func(s spool.Segment) error {
		size += s.Bytes
		if s.Err != nil {
			fmt.Fprintf(table, "%s\t-\t-\t-\t%d\t-\t-\t%s\t\n", s.Name, s.Bytes, s.Err)
			return nil
		}
		state := "open" // it is appended to, or was when its process was killed
		if s.Sealed {
			state = "sealed"
		}
		frames, records, settled = frames+s.Frames, records+s.Records, settled+s.SettledRecords
		_, err := fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n", s.Name, s.Frames, s.Records,
			s.SettledRecords, s.Bytes, spoolTime(s.First), spoolTime(s.Last), state)
		return err
	}})
	fmt.Fprintf(table, "total\t%d\t%d\t%d\t%d\t\t\t\t\n", frames, records, settled, size)
	return errors.Join(err, table.Flush())
}

func spoolTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func spoolCat(w, errs io.Writer, path string, all bool) error {
	dir, err := spool.ReadOS(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	problems := 0
	err = spool.Inspect(dir, spool.Visitor{
		Settled: all,
		Batch: func(_ string, _ int64, sealed []byte) error {
			return record.Each(sealed, func(_ int64, value []byte) error { return writeLine(out, value) })
		},
		Problem: func(p spool.Problem) error {
			problems++
			_, err := fmt.Fprintf(errs, "%s: offset %d: %s\n", p.Name, p.Offset, p.What)
			return err
		},
	})
	if err = errors.Join(err, out.Flush()); err == nil && problems > 0 {
		return exitStatus(exitFailure)
	}
	return err
}

// binaryLine begins the line of a value that is no line of text.
const binaryLine = `{"base64":"`

// writeLine writes a value as one line, whatever is in it. valueOf takes it back.
func writeLine(w *bufio.Writer, value []byte) error {
	if !utf8.Valid(value) || bytes.ContainsFunc(value, unicode.IsControl) {
		_, err := fmt.Fprintf(w, "%s%s\"}\n", binaryLine, base64.StdEncoding.EncodeToString(value))
		return err
	}
	if _, err := w.Write(value); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

func spoolCheck(w io.Writer, path string) error {
	dir, err := spool.ReadOS(path)
	if err != nil {
		return err
	}
	segments, batches, problems := 0, 0, 0
	err = spool.Inspect(dir, spool.Visitor{
		Settled: true,
		Segment: func(spool.Segment) error { segments++; return nil },
		Batch:   func(string, int64, []byte) error { batches++; return nil },
		Problem: func(p spool.Problem) error {
			problems++
			_, err := fmt.Fprintf(w, "%s: offset %d: %s\n", p.Name, p.Offset, p.What)
			return err
		},
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%d segments, %d whole frames, %d problems\n", segments, batches,
		problems); err != nil {
		return err
	}
	if problems > 0 {
		return exitStatus(exitFailure)
	}
	return nil
}
