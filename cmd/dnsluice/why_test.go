// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/ops/ask"
	"github.com/dnsluice/dnsluice/internal/ops/why"
	"github.com/dnsluice/dnsluice/internal/sensor"
	"github.com/dnsluice/dnsluice/test/need"
)

// running is a sensor with a pipe for a capture, whose brokers may be away, and where it listens.
func running(t *testing.T, brokers string) string {
	t.Helper()
	in := newPipe(t)
	in.feed("chaos.pcap")
	cmd := program(t, "run", "--brokers", brokers, "--sensor", "ns1", "--http", "127.0.0.1:0", "--read", in.path,
		"--grace", "10ms")
	p := start(t, cmd)
	address := strings.TrimPrefix(p.address(), "http://")
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
	return address
}

// becomes waits until why says so, and returns what it says.
func becomes(t *testing.T, address string, code int, words string) result {
	t.Helper()
	for end := time.Now().Add(deadline); ; {
		r := execute(t, program(t, "why", "--http", address))
		if r.code == code && strings.Contains(r.stdout, words) {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("status %d, it never says %q with %d: %s%s", r.code, words, code, r.stdout, r.stderr)
		}
	}
}

func TestWhyOfASensorThatFlows(t *testing.T) {
	t.Parallel()
	address := running(t, broker(t))
	r := becomes(t, address, 0, "broker 0 at 127.0.0.1:")
	for _, words := range []string{"partitions", "2, all with a leader", "connections", "broker 0 at 127.0.0.1:",
		"established", "capture", "memory", "lost", "nothing"} {
		if !strings.Contains(r.stdout, words) {
			t.Errorf("it does not say %q:\n%s", words, r.stdout)
		}
	}
	var all struct {
		why.Explanation
		Answer ask.Answer
	}
	out := execute(t, program(t, "why", "--http", address, "--json")).expect(t, 0).stdout
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	if d := all.Answer.Detail; !all.OK || len(all.Evidence) < 5 || d.Process.Limit == 0 || d.Process.Resident == 0 ||
		len(d.Lanes) == 0 || d.Lanes[0].Records != uint64(messages(t, "chaos.pcap")) || len(d.Delivery.Leaders) != 2 {
		t.Errorf("%s", out)
	}
}

// TestWhatASensorSaysIsAllUnderstood keeps the names of /api/state and of package ask the same.
func TestWhatASensorSaysIsAllUnderstood(t *testing.T) {
	t.Parallel()
	address := running(t, broker(t))
	becomes(t, address, 0, "broker 0")
	_, body := get(t, "http://"+address+"/api/state")
	var said map[string]any
	var understood ask.Answer
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &understood); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(understood)
	if err != nil {
		t.Fatal(err)
	}
	var named map[string]any
	if err := json.Unmarshal(again, &named); err != nil {
		t.Fatal(err)
	}
	// What ask reads must be there, but for what is left out when there is nothing to say.
	optional := map[string]bool{"last_error": true, "spool": true, "probe": true, "state": true, "interface": true,
		"tls": true, "last_ack": true, "kernel": true, "detail": true, "leaders": true, "behind": true}
	var check func(path string, want, got any)
	check = func(path string, want, got any) {
		switch want := want.(type) {
		case map[string]any:
			object, _ := got.(map[string]any)
			for key, v := range want {
				if there, ok := object[key]; ok {
					check(path+"."+key, v, there)
				} else if !optional[key] {
					t.Errorf("the sensor does not say %s.%s", path, key)
				}
			}
		case []any:
			if list, _ := got.([]any); len(want) > 0 && len(list) > 0 {
				check(path+"[]", want[0], list[0])
			}
		}
	}
	check("", named, said)
}

func TestWhyNothingReachesKafka(t *testing.T) {
	t.Parallel()
	address := running(t, nobody(t))
	r := becomes(t, address, 1, "ns1 is unreachable")
	first, _, _ := strings.Cut(r.stdout, "\n")
	for _, words := range []string{"no broker takes a connection", "records wait in memory"} {
		if !strings.Contains(first, words) {
			t.Errorf("the sentence does not say %q: %s", words, first)
		}
	}
	for _, words := range []string{"refused", "what to do next", "none since the start"} {
		if !strings.Contains(r.stdout, words) {
			t.Errorf("it does not say %q: %s", words, r.stdout)
		}
	}
	if r.stderr != "" {
		t.Errorf("on standard error: %s", r.stderr)
	}
}

