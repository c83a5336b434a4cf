// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// node is one Kafka process and the place of its data, which outlives the process.
type node struct {
	id   int    // node.id, from 1
	addr string // of the broker's listener
	dir  string // of the cluster

	behind string // the address of the additional listener, if there is one

	process *os.Process
	exited  chan struct{} // closed when the process has been waited for
}

func (n *node) logPath() string { return filepath.Join(n.dir, fmt.Sprintf("node-%d.log", n.id)) }

func (n *node) dataPath() string { return filepath.Join(n.dir, fmt.Sprintf("data-%d", n.id)) }

// start runs cmd, which becomes the Java process. The log of an earlier run is kept.
func (n *node) start(cmd *exec.Cmd) error {
	log, err := os.OpenFile(n.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cluster: start node %d: %w", n.id, err)
	}
	n.process, n.exited = cmd.Process, make(chan struct{})
	go func() {
		// The status says nothing: a node that was killed and one that failed both end with 1 or
		// more, and the log is printed for either.
		_ = cmd.Wait()
		close(n.exited)
	}()
	return nil
}

// running tells whether the process lives.
func (n *node) running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// end sends SIGTERM and, when grace is over or zero, SIGKILL. It returns when the process is gone,
// and tells whether the first was enough.
func (n *node) end(grace time.Duration) (orderly bool) {
	if !n.running() {
		return true
	}
	if grace > 0 {
		_ = n.process.Signal(syscall.SIGTERM)
		select {
		case <-n.exited:
			return true
		case <-time.After(grace):
		}
	}
	_ = n.process.Kill()
	<-n.exited
	return false
}

// freePorts returns n TCP ports of loopback on which nobody listens.
//
// Not those that the kernel would choose: a node that is killed and restarted wants its port back,
// and out of the ephemeral range any connection may have taken it meanwhile - most likely that of
// a client who dials the dead broker, as a TCP connection to oneself.
func freePorts(n int) ([]int, error) {
	const low = 20000
	high := 32768 // Linux's default, if nothing better is known
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(data), &high)
	}
	if high < low+1000 {
		return nil, fmt.Errorf("cluster: ephemeral ports begin at %d, none are left below", high)
	}
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := low + rand.IntN(high-low)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // at the end, so that none is chosen twice
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("cluster: no %d free ports between %d and %d", n, low, high)
}
