// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// sightings are the batches that came to a broker, by base sequence.
type sightings struct {
	mu   sync.Mutex // guards the following
	seen map[int32]bool
	torn int // batches that were changed while they were sent
}

func (s *sightings) ask(_ int, key kmsg.Key, frame []byte) move {
	if key != kmsg.Produce {
		return pass
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	magic := []byte{0xff, 0xff, 0xff, 0xff, 2} // and the leader epoch before it
	for at := bytes.Index(frame, magic); at >= 12; at = bytes.Index(frame, magic) {
		batch := frame[at-12:]
		frame = batch[12+binary.BigEndian.Uint32(batch[8:]):]
		batch = batch[:len(batch)-len(frame)]
		sum := crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli))
		if sum != binary.BigEndian.Uint32(batch[17:]) {
			s.torn++
		}
		s.seen[int32(binary.BigEndian.Uint32(batch[53:]))] = true
	}
	if bytes.Contains(frame, []byte{poison, poison, poison, poison}) {
		s.torn++
	}
	return pass
}

const poison = 0xdb

// TestABatchIsNotReadAfterProduceReturned overwrites every batch as soon as Produce returned,
// which is what the next record does to an arena that went back to the pool, and gives up at any
// moment. The race detector sees a client that still reads; the broker sees torn batches, and
// those that were said not to have been sent.
func TestABatchIsNotReadAfterProduceReturned(t *testing.T) {
	const workers, rounds = 3 * inFlight, 60 // so that most requests have several batches
	k, w := newCluster(t, 1, kfake.SeedTopics(workers, topic))
	s := &sightings{seen: map[int32]bool{}}
	w.set(func() { w.ask = s.ask })
	cl := newClient(t, 10*time.Second, k.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	verdicts := make([]string, workers*rounds)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			pool := record.NewPool(1, 60_000)
			value, overwrite := make([]byte, 50_000), bytes.Repeat([]byte{poison}, 60_000)
			patience := float64(time.Millisecond)
			for j := range rounds {
				b := pool.TryGet()
				b.Commit(append(b.Value(noon), value...))
				number := int32(i*rounds + j)
				seal(t, record.None, pool, b)
				b.Stamp(record.NoProducer, number)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(patience*2*rng.Float64()))
				err := cl.Produce(ctx, 0, int32(i), b.Bytes())
				cancel()
				copy(b.Bytes(), overwrite)
				pool.Put(b)
				// Whatever this machine's speed is, the end shall come now sooner, now later.
				switch {
				case err == nil:
					verdicts[number] = "acknowledged"
					patience *= 0.7
				case faultOf(t, err).Verdict == deliver.Unsent:
					verdicts[number] = "unsent"
					patience *= 1.2
				default:
					verdicts[number] = "unknown"
					patience *= 1.2
				}
			}
		})
	}
	all.Wait()
	// What was written before the last batch has been read by the broker when that is answered.
	last := newBatch(t, record.None, record.NoProducer, workers*rounds, "the last")
	until(t, "the last batch is there", func() bool { return cl.Produce(t.Context(), 0, 0, last) == nil })
	cl.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.torn > 0 {
		t.Errorf("%d batches were read after Produce returned", s.torn)
	}
	count := map[string]int{}
	for number, v := range verdicts {
		count[v]++
		if there := s.seen[int32(number)]; v == "unsent" && there || v == "acknowledged" && !there {
			t.Errorf("batch %d: %s; at the broker: %v", number, v, there)
		}
	}
	if count["unsent"] < 20 || count["unknown"] < 20 || count["acknowledged"] < 20 {
		t.Errorf("the moments were badly chosen: %v", count)
	}
}

// requestOf returns a request for batches, the first for partition 0, and its parts.
func (c *Client) requestOf(batches ...[]byte) (*produceRequest, []*part) {
	req := c.produceRequest()
	var parts []*part
	for i, b := range batches {
		p := &part{partition: int32(i), batch: b, outcome: make(chan error, 1), req: req}
		req.parts[p.partition] = p
		parts = append(parts, p)
	}
	return req, parts
}

