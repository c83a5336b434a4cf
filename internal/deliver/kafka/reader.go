// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is one record as it was read back from a topic.
type Record struct {
	Partition int32
	Offset    int64
	Time      int64  // the Kafka time stamp, ms since the Unix epoch
	Value     []byte // owned by the receiver
}

// Reader reads a topic from its beginning, as any consumer would.
type Reader struct{ cl *kgo.Client }

// NewReader returns a reader of topic.
func NewReader(brokers []string, topic string) (*Reader, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("kafka: reader of topic %q: %w", topic, err)
	}
	return &Reader{cl: cl}, nil
}

// Reader returns a reader of the cluster's topic.
func (c *Cluster) Reader() (*Reader, error) {
	cl, err := kgo.NewClient(append(c.options(), kgo.ConsumeTopics(c.cfg.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return nil, fmt.Errorf("kafka: reader of topic %q: %w", c.cfg.Topic, err)
	}
	return &Reader{cl: cl}, nil
}

// Read returns the next records. It blocks until there are some, or ctx ends.
func (r *Reader) Read(ctx context.Context) ([]Record, error) {
	for {
		fetches := r.cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("kafka: read: %w", err)
		}
		var records []Record
		fetches.EachRecord(func(k *kgo.Record) {
			records = append(records, Record{
				Partition: k.Partition, Offset: k.Offset,
				Time: k.Timestamp.UnixMilli(), Value: k.Value,
			})
		})
		if len(records) > 0 {
			return records, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// Close ends the reader.
func (r *Reader) Close() { r.cl.Close() }
