// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Listener is one more listener of each node, beside the one in plain text that Brokers names and
// that the cluster and its tools go on using.
type Listener struct {
	Name       string            // in capitals, as Kafka has it
	Protocol   string            // such as SASL_SSL
	Advertised []string          // host:port of each node, where its clients are to go
	Properties map[string]string // without listener.name.NAME. in front of them
}

// WithListener adds a listener. There can be one.
func WithListener(l Listener) Option {
	return func(c *Cluster) { c.listener = &l }
}

// Behind returns the address on which node i listens for those who come by Listener.Advertised.
func (c *Cluster) Behind(i int) string { return c.nodes[i].behind }

// portsPerNode returns how many ports a node listens on.
func (c *Cluster) portsPerNode() int {
	if c.listener != nil {
		return 3
	}
	return 2
}

// writeListener writes the properties that differ from node to node: kafka.sh adds them. ports
// are those of the broker, of the controller, and of the listener.
func (c *Cluster) writeListener(nd *node, ports []int) error {
	l := c.listener
	if l == nil {
		return nil
	}
	nd.behind = fmt.Sprintf("127.0.0.1:%d", ports[2])
	lines := []string{
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d,%s://%s",
			nd.addr, ports[1], l.Name, nd.behind),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://%s,%s://%s", nd.addr, l.Name,
			l.Advertised[nd.id-1]),
		fmt.Sprintf("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,%s:%s",
			l.Name, l.Protocol),
		"inter.broker.listener.name=PLAINTEXT",
	}
	for _, key := range slices.Sorted(maps.Keys(l.Properties)) {
		lines = append(lines, l.property(key)+"="+l.Properties[key])
	}
	path := filepath.Join(c.dir, fmt.Sprintf("extra-%d.properties", nd.id))
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// property returns the whole name of a property of the listener.
func (l *Listener) property(key string) string {
	return "listener.name." + strings.ToLower(l.Name) + "." + key
}
