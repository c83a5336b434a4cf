// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

const topic = "dns"

// newClient returns a client that waits for answers as long as patience.
func newClient(t testing.TB, patience time.Duration, brokers ...string) *Client {
	t.Helper()
	cl, err := New(Config{Brokers: brokers, Topic: topic, ClientID: "test", RequestTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// within returns a context as deliver makes it for each request.
func (c *Client) within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), c.cfg.RequestTimeout)
	t.Cleanup(cancel)
	return ctx
}

// newBatch returns a stamped batch of values, in an arena of its own.
func newBatch(t testing.TB, codec record.Codec, p record.Producer, sequence int32, values ...string) []byte {
	t.Helper()
	pool := record.NewPool(1, 2_000_000)
	b := pool.TryGet()
	for i, v := range values {
		if !b.Commit(append(b.Value(noon+int64(i)), v...)) {
			t.Fatalf("value %d does not fit", i)
		}
	}
	seal(t, codec, pool, b)
	b.Stamp(p, sequence)
	return b.Bytes()
}

// seal makes a batch fit to be stamped.
func seal(t testing.TB, codec record.Codec, pool *record.Pool, b *record.Batch) {
	c, err := record.NewCompressor(codec, pool)
	if err != nil {
		t.Error(err)
		return
	}
	c.Seal(b)
}

// noon is a time stamp, in ms.
const noon = 1_800_000_000_000

// faultOf checks that err is a Fault and returns it.
func faultOf(t testing.TB, err error) *deliver.Fault {
	t.Helper()
	f, ok := errors.AsType[*deliver.Fault](err)
	if !ok {
		t.Fatalf("%v (%T) is not a Fault", err, err)
	}
	if f.Err == nil || f.Error() == "" {
		t.Errorf("%+v says nothing", f)
	}
	return f
}

// readAll reads n records of the topic.
func readAll(t testing.TB, brokers []string, n int) []Record {
	t.Helper()
	r, err := NewReader(brokers, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return readFrom(t, r, n)
}

// readFrom reads n records.
func readFrom(t testing.TB, r *Reader, n int) []Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []Record
	for len(all) < n {
		records, err := r.Read(ctx)
		if err != nil {
			t.Fatalf("read %d of %d records: %v", len(all), n, err)
		}
		all = append(all, records...)
	}
	return all
}

