// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// Bound is where the reading of a topic begins or ends, in each of its partitions. The zero Bound
// is AtStart.
type Bound struct {
	kind   boundKind
	offset int64
	time   time.Time
}

type boundKind uint8

const (
	atStart boundKind = iota
	atEnd
	atOffset
	atTime
)

// AtStart is the oldest record that a partition has.
func AtStart() Bound { return Bound{} }

// AtEnd is behind the newest record that a partition has when the window is opened.
func AtEnd() Bound { return Bound{kind: atEnd} }

// AtOffset is the same offset in all partitions.
func AtOffset(offset int64) Bound { return Bound{kind: atOffset, offset: offset} }

// AtTime is the first record of each partition whose Kafka time stamp is t or later.
func AtTime(t time.Time) Bound { return Bound{kind: atTime, time: t} }

// Behind tells whether b is at o or behind it in any topic, so that nothing lies from b to o.
func (b Bound) Behind(o Bound) bool {
	switch {
	case b.kind == atEnd || o.kind == atStart:
		return true
	case b.kind != o.kind:
		return false
	case b.kind == atOffset:
		return b.offset >= o.offset
	}
	return b.kind == atTime && !b.time.Before(o.time)
}

// Extent is what of one partition a window has. Oldest and Newest are what the partition had when
// the window was opened, Start and End what is read of that: each the first offset, and the offset
// after the last.
type Extent struct {
	Partition                  int32
	Oldest, Start, End, Newest int64
}

// Window reads what a topic has between two bounds, and then ends; or, when it follows, goes on
// with what comes. It is used by one goroutine.
type Window struct {
	cl        *kgo.Client
	cfg       Config
	extents   []Extent
	topic     string          // its id
	open      map[int32]int64 // partitions with something left to read, and where they end
	next      map[int32]int64 // the offset that each is to give next
	skipped   map[int32]int64
	following bool
}

// OpenWindow finds out where the bounds are and begins to read. follow ignores to: there is no end
// then. It blocks until the cluster answers or ctx ends.
func OpenWindow(ctx context.Context, c *Cluster, from, to Bound, follow bool) (*Window, error) {
	w := &Window{cfg: c.cfg, following: follow, open: map[int32]int64{}, next: map[int32]int64{},
		skipped: map[int32]int64{}}
	if err := w.measure(ctx, c, from, to); err != nil {
		return nil, err
	}
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ClientID(c.cfg.ClientID),
		kgo.Dialer(c.link.dial),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), // or the last offset of a partition might never be seen
		kgo.DisableClientMetrics(),
	}, c.auth...)
	begin := map[int32]kgo.Offset{}
	for _, e := range w.extents {
		if follow || e.Start < e.End {
			begin[e.Partition] = kgo.NewOffset().At(e.Start)
			w.open[e.Partition], w.next[e.Partition] = e.End, e.Start
		}
	}
	if len(begin) > 0 {
		opts = append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.cfg.Topic: begin}))
	}
	var err error
	if w.cl, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("kafka: reader of topic %q: %w", c.cfg.Topic, err)
	}
	return w, nil
}

// Extents returns what the window has, by partition.
func (w *Window) Extents() []Extent { return w.extents }

// Topic returns the id of the topic, as heartbeats have it. It is empty when brokers give none.
func (w *Window) Topic() string { return w.topic }

// Skipped returns the partitions that had nothing any more before an offset, where there ought to
// be something: what was there was deleted meanwhile, or compacted away. It is about what Read has
// returned since the last call, or was about to.
func (w *Window) Skipped() map[int32]int64 {
	skipped := w.skipped
	w.skipped = map[int32]int64{}
	return skipped
}

// Close ends the reading.
func (w *Window) Close() { w.cl.Close() }

