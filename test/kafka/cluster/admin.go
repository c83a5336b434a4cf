// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// administer runs f with a client of the whole cluster, and ends the test when it fails.
func (c *Cluster) administer(what string, f func(context.Context, *kgo.Client) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), topicWithin)
	defer cancel()
	client := c.client()
	defer client.Close()
	if err := f(ctx, client); err != nil {
		c.t.Fatalf("cluster: %s: %v\n%s", what, err, c.logTail())
	}
}

// DeleteTopic deletes a topic and waits until no running node knows it.
func (c *Cluster) DeleteTopic(name string) {
	c.t.Helper()
	c.administer("delete topic "+name, func(ctx context.Context, client *kgo.Client) error {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = int32(requestWithin.Milliseconds())
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.TopicNames, req.Topics = []string{name}, append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
			return err
		}
		return until(ctx, func() error { return c.unknown(ctx, name) })
	})
}

// unknown returns nil when no running node knows the topic.
func (c *Cluster) unknown(ctx context.Context, topic string) error {
	for _, nd := range c.nodes {
		if !nd.running() {
			continue
		}
		meta, err := c.metadata(ctx, nd, topic)
		if err != nil {
			return err
		}
		if meta.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			return fmt.Errorf("node %d knows %s", nd.id, topic)
		}
	}
	return nil
}

// ConfigureTopic sets a property of a topic, or takes it back to its default when value is empty.
func (c *Cluster) ConfigureTopic(topic, key, value string) {
	c.t.Helper()
	c.configure(kmsg.ConfigResourceTypeTopic, topic, key, value)
}

// ConfigureListener sets a property of the additional listener of node i while it runs. The node
// knows it some moments later.
func (c *Cluster) ConfigureListener(i int, key, value string) {
	c.t.Helper()
	c.configure(kmsg.ConfigResourceTypeBroker, strconv.Itoa(c.nodes[i].id), c.listener.property(key),
		value)
}

func (c *Cluster) configure(kind kmsg.ConfigResourceType, name, key, value string) {
	c.t.Helper()
	what := fmt.Sprintf("set %s of %s %s", key, kind, name)
	c.administer(what, func(ctx context.Context, client *kgo.Client) error {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Op = key, kmsg.IncrementalAlterConfigOpDelete
		if value != "" {
			config.Value, config.Op = kmsg.StringPtr(value), kmsg.IncrementalAlterConfigOpSet
		}
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kind, name
		resource.Configs = append(resource.Configs, config)
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = append(req.Resources, resource)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return told(resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage)
	})
}

// told returns an error code as an error, with what the broker says to it.
func told(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err != nil && message != nil {
		return fmt.Errorf("%w: %s", err, *message)
	}
	return err
}

// MoveLeaders makes the next replica of each partition of topic its leader, and does not wait
// until that is known everywhere. All nodes must run.
func (c *Cluster) MoveLeaders(topic string) {
	c.t.Helper()
	c.administer("move leaders of "+topic, func(ctx context.Context, client *kgo.Client) error {
		meta, err := c.metadata(ctx, c.nodes[0], topic)
		if err != nil {
			return err
		}
		move := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		elect := kmsg.NewElectLeadersRequestTopic()
		move.Topic, elect.Topic = topic, topic
		for _, p := range meta.Topics[0].Partitions {
			to := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			to.Partition = p.Partition
			to.Replicas = append(append(to.Replicas, p.Replicas[1:]...), p.Replicas[0])
			move.Partitions = append(move.Partitions, to)
			elect.Partitions = append(elect.Partitions, p.Partition)
		}
		assign := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		assign.TimeoutMillis = int32(requestWithin.Milliseconds())
		assign.Topics = append(assign.Topics, move)
		assigned, err := assign.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		for _, p := range assigned.Topics[0].Partitions {
			err = errors.Join(err, told(p.ErrorCode, p.ErrorMessage))
		}
		if err = errors.Join(err, told(assigned.ErrorCode, assigned.ErrorMessage)); err != nil {
			return err
		}
		election := kmsg.NewPtrElectLeadersRequest() // of those that are preferred
		election.TimeoutMillis = assign.TimeoutMillis
		election.Topics = append(election.Topics, elect)
		elected, err := election.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		for _, t := range elected.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != kerr.ElectionNotNeeded.Code {
					err = errors.Join(err, told(p.ErrorCode, p.ErrorMessage))
				}
			}
		}
		return err
	})
}