func TestABatchOfEveryCodecIsReadBack(t *testing.T) {
	for _, version := range []struct {
		name string
		of   *kversion.Versions
	}{
		{"Kafka of the day", kversion.Stable()},
		{"Kafka 3.9, which names topics", kversion.V3_9_0()},
		{"Kafka 2.1, the first with zstd", kversion.V2_1_0()},
	} {
		t.Run(version.name, func(t *testing.T) {
			c, w := newCluster(t, 1, kfake.SeedTopics(2, topic), kfake.MaxVersions(version.of))
			cl := newClient(t, 10*time.Second, c.ListenAddrs()...)
			ctx := t.Context()
			if _, err := cl.Leaders(ctx); err != nil {
				t.Fatal(err)
			}
			id, err := cl.Identity(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var want []Record
			sequence := int32(0)
			for codec := record.None; codec <= record.Zstd; codec++ {
				values := make([]string, 100)
				for i := range values {
					values[i] = fmt.Sprintf("%s: the same again and again, which compresses well: %d", codec, i)
					want = append(want, Record{
						Partition: 1, Offset: int64(len(want)), Time: noon + int64(i), Value: []byte(values[i]),
					})
				}
				if err := cl.Produce(ctx, 0, 1, newBatch(t, codec, id, sequence, values...)); err != nil {
					t.Fatalf("%s: %v", codec, err)
				}
				sequence = record.NextSequence(sequence, len(values))
			}
			if diff := cmp.Diff(want, readAll(t, c.ListenAddrs(), len(want))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if w.requests[kmsg.Produce] != 5 {
				t.Errorf("%d produce requests", w.requests[kmsg.Produce])
			}
		})
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no topic":              {Brokers: []string{"localhost"}, RequestTimeout: time.Second},
		"no brokers":            {Topic: topic, RequestTimeout: time.Second},
		"no time to do a thing": {Topic: topic, Brokers: []string{"localhost"}},
	} {
		if cl, err := New(cfg); err == nil {
			cl.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLeaders(t *testing.T) {
	c, w := newCluster(t, 3, kfake.SeedTopics(6, topic))
	cl := newClient(t, 10*time.Second, c.ListenAddrs()...)
	leaders := func() (got, want []int32) {
		t.Helper()
		got, err := cl.Leaders(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for p := range got {
			want = append(want, c.LeaderFor(topic, int32(p)))
		}
		return got, want
	}
	for range 3 {
		got, want := leaders()
		if diff := cmp.Diff(want, got); diff != "" || len(got) != 6 {
			t.Errorf("(-want +got):\n%s", diff)
		}
		c.ShufflePartitionLeaders()
	}
	w.set(func() {
		w.answer = func(_ int, resp kmsg.Response) move {
			if m, ok := resp.(*kmsg.MetadataResponse); ok && m.Topics[0].ErrorCode == 0 {
				p := m.Topics[0].Partitions
				for i := range p {
					if p[i].Partition == 2 {
						p[i].Leader, p[i].ErrorCode = -1, kerr.LeaderNotAvailable.Code
					}
				}
				p[0], p[5] = p[5], p[0] // in any order
			}
			return pass
		}
	})
	got, want := leaders()
	want[2] = deliver.NoLeader
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	_, err := cl.Leaders(t.Context())
	if f := faultOf(t, err); f.State != deliver.TopicMissing {
		t.Errorf("%+v", f)
	}
	if c.TopicInfo(topic) != nil {
		t.Error("the question made the topic")
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Topic: topic})
	if err := c.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	_, err = cl.Leaders(t.Context())
	if f := faultOf(t, err); f.State != deliver.Unauthorized {
		t.Errorf("%+v", f)
	}
}

func TestEveryIdentityIsAnother(t *testing.T) {
	c, _ := newCluster(t, 2)
	cl := newClient(t, 10*time.Second, c.ListenAddrs()...)
	seen := map[record.Producer]bool{record.NoProducer: true}
	for range 5 {
		id, err := cl.Identity(t.Context())
		if err != nil || seen[id] || id.ID < 0 {
			t.Errorf("%+v, %v", id, err)
		}
		seen[id] = true
	}
	refuse := func(e *kerr.Error) {
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: e, TopLevel: true})
	}
	refuse(kerr.ClusterAuthorizationFailed)
	_, err := cl.Identity(t.Context())
	if f := faultOf(t, err); f.State != deliver.Unauthorized || f.Verdict != deliver.Unsent {
		t.Errorf("%+v", f)
	}
	refuse(kerr.InvalidProducerEpoch)
	_, err = cl.Identity(t.Context())
	if f := faultOf(t, err); f.Verdict != deliver.Unsent {
		t.Errorf("no batch was looked at, and yet %+v", f)
	}
	if id, err := cl.Identity(t.Context()); err != nil || seen[id] { // nothing is kept of an error
		t.Errorf("%+v, %v", id, err)
	}
}

func TestAnAnswerAboutAnotherPartitionAcknowledgesNothing(t *testing.T) {
	c, w := newCluster(t, 1, kfake.SeedTopics(2, topic))
	cl := newClient(t, 10*time.Second, c.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func(*kmsg.ProduceResponse){
		"no topic":          func(r *kmsg.ProduceResponse) { r.Topics = nil },
		"no partition":      func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions = nil },
		"another partition": func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].Partition = 1 },
		"two topics":        func(r *kmsg.ProduceResponse) { r.Topics = append(r.Topics, r.Topics[0]) },
	} {
		w.set(func() {
			w.answer = func(_ int, resp kmsg.Response) move {
				if p, ok := resp.(*kmsg.ProduceResponse); ok {
					forge(p)
				}
				return pass
			}
		})
		err := cl.Produce(t.Context(), 0, 0, newBatch(t, record.None, record.NoProducer, -1, "x"))
		if err == nil {
			t.Errorf("%s: acknowledged", name)
		} else if f := faultOf(t, err); f.Verdict != deliver.Unknown {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// meaning is what a code means for a batch.
type meaning struct {
	State   deliver.State
	Verdict deliver.Verdict
	Reason  deliver.Reason
}

// meanings are all codes that mean anything else than "the broker has a trouble that it may get
// over, and the batch may be there".
var meanings = map[*kerr.Error]meaning{
	// The first four can be said about a batch that stands in the log: the leader appends, and
	// looks for the partition again when the followers have it, or do not.
	kerr.UnknownTopicOrPartition: {deliver.TopicMissing, deliver.Unknown, 0},
	kerr.UnknownTopicID:          {deliver.TopicMissing, deliver.Unknown, 0},
	kerr.InconsistentTopicID:     {deliver.TopicMissing, deliver.Unknown, 0},
	kerr.NotLeaderForPartition:   {deliver.NoLeaderState, deliver.Unknown, 0},
	kerr.LeaderNotAvailable:      {deliver.NoLeaderState, deliver.Unknown, 0},
	kerr.FencedLeaderEpoch:       {deliver.NoLeaderState, deliver.Unknown, 0},
	kerr.UnknownLeaderEpoch:      {deliver.NoLeaderState, deliver.Unknown, 0},

	kerr.TopicAuthorizationFailed:           {deliver.Unauthorized, deliver.Unsent, 0},
	kerr.ClusterAuthorizationFailed:         {deliver.Unauthorized, deliver.Unsent, 0},
	kerr.TransactionalIDAuthorizationFailed: {deliver.Unauthorized, deliver.Unsent, 0},

	kerr.NotEnoughReplicas:            {deliver.NotEnoughReplicas, deliver.Unsent, 0},
	kerr.NotEnoughReplicasAfterAppend: {deliver.NotEnoughReplicas, deliver.Unknown, 0},
	kerr.RequestTimedOut:              {deliver.NoAnswer, deliver.Unknown, 0},

	kerr.OutOfOrderSequenceNumber: {deliver.BrokerError, deliver.Lost, 0},
	kerr.UnknownProducerID:        {deliver.BrokerError, deliver.Lost, 0},
	kerr.InvalidProducerEpoch:     {deliver.BrokerError, deliver.Lost, 0},
	kerr.InvalidProducerIDMapping: {deliver.BrokerError, deliver.Lost, 0},
	kerr.ProducerFenced:           {deliver.BrokerError, deliver.Lost, 0},

	kerr.MessageTooLarge:    {deliver.RejectedState, deliver.Rejected, deliver.TooLarge},
	kerr.RecordListTooLarge: {deliver.RejectedState, deliver.Rejected, deliver.TooLarge},
	kerr.InvalidRecord:      {deliver.RejectedState, deliver.Rejected, deliver.RejectedByBroker},
	kerr.InvalidTimestamp:   {deliver.RejectedState, deliver.Rejected, deliver.RejectedByBroker},
	kerr.PolicyViolation:    {deliver.RejectedState, deliver.Rejected, deliver.RejectedByBroker},
}

func TestEveryErrorCodeHasAMeaningAndFewCostABatch(t *testing.T) {
	c, w := newCluster(t, 1, kfake.SeedTopics(1, topic))
	cl := newClient(t, 10*time.Second, c.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	var code int16
	w.set(func() {
		w.answer = func(_ int, resp kmsg.Response) move {
			if p, ok := resp.(*kmsg.ProduceResponse); ok {
				p.Topics[0].Partitions[0].ErrorCode = code
			}
			return pass
		}
	})
	batch := newBatch(t, record.None, record.NoProducer, -1, "x")
	for code = -1; code < 200; code++ {
		err := cl.Produce(t.Context(), 0, 0, batch)
		if code == 0 || code == kerr.DuplicateSequenceNumber.Code {
			if err != nil { // a duplicate is there: that is what was wanted
				t.Errorf("code %d: %v", code, err)
			}
			continue
		}
		f := faultOf(t, err)
		known := kerr.TypedErrorForCode(code)
		want, listed := meanings[known]
		if !listed {
			want = meaning{deliver.BrokerError, deliver.Unknown, 0}
		}
		if diff := cmp.Diff(want, meaning{f.State, f.Verdict, f.Reason}); diff != "" {
			t.Errorf("code %d, %v (-want +got):\n%s", code, known, diff)
		}
		if f.Time != (known == kerr.InvalidTimestamp) {
			t.Errorf("code %d, %v: refused for its time stamps: %t", code, known, f.Time)
		}
	}
	for e := range codeFaults {
		if _, listed := meanings[e]; !listed {
			t.Errorf("%v is not in this test", e)
		}
	}
}

func TestTheBrokersOwnWordsAreInTheError(t *testing.T) {
	c, _ := newCluster(t, 1, kfake.SeedTopics(1, topic))
	cl := newClient(t, 10*time.Second, c.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch := newBatch(t, record.None, record.NoProducer, -1, "x")
	binary.BigEndian.PutUint32(batch[17:], 0)
	err := cl.Produce(t.Context(), 0, 0, batch)
	if f := faultOf(t, err); f.Verdict != deliver.Unknown || !errors.Is(err, kerr.CorruptMessage) {
		t.Errorf("%+v", f)
	}
	want := "broker 0, partition 0: CORRUPT_MESSAGE: This message has failed its CRC checksum, " +
		"exceeds the valid size, has a null key for a compacted topic, or is otherwise corrupt.: CRC mismatch."
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
