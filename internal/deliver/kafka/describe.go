// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// Probe implements deliver.Cluster.
func (c *Cluster) Probe(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return &deliver.Fault{State: deliver.BrokerError, Where: "probe", Err: err}
	}
	defer cl.Close()
	leaders, err := cl.Leaders(ctx)
	if err != nil {
		return err
	}
	leaders = slices.DeleteFunc(leaders, func(node int32) bool { return node == deliver.NoLeader })
	if len(leaders) == 0 {
		return &deliver.Fault{State: deliver.NoLeaderState, Where: cl.topicName(),
			Err: errors.New("no partition has a leader")}
	}
	slices.Sort(leaders)
	return cl.anyOf(ctx, slices.Compact(leaders))
}

// anyOf asks all nodes which versions they speak, at once, and returns nil as soon as one answers,
// else the error of the first of them.
func (c *Client) anyOf(ctx context.Context, nodes []int32) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	errs := make([]error, len(nodes))
	done := make(chan int, len(nodes))
	for i, node := range nodes {
		all.Go(func() {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = "dnsluice", "1"
			_, errs[i] = c.cl.Broker(int(node)).Request(ctx, req)
			done <- i
		})
	}
	for range nodes {
		if errs[<-done] == nil {
			return nil
		}
	}
	return c.brokerFault(nodes[0], errs[0], deliver.Unsent, fmt.Sprintf("broker %d", nodes[0]))
}

// Description is what a cluster says about itself and about the topic.
type Description struct {
	ClusterID  string       `json:"cluster_id,omitempty"`
	Controller int32        `json:"controller"`
	Brokers    []Broker     `json:"brokers"`
	Partitions []Partition  `json:"partitions"`
	Topic      TopicConfigs `json:"topic_configs,omitempty"`
	// ConfigsError is why Topic is empty: it takes the right to DESCRIBE_CONFIGS.
	ConfigsError string `json:"topic_configs_error,omitempty"`

	// What can be told of our rights without writing. A broker before 2.3 (KIP-430) does not.
	Write      Permission `json:"write"`            // to the topic
	Idempotent Permission `json:"idempotent_write"` // InitProducerId was tried
	// IdempotentError is why not.
	IdempotentError string `json:"idempotent_write_error,omitempty"`
}

// Broker is one of a cluster.
type Broker struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
	Rack string `json:"rack,omitempty"`
}

// Partition is one of the topic.
type Partition struct {
	ID       int32   `json:"id"`
	Leader   int32   `json:"leader"` // deliver.NoLeader when there is none
	Replicas []int32 `json:"replicas"`
	InSync   []int32 `json:"in_sync"`
	Offline  []int32 `json:"offline,omitempty"`
}

// Permission is whether we may do a thing.
type Permission string

// The permissions.
const (
	Granted       Permission = "granted"
	Denied        Permission = "denied"
	UnknownRights Permission = "unknown"
)

// topicConfigs are those that decide whether records are taken, and kept.
var topicConfigs = []string{
	"max.message.bytes", "min.insync.replicas", "cleanup.policy", "retention.ms", "retention.bytes",
	"message.timestamp.type", "message.timestamp.before.max.ms", "message.timestamp.after.max.ms",
	"message.timestamp.difference.max.ms", "compression.type",
}

// TopicConfigs are the topic's configurations by Kafka's names, as text. One that the broker does
// not know is not there.
type TopicConfigs map[string]string

// Number returns a configuration that is a number.
func (t TopicConfigs) Number(name string) (n int64, ok bool) {
	n, err := strconv.ParseInt(t[name], 10, 64)
	return n, err == nil
}

// noOperations is what a broker says that does not tell which operations are allowed
// (MetadataResponse, version 8).
const noOperations = -1 << 31

