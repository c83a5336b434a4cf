// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
)

// The topics, one for each of the two, and their partitions.
const (
	topicSniffer  = "sniffer"
	topicDnsluice = "dnsluice"
	partitions    = 3
)

// broker runs a Kafka broker with both topics until standard input ends, and prints its address.
func broker() error {
	b, err := embedded.Start(topicSniffer, partitions)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.CreateTopic(topicDnsluice, partitions, nil); err != nil {
		return err
	}
	fmt.Println(strings.Join(b.Brokers(), ","))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startBroker starts one as a process of its own and returns its address.
func startBroker(ctx context.Context, self string) (*child, string, error) {
	c := &child{name: partBroker, cmd: exec.CommandContext(ctx, self, partBroker)}
	if _, err := c.cmd.StdinPipe(); err != nil { // closed when the process has ended
		return nil, "", err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := c.launch(); err != nil {
		return nil, "", err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("broker: no address: %w", err)
	}
	return c, strings.TrimSpace(address), nil
}

// counter asks a broker how many records a topic has. It is neither of the two programs: what a
// program believes that it has delivered is not the question here.
type counter struct{ c *kafka.Consumer }

func newCounter(brokers string) (counter, error) {
	c, err := kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": brokers, "group.id": "incident", "enable.metrics.push": false,
	})
	return counter{c}, err
}

func (c counter) records(topic string) (uint64, error) {
	sum := uint64(0)
	for p := range int32(partitions) {
		low, high, err := c.c.QueryWatermarkOffsets(topic, p, int((5 * time.Second).Milliseconds()))
		if err != nil {
			return 0, fmt.Errorf("records of %s: %w", topic, err)
		}
		sum += uint64(high - low)
	}
	return sum, nil
}
