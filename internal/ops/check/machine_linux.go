// SPDX-License-Identifier: Apache-2.0

package check

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mayCapture looks for CAP_NET_RAW (linux/capability.h) and tries what it is for: in a user
// namespace that does not own its network, the capability alone is worth nothing.
func mayCapture() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		return unix.Close(fd)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_RAW) != 0 {
		return fmt.Errorf("packet socket: %w, though this process has CAP_NET_RAW", err)
	}
	return fmt.Errorf("packet socket: %w: this process does not have CAP_NET_RAW", err)
}

// systemClock asks the kernel (adjtimex(2), which needs no privilege as long as it sets nothing).
func systemClock() (Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{}, fmt.Errorf("adjtimex: %w", err)
	}
	return Clock{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:     time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}

func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func openFiles() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return r.Max, err // the Go runtime raises the soft limit to the hard one
}

// memoryLimits returns the limits of the control groups that this process is in, and the memory
// of the machine. RLIMIT_MEMLOCK is not among them: a packet ring is memory of the kernel that is
// mapped, and is not counted as locked.
func memoryLimits() ([]Limit, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("sysinfo: %w", err)
	}
	limits := []Limit{{Bytes: int64(info.Totalram) * int64(info.Unit), Whose: "the machine"}}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if errors.Is(err, os.ErrNotExist) {
		return limits, nil
	}
	if err != nil {
		return nil, err
	}
	return append(limits, groupLimits(string(groups), os.ReadFile)...), nil
}

// groupLimits reads the limits of the groups in /proc/self/cgroup (cgroups(7)), with those above
// them, in both versions. What is not there does not limit.
func groupLimits(groups string, readFile func(string) ([]byte, error)) []Limit {
	var limits []Limit
	for line := range strings.Lines(groups) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		root, file := "", ""
		switch {
		case part[0] == "0" && part[1] == "":
			root, file = "/sys/fs/cgroup", "memory.max"
		case strings.Contains(","+part[1]+",", ",memory,"):
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := path.Clean("/" + part[2]); ; dir = path.Dir(dir) {
			text, err := readFile(path.Join(root, dir, file))
			n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
			if err == nil && bad == nil {
				limits = append(limits, Limit{Bytes: n, Whose: "the control group " + dir})
			}
			if dir == "/" {
				break
			}
		}
	}
	return limits
}
