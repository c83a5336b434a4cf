// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/check"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// batchHeader is what a batch has besides its records.
const batchHeader = record.HeaderLen

// clusterChecks ask the cluster, each over connections of its own.
func (o checkOptions) clusterChecks(cfg config.Config) ([]check.Check, error) {
	link := kafkaConfig(cfg)
	cluster, err := kafka.NewCluster(link)
	if err != nil {
		return nil, err
	}
	w := o.clusterWishes(cfg)
	w.TLS, w.AllAcks = link.TLS != nil, link.Acks == kafka.AcksAll
	if link.SASL != nil {
		w.Login, w.Readable = link.SASL.Mechanism, cfg.Readable()
	}
	c := check.Cluster{
		Resolve: net.DefaultResolver.LookupHost,
		Connect: connect,
		Handshake: func(ctx context.Context, address string) (check.Certificate, error) {
			s, err := cluster.Handshake(ctx, address)
			return check.Certificate(s), err
		},
		Describe: func(ctx context.Context) (check.Topic, error) {
			d, err := cluster.Describe(ctx)
			return described(d), err
		},
		Canary: func(ctx context.Context) (string, error) {
			value, err := sensor.Canary(cfg.Encode.Format, cfg.Sensor, time.Now())
			if err != nil {
				return "", err
			}
			r, err := cluster.Canary(ctx, value)
			return fmt.Sprintf("by broker %d, in partition %d, within %s",
				r.Broker, r.Partition, r.Took.Round(10*time.Microsecond)), err
		},
		Cause: cause,
		Now:   time.Now,
	}
	return c.Checks(w), nil
}

func connect(ctx context.Context, address string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// described puts what the cluster said into the terms of the checks.
func described(d kafka.Description) check.Topic {
	t := check.Topic{
		Partitions: len(d.Partitions), Configs: d.Topic, Unknown: d.ConfigsError,
		MayWrite: check.Right(d.Write), MayIdempotent: check.Right(d.Idempotent), Refused: d.IdempotentError,
	}
	for _, b := range d.Brokers {
		t.Brokers = append(t.Brokers, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	least, _ := d.Topic.Number("min.insync.replicas") // 0 when it is not told
	for _, p := range d.Partitions {
		switch {
		case p.Leader == deliver.NoLeader:
			t.Leaderless++
		case int64(len(p.InSync)) < least:
			t.Thin++
		}
	}
	return t
}

// causes says which check a state belongs to. All others are NoAnswer.
var causes = map[deliver.State]check.Cause{
	deliver.TLSFailed:         check.BadTLS,
	deliver.AuthFailed:        check.BadLogin,
	deliver.TopicMissing:      check.NoTopic,
	deliver.Unauthorized:      check.NotAllowed,
	deliver.NoLeaderState:     check.NoLeader,
	deliver.NotEnoughReplicas: check.FewReplicas,
	deliver.RejectedState:     check.Refused,
}

func cause(err error) check.Cause {
	f, ok := errors.AsType[*deliver.Fault](err)
	if !ok {
		return check.NoAnswer
	}
	return causes[f.State]
}
