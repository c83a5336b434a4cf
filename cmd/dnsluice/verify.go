// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/verify"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	from, to string
	follow   bool
	files    []string
	json     bool
}

func verifyCommand() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read the topic and prove that nothing is missing",
		Long: "Read the topic and prove, for each sensor, run and lane, from the numbers in the\n" +
			"records: how many there are, which are missing, which came twice. What the\n" +
			"sensor's heartbeats say was dropped, or still waits in its spool, explains what\n" +
			"is missing; the exit status is 1 if anything is missing that nobody explains, or\n" +
			"if there is nothing to verify.\n\n" +
			"--from and --to are start, end, an offset (in all partitions), a time as RFC 3339\n" +
			"has it, or how long ago: 90m. Times are those that Kafka has for the records. Of a\n" +
			"topic that is not read whole, also because its oldest records are deleted, a lane\n" +
			"is judged between two heartbeats: the first that had come to where every partition\n" +
			"is begun, and the last that had not come beyond where any is ended. Whatever else\n" +
			"seems to be missing is unjudged: it may be where nothing was read. That is no\n" +
			"failure. Without heartbeats nothing of such a topic is judged.",
		Example: "  dnsluice verify --brokers k1:9092 --topic dns\n" +
			"  dnsluice verify --brokers k1:9092 --from 24h --to 1h --json\n" +
			"  dnsluice read capture.pcap | dnsluice verify --file -",
		Args: usageArgs(noArgs),
	}
	config.Bind(c.Flags(), topicKeys...)
	f := c.Flags()
	f.StringVar(&o.from, "from", "start", "Where to begin.")
	f.StringVar(&o.to, "to", "end", "Where to end; end is what is there when it begins.")
	f.BoolVar(&o.follow, "follow", false, "Go on with what comes, until a signal.")
	f.StringArrayVar(&o.files, "file", nil, "Verify records in this file instead, one a line; - is standard input (repeatable).")
	f.BoolVar(&o.json, "json", false, "Print the report as JSON.")
	c.RunE = func(c *cobra.Command, _ []string) error {
		set := c.Flags().Changed
		switch {
		case set("file") && (set("from") || set("to") || set("follow")):
			return usageError{errors.New("dnsluice verify: a file has no offsets and no end to follow; " +
				"give --file alone")}
		case set("follow") && set("to"):
			return usageError{errors.New("dnsluice verify: --follow has no end; give it or --to")}
		case set("file"):
			return verifyFiles(c, o)
		}
		return verifyTopic(c, o)
	}
	return c
}

// topicKeys have the flags that say how to reach a topic.
var topicKeys = []string{"deliver.brokers", "deliver.topic", "tls.enabled", "tls.ca", "tls.cert",
	"tls.key", "sasl.mechanism", "sasl.user", "sasl.password_file"}

func verifyFiles(c *cobra.Command, o verifyOptions) error {
	check := verify.New(verify.Options{})
	for i, name := range o.files {
		if err := addFile(c, check, int32(i), name); err != nil {
			return fmt.Errorf("verify: read %s: %w", name, err)
		}
	}
	return conclude(c, o, check.Report(verify.Options{Files: o.files}))
}

// longestLine is more than the largest record has.
const longestLine = 1 << 20