// measure asks the cluster what the bounds are as offsets.
func (w *Window) measure(ctx context.Context, c *Cluster, from, to Bound) error {
	ctx, cancel := context.WithTimeout(ctx, 3*c.cfg.RequestTimeout)
	defer cancel()
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	leaders, err := cl.Leaders(ctx)
	if err != nil {
		return fmt.Errorf("kafka: %w", err) // which names what it is about, as the topic
	}
	if id := cl.topicID.Load(); id != nil && *id != [16]byte{} {
		w.topic = topicID(*id)
	}
	var oldest, newest, first, last []int64
	for _, ask := range []struct {
		to *[]int64
		at Bound
	}{{&oldest, AtStart()}, {&newest, AtEnd()}, {&first, from}, {&last, to}} {
		if *ask.to, err = cl.offsets(ctx, leaders, ask.at); err != nil {
			return fmt.Errorf("kafka: offsets of topic %q: %w", c.cfg.Topic, err)
		}
	}
	for p := range leaders {
		e := Extent{Partition: int32(p), Oldest: oldest[p], Newest: newest[p]}
		within := func(offset int64) int64 {
			if offset < 0 { // no record is that new
				return e.Newest
			}
			return min(max(offset, e.Oldest), e.Newest)
		}
		e.Start, e.End = within(first[p]), within(last[p])
		e.End = max(e.End, e.Start)
		w.extents = append(w.extents, e)
	}
	return nil
}

// offsets returns where b is in each partition, -1 where a partition ends before it.
func (c *Client) offsets(ctx context.Context, leaders []int32, b Bound) ([]int64, error) {
	out := make([]int64, len(leaders))
	if b.kind == atOffset {
		for i := range out {
			out[i] = b.offset
		}
		return out, nil
	}
	// The time stamps that stand for the end and for the start (ListOffsets in the protocol guide).
	stamp := map[boundKind]int64{atStart: -2, atEnd: -1, atTime: b.time.UnixMilli()}[b.kind]
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = c.cfg.Topic
	for i, leader := range leaders {
		if leader == deliver.NoLeader {
			return nil, fmt.Errorf("partition %d has no leader", i)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), stamp
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			if p.Partition >= 0 && int(p.Partition) < len(out) {
				out[p.Partition] = p.Offset
			}
		}
	}
	return out, nil
}

// Read returns the next records, those of one partition in their order. It returns io.EOF when all
// partitions have been read to the ends that they had, and blocks until there are records or ctx
// ends. A topic that ought to have more and gives nothing for two request time-outs is an error.
func (w *Window) Read(ctx context.Context) ([]Record, error) {
	for quiet := 0; len(w.open) > 0 || w.following; {
		poll, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
		fetches := w.cl.PollFetches(poll)
		cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return nil, fmt.Errorf("kafka: read topic %q, partition %d: %w", w.cfg.Topic, e.Partition, e.Err)
			}
		}
		if records := w.take(fetches); len(records) > 0 {
			return records, nil
		}
		if fetches.NumRecords() > 0 {
			continue
		}
		if quiet++; quiet >= 2 && !w.following {
			return nil, w.stuck()
		}
	}
	return nil, io.EOF
}

// take returns the records that are within the window, and closes partitions that are read.
func (w *Window) take(fetches kgo.Fetches) []Record {
	records := make([]Record, 0, fetches.NumRecords())
	done := []int32{}
	fetches.EachRecord(func(k *kgo.Record) {
		end, open := w.open[k.Partition]
		if !open {
			return
		}
		if at := k.Offset; at > w.next[k.Partition] {
			if !w.following {
				at = min(at, end)
			}
			w.skipped[k.Partition] = at
		}
		w.next[k.Partition] = k.Offset + 1
		if !w.following && k.Offset >= end-1 {
			delete(w.open, k.Partition)
			done = append(done, k.Partition)
		}
		if (w.following || k.Offset < end) && !k.Attrs.IsControl() {
			records = append(records, Record{
				Partition: k.Partition, Offset: k.Offset,
				Time: k.Timestamp.UnixMilli(), Value: k.Value,
			})
		}
	})
	if len(done) > 0 {
		w.cl.PauseFetchPartitions(map[string][]int32{w.cfg.Topic: done})
	}
	return records
}

// stuck says which partitions have more than they give.
func (w *Window) stuck() error {
	var left []int32
	for p := range w.open {
		left = append(left, p)
	}
	slices.Sort(left)
	return fmt.Errorf("kafka: read topic %q: nothing comes any more from partitions %v, which are not "+
		"at their ends; is a broker away, or were records deleted meanwhile?", w.cfg.Topic, left)
}
