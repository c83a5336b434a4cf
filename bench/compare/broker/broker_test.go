// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOnlyThisMachineIsSentTo(t *testing.T) {
	for _, c := range []struct {
		address string
		allowed bool
	}{
		{"127.0.0.1:9092", true},
		{"[::1]:9092", true},
		{"localhost:9092", true},
		{"127.9.9.9:1", true},
		{"10.0.0.1:9092", false},
		{"[2001:db8::1]:9092", false},
		{"kafka.example:9092", false},
		{"localhost.example:9092", false},
		{"127.0.0.1", false},
		{"127.0.0.1:kafka", false},
		{"", false},
	} {
		if err := Loopback(c.address); (err == nil) != c.allowed {
			t.Errorf("%q: %v", c.address, err)
		}
	}
}

func TestWhatArrivesIsCountedAndTheBrokerEndsWithItsStarter(t *testing.T) {
	addresses, ready := io.Pipe()
	held, hold := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(0, ready, held) }()
	address, err := bufio.NewReader(addresses).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	topics, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer topics.Close()
	if err := topics.Create(t.Context(), "dns", 3); err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for range 7 {
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := topics.Count(t.Context(), "dns", 3); err != nil || n != 7 {
		t.Errorf("%d of 7 records counted, error %v", n, err)
	}
	if err := topics.Delete(t.Context(), "dns"); err != nil {
		t.Error(err)
	}
	if n, err := topics.Count(t.Context(), "dns", 3); err == nil {
		t.Errorf("a deleted topic has %d records", n)
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
