// SPDX-License-Identifier: Apache-2.0

// Package broker is where the records of the comparison arrive: an embedded Kafka in a process of
// its own, or a real one, and what counts there.
package broker

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Serve runs an embedded broker on a loopback port, or any if it is 0, writes its address as a
// line to ready, and ends when r does: with the process that holds its other end.
//
// It checks each batch (CRC, lengths, sequences) and advances the offsets, then drops the bytes:
// what a disk would cost is not the sensor's, and records of many runs would fill the memory.
func Serve(port int, ready io.Writer, r io.Reader) error {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.BlackholeProduce())
	if err != nil {
		return fmt.Errorf("broker: start: %w", err)
	}
	defer cluster.Close()
	if _, err := fmt.Fprintln(ready, cluster.ListenAddrs()[0]); err != nil {
		return fmt.Errorf("broker: report address: %w", err)
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// Loopback refuses an address that is not on this machine. A name other than localhost is refused
// too: what it resolves to can change.
func Loopback(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("broker: address %q: %w", address, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("broker: address %q: port: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("broker: address %q is not on a loopback interface: "+
			"the comparison sends only to this machine", address)
	}
	return nil
}

// Topics creates, counts and deletes topics. Close it after use.
type Topics struct {
	client *kgo.Client
}

// Open connects to a broker, which must be on this machine, and asks it something, so that a broker
// that is not there is found out now.
func Open(ctx context.Context, address string) (*Topics, error) {
	if err := Loopback(address); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return nil, fmt.Errorf("broker: client of %s: %w", address, err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("broker: reach %s: %w", address, err)
	}
	return &Topics{client}, nil
}

// Close ends the connections.
func (t *Topics) Close() { t.client.Close() }

// Create makes a topic with one replica of each partition.
func (t *Topics) Create(ctx context.Context, name string, partitions int32) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, t.client)
	if err == nil && len(resp.Topics) == 1 {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("broker: create topic %s: %w", name, err)
	}
	return nil
}

// Delete removes a topic.
func (t *Topics) Delete(ctx context.Context, name string) error {
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr(name)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{name}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, t.client)
	if err == nil && len(resp.Topics) == 1 {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("broker: delete topic %s: %w", name, err)
	}
	return nil
}

// Count returns the sum of the end offsets of a topic's partitions: the records that have arrived.
func (t *Topics) Count(ctx context.Context, name string, partitions int32) (int64, error) {
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = i, -1 // the end
		topic.Partitions = append(topic.Partitions, p)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.Topics = append(req.Topics, topic)
	sum := int64(0)
	for _, shard := range t.client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return 0, fmt.Errorf("broker: end offsets of %s: %w", name, shard.Err)
		}
		for _, topic := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return 0, fmt.Errorf("broker: end offset of %s/%d: %w", name, p.Partition, err)
				}
				sum += p.Offset
			}
		}
	}
	return sum, nil
}
