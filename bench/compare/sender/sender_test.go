// SPDX-License-Identifier: Apache-2.0

package sender

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

// paced plays a sender whose frames take no time, but which cannot run between two times, and
// returns how many frames it sent, and the largest number at one time.
func paced(rate int, until, from, to time.Duration) (sent, largest int) {
	p := pacer{rate: rate}
	for at, together := time.Duration(0), 0; at < until; {
		if n := p.due(at); n > 0 {
			sent, together = sent+n, together+n
			largest = max(largest, together)
			continue
		}
		together = 0
		at = p.wait()
		if at >= from && at < to {
			at = to
		}
	}
	return sent, largest
}

func TestARateIsKeptInSmallBursts(t *testing.T) {
	for _, c := range []struct {
		rate, burst int
	}{{1, 1}, {3, 1}, {2000, 1}, {100_000, 10}, {250_000, 25}, {500_000, 50}, {999_983, 64},
		{2_000_000, 64}} {
		sent, largest := paced(c.rate, 10*time.Second, 0, 0)
		if want := 10 * c.rate; sent > want || sent < want-c.burst {
			t.Errorf("at %d a second: %d frames in ten, want %d", c.rate, sent, want)
		}
		// A frame more may be due at the end of a sleep.
		if largest > c.burst+1 {
			t.Errorf("at %d a second: %d frames at once, want %d", c.rate, largest, c.burst)
		}
	}
}

func TestTimeThatIsLostForLongIsNotMadeUpFor(t *testing.T) {
	const rate = 100_000
	for _, c := range []struct {
		lost time.Duration
		want int
	}{
		{8 * time.Millisecond, rate},
		{500 * time.Millisecond, rate/2 + rate/100}, // but for the grace
	} {
		sent, largest := paced(rate, time.Second, 200*time.Millisecond, 200*time.Millisecond+c.lost)
		if sent > c.want+20 || sent < c.want-20 {
			t.Errorf("%v lost: %d frames, want %d", c.lost, sent, c.want)
		}
		if most := rate / 100; largest > most {
			t.Errorf("%v lost: %d frames at once, want %d at most", c.lost, largest, most)
		}
	}
}

func TestWithoutARateNothingWaits(t *testing.T) {
	p := pacer{}
	for _, at := range []time.Duration{0, 0, time.Second} {
		if n := p.due(at); n != most {
			t.Errorf("%d frames are due at %v", n, at)
		}
	}
}

func generated(t *testing.T, messages int) (frames, []byte, traffic.Manifest) {
	t.Helper()
	var b bytes.Buffer
	m, err := traffic.Write(&b, traffic.Shape{Seed: 1, Messages: messages})
	if err != nil {
		t.Fatal(err)
	}
	f, err := parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f, b.Bytes(), m
}

func TestTheFramesHoldWhatTheCaptureHolds(t *testing.T) {
	f, _, m := generated(t, 20_000)
	if len(f.data) != m.Packets || f.before[len(f.data)] != m.Messages {
		t.Errorf("%d packets with %d messages, want %d with %d", len(f.data), f.before[len(f.data)],
			m.Packets, m.Messages)
	}
	if want := m.Packets - m.Messages + m.TCP; len(f.tcp) != want {
		t.Errorf("%d packets of TCP, want %d", len(f.tcp), want)
	}
}

func TestWhatIsNoCaptureIsRefused(t *testing.T) {
	_, data, _ := generated(t, 10)
	for name, data := range map[string][]byte{
		"nothing":                  nil,
		"a text":                   []byte("this is not a capture, but longer than its header"),
		"a header alone":           data[:fileHead],
		"cut in a packet's header": data[:fileHead+3],
		"cut in a packet":          data[:len(data)-1],
	} {
		if _, err := parse(data); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestRoundsHaveOtherConnectionsAndRightChecksums(t *testing.T) {
	f, _, _ := generated(t, 20_000)
	seen := map[[2]uint16]bool{}
	first := f.tcp[0]
	for range 50 {
		ports := [2]uint16{binary.BigEndian.Uint16(first), binary.BigEndian.Uint16(first[2:])}
		if seen[ports] {
			t.Fatalf("the connection of ports %v came back", ports)
		}
		if seen[ports] = true; ports[0] < firstPort && ports[1] < firstPort {
			t.Fatalf("ports %v: none is a client's", ports)
		}
		f.renew()
	}
	for i, frame := range f.data {
		transport, proto := split(frame)
		if proto != protoTCP {
			continue
		}
		addresses := frame[len(frame)-len(transport)-8 : len(frame)-len(transport)]
		if binary.BigEndian.Uint16(frame[etherLen-2:]) == etherIP6 {
			addresses = frame[len(frame)-len(transport)-32 : len(frame)-len(transport)]
		}
		sum := uint32(proto) + uint32(len(transport)) // RFC 9293 section 3.1
		for _, b := range [][]byte{addresses, transport} {
			for at := range b {
				sum += uint32(b[at]) << (8 * (1 - at%2))
			}
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum != 0xffff {
			t.Fatalf("frame %d: the checksum is wrong by %#x", i, sum)
		}
	}
}

func TestFramesThatAreCutOffHaveNoMessage(t *testing.T) {
	f, _, _ := generated(t, 2000)
	for _, frame := range f.data {
		whole, proto := split(frame)
		head := len(frame) - len(whole)
		if proto == protoTCP {
			head += tcpLen
		}
		for n := range head {
			if transport, proto := split(frame[:n]); transport != nil || proto != 0 {
				t.Fatalf("%d bytes of a frame have a message", n)
			}
		}
	}
}

func TestARequestThatIsNoneEndsTheSender(t *testing.T) {
	_, data, _ := generated(t, 10)
	path := t.TempDir() + "/frames.pcap"
	write(t, path, data)
	var out strings.Builder
	if err := Serve("none", path, strings.NewReader(""), &out); err != nil || out.String() != "ready\n" {
		t.Errorf("it said %q, error %v", out.String(), err)
	}
	if err := Serve("none", path, strings.NewReader("go\n"), &out); err == nil {
		t.Error("it took a request that is none")
	}
	if err := Serve("none", path+"x", strings.NewReader(""), &out); err == nil {
		t.Error("it took a file that is not there")
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
