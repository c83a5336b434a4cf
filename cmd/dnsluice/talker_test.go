// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// beTalker makes the test binary a small machine: it brings its loopback interface up, runs the
// program on it, and talks DNS until the program has ended.
const beTalker = "TEST_BE_TALKER"

// query asks for the addresses of example (RFC 1035, section 4.1).
var query = []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" +
	"\x07example\x00\x00\x01\x00\x01")

func talk() int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "talker:", err)
		return 99
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fail(fmt.Errorf("%w: %s", err, out))
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, beTalker+"=")
	})
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its status is in ProcessState
		close(ended)
	}()
	conn, err := net.Dial("udp", "127.0.0.1:53")
	if err != nil {
		return fail(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return cmd.ProcessState.ExitCode()
		case <-tick.C:
			_, _ = conn.Write(query) // nobody is there, which every other write says
		}
	}
}
