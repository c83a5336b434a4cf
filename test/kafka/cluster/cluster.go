// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/test/need"
)

const (
	// startAttempts: a KRaft node now and then does not come up on a loaded machine, or loses the
	// race for a port; a fresh one does.
	startAttempts = 3
	// startWithin bounds one attempt. Alone on two cores a node answers after 5 s.
	startWithin = 90 * time.Second
	// stopWithin bounds an orderly shutdown before SIGKILL.
	stopWithin = 30 * time.Second
	// cleanupWithin is the same at the end of the test: nobody wants the data any more, and a node
	// whose quorum ends before it does waits for minutes.
	cleanupWithin = 3 * time.Second
)

// Cluster is a running Kafka. It belongs to the test that started it and ends with it.
type Cluster struct {
	t      testing.TB
	script string
	env    []string // of the processes
	extra  []string // lines added to each node's properties
	dir    string
	nodes  []*node

	listener *Listener // beside the one in plain text; nil is none
}

// Option changes how Start configures the nodes.
type Option func(*Cluster)

// WithProperty sets a property of the broker, the same on each node, over what kafka.sh chose.
func WithProperty(key, value string) Option {
	return func(c *Cluster) { c.extra = append(c.extra, key+"="+value) }
}

// WithHeap sets the Java heap of each node, in Java's notation. The default is 384m.
func WithHeap(size string) Option {
	return func(c *Cluster) { c.env = append(c.env, "DNSLUICE_KAFKA_HEAP="+size) }
}

// Start starts a cluster of n nodes and returns when each of them answers and knows the others.
// Topics are not created by themselves. Replication factors and min.insync.replicas fit n: with
// three nodes or more they are 3 and 2, with fewer n and 1.
func Start(t testing.TB, n int, options ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, script: findScript(t), env: os.Environ()}
	for _, option := range options {
		option(c)
	}
	if out, err := c.command(context.Background(), "check").CombinedOutput(); err != nil {
		need.Cannot(t, strings.TrimSpace(string(out)))
	}
	base := t.TempDir()
	t.Cleanup(c.cleanup)
	var err error
	for attempt := 1; attempt <= startAttempts; attempt++ {
		c.dir = filepath.Join(base, fmt.Sprintf("attempt-%d", attempt))
		if err = c.boot(n); err == nil {
			return c
		}
		t.Logf("cluster: attempt %d of %d: %v\n%s", attempt, startAttempts, err, c.logTail())
		c.endAll(0)
	}
	t.Fatalf("cluster: Kafka did not start in %d attempts: %v", startAttempts, err)
	return nil
}

// findScript looks for test/kafka/kafka.sh from the folder of the test upwards, as the tests of
// any package of the repository may start a cluster.
func findScript(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("cluster: %v", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "test", "kafka", "kafka.sh")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("cluster: test/kafka/kafka.sh is in no folder above the test's")
	return ""
}

// boot makes one attempt: ports, configuration, storage, processes, readiness.
func (c *Cluster) boot(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	c.nodes = nil
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	extra := []byte(strings.Join(c.extra, "\n") + "\n")
	if err := os.WriteFile(filepath.Join(c.dir, "extra.properties"), extra, 0o644); err != nil {
		return err
	}
	each := c.portsPerNode()
	ports, err := freePorts(each * n)
	if err != nil {
		return err
	}
	args := []string{"configure", c.dir}
	for i := range n {
		mine := ports[each*i : each*(i+1)]
		nd := &node{id: i + 1, addr: fmt.Sprintf("127.0.0.1:%d", mine[0]), dir: c.dir}
		c.nodes = append(c.nodes, nd)
		if err := c.writeListener(nd, mine); err != nil {
			return err
		}
		args = append(args, fmt.Sprintf("%d:%d", mine[0], mine[1]))
	}
	if out, err := c.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cluster: configure: %w: %s", err, out)
	}
	for _, nd := range c.nodes {
		if err := nd.start(c.runs(nd)); err != nil {
			return err
		}
	}
	return c.ready(ctx)
}

// command prepares a call of kafka.sh.
func (c *Cluster) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.script, args...)
	cmd.Env = c.env
	cmd.WaitDelay = time.Second
	return cmd
}

// DataDir returns the folder of node i that holds a folder for each partition, TOPIC-NUMBER, with
// the segments. It belongs to the node as long as it runs.
func (c *Cluster) DataDir(i int) string { return c.nodes[i].dataPath() }

// runs prepares the process of a node.
func (c *Cluster) runs(nd *node) *exec.Cmd {
	return c.command(context.Background(), "run", c.dir, fmt.Sprint(nd.id))
}

// Brokers returns the address of each node, host:port, also of nodes that do not run.
func (c *Cluster) Brokers() []string {
	addrs := make([]string, 0, len(c.nodes))
	for _, nd := range c.nodes {
		addrs = append(addrs, nd.addr)
	}
	return addrs
}

// Kill ends node i with SIGKILL, as a crash does, and waits until it is gone.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.nodes[i].end(0)
}

// Stop ends node i in order with SIGTERM, which hands its leaderships over, and waits until it is
// gone. After 30 s it fails the test.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	if !c.nodes[i].end(stopWithin) {
		c.t.Fatalf("cluster: node %d did not stop within %v\n%s", i, stopWithin, c.logTail())
	}
}

// Restart starts nodes again after Kill or Stop, with the same ports and data, and waits until they
// and the others that run know each other.
func (c *Cluster) Restart(nodes ...int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	var errs []error
	for _, i := range nodes {
		nd := c.nodes[i]
		if nd.running() {
			c.t.Fatalf("cluster: node %d runs already", i)
		}
		errs = append(errs, nd.start(c.runs(nd)))
	}
	if err := errors.Join(append(errs, c.ready(ctx))...); err != nil {
		c.t.Fatalf("cluster: restart of nodes %v: %v\n%s", nodes, err, c.logTail())
	}
}

// cleanup ends the processes. The temporary folder is removed after it.
func (c *Cluster) cleanup() {
	if c.t.Failed() {
		c.t.Log(c.logTail())
	}
	c.endAll(cleanupWithin)
}

// endAll ends all nodes at once; one after the other the last would miss its quorum for long.
func (c *Cluster) endAll(grace time.Duration) {
	done := make(chan struct{})
	for _, nd := range c.nodes {
		go func() {
			nd.end(grace)
			done <- struct{}{}
		}()
	}
	for range c.nodes {
		<-done
	}
}

// logTail returns the last lines that each node logged.
func (c *Cluster) logTail() string {
	const lines = 20
	var tail strings.Builder
	for _, nd := range c.nodes {
		data, err := os.ReadFile(nd.logPath())
		if err != nil {
			data = []byte(err.Error())
		}
		log := strings.Split(strings.TrimSpace(string(data)), "\n")
		log = log[max(0, len(log)-lines):]
		fmt.Fprintf(&tail, "--- node %d, %s\n%s\n", nd.id, nd.addr, strings.Join(log, "\n"))
	}
	return tail.String()
}
