// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/test/need"
)

// readWithin bounds each of the tools.
const readWithin = 5 * time.Minute

// separator stands after each record that a tool prints: a line feed may be part of a record.
const separator = "<end of record 5d1f0c86e2>"

// Consume reads the topic from its beginning with Kafka's own console consumer and returns the
// values of all records that Count counts now, in order within each partition. A record less
// fails the test.
func (c *Cluster) Consume(topic string) [][]byte {
	c.t.Helper()
	count := c.Count(topic)
	if count == 0 {
		return nil // with --max-messages 0 the tool would wait for ever
	}
	values := c.split(c.tool("org.apache.kafka.tools.consumer.ConsoleConsumer",
		"--bootstrap-server", strings.Join(c.Brokers(), ","), "--topic", topic,
		"--from-beginning", "--max-messages", strconv.Itoa(count), "--timeout-ms", "60000",
		"--formatter-property", "line.separator="+separator))
	if len(values) != count {
		c.t.Fatalf("cluster: console consumer: %d of %d records of %s", len(values), count, topic)
	}
	return values
}

// Kcat reads the topic from its beginning to its end with kcat, that is with librdkafka, and
// returns the values of all records. Without kcat the test is skipped, and fails when CI=true.
func (c *Cluster) Kcat(topic string) [][]byte {
	c.t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		need.Cannot(c.t, "no kcat (apt-get install kcat)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	return c.split(output(exec.CommandContext(ctx, "kcat", "-C", "-q", "-e", "-o", "beginning",
		"-b", strings.Join(c.Brokers(), ","), "-t", topic, "-f", "%s"+separator)))
}

// LogDump is what DumpLogSegments says about one topic on one node.
type LogDump struct {
	Segments int            // files
	Batches  int            // record batches
	Records  int            // records, counted one by one with every batch decompressed
	Codecs   map[string]int // batches by compression: none, gzip, snappy, lz4, zstd
	Invalid  []string       // lines that say "isvalid: false" or anything unexpected
}

// DumpLog runs org.apache.kafka.tools.DumpLogSegments with --deep-iteration over every segment of
// every partition of the topic. The result has an element for each node, also for those that do
// not run. Call it when nothing is being produced: a batch half written is an invalid one.
func (c *Cluster) DumpLog(topic string) []LogDump {
	c.t.Helper()
	dumps := make([]LogDump, len(c.nodes))
	owner := make(map[string]*LogDump)
	var files []string
	partition := regexp.MustCompile(`^` + regexp.QuoteMeta(topic) + `-\d+$`)
	for i, nd := range c.nodes {
		dumps[i].Codecs = make(map[string]int)
		segments, err := filepath.Glob(filepath.Join(nd.dataPath(), "*", "*.log"))
		if err != nil {
			c.t.Fatalf("cluster: %v", err)
		}
		for _, file := range segments {
			if partition.MatchString(filepath.Base(filepath.Dir(file))) {
				files = append(files, file)
				owner[file] = &dumps[i]
			}
		}
	}
	if len(files) == 0 {
		c.t.Fatalf("cluster: no node has a segment of %s", topic)
	}
	slices.Sort(files)
	out, err := c.tool("org.apache.kafka.tools.DumpLogSegments", "--deep-iteration",
		"--files", strings.Join(files, ","))
	last := parseDump(out, owner)
	if last == nil {
		c.t.Fatalf("cluster: %v", err)
	}
	if err != nil {
		// It throws at records that it cannot decompress, and looks no further.
		last.Invalid = append(last.Invalid, err.Error())
	}
	return dumps
}

var (
	dumpBatch = regexp.MustCompile(
		`^baseOffset: .* count: (\d+) .* compresscodec: (\w+) .*isvalid: true$`)
	dumpRecord = regexp.MustCompile(`^\| offset: `)
	dumpOffset = regexp.MustCompile(`^Log starting offset: `)
)

// parseDump adds the tool's lines to the dump of the node whose file they follow, and returns the
// last of these, nil if there is none. Each line must be of a kind that is known to be harmless:
// the tool reports damage in many words.
func parseDump(out []byte, owner map[string]*LogDump) (dump *LogDump) {
	promised, seen := 0, 0
	batchEnds := func() {
		if promised != seen {
			dump.Invalid = append(dump.Invalid,
				fmt.Sprintf("a batch says %d records and holds %d", promised, seen))
		}
		promised, seen = 0, 0
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\r\n")
		if file, ok := strings.CutPrefix(line, "Dumping "); ok && owner[file] != nil {
			if dump != nil {
				batchEnds()
			}
			dump = owner[file]
			dump.Segments++
			continue
		}
		switch batch := dumpBatch.FindStringSubmatch(line); {
		case dump == nil, dumpOffset.MatchString(line):
		case batch != nil:
			batchEnds()
			promised, _ = strconv.Atoi(batch[1])
			dump.Batches++
			dump.Codecs[strings.ToLower(batch[2])]++
		case dumpRecord.MatchString(line):
			seen++
			dump.Records++
		default:
			dump.Invalid = append(dump.Invalid, line)
		}
	}
	if dump != nil {
		batchEnds()
	}
	return dump
}

// tool runs one of Kafka's command-line tools and returns its standard output.
func (c *Cluster) tool(class string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	return output(c.command(ctx, append([]string{"tool", class}, args...)...))
}

// output runs cmd and returns its standard output, also of one that fails; the error then ends
// with what it said on standard error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%v: %w: %s", cmd.Args, err, stderr.Bytes())
	}
	return stdout.Bytes(), err
}

// split cuts what a consumer printed into records.
func (c *Cluster) split(out []byte, err error) [][]byte {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	values := bytes.Split(out, []byte(separator))
	if rest := values[len(values)-1]; len(rest) != 0 {
		c.t.Fatalf("cluster: the consumer ended in the middle of a record: %.200q", rest)
	}
	return values[:len(values)-1]
}
