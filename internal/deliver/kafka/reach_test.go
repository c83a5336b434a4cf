// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// produceTo sends a batch of n records.
func produceTo(t *testing.T, cl *Client, partition int32, n int) {
	t.Helper()
	leaders, err := cl.Leaders(cl.within(t))
	if err != nil {
		t.Fatal(err)
	}
	batch := newBatch(t, record.Snappy, record.NoProducer, -1, make([]string, n)...)
	if err := cl.Produce(cl.within(t), leaders[partition], partition, batch); err != nil {
		t.Fatal(err)
	}
}

func TestAClusterKnowsHowFarItsTopicHasCome(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(3, topic))
	c, err := NewCluster(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.client()
	if err != nil {
		t.Fatal(err)
	}
	if got := first.Reach(); got.Topic != "" {
		t.Errorf("before anything was sent it knows %+v", got)
	}
	produceTo(t, first, 2, 4)
	produceTo(t, first, 0, 3)
	first.Close()
	second, err := c.client()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	produceTo(t, second, 2, 5)
	want := deliver.Reach{Topic: topicID(*second.topicID.Load()),
		Ends: []deliver.End{{Partition: 0, Offset: 3}, {Partition: 2, Offset: 9}}}
	if diff := cmp.Diff(want, second.Reach()); diff != "" || len(want.Topic) != 22 {
		t.Errorf("of topic %q: %s", want.Topic, diff)
	}
}

func TestWhatALeaderAloneHasIsNotReached(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(1, topic))
	cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: 2 * time.Second,
		Acks: AcksLeader})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	produceTo(t, cl, 0, 3)
	if got := cl.Reach(); got.Topic != "" {
		t.Errorf("%+v", got)
	}
}

func TestAReachIsAllOrNothing(t *testing.T) {
	one, two := [16]byte{1}, [16]byte{2}
	type note struct {
		topic     [16]byte
		partition int32
		end       int64
	}
	for _, c := range []struct {
		name  string
		notes []note
		topic [16]byte // none: nothing is known
		want  []deliver.End
	}{
		{"nothing", nil, [16]byte{}, nil},
		{"an answer that was passed by the next", []note{{one, 0, 9}, {one, 0, 5}}, one, []deliver.End{{Partition: 0, Offset: 9}}},
		{"an acknowledgement without an offset", []note{{one, 0, 9}, {one, 1, 5}, {one, 1, nowhere}}, [16]byte{}, nil},
		{"and one with an offset after it", []note{{one, 1, nowhere}, {one, 1, 7}}, one, []deliver.End{{Partition: 1, Offset: 7}}},
		{"a topic made anew", []note{{one, 0, 9}, {one, 1, 9}, {two, 1, 3}}, two, []deliver.End{{Partition: 1, Offset: 3}}},
		{"a broker without ids", []note{{one, 0, 9}, {[16]byte{}, 0, 10}, {one, 0, 11}}, [16]byte{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, want := &reach{}, deliver.Reach{Ends: c.want}
			for _, n := range c.notes {
				r.note(n.topic, n.partition, n.end)
			}
			if c.topic != [16]byte{} {
				want.Topic = topicID(c.topic)
			}
			if diff := cmp.Diff(want, r.known()); diff != "" {
				t.Error(diff)
			}
		})
	}
	r := &reach{}
	for p := range int32(mostEnds + 1) {
		r.note(one, p, 1)
	}
	if got := r.known(); got.Topic != "" {
		t.Errorf("of %d partitions it tells", len(got.Ends))
	}
}

func TestADuplicateHasNoOffset(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(1, topic))
	cl := newClient(t, 2*time.Second, k.ListenAddrs()...)
	produceTo(t, cl, 0, 3)
	answered := &part{width: 1, answers: 1, answer: &kmsg.ProduceResponseTopicPartition{
		ErrorCode: kerr.DuplicateSequenceNumber.Code, BaseOffset: 0}}
	if err := cl.courier(0).answered(answered); err != nil {
		t.Fatal(err)
	}
	if got := cl.Reach(); got.Topic != "" {
		t.Errorf("%+v", got)
	}
}