// Leaders returns the leader of each partition of topic as node 0 knows it.
func (c *Cluster) Leaders(topic string) []int32 {
	c.t.Helper()
	var leaders []int32
	c.administer("leaders of "+topic, func(ctx context.Context, _ *kgo.Client) error {
		meta, err := c.metadata(ctx, c.nodes[0], topic)
		if err != nil {
			return err
		}
		leaders = make([]int32, len(meta.Topics[0].Partitions))
		for _, p := range meta.Topics[0].Partitions {
			leaders[p.Partition] = p.Leader
		}
		return nil
	})
	return leaders
}

// SetPassword makes user one of SCRAM-SHA-512, with that password.
func (c *Cluster) SetPassword(user, password string) {
	c.t.Helper()
	const iterations = 4096 // the least that Kafka takes
	c.administer("password of "+user, func(ctx context.Context, client *kgo.Client) error {
		salt := []byte("salt of " + user)
		salted, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
		if err != nil {
			return err
		}
		upsert := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		upsert.Name, upsert.Mechanism, upsert.Iterations = user, 2, iterations // 2 is SCRAM-SHA-512
		upsert.Salt, upsert.SaltedPassword = salt, salted
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		req.Upsertions = append(req.Upsertions, upsert)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return told(resp.Results[0].ErrorCode, resp.Results[0].ErrorMessage)
	})
}

// SetQuota lets clients of that id produce so many bytes a second to each node; 0 is no limit.
func (c *Cluster) SetQuota(clientID string, bytesPerSecond int) {
	c.t.Helper()
	c.administer("quota of "+clientID, func(ctx context.Context, client *kgo.Client) error {
		entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
		entity.Type, entity.Name = "client-id", kmsg.StringPtr(clientID)
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value, op.Remove = "producer_byte_rate", float64(bytesPerSecond), bytesPerSecond == 0
		entry := kmsg.NewAlterClientQuotasRequestEntry()
		entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.Entries = append(req.Entries, entry)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return told(resp.Entries[0].ErrorCode, resp.Entries[0].ErrorMessage)
	})
}

// Grant lets user do op with topic, from anywhere.
func (c *Cluster) Grant(user, topic string, op kmsg.ACLOperation) {
	c.t.Helper()
	c.administer("grant", func(ctx context.Context, client *kgo.Client) error {
		acl := kmsg.NewCreateACLsRequestCreation()
		acl.ResourceType, acl.ResourceName = kmsg.ACLResourceTypeTopic, topic
		acl.ResourcePatternType = kmsg.ACLResourcePatternTypeLiteral
		acl.Principal, acl.Host = "User:"+user, "*"
		acl.Operation, acl.PermissionType = op, kmsg.ACLPermissionTypeAllow
		req := kmsg.NewPtrCreateACLsRequest()
		req.Creations = append(req.Creations, acl)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return told(resp.Results[0].ErrorCode, resp.Results[0].ErrorMessage)
	})
}

// Revoke takes back what Grant gave.
func (c *Cluster) Revoke(user, topic string, op kmsg.ACLOperation) {
	c.t.Helper()
	c.administer("revoke", func(ctx context.Context, client *kgo.Client) error {
		acl := kmsg.NewDeleteACLsRequestFilter()
		acl.ResourceType, acl.ResourceName = kmsg.ACLResourceTypeTopic, kmsg.StringPtr(topic)
		acl.ResourcePatternType = kmsg.ACLResourcePatternTypeLiteral
		acl.Principal = kmsg.StringPtr("User:" + user)
		acl.Operation, acl.PermissionType = op, kmsg.ACLPermissionTypeAllow
		req := kmsg.NewPtrDeleteACLsRequest()
		req.Filters = append(req.Filters, acl)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		result := resp.Results[0]
		if err := told(result.ErrorCode, result.ErrorMessage); err != nil {
			return err
		}
		if len(result.MatchingACLs) != 1 {
			return fmt.Errorf("%d rules were revoked, not one", len(result.MatchingACLs))
		}
		return nil
	})
}
