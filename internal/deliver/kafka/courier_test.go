// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// office is a client in front of a broker that answers a request with batches only when it is told
// to, and reads the next only then, as brokers do.
type office struct {
	*testing.T
	cl       *Client
	k        *kfake.Cluster
	requests chan []int32  // the partitions of each that was read
	answers  chan struct{} // lets one answer go
}

// newOffice returns one where inFlight requests wait for their answers, for partitions from 0 on.
func newOffice(t *testing.T) (o *office, first []chan error) {
	const partitions = 3 * inFlight
	k, w := newCluster(t, 1, kfake.SeedTopics(partitions, topic))
	o = &office{T: t, k: k, cl: newClient(t, never, k.ListenAddrs()...),
		requests: make(chan []int32, partitions), answers: make(chan struct{}, partitions)}
	w.set(func() {
		w.ask = func(_ int, key kmsg.Key, frame []byte) move {
			if key == kmsg.Produce {
				o.requests <- partitionsOf(frame)
			}
			return pass
		}
		w.answer = func(_ int, resp kmsg.Response) move {
			if resp.Key() == int16(kmsg.Produce) {
				<-o.answers
			}
			return pass
		}
	})
	t.Cleanup(func() { close(o.answers) })
	if _, err := o.cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	connect := o.produce(t.Context(), partitions-1)
	o.answer(1)
	if err := <-connect; err != nil {
		t.Fatal(err)
	}
	<-o.requests
	for p := range int32(inFlight) {
		o.written(func() { first = append(first, o.produce(t.Context(), p)) })
	}
	return o, first
}

// written returns when what do sends is written.
func (o *office) written(do func()) {
	o.Helper()
	sent := func() (n uint64) {
		for _, c := range o.cl.Connections() {
			n += c.Sent
		}
		return n
	}
	before := sent()
	do()
	until(o.T, "it is written", func() bool { return sent() > before })
}

// partitionsOf returns those of a Produce request, in order.
func partitionsOf(frame []byte) (all []int32) {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(int16(binary.BigEndian.Uint16(frame[6:])))
	body := frame[14+binary.BigEndian.Uint16(frame[12:]):] // behind the name of the client
	if req.IsFlexible() {
		body = body[1:] // no tags
	}
	if req.ReadFrom(body) != nil || len(req.Topics) != 1 {
		return nil
	}
	for _, p := range req.Topics[0].Partitions {
		all = append(all, p.Partition)
	}
	slices.Sort(all)
	return all
}

// produce sends a batch of one record.
func (o *office) produce(ctx context.Context, partition int32) chan error {
	batch := newBatch(o.T, record.None, record.NoProducer, -1, "x")
	err := make(chan error, 1)
	go func() { err <- o.cl.Produce(ctx, 0, partition, batch) }()
	return err
}

// wait sends batches that find inFlight requests on their way, and returns when they wait.
func (o *office) wait(ctx context.Context, partitions ...int32) (errs []chan error) {
	o.Helper()
	before := o.waiting()
	for _, p := range partitions {
		errs = append(errs, o.produce(ctx, p))
	}
	until(o.T, "the batches wait", func() bool { return o.waiting() == before+len(partitions) })
	return errs
}