func TestNoSensorIsStatusTwo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := l.Addr().String()
	l.Close()
	for _, args := range []string{"why --http " + away, "why --json --http " + away, "top --once --http " + away} {
		r := execute(t, program(t, strings.Fields(args)...)).expect(t, 2)
		if !strings.Contains(r.stderr, "no sensor answers") || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%s: %s%s", args, r.stdout, r.stderr)
		}
	}
	for _, args := range []string{"why --http off", "why x", "top --http off", "top", "top --every 1ms --once"} {
		if r := execute(t, program(t, strings.Fields(args)...)).expect(t, 2); r.stderr == "" {
			t.Errorf("%s says nothing", args)
		}
	}
}

func TestTopPrintsOneFrame(t *testing.T) {
	t.Parallel()
	address := running(t, broker(t))
	becomes(t, address, 0, "broker 0")
	r := execute(t, program(t, "top", "--once", "--every", "100ms", "--http", address)).expect(t, 0)
	for _, words := range []string{"on ns1", "packets/s              0", "stage", "deliver", "broker", "lane", "(files)"} {
		if !strings.Contains(r.stdout, words) {
			t.Errorf("it does not show %q:\n%s", words, r.stdout)
		}
	}
	if strings.Contains(r.stdout, "\x1b") {
		t.Error("control codes where there is no terminal")
	}
}

func TestKeysThatEndTop(t *testing.T) {
	for keys, left := range map[string]int{"q": 0, "Q": 0, "xyz\x03rest": 4, "": 0} {
		in := strings.NewReader(keys)
		waitForEnd(in)
		if in.Len() != left {
			t.Errorf("%q: %d keys are left, want %d", keys, in.Len(), left)
		}
	}
}

func TestAPaintedFrameCoversTheOneBefore(t *testing.T) {
	var b bytes.Buffer
	if err := paint(&b, []string{"one", "two"}, 24); err != nil {
		t.Fatal(err)
	}
	if want := home + "one" + eraseLine + "\r\n" + "two" + eraseLine + "\r\n" + eraseRest; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	if err := paint(&b, []string{"one", "two"}, 2); err != nil { // the last line must not scroll
		t.Fatal(err)
	}
	if want := home + "one" + eraseLine + "\r\n" + "two" + eraseLine; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		need.Cannot(t, "needs /dev/full, which Linux has")
	}
	defer full.Close()
	if err := paint(full, []string{"x"}, 1); err == nil {
		t.Error("no error")
	}
}

// TestEveryStateHasSomethingToDo compares the states of the sensor with those that package why
// knows, which cannot import them.
func TestEveryStateHasSomethingToDo(t *testing.T) {
	unknown := why.Explain(ask.Answer{State: ask.State{Name: "no such state"}}).Next
	for _, state := range []deliver.State{
		deliver.Connecting, deliver.Unreachable, deliver.Unresolvable, deliver.TLSFailed, deliver.AuthFailed,
		deliver.Unauthorized, deliver.TopicMissing, deliver.NoAnswer, deliver.NotEnoughReplicas,
		deliver.NoLeaderState, deliver.Throttled, deliver.BrokerError, deliver.RejectedState, deliver.Spooling,
		deliver.DiskFull, deliver.Dropping, sensor.CaptureDown, sensor.LaneStuck, sensor.Starved,
		sensor.DeliveryStuck,
	} {
		next := why.Explain(ask.Answer{State: ask.State{Name: string(state)}}).Next
		if len(next) == 0 || next[0] == unknown[0] {
			t.Errorf("%s: %v", state, next)
		}
	}
	for _, state := range []deliver.State{deliver.Flowing, deliver.Idle} {
		if next := why.Explain(ask.Answer{State: ask.State{Name: string(state)}}).Next; len(next) > 0 {
			t.Errorf("%s: %v", state, next)
		}
	}
}
