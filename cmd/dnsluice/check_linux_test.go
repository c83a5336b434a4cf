// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/dnsluice/dnsluice/test/netns"
)

// TestCheckHearsThatOneDirectionIsMissing is in a network namespace of its own, where somebody
// asks and nobody answers.
func TestCheckHearsThatOneDirectionIsMissing(t *testing.T) {
	t.Parallel()
	netns.Tools(t)
	cmd := program(t, "check", "--interface", "lo", "--brokers", "127.0.0.1:9", "--listen", "1s", "--http", "off")
	cmd.Env = append(cmd.Env, beTalker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	r := execute(t, cmd).expect(t, 1) // there is no broker
	for _, want := range []string{"ok       machine       capability", "ok       machine       lo ", "warning  machine       dns on lo    "} {
		if !containsLine(r.stdout, want) {
			t.Errorf("no %q in:\n%s%s", want, r.stdout, r.stderr)
		}
	}
	if !strings.Contains(r.stdout, "and 0 responses in ") || !strings.Contains(r.stdout, "mirror both directions") {
		t.Errorf("it says %s", r.stdout)
	}
}

func containsLine(text, start string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}
