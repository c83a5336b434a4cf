// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// systemd plays the service manager: it returns a function that reads the next datagram.
func systemd(t *testing.T) (read func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		buf := make([]byte, 1024)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestWhatSystemdHears(t *testing.T) {
	read := systemd(t)
	tests := []struct {
		name string
		send func() error
		want string
	}{
		{"ready with a sentence", func() error { return Ready("flowing") },
			"READY=1\nSTATUS=flowing"},
		{"ready alone", func() error { return Ready("") }, "READY=1"},
		{"stopping", func() error { return Stopping("draining 3 batches") },
			"STOPPING=1\nSTATUS=draining 3 batches"},
		{"a status", func() error { return Status("no answer from k1:9092") },
			"STATUS=no answer from k1:9092"},
		{"alive", Alive, "WATCHDOG=1"},
		{"a line end in the sentence begins no assignment",
			func() error { return Status("lost\nSTOPPING=1\r\x00") }, "STATUS=lost STOPPING=1  "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.send(); err != nil {
				t.Fatal(err)
			}
			if got := read(); got != test.want {
				t.Errorf("systemd heard %q, want %q", got, test.want)
			}
		})
	}
}

func TestAnEmptyStatusSendsNothing(t *testing.T) {
	read := systemd(t)
	if err := Status(""); err != nil {
		t.Fatal(err)
	}
	if err := Ready(""); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "READY=1" {
		t.Errorf("the first datagram is %q", got)
	}
}

func TestWithoutSystemdNothingHappens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Ready("flowing"); err != nil {
		t.Errorf("error is %v", err)
	}
}

func TestASocketThatNobodyReadsIsAnError(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	err := Ready("flowing")
	if err == nil || !strings.HasPrefix(err.Error(), "notify: NOTIFY_SOCKET: ") {
		t.Errorf("error is %v", err)
	}
}

func TestHowOftenSystemdWantsToHear(t *testing.T) {
	t.Setenv("WATCHDOG_PID", "")
	for usec, want := range map[string]time.Duration{"": 0, "30000000": 15 * time.Second} {
		t.Setenv("WATCHDOG_USEC", usec)
		if got, err := AliveEvery(); err != nil || got != want {
			t.Errorf("%q: %s, %v", usec, got, err)
		}
	}
	t.Setenv("WATCHDOG_USEC", "often")
	if _, err := AliveEvery(); err == nil {
		t.Error("no error")
	}
}
