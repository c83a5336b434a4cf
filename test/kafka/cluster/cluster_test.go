// SPDX-License-Identifier: Apache-2.0

//go:build kafka

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/dnsluice/dnsluice/test/kafka/cluster"
)

// produce sends n records to the topic with a plain client, some of them with bytes that a tool
// could stumble over, and returns their values in order of text.
func produce(
	t *testing.T, c *cluster.Cluster, topic string, n int, codec kgo.CompressionCodec,
) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codec))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var records []*kgo.Record
	var values []string
	for i := range n {
		value := fmt.Sprintf("%s %06d line one\nline two\x00\xff\r\n", topic, i)
		values = append(values, value)
		records = append(records, kgo.StringRecord(value))
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return values
}

// sorted turns what a consumer gave into text in order: across partitions none is promised.
func sorted(values [][]byte) []string {
	var text []string
	for _, v := range values {
		text = append(text, string(v))
	}
	slices.Sort(text)
	return text
}

func TestOneNodeGivesBackWhatWasProducedAfterACrashToo(t *testing.T) {
	began := time.Now()
	c := cluster.Start(t, 1)
	t.Logf("one node: ready after %v", time.Since(began).Round(time.Millisecond))
	c.CreateTopic("dns", 3, 1, map[string]string{"retention.ms": "-1"})
	if got := c.Consume("dns"); got != nil {
		t.Errorf("an empty topic gave %d records", len(got))
	}
	want := produce(t, c, "dns", 1000, kgo.ZstdCompression())

	readBack := func() {
		t.Helper()
		if diff := cmp.Diff(want, sorted(c.Consume("dns"))); diff != "" {
			t.Errorf("console consumer (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, sorted(c.Kcat("dns"))); diff != "" {
			t.Errorf("kcat (-want +got):\n%s", diff)
		}
		dump := c.DumpLog("dns")[0]
		if dump.Records != 1000 || dump.Segments < 3 || len(dump.Invalid) != 0 {
			t.Errorf("log: %+v, want 1000 records in 3 segments, none invalid", dump)
		}
		if dump.Batches == 0 || dump.Codecs["zstd"] != dump.Batches {
			t.Errorf("log: %d batches, by codec %v, want zstd only", dump.Batches, dump.Codecs)
		}
	}
	readBack()

	began = time.Now()
	c.Kill(0)
	if conn, err := net.Dial("tcp", c.Brokers()[0]); err == nil {
		_ = conn.Close()
		t.Error("a killed node accepts connections")
	}
	c.Restart(0)
	t.Logf("killed and restarted in %v", time.Since(began).Round(time.Millisecond))
	readBack()

	began = time.Now()
	c.Stop(0)
	t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
	damaged := damage(t, c)
	if got := c.DumpLog("dns")[0]; len(got.Invalid) == 0 {
		t.Errorf("a flipped byte in %s was not noticed: %+v", damaged, got)
	}
}

// damage flips a bit in the last byte of the longest segment, inside a batch's compressed records.
func damage(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.DataDir(0), "dns-*", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	slices.SortFunc(files, func(a, b string) int { return int(size(t, b) - size(t, a)) })
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	return files[0]
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestThreeNodesReplicateAndOutliveOneOfThem(t *testing.T) {
	began := time.Now()
	c := cluster.Start(t, 3, cluster.WithProperty("message.max.bytes", "100000"))
	t.Logf("three nodes: ready after %v", time.Since(began).Round(time.Millisecond))
	if got := c.Brokers(); len(got) != 3 || !strings.HasPrefix(got[2], "127.0.0.1:") {
		t.Fatalf("brokers: %v", got)
	}
	// CreateTopic returns when all three replicas are in sync on all three nodes, or fails.
	c.CreateTopic("dns", 3, 3, nil)
	want := produce(t, c, "dns", 500, kgo.NoCompression())

	c.Kill(1)
	want = append(want, produce(t, c, "dns", 500, kgo.SnappyCompression())...)
	slices.Sort(want)
	if diff := cmp.Diff(want, sorted(c.Kcat("dns"))); diff != "" {
		t.Errorf("two of three nodes (-want +got):\n%s", diff)
	}
	began = time.Now()
	c.Restart(1)
	c.WaitInSync("dns")
	t.Logf("killed node in sync again %v after its restart", time.Since(began).Round(time.Millisecond))
	if diff := cmp.Diff(want, sorted(c.Consume("dns"))); diff != "" {
		t.Errorf("three nodes again (-want +got):\n%s", diff)
	}
	for i, dump := range c.DumpLog("dns") {
		if dump.Records != 1000 || len(dump.Invalid) != 0 {
			t.Errorf("node %d: %+v, want 1000 valid records", i, dump)
		}
	}
	tooLarge(t, c)
}

// tooLarge proves that WithProperty reached the nodes.
func tooLarge(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	record := &kgo.Record{Topic: "dns", Value: make([]byte, 200000)}
	err = client.ProduceSync(ctx, record).FirstErr()
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("200,000 bytes: %v, want %v", err, kerr.MessageTooLarge)
	}
}
