// SPDX-License-Identifier: Apache-2.0

// Package kafka is the only place that knows a Kafka client. It gives deliver one topic of a
// cluster, through the request layer of franz-go: connections, API versions, routing. Its
// produce path is not used; what is sent, when, and how often is decided in deliver.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

var _ deliver.Producer = (*Client)(nil)

// Config says which topic of which cluster.
type Config struct {
	Brokers        []string // host:port; some of them suffice
	Topic          string
	ClientID       string
	RequestTimeout time.Duration // of one request, connecting included
}

// Client is one topic of a cluster. It is safe for concurrent use.
type Client struct {
	cfg     Config
	cl      *kgo.Client
	seen    *seen
	topicID atomic.Pointer[[16]byte] // since Produce v13, topics are named by id (KIP-516)
}

// New returns a client. It connects to nobody yet, so the cluster need not be there.
func New(cfg Config) (*Client, error) {
	if cfg.Topic == "" {
		return nil, errors.New("kafka: no topic: name one with --topic")
	}
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers: name some with --brokers host:port,host:port")
	}
	dial := cfg.RequestTimeout / 2
	seen := newSeen(dial)
	cl, err := kgo.NewClient(
		kgo.WithHooks(seen),
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.SoftwareNameAndVersion("dnsluice", "1"),
		kgo.DialTimeout(dial),
		// A request that the cluster may take time for is given 2/3 of the time-out, and the
		// connection is given up when it is over: then nothing queues behind a dead one.
		kgo.RequestTimeoutOverhead(cfg.RequestTimeout/3),
		// Retrying is deliver's business. A few tries let one look-up pass by dead seeds.
		kgo.RequestRetries(len(cfg.Brokers)),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("kafka: brokers %v: %w", cfg.Brokers, err)
	}
	return &Client{cfg: cfg, cl: cl, seen: seen}, nil
}

// Close implements deliver.Producer.
func (c *Client) Close() { c.cl.Close() }

// Leaders implements deliver.Producer.
func (c *Client) Leaders(ctx context.Context) ([]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &c.cfg.Topic
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, c.clusterFault(err)
	}
	if len(resp.Topics) != 1 {
		return nil, codeFault(kerr.UnknownTopicOrPartition.Code, c.topicName())
	}
	topic := &resp.Topics[0]
	if topic.ErrorCode != 0 {
		return nil, codeFault(topic.ErrorCode, c.topicName())
	}
	leaders := make([]int32, len(topic.Partitions))
	for i := range leaders {
		leaders[i] = deliver.NoLeader
	}
	for _, p := range topic.Partitions {
		if p.Partition >= 0 && int(p.Partition) < len(leaders) {
			leaders[p.Partition] = p.Leader
		}
	}
	c.topicID.Store(&topic.TopicID)
	return leaders, nil
}

func (c *Client) topicName() string { return fmt.Sprintf("topic %q", c.cfg.Topic) }

// Identity implements deliver.Producer.
func (c *Client) Identity(ctx context.Context) (record.Producer, error) {
	req := kmsg.NewPtrInitProducerIDRequest() // no transactional id
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return record.NoProducer, c.clusterFault(err)
	}
	if resp.ErrorCode != 0 {
		f := codeFault(resp.ErrorCode, "producer id")
		f.Verdict = deliver.Unsent // no batch was looked at
		return record.NoProducer, f
	}
	return record.Producer{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}, nil
}

// Produce implements deliver.Producer.
func (c *Client) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	where := fmt.Sprintf("broker %d, partition %d", node, partition)
	req := c.produceRequest(partition, batch)
	resp, err := c.cl.Broker(int(node)).Request(ctx, req)
	if sent := req.revoke(); err != nil {
		verdict := deliver.Unsent
		if sent {
			verdict = deliver.Unknown
		}
		return c.brokerFault(node, err, verdict, where)
	}
	answer, ok := resp.(*kmsg.ProduceResponse)
	if !ok || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 ||
		answer.Topics[0].Partitions[0].Partition != partition {
		return &deliver.Fault{State: deliver.BrokerError, Verdict: deliver.Unknown, Where: where,
			Err: errors.New("the answer is not about the batch that was sent")}
	}
	p := &answer.Topics[0].Partitions[0]
	if p.ErrorCode == 0 || p.ErrorCode == kerr.DuplicateSequenceNumber.Code {
		return nil // a duplicate is there already: that is what was wanted
	}
	f := codeFault(p.ErrorCode, where)
	if p.ErrorMessage != nil {
		f.Err = fmt.Errorf("%w: %s", f.Err, *p.ErrorMessage)
	}
	return f
}