// Describe asks the cluster about itself. Its error is a *deliver.Fault.
func (c *Cluster) Describe(ctx context.Context) (Description, error) {
	cl, err := c.client()
	if err != nil {
		return Description{}, &deliver.Fault{State: deliver.BrokerError, Where: "describe", Err: err}
	}
	defer cl.Close()
	req := cl.metadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	meta, topic, err := cl.metadata(ctx, req)
	if err != nil {
		return Description{}, err
	}
	d := Description{Controller: meta.ControllerID, Write: UnknownRights, Idempotent: Granted}
	if meta.ClusterID != nil {
		d.ClusterID = *meta.ClusterID
	}
	for _, b := range meta.Brokers {
		broker := Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		d.Brokers = append(d.Brokers, broker)
	}
	for _, p := range topic.Partitions {
		d.Partitions = append(d.Partitions, Partition{ID: p.Partition, Leader: p.Leader,
			Replicas: p.Replicas, InSync: p.ISR, Offline: p.OfflineReplicas})
	}
	slices.SortFunc(d.Brokers, func(a, b Broker) int { return int(a.ID) - int(b.ID) })
	slices.SortFunc(d.Partitions, func(a, b Partition) int { return int(a.ID) - int(b.ID) })
	if ops := topic.AuthorizedOperations; ops != noOperations && ops != 0 {
		d.Write = Denied
		if ops&(1<<int32(kmsg.ACLOperationWrite)) != 0 {
			d.Write = Granted
		}
	}
	if d.Topic, err = cl.topicConfigs(ctx); err != nil {
		d.ConfigsError = err.Error()
	}
	if _, err := cl.Identity(ctx); err != nil {
		d.IdempotentError = err.Error()
		d.Idempotent = UnknownRights
		var f *deliver.Fault
		if errors.As(err, &f) && f.State == deliver.Unauthorized {
			d.Idempotent = Denied
		}
	}
	return d, nil
}

func (c *Client) metadataRequest() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &c.cfg.Topic
	req.Topics = append(req.Topics, t)
	return req
}

// metadata sends a request about the topic.
func (c *Client) metadata(ctx context.Context, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse,
	*kmsg.MetadataResponseTopic, error) {
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, nil, c.clusterFault(err)
	}
	if len(resp.Topics) != 1 {
		return nil, nil, codeFault(kerr.UnknownTopicOrPartition.Code, c.topicName())
	}
	topic := &resp.Topics[0]
	if topic.ErrorCode != 0 {
		return nil, nil, codeFault(topic.ErrorCode, c.topicName())
	}
	return resp, topic, nil
}

func (c *Client) topicConfigs(ctx context.Context) (TopicConfigs, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, c.cfg.Topic
	r.ConfigNames = topicConfigs
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, c.clusterFault(err)
	}
	if len(resp.Resources) != 1 {
		return nil, codeFault(kerr.UnknownTopicOrPartition.Code, c.topicName())
	}
	if code := resp.Resources[0].ErrorCode; code != 0 {
		return nil, codeFault(code, "configuration of "+c.topicName())
	}
	configs := TopicConfigs{}
	for _, k := range resp.Resources[0].Configs {
		if k.Value != nil && slices.Contains(topicConfigs, k.Name) {
			configs[k.Name] = *k.Value
		}
	}
	return configs, nil
}

// Receipt is where the canary was acknowledged.
type Receipt struct {
	Partition int32         `json:"partition"`
	Broker    int32         `json:"broker"`
	Took      time.Duration `json:"took_ns"` // from its sending to its acknowledgement
}

// Canary writes one record to the topic, over connections of its own, and returns when it is
// acknowledged as Config.Acks demands. Its error is a *deliver.Fault.
func (c *Cluster) Canary(ctx context.Context, value []byte) (Receipt, error) {
	internal := func(err error) (Receipt, error) {
		return Receipt{}, &deliver.Fault{State: deliver.BrokerError, Where: "canary", Err: err}
	}
	cl, err := c.client()
	if err != nil {
		return internal(err)
	}
	defer cl.Close()
	leaders, err := cl.Leaders(ctx)
	if err != nil {
		return Receipt{}, err
	}
	partition := slices.IndexFunc(leaders, func(node int32) bool { return node != deliver.NoLeader })
	if partition < 0 {
		return Receipt{}, &deliver.Fault{State: deliver.NoLeaderState, Where: cl.topicName(),
			Err: errors.New("no partition has a leader")}
	}
	identity, sequence := record.NoProducer, int32(-1)
	if c.cfg.Acks == AcksAll {
		if identity, err = cl.Identity(ctx); err != nil {
			return Receipt{}, err
		}
		sequence = 0
	}
	pool := record.NewPool(1, len(value)+deliver.MinBatchSize)
	compressor, err := record.NewCompressor(record.None, pool)
	if err != nil {
		return internal(err)
	}
	b := pool.TryGet()
	if !b.Commit(append(b.Value(time.Now().UnixMilli()), value...)) {
		return internal(fmt.Errorf("a record of %d bytes is too large", len(value)))
	}
	compressor.Seal(b)
	b.Stamp(identity, sequence)
	start := time.Now()
	if err := cl.Produce(ctx, leaders[partition], int32(partition), b.Bytes()); err != nil {
		return Receipt{}, err
	}
	took := time.Since(start)
	return Receipt{Partition: int32(partition), Broker: leaders[partition], Took: took}, nil
}
