// SPDX-License-Identifier: Apache-2.0

// Package need says what a test needs of the machine that it runs on.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Cannot ends a test that this machine cannot run: skipped, but failed in CI, where everything has
// to be there and nobody would notice that it is not.
func Cannot(t testing.TB, why ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// Root ends the test if it does not run as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Cannot(t, "needs root: sudo make test-root, or for drills sudo make reliability")
	}
}

// Command ends the test if there is no such command, which the package has.
func Command(t testing.TB, name, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Cannot(t, "needs the command "+name+": apt-get install "+pkg)
	}
}
