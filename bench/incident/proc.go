// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// state returns what the kernel says that a process does: sleeping, running.
func state(pid int) string {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return "gone"
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "State:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

// established returns how many established TCP connections a process has: those of its network
// namespace in state 01 (proc(5), /proc/net/tcp) whose inode one of its descriptors is.
func established(pid int) int {
	dir := "/proc/" + strconv.Itoa(pid)
	inodes := map[string]bool{}
	fds, err := filepath.Glob(dir + "/fd/*")
	if err != nil {
		return 0
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	n := 0
	for _, file := range []string{"/net/tcp", "/net/tcp6"} {
		table, err := os.ReadFile(dir + file)
		if err != nil {
			continue // no IPv6, perhaps
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "01" && inodes[f[9]] {
				n++
			}
		}
	}
	return n
}