func (o *office) waiting() int {
	c := o.cl.courier(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// idle waits until no goroutine is left of the courier.
func (o *office) idle() {
	o.Helper()
	c := o.cl.courier(0)
	until(o.T, "no request is on its way", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.flying == 0 && len(c.waiting) == 0
	})
}

// answer lets n answers go.
func (o *office) answer(n int) {
	for range n {
		o.answers <- struct{}{}
	}
}

// together checks that the request behind the first ones has the batches of these partitions.
func (o *office) together(partitions ...int32) {
	o.Helper()
	var want, got [][]int32
	for p := range int32(inFlight) {
		want = append(want, []int32{p})
	}
	for want = append(want, partitions); len(got) < len(want); {
		got = append(got, <-o.requests)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		o.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBatchesThatWaitLeaveInOneRequest(t *testing.T) {
	o, errs := newOffice(t)
	errs = append(errs, o.wait(t.Context(), 5, 6, 7, 8, 9, 10, 11)...)
	o.answer(inFlight + 1)
	o.together(5, 6, 7, 8, 9, 10, 11)
	for p, err := range errs {
		if err := <-err; err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
		if n := o.k.PartitionInfo(topic, int32(p)).HighWatermark; n != 1 {
			t.Errorf("partition %d has %d records", p, n)
		}
	}
	o.idle()
}

// TestOneThatGivesUpTakesNobodyAlong: its batch may wait, or be in a request with those of others.
func TestOneThatGivesUpTakesNobodyAlong(t *testing.T) {
	o, first := newOffice(t)
	waits, stop := context.WithCancel(t.Context())
	travels, leave := context.WithCancel(t.Context())
	defer leave()
	unsent := o.wait(waits, 5)
	unknown := o.wait(travels, 6)
	others := o.wait(t.Context(), 7, 8)
	stop()
	if f := faultOf(t, <-unsent[0]); f.Verdict != deliver.Unsent {
		t.Errorf("it waited: %+v", f)
	}
	o.written(func() { o.answer(1) })
	leave()
	if f := faultOf(t, <-unknown[0]); f.Verdict != deliver.Unknown {
		t.Errorf("it was on its way: %+v", f)
	}
	o.answer(inFlight)
	o.together(6, 7, 8)
	for _, err := range append(first, others...) {
		if err := <-err; err != nil {
			t.Error(err)
		}
	}
}

func TestCloseTellsWhatWasNeverSent(t *testing.T) {
	o, first := newOffice(t)
	waited := o.wait(t.Context(), 5, 6, 7)
	o.cl.Close()
	for want, errs := range map[deliver.Verdict][]chan error{
		deliver.Unknown: first, deliver.Unsent: waited,
	} {
		for _, err := range errs {
			if f := faultOf(t, <-err); f.Verdict != want || f.State != deliver.NoAnswer {
				t.Errorf("want verdict %d: %+v", want, f)
			}
		}
	}
	o.idle()
}

// TestNothingLeavesWhileABrokerWantsAPause: the pause is asked for with an answer, when others wait
// for the next request.
func TestNothingLeavesWhileABrokerWantsAPause(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration
		sent  bool
	}{
		{"a short one is waited for", 50 * time.Millisecond, true},
		{"a long one is told", time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, first := newOffice(t)
			waited := o.wait(t.Context(), 5, 6)
			over := time.Now().Add(c.pause)
			o.cl.link.throttled(0, c.pause)
			o.answer(1)
			<-first[0]
			o.answer(2 * inFlight)
			if !c.sent {
				for _, err := range waited {
					if f := faultOf(t, <-err); f.State != deliver.Throttled || f.Verdict != deliver.Unsent {
						t.Errorf("%+v", f)
					}
				}
				return
			}
			for sent := 0; sent < inFlight+len(waited); {
				sent += len(<-o.requests)
			}
			if early := time.Until(over); early > 0 {
				t.Errorf("sent %v before the pause was over", early)
			}
			for _, err := range waited {
				if err := <-err; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestWhatTravelsTogether(t *testing.T) {
	type batch struct {
		partition int32
		size      int
	}
	for _, c := range []struct {
		name    string
		waiting []batch
		want    [][]int32 // partitions of the requests
	}{
		{"all, if they are small",
			[]batch{{3, 1}, {1, 1000}, {2, fullLoad - 1001}}, [][]int32{{1, 2, 3}}},
		{"no more than a full load, and what was first goes first",
			[]batch{{1, 600_000}, {2, 600_000}, {3, 400_000}, {4, 300_000}},
			[][]int32{{1, 3}, {2, 4}}},
		{"one that is larger goes alone", []batch{{1, 1}, {2, 2 * fullLoad}, {3, 1}}, [][]int32{{1, 3}, {2}}},
		{"one for each partition", []batch{{1, 1}, {2, 1}, {1, 1}}, [][]int32{{1, 2}, {1}}},
		{"nothing, if nothing waits", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			courier := newClient(t, time.Second, "127.0.0.1:1").courier(0)
			courier.flying = 1
			for _, b := range c.waiting {
				courier.waiting = append(courier.waiting,
					&part{partition: b.partition, batch: make([]byte, b.size)})
			}
			var got [][]int32
			for req := courier.load(); req != nil; req = courier.load() {
				var all []int32
				for at, p := range req.parts {
					if p.partition != at || p.req != req {
						t.Errorf("partition %d: %+v", at, p)
					}
					all = append(all, at)
				}
				slices.Sort(all)
				got = append(got, all)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if courier.flying != 0 {
				t.Errorf("%d requests on their way", courier.flying)
			}
		})
	}
}

func TestEachBatchHasAnOutcomeOfItsOwn(t *testing.T) {
	cl := newClient(t, time.Second, "127.0.0.1:1")
	req, parts := cl.requestOf([]byte("well"), []byte("there already"), []byte("refused"),
		[]byte("not in the answer"), []byte("in it twice"))
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = append(resp.Topics, kmsg.NewProduceResponseTopic())
	for _, a := range []struct {
		partition int32
		code      int16
	}{
		{4, 0}, {2, kerr.MessageTooLarge.Code}, {0, 0}, {1, kerr.DuplicateSequenceNumber.Code}, {4, 0},
		{77, 0},
	} {
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.ErrorCode = a.partition, a.code
		resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, p)
	}
	cl.courier(0).settle(req, resp, nil)
	unclear := meaning{State: deliver.BrokerError, Verdict: deliver.Unknown}
	for i, want := range []meaning{
		2: {deliver.RejectedState, deliver.Rejected, deliver.TooLarge}, 3: unclear, 4: unclear,
	} {
		err := <-parts[i].outcome
		if want == (meaning{}) {
			if err != nil {
				t.Errorf("%s: %v", parts[i].batch, err)
			}
			continue
		}
		f := faultOf(t, err)
		if diff := cmp.Diff(want, meaning{f.State, f.Verdict, f.Reason}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", parts[i].batch, diff)
		}
		if f.Where != where(0, int32(i)) {
			t.Errorf("%s: %s", parts[i].batch, f.Where)
		}
	}
}

func TestARequestThatFailsFailsEachOfItsBatches(t *testing.T) {
	cl := newClient(t, time.Second, "127.0.0.1:1")
	for _, write := range []bool{false, true} {
		req, parts := cl.requestOf([]byte("one"), []byte("two"), []byte("gave up"))
		want := deliver.Unsent
		if write {
			req.AppendTo(nil)
			want = deliver.Unknown
		}
		req.revoke(parts[2])
		cl.courier(0).settle(req, nil, io.EOF)
		for _, p := range parts[:2] {
			if f := faultOf(t, <-p.outcome); f.Verdict != want || !errors.Is(f, io.EOF) {
				t.Errorf("written %v: %+v", write, f)
			}
		}
		if len(parts[2].outcome) > 0 {
			t.Error("who gave up is told nevertheless")
		}
		if frame := req.AppendTo(nil); partitionsOf(append(make([]byte, 14), frame...)) != nil {
			t.Error("batches are read after the request was over")
		}
	}
}
