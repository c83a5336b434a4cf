// SPDX-License-Identifier: Apache-2.0

// Package embedded is a Kafka broker in the process, for the demo and for tests. It checks what
// a broker checks (checksums, batch lengths, producer sequences) and keeps records in memory; it
// does not replicate.
package embedded

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is a running broker on a free port of the loopback interface.
type Broker struct{ *kfake.Cluster }

// Start starts a broker with one topic of so many partitions. The topic exists before anybody
// asks for it: one that appears on demand is a different first minute.
func Start(topic string, partitions int32) (*Broker, error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic))
	if err != nil {
		return nil, fmt.Errorf("embedded: start a broker on loopback: %w", err)
	}
	return &Broker{c}, nil
}

// Brokers returns host:port of the broker.
func (b *Broker) Brokers() []string { return b.ListenAddrs() }