func TestARevokedBatchIsInNoRequest(t *testing.T) {
	cl := newClient(t, time.Second, "127.0.0.1:1")
	written := func(req *produceRequest) map[int32]string {
		read, batches := kmsg.NewPtrProduceRequest(), map[int32]string{}
		read.SetVersion(req.GetVersion())
		if err := read.ReadFrom(req.AppendTo(nil)); err != nil {
			t.Errorf("version %d: a broker could not read it: %v", req.GetVersion(), err)
		}
		for _, topic := range read.Topics {
			for _, p := range topic.Partitions {
				batches[p.Partition] = string(p.Records)
			}
		}
		if len(read.Topics) > 0 && len(batches) == 0 {
			t.Errorf("version %d: a topic without a batch", req.GetVersion())
		}
		return batches
	}
	for _, version := range []int16{3, 8, 9, 13} {
		req, parts := cl.requestOf([]byte("one"), []byte("two"), []byte("three"))
		req.SetVersion(version)
		if req.revoke(parts[0]) {
			t.Errorf("version %d: never written", version)
		}
		if diff := cmp.Diff(map[int32]string{1: "two", 2: "three"}, written(req)); diff != "" {
			t.Errorf("version %d (-want +got):\n%s", version, diff)
		}
		if !req.revoke(parts[1]) {
			t.Errorf("version %d: it was written", version)
		}
		if diff := cmp.Diff(map[int32]string{2: "three"}, written(req)); diff != "" {
			t.Errorf("version %d, again (-want +got):\n%s", version, diff)
		}
		if req.ctx.Err() != nil {
			t.Errorf("version %d: somebody waits for it, and it is over", version)
		}
		if !req.revoke(parts[2]) || req.ctx.Err() == nil {
			t.Errorf("version %d: nobody waits for it, and it goes on", version)
		}
		if got := written(req); len(got) > 0 || parts[0].written {
			t.Errorf("version %d: %v after all was revoked", version, got)
		}
	}
}

func TestCloseEndsCallsThatWait(t *testing.T) {
	k, w := newCluster(t, 1, kfake.SeedTopics(1, topic))
	cl := newClient(t, 10*time.Second, k.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan kmsg.Key, 10)
	w.set(func() {
		w.ask = func(_ int, key kmsg.Key, _ []byte) move {
			if key == kmsg.ApiVersions {
				return pass
			}
			waiting <- key
			return hang
		}
	})
	errs := make(chan error, 3)
	go func() { _, err := cl.Leaders(t.Context()); errs <- err }()
	go func() { _, err := cl.Identity(t.Context()); errs <- err }()
	batch := newBatch(t, record.None, record.NoProducer, -1, "x")
	go func() { errs <- cl.Produce(t.Context(), 0, 0, batch) }()
	for keys := map[kmsg.Key]bool{}; !keys[kmsg.Produce] || len(keys) < 2; {
		keys[<-waiting] = true
	}
	start := time.Now()
	cl.Close()
	for range 3 {
		f := faultOf(t, <-errs)
		if strings.HasPrefix(f.Where, "broker") && f.Verdict != deliver.Unknown {
			t.Errorf("a batch that was written: %+v", f)
		}
		if f.State != deliver.NoAnswer { // it is closed when it gets none
			t.Errorf("%s: %+v", f.State, f)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestNothingIsLeftBehind counts the goroutines of delivery and client after a life with every
// kind of end: answered, timed out, cut, refused.
func TestNothingIsLeftBehind(t *testing.T) {
	ours := func() (n int) {
		buf := make([]byte, 8<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "/pkg/kgo.") || strings.Contains(g, "/deliver.(") {
				n++
			}
		}
		return n
	}
	until(t, "other tests are over", func() bool { return ours() == 0 })
	r := newRig(t, drill{brokers: 2, partitions: 4, want: deliver.NoAnswer})
	r.run()
	r.acknowledged(10)
	wired(asked(kmsg.Produce, hang))(r)
	r.state(deliver.NoAnswer)
	r.w.down(0, 1)
	r.state(deliver.Unreachable)
	unwired(r)
	r.w.up(r, 0, 1)
	r.acknowledged(10)
	r.finish()
	if ours() == 0 {
		t.Error("this test sees no goroutines of a living client")
	}
	r.cl.Close()
	until(t, "no goroutine is left", func() bool { return ours() == 0 })
}
