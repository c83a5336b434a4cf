// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/test/need"
)

// patience is how long an interface may take to come up.
const patience = 20 * time.Second

const unable = "needs CAP_SYS_ADMIN, to make a network namespace"

// Enter moves the thread of the test into a network namespace of its own, which ends with it: the
// thread is never unlocked, so it dies with the goroutine of the test, and the namespace with it.
func Enter(t *testing.T) {
	t.Helper()
	Tools(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need.Cannot(t, unable)
	}
	IP(t, "link set lo up")
}

// Tools ends the test if there is not what namespaces need.
func Tools(t *testing.T) {
	t.Helper()
	need.Root(t)
	need.Command(t, "ip", "iproute2")
}

// inside is set in the process that Again starts.
const inside = "DNSLUICE_TEST_INSIDE"

// Again runs the test again, as a process in a network namespace of its own, and tells whether this
// is that process. It is for tests whose goroutines open sockets on other threads than theirs.
func Again(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		IP(t, "link set lo up")
		return true
	}
	Tools(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v",
		fmt.Sprintf("-test.short=%v", testing.Short()))
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case os.IsPermission(err):
		need.Cannot(t, unable)
	case err != nil:
		t.Fatalf("%v: %s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("it did not run: %s", out)
	}
	t.Logf("%s", out)
	return false
}

// IP runs the command ip, and returns what it says.
func IP(t testing.TB, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

// Veth makes a pair of interfaces: near is captured on, frames are sent out of far. They have no
// addresses, so that nothing but the test talks.
func Veth(t testing.TB) {
	t.Helper()
	IP(t, "link add near type veth peer name far")
	Up(t, "near", "far")
}

// Up sets both ends of a pair up and waits until frames pass. The kernel starts the queue of an
// interface some time after its peer is up; what is sent before is lost.
func Up(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		IP(t, "link set "+name+" up addrgenmode none")
	}
	for _, name := range names {
		for end := time.Now().Add(patience); ; {
			said := IP(t, "-o link show "+name)
			if strings.Contains(said, "state UP") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s does not come up: %s", name, said)
			}
		}
	}
}

// Sender returns a socket that sends whole frames out of an interface, as it is at this moment.
func Sender(t testing.TB, name string) (fd int) {
	t.Helper()
	nic, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: nic.Index}); err != nil {
		t.Fatal(err)
	}
	return fd
}
