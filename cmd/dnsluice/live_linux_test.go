// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/dnsluice/dnsluice/test/netns"
)

// TestTheDemoSniffs is the whole job on a machine of its own, a network namespace: packets off an
// interface, into Kafka, and back.
func TestTheDemoSniffs(t *testing.T) {
	t.Parallel()
	netns.Tools(t)
	cmd := program(t, "demo", "--capture", "lo", "--for", "1s")
	cmd.Env = append(cmd.Env, beTalker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	r := execute(t, cmd).expect(t, 0)
	if !strings.Contains(r.stdout, allBack) {
		t.Errorf("it said %s%s", r.stdout, r.stderr)
	}
}
