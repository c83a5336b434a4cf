// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// TestBrokersThatFailEachInTheirWayAreOneState: which of them the client tries last is chance.
func TestBrokersThatFailEachInTheirWayAreOneState(t *testing.T) {
	failures := map[string]error{
		"gone:9092":   &net.DNSError{Err: "no such host", Name: "gone", IsNotFound: true},
		"closed:9092": syscall.ECONNREFUSED,
	}
	for name, brokers := range map[string][]string{
		"the closed port comes last":  {"gone:9092", "closed:9092"},
		"the closed port comes first": {"closed:9092", "gone:9092"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(Config{
				Brokers: brokers, Topic: "dns", RequestTimeout: 10 * time.Second,
				dial: func(_ context.Context, _, address string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: failures[address]}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 5 {
				_, err := c.Leaders(t.Context())
				f, ok := errors.AsType[*deliver.Fault](err)
				if !ok || f.State != deliver.Unreachable || !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}
