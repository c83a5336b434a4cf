// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	requestWithin = 5 * time.Second
	topicWithin   = 60 * time.Second
	pollEvery     = 100 * time.Millisecond
)

// ready waits until each running node answers ApiVersions and Metadata, and lists all of them. A
// node that exits meanwhile is an error at once.
func (c *Cluster) ready(ctx context.Context) error {
	var wanted []*node
	for _, nd := range c.nodes {
		if nd.running() {
			wanted = append(wanted, nd)
		}
	}
	return until(ctx, func() error {
		for _, nd := range wanted {
			meta, err := c.metadata(ctx, nd, "")
			if err != nil {
				return err
			}
			listed := make(map[int]bool)
			for _, b := range meta.Brokers {
				listed[int(b.NodeID)] = true
			}
			for _, other := range wanted {
				if !listed[other.id] {
					return fmt.Errorf("cluster: node %d does not know node %d", nd.id, other.id)
				}
			}
		}
		return nil
	})
}

// until calls f every 100 ms until it returns nil, or an error when ctx ends: the last of f's.
func until(ctx context.Context, f func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// errFinal is an error that waiting does not cure.
var errFinal = errors.New("cluster")

// metadata asks one node, not the cluster, for the brokers and, unless topic is empty, the topic.
func (c *Cluster) metadata(
	ctx context.Context, nd *node, topic string,
) (*kmsg.MetadataResponse, error) {
	if !nd.running() {
		return nil, fmt.Errorf("%w: node %d has exited", errFinal, nd.id)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(nd.addr))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	if topic != "" {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, t)
	}
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	resp, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("cluster: node %d: %w", nd.id, err)
	}
	return resp.(*kmsg.MetadataResponse), nil
}

// client returns a client of the whole cluster.
func (c *Cluster) client() *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	return client
}

// CreateTopic creates a topic with a replication factor of rf and the topic configuration given,
// and waits until all nodes know it and all its replicas are in sync. Nil configs is none.
func (c *Cluster) CreateTopic(name string, partitions, rf int, configs map[string]string) {
	c.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic = name
	topic.NumPartitions = int32(partitions)
	topic.ReplicationFactor = int16(rf)
	for key, value := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, kmsg.StringPtr(value)
		topic.Configs = append(topic.Configs, config)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(requestWithin.Milliseconds())
	req.Topics = append(req.Topics, topic)

	ctx, cancel := context.WithTimeout(context.Background(), topicWithin)
	defer cancel()
	client := c.client()
	defer client.Close()
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		c.t.Fatalf("cluster: create topic %s: %v\n%s", name, err, c.logTail())
	}
	c.WaitInSync(name)
}

// WaitInSync waits until every running node reports every partition of topic with a leader and
// with all its replicas in sync, for at most a minute. After a restart that is when the node has
// caught up.
func (c *Cluster) WaitInSync(topic string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), topicWithin)
	defer cancel()
	err := until(ctx, func() error {
		for _, nd := range c.nodes {
			if !nd.running() {
				continue
			}
			meta, err := c.metadata(ctx, nd, topic)
			if err != nil {
				return err
			}
			if err := inSync(meta); err != nil {
				return fmt.Errorf("cluster: node %d: %w", nd.id, err)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatalf("cluster: topic %s: %v\n%s", topic, err, c.logTail())
	}
}

// inSync returns nil when the one topic of meta has all replicas of all partitions in sync.
func inSync(meta *kmsg.MetadataResponse) error {
	if len(meta.Topics) != 1 {
		return fmt.Errorf("%d topics in the answer instead of 1", len(meta.Topics))
	}
	for _, t := range meta.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			if len(p.ISR) != len(p.Replicas) {
				return fmt.Errorf("partition %d: in sync %v of %v", p.Partition, p.ISR, p.Replicas)
			}
		}
	}
	return nil
}

// Count returns how many records the topic holds, by the offsets of its partitions: committed
// ones, without those that retention has deleted.
func (c *Cluster) Count(topic string) int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), topicWithin)
	defer cancel()
	client := c.client()
	defer client.Close()
	// Of ListOffsets: -2 is the earliest offset, -1 that after the last record.
	first, err := offsetSum(ctx, client, topic, -2)
	last, err2 := offsetSum(ctx, client, topic, -1)
	if err = errors.Join(err, err2); err != nil {
		c.t.Fatalf("cluster: offsets of %s: %v", topic, err)
	}
	return int(last - first)
}

// offsetSum returns the sum over the partitions of topic of the offset that timestamp stands for.
func offsetSum(
	ctx context.Context, client *kgo.Client, topic string, timestamp int64,
) (int64, error) {
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = kmsg.StringPtr(topic)
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = append(meta.Topics, name)
	known, err := meta.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	if err := kerr.ErrorForCode(known.Topics[0].ErrorCode); err != nil {
		return 0, err
	}
	want := kmsg.NewListOffsetsRequestTopic()
	want.Topic = topic
	for _, p := range known.Topics[0].Partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p.Partition, timestamp
		want.Partitions = append(want.Partitions, partition)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, want)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return 0, fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			sum += p.Offset
		}
	}
	return sum, nil
}
