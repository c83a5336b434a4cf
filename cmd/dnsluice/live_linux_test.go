// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestTheDemoSniffs is the whole job on a machine of its own, a network namespace: packets off an
// interface, into Kafka, and back.
func TestTheDemoSniffs(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		cannot(t, "needs root: sudo make test-root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		cannot(t, "needs the ip command: apt-get install iproute2")
	}
	cmd := program(t, "demo", "--capture", "lo", "--for", "1s")
	cmd.Env = append(cmd.Env, beTalker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	r := execute(t, cmd).expect(t, 0)
	if !strings.Contains(r.stdout, allBack) {
		t.Errorf("it said %s%s", r.stdout, r.stderr)
	}
}
