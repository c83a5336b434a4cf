// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"net"
	"testing"
)

func TestABrokerHasItsTopicFromTheStart(t *testing.T) {
	b, err := Start("dns", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := b.PartitionInfos("dns"); len(got) != 3 {
		t.Errorf("%d partitions", len(got))
	}
	if got := b.Brokers(); len(got) != 1 {
		t.Fatalf("brokers %v", got)
	}
	host, _, err := net.SplitHostPort(b.Brokers()[0])
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("%s is not on loopback: %v", host, err)
	}
	conn, err := net.Dial("tcp", b.Brokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestTwoBrokersDoNotMeet(t *testing.T) {
	a, err := Start("dns", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Start("dns", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.Brokers()[0] == b.Brokers()[0] {
		t.Errorf("both at %s", a.Brokers()[0])
	}
}