func addFile(c *cobra.Command, check *verify.Checker, number int32, name string) error {
	in := c.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return errors.Unwrap(err) // the caller says which
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(untilDone{c.Context(), in})
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	n := int64(1)
	for ; lines.Scan(); n++ {
		if c.Context().Err() != nil {
			return c.Context().Err()
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := check.Add(number, n, valueOf(line)); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d has more than %d bytes, which no record has", n, longestLine)
	}
	return lines.Err()
}

// untilDone is a reader that ends with its context even while a pipe or a terminal gives nothing,
// whose reads nothing interrupts. After that nobody may look at what it was to read into.
type untilDone struct {
	ctx context.Context
	in  io.Reader
}

// Read implements io.Reader.
func (r untilDone) Read(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	got := make(chan result, 1)
	go func() {
		n, err := r.in.Read(b)
		got <- result{n, err}
	}()
	select {
	case r := <-got:
		return r.n, r.err
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

// valueOf returns the record in a line: the line, or what it holds when writeLine made it of a
// record that is no text, as all in Protobuf are.
func valueOf(line []byte) []byte {
	if !bytes.HasPrefix(line, []byte(binaryLine)) {
		return line
	}
	var binary struct{ Base64 []byte }
	if json.Unmarshal(line, &binary) != nil {
		return line
	}
	return binary.Base64
}

func verifyTopic(c *cobra.Command, o verifyOptions) error {
	now := time.Now()
	from, err := parseBound(o.from, now)
	if err != nil {
		return usageError{fmt.Errorf("dnsluice verify: --from %w", err)}
	}
	to, err := parseBound(o.to, now)
	if err != nil {
		return usageError{fmt.Errorf("dnsluice verify: --to %w", err)}
	}
	if !o.follow && from.Behind(to) {
		return usageError{fmt.Errorf("dnsluice verify: nothing lies from %s to %s; give --from what "+
			"comes before --to", o.from, o.to)}
	}
	loaded, err := config.Load(c.Flags(), os.Environ(), config.ReadFile, config.Config.Linkable)
	if err != nil {
		return err
	}
	warn(c, loaded)
	if len(loaded.Config.Deliver.Brokers) == 0 {
		return usageError{errors.New("dnsluice verify: no brokers; name some with --brokers host:port, " +
			"or a file with --file")}
	}
	cluster, err := kafka.NewCluster(kafkaConfig(loaded.Config))
	if err != nil {
		return err
	}
	w, err := kafka.OpenWindow(c.Context(), cluster, from, to, o.follow)
	if err != nil {
		return err
	}
	defer w.Close()
	check := verify.New(verify.Options{Topic: w.Topic()})
	for _, e := range w.Extents() {
		check.Expect(verify.Partition{Partition: e.Partition, Start: e.Start, End: e.End,
			CutStart: e.Start > 0, CutEnd: !o.follow && e.End < e.Newest})
	}
	err = addWindow(c, o, check, w)
	if err != nil && (!o.follow || c.Context().Err() == nil) {
		return err
	}
	return conclude(c, o, check.Report(verify.Options{Now: time.Now()}))
}

// followEvery is how often --follow says how far it is.
const followEvery = 10 * time.Second

func addWindow(c *cobra.Command, o verifyOptions, check *verify.Checker, w *kafka.Window) error {
	told := time.Now()
	for {
		ctx, cancel := c.Context(), func() {}
		if o.follow {
			ctx, cancel = context.WithTimeout(ctx, time.Until(told.Add(followEvery)))
		}
		records, err := w.Read(ctx)
		quiet := o.follow && ctx.Err() != nil && c.Context().Err() == nil
		cancel()
		switch {
		case errors.Is(err, io.EOF):
			skip(check, w)
			return nil
		case err != nil && !quiet:
			return err
		}
		skip(check, w)
		for _, r := range records {
			if err := check.Add(r.Partition, r.Offset, r.Value); err != nil {
				return err
			}
		}
		if o.follow && time.Since(told) >= followEvery {
			told = time.Now()
			r := check.Report(verify.Options{Now: told})
			fmt.Fprintf(c.ErrOrStderr(), "%s: %s records, %s missing, %s unexplained, %s twice\n",
				told.UTC().Format(time.RFC3339), ledger.Number(r.Records), ledger.Number(r.Missing),
				ledger.Number(r.Unexplained), ledger.Number(r.Duplicates))
		}
	}
}

// skip tells the checker what the topic had lost before it was read.
func skip(check *verify.Checker, w *kafka.Window) {
	for partition, offset := range w.Skipped() {
		check.Skip(partition, offset)
	}
}

// conclude prints the report. What it says is the exit status.
func conclude(c *cobra.Command, o verifyOptions, r verify.Report) error {
	var err error
	if o.json {
		enc := json.NewEncoder(c.OutOrStdout())
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		err = r.WriteText(c.OutOrStdout())
	}
	if r.Verdict == verify.Gaps || r.Verdict == verify.Empty {
		err = errors.Join(err, errors.New("verify: "+r.Sentence))
	}
	return err
}

// parseBound reads what --from and --to may be.
func parseBound(text string, now time.Time) (kafka.Bound, error) {
	switch text {
	case "start":
		return kafka.AtStart(), nil
	case "end":
		return kafka.AtEnd(), nil
	}
	if offset, err := strconv.ParseInt(text, 10, 64); err == nil && offset >= 0 {
		return kafka.AtOffset(offset), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return kafka.AtTime(t), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return kafka.AtTime(now.Add(-d)), nil
	}
	return kafka.Bound{}, fmt.Errorf("%q: use start, end, an offset, a time such as "+
		"2026-11-22T19:00:00Z, or how long ago, such as 90m", text)
}
