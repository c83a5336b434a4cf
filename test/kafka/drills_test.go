// SPDX-License-Identifier: Apache-2.0

//go:build kafka

package kafka

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/test/kafka/cluster"
)

// TestDrills lets go wrong what a fake cannot tell, one after the other, on three nodes. All of it
// is on one cluster: a cluster takes longer to start than most drills last.
func TestDrills(t *testing.T) {
	s := newSecured(t)
	c := cluster.Start(t, 3, s.options()...)
	s.attach(c)
	for _, d := range []struct {
		name string
		run  func(*testing.T, *cluster.Cluster)
	}{
		{"leaders move again and again", leadersMove},
		{"the topic is deleted and made anew", topicAnew},
		{"the largest message is made smaller", messagesTooLarge},
		{"a quota is set and lifted", quota},
		{"the right to write is taken and given back", s.rights},
		{"the password is changed", s.password},
		{"certificates expire and are replaced", s.certificates},
		{"a broker is killed", brokerKilled},
		{"all nodes are restarted in turn", rollingRestart},
		{"all brokers are away", allAway},
	} {
		t.Run(d.name, func(t *testing.T) { d.run(t, c) })
	}
}

// topicOf makes a topic for the test.
func topicOf(c *cluster.Cluster, name string, configs map[string]string) string {
	c.CreateTopic(name, 6, 3, configs)
	return name
}

func leadersMove(t *testing.T, c *cluster.Cluster) {
	const moves = 20
	d := begin(t, c, setup{number: 2, topic: topicOf(c, "leaders", nil),
		what: fmt.Sprintf("the leaders of all partitions moved, %d times", moves)})
	for range moves {
		before := c.Leaders(d.topic)
		c.MoveLeaders(d.topic)
		d.until("all leaders have moved", detectWithin, func() bool {
			for p, leader := range c.Leaders(d.topic) {
				if leader == before[p] {
					return false
				}
			}
			return true
		})
		d.more(100)
	}
	d.heal()
	d.finish()
}

func topicAnew(t *testing.T, c *cluster.Cluster) {
	d := begin(t, c, setup{number: 11, topic: topicOf(c, "anew", nil),
		what: "topic deleted under load, and made anew"})
	// What was acknowledged before is read before it is gone. Then there is load again.
	d.source.pause()
	d.until("all is acknowledged", healWithin, func() bool {
		sent, _, _ := d.source.account()
		return d.sensor.Ledger().Acknowledged == sent
	})
	d.before = c.Kcat(d.topic)
	c.DeleteTopic(d.topic)
	d.source.resume()
	d.detect(deliver.TopicMissing)
	d.endure(deliver.TopicMissing, warm)
	topicOf(c, d.topic, nil)
	d.heal()
	d.finish()
}

func messagesTooLarge(t *testing.T, c *cluster.Cluster) {
	letters := filepath.Join(t.TempDir(), "letters")
	d := begin(t, c, setup{number: 19, topic: topicOf(c, "large", nil), deadLetter: letters,
		what: "max.message.bytes lowered to 2000 under load; one record is larger"})
	c.ConfigureTopic(d.topic, "max.message.bytes", "2000")
	// The first refusal teaches the size, and what follows is made smaller at once.
	d.until("a batch is split", detectWithin, func() bool { return d.detail("split") > 0 })
	d.more(warm)
	d.source.poison()
	d.detect(deliver.RejectedState)
	d.more(warm)
	c.ConfigureTopic(d.topic, "max.message.bytes", "")
	d.heal()
	d.finish()
	if d.result.Dropped != 1 {
		t.Errorf("%d records were dropped, not the one that is too large", d.result.Dropped)
	}
	data, err := os.ReadFile(letters)
	if err != nil || bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("the dead-letter file: %q, %v", data, err)
	}
}

func quota(t *testing.T, c *cluster.Cluster) {
	const client, rate = "-quota", 5000
	d := begin(t, c, setup{number: 24, topic: topicOf(c, "quota", nil), clientID: client,
		what: fmt.Sprintf("producer_byte_rate set to %d bytes a second for each broker", rate)})
	c.SetQuota("dnsluice"+client, rate)
	d.detect(deliver.Throttled)
	d.until("records wait on disk", healWithin, func() bool { return d.spool.Stats().Records > warm })
	c.SetQuota("dnsluice"+client, 0)
	d.heal()
	d.finish()
}

// brokerKilled kills one of three under two topics: one that can do without it, and one that
// cannot.
func brokerKilled(t *testing.T, c *cluster.Cluster) {
	d := begin(t, c, setup{number: 1, topic: topicOf(c, "killed", nil),
		what: "kill -9 of one of three brokers under load"})
	all := begin(t, c, setup{number: 23, clientID: "-all",
		what:  "min.insync.replicas=3, and kill -9 of one of three brokers",
		topic: topicOf(c, "replicas", map[string]string{"min.insync.replicas": "3"})})
	c.Kill(1)
	all.detect(deliver.NotEnoughReplicas)
	all.endure(deliver.NotEnoughReplicas, warm)
	d.heal() // the two that are left go on
	c.Restart(1)
	all.heal()
	d.finish()
	all.finish()
	valid(t, c, d.topic, d.result.In+d.result.Duplicated, 3)
}

func rollingRestart(t *testing.T, c *cluster.Cluster) {
	d := begin(t, c, setup{number: 1, topic: topicOf(c, "rolling", nil),
		what: "each of three brokers stopped in order and started again, in turn"})
	for i := range c.Brokers() {
		c.Stop(i)
		d.more(warm)
		c.Restart(i)
		c.WaitInSync(d.topic)
	}
	d.heal()
	d.finish()
}

func allAway(t *testing.T, c *cluster.Cluster) {
	d := begin(t, c, setup{number: 3, topic: topicOf(c, "away", nil),
		what: "all three brokers killed, and started again when 10000 records waited on disk"})
	var all []int
	for i := range c.Brokers() {
		c.Kill(i)
		all = append(all, i)
	}
	d.detect(deliver.Unreachable)
	d.endure(deliver.Unreachable, 10_000)
	c.Restart(all...)
	d.heal()
	d.finish()
}
