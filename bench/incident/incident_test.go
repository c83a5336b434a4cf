// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"testing"
	"time"
)

func TestTheCaptureIsTheSameEachTimeAndIsReadBack(t *testing.T) {
	at := time.Unix(1_800_000_000, 123_456_000)
	for n := range 300 {
		first, again := pcapPacket(n, at), pcapPacket(n, at)
		if !bytes.Equal(first, again) {
			t.Fatalf("packet %d is another one the second time", n)
		}
		r := bytes.NewReader(first)
		seen, frame, err := nextPacket(r)
		if err != nil || r.Len() > 0 {
			t.Fatalf("packet %d: %v, %d bytes left", n, err, r.Len())
		}
		if sum := checksum(frame[14:34]); sum != 0 {
			t.Errorf("packet %d: the header checksum is off by %x", n, sum)
		}
		e, ok := parse(seen, frame)
		if want := n%2 == 1; !ok || e.Response != want || e.Type != 1 || e.Size != len(frame)-42 {
			t.Errorf("packet %d: %+v, %v", n, e, ok)
		}
		if n == 7 && (e.Name != "host-3.customers.example" || e.Source != "192.0.2.53" || e.Port != 53 ||
			e.Target != "10.0.0.3" || e.Answers != 1 || e.Time != 1_800_000_000.123456) {
			t.Errorf("%+v", e)
		}
	}
}

func TestAFrameThatIsCutIsNoDNS(t *testing.T) {
	frame := dnsFrame(1)
	for n := range frame {
		if e, ok := parse(0, frame[:n]); ok && n < 42+12+24+4 {
			t.Errorf("%d bytes: %+v", n, e)
		}
	}
	if _, _, err := nextPacket(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestAWireDoesNotWait(t *testing.T) {
	c := &child{feed: make(chan []byte, 2)}
	for range 5 {
		c.take([]byte{1}, 10)
	}
	if c.offered.Load() != 50 || c.missed.Load() != 30 {
		t.Errorf("%d offered, %d missed", c.offered.Load(), c.missed.Load())
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -123: "-123", -1234: "-1,234"} {
		if got := number(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}
