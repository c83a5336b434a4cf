// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// parrot answers every request on every connection with the same bytes, as far as the request's own
// correlation id does not belong into them.
func parrot(t *testing.T, answer func(correlation string) string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					frame, err := readFrame(c)
					if err != nil {
						return
					}
					if _, err := io.WriteString(c, answer(string(frame[8:12]))); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// What takes connections and speaks no Kafka is not out of reach: to look for a firewall is in vain.
func TestAnAnswerThatIsNotKafka(t *testing.T) {
	for name, answer := range map[string]func(string) string{
		"another service":       func(string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" },
		"a size beyond measure": func(c string) string { return "\x05\x00\x00\x00" + c },
		"a negative size":       func(c string) string { return "\xff\x00\x00\x08" + c + "\x00\x00\x00\x00" },
		"another request":       func(string) string { return "\x00\x00\x00\x08\x5a\x5a\x5a\x5a\x00\x00\x00\x00" },
		"no content":            func(c string) string { return "\x00\x00\x00\x08" + c + "\x00\x00\x00\x00" },
		"half an answer":        func(c string) string { return "\x00\x00\x00\x0c" + c + "\x00\x00\x7f\x00\x00\x00\x00\x00" },
		"a lone id":             func(c string) string { return "\x00\x00\x00\x04" + c },
	} {
		t.Run(name, func(t *testing.T) {
			cl := newClient(t, 10*time.Second, parrot(t, answer))
			_, err := cl.Leaders(t.Context())
			if f := faultOf(t, err); f.State != deliver.BrokerError || f.Verdict != deliver.Unsent {
				t.Errorf("%s: %v", f.State, f)
			}
		})
	}
}
