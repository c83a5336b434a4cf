// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// keyedRecord is a record as a consumer finds it.
type keyedRecord struct {
	*kgo.Record
	Lane     int
	Seq      uint64
	ClientIP string `json:"client_ip"`
	QName    string `json:"qname"`
}

// consume returns all that is in the topic, each partition in its order.
func consume(t *testing.T, brokers []string) (all []keyedRecord) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for n := stored(t.Context(), t, brokers); len(all) < n; {
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			k := keyedRecord{Record: r}
			if err := json.Unmarshal(r.Value, &k); err != nil {
				t.Fatal(err)
			}
			all = append(all, k)
		})
	}
	slices.SortStableFunc(all, func(a, b keyedRecord) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return all
}

func TestAllOfOneKeyIsInOnePartitionAndInOrder(t *testing.T) {
	tests := map[string]struct {
		key  Key
		want func(keyedRecord) string
	}{
		"clients": {ClientIP, func(r keyedRecord) string { return r.ClientIP }},
		"names":   {QName, func(r keyedRecord) string { return r.QName }},
		"sensors": {SensorName, func(keyedRecord) string { return "ns1" }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			brokers := broker(t)
			cfg := settings(slices.Repeat([]string{captures + "unbound-udp4.pcap",
				captures + "bind-types.pcap", captures + "chaos.pcap"}, 20)...)
			cfg.Key = tt.key
			s := build(t, cfg, brokers, quiet)
			if err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			others := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
			type flow struct {
				key  string
				lane int
			}
			last := map[flow]uint64{}
			used := map[int32]bool{}
			for _, r := range consume(t, brokers) {
				want := tt.want(r)
				if string(r.Key) != want || r.Key == nil != (want == "") {
					t.Fatalf("key %q, want %q: %s", r.Key, want, r.Value)
				}
				if r.Key == nil {
					continue
				}
				used[r.Partition] = true
				if p := others.Partition(r.Record, partitions); int32(p) != r.Partition {
					t.Fatalf("%s is in partition %d, want %d", r.Key, r.Partition, p)
				}
				f := flow{want, r.Lane}
				if r.Seq <= last[f] {
					t.Fatalf("%s: number %d comes after %d", r.Key, r.Seq, last[f])
				}
				last[f] = r.Seq
			}
			if l := s.Ledger(); l.Acknowledged != l.Records || l.Records < 100 || l.Check() != nil {
				t.Errorf("%+v, %v", l, l.Check())
			}
			if tt.key == QName && len(used) != partitions {
				t.Errorf("%d partitions were used", len(used))
			}
		})
	}
}

func TestKeysHaveTheTextOfTheirFields(t *testing.T) {
	query := &dnsmsg.Message{
		Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("192.0.2.53"),
		Wire:      append(make([]byte, dnsmsg.HeaderLen), "\x03WwW\x07eXample\x00"...),
		Questions: []dnsmsg.Question{{Name: dnsmsg.HeaderLen}},
	}
	response := &dnsmsg.Message{Src: query.Dst, Dst: query.Src, Flags: dnsmsg.FlagQR}
	pair := &dnsmsg.Transaction{Query: query, Response: response}
	for _, tt := range []struct {
		key                     Key
		ofQuery, ofResponse, of string
	}{
		{NoKey, "", "", ""},
		{ClientIP, "2001:db8::1", "2001:db8::1", "2001:db8::1"},
		{ServerIP, "192.0.2.53", "192.0.2.53", "192.0.2.53"},
		{QName, "www.example", "", "www.example"},
		{SensorName, "ns1", "ns1", "ns1"},
	} {
		k := newKeyer(tt.key, "ns1")
		got := []string{string(k.of(query, query)), string(k.of(response, response)),
			string(k.of(pair.Main(), pair.Asked()))}
		if want := []string{tt.ofQuery, tt.ofResponse, tt.of}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.key, got, want)
		}
		if parsed, err := ParseKey(tt.key.String()); parsed != tt.key || err != nil {
			t.Errorf("%s: %v, %v", tt.key, parsed, err)
		}
		if n := testing.AllocsPerRun(100, func() { k.of(pair.Main(), pair.Asked()) }); n != 0 {
			t.Errorf("%s: %v allocations", tt.key, n)
		}
	}
	if k := newKeyer(ClientIP, "ns1"); k.of(&dnsmsg.Message{}, nil) != nil || k.of(nil, nil) != nil {
		t.Error("a message without addresses has a key")
	}
	if _, err := ParseKey("id"); err == nil || !bytes.Contains(fmt.Append(nil, err), []byte("client_ip")) {
		t.Errorf("%v", err)
	}
}
