// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// droppedFor returns how many packets the kernel has dropped for want of room in the packet sockets
// of a process, or unknown if it has none. It asks about copies of them, which the kernel gives to
// root, and begins the count anew: a process that asks for itself is told less.
func droppedFor(pid int) int64 {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return unknown // it has ended
	}
	defer unix.Close(process)
	folder := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	files, err := os.ReadDir(folder)
	if err != nil {
		return unknown
	}
	sum, found := int64(0), false
	for _, file := range files {
		target, err := os.Readlink(filepath.Join(folder, file.Name()))
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		if n, ok := droppedAt(process, file.Name()); ok {
			sum, found = sum+n, true
		}
	}
	if !found {
		return unknown
	}
	return sum
}

// droppedAt asks about one file of a process. There is no answer of what is no packet socket.
func droppedAt(process int, name string) (int64, bool) {
	theirs, err := strconv.Atoi(name)
	if err != nil {
		return 0, false
	}
	fd, err := unix.PidfdGetfd(process, theirs, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_PACKET {
		return 0, false
	}
	stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, false
	}
	return int64(stats.Drops), true
}
