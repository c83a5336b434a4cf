// SPDX-License-Identifier: Apache-2.0

//go:build drills && soak

package drills

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reader reads the topic while it is written, past the proxies, and deletes what it has read: the
// brokers keep all in memory. A record for each number is all that it keeps, a bit.
type reader struct {
	s      *soak
	cl     *kgo.Client
	prefix []byte // of a record of the only lane that has any, up to seq

	there atomic.Uint64 // numbers
	twice uint64        // records that are there again
	beats int           // heartbeats
	wrong int           // complaints
	seen  []uint64      // a bit for each number
	next  map[int32]int64
}

func newReader(s *soak, run string) *reader {
	s.Helper()
	host, err := os.Hostname()
	if err != nil {
		s.Fatal(err)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		if past, ok := s.past[addr]; ok {
			addr = past
		}
		return d.DialContext(ctx, network, addr)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.c.ListenAddrs()...), kgo.Dialer(dial),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableClientMetrics(), kgo.MetadataMinAge(100*time.Millisecond), kgo.FetchMaxBytes(8<<20))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(cl.Close)
	return &reader{s: s, cl: cl, next: map[int32]int64{},
		prefix: fmt.Appendf(nil, `{"v":1,"sensor":%q,"run":%q,"lane":0,"seq":`, host, run)}
}

// run reads until the soak quits.
func (r *reader) run() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	r.s.tasks.Go(func() {
		<-r.s.quit
		stop()
	})
	deleted := time.Now()
	for ctx.Err() == nil {
		r.poll(ctx)
		if time.Since(deleted) < time.Second {
			continue
		}
		deleted = time.Now()
		for p, next := range r.next {
			if err := r.s.c.DeleteRecords(topic, p, next); err != nil {
				r.complain("partition %d, up to %d: %v", p, next, err)
			}
		}
	}
}

// finish reads what is left, and demands that nothing is missing.
func (r *reader) finish(sent uint64) {
	r.s.Helper()
	left := func() (n int64) {
		for _, p := range r.s.c.PartitionInfos(topic) {
			n += p.HighWatermark - r.next[p.Partition]
		}
		return n
	}
	for end := time.Now().Add(patience); left() > 0 && time.Now().Before(end); {
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		r.poll(ctx)
		stop()
	}
	if n := left(); n > 0 {
		r.complain("%d records of the topic were not read", n)
	}
	for n := range sent {
		if !r.has(n) {
			r.complain("message %d is not there", n)
		}
	}
	if there := r.there.Load(); there != sent {
		r.s.Errorf("%d of %d are there", there, sent)
	}
	if r.beats == 0 {
		r.complain("there are no heartbeats")
	}
}

func (r *reader) has(n uint64) bool {
	return n/64 < uint64(len(r.seen)) && r.seen[n/64]>>(n%64)&1 != 0
}

// poll takes what there is. When leaders move, kfake does not know any more where terms ended whose
// records were deleted, and the client, which then suspects a loss, begins again further back:
// whether there is one, offsets tell.
func (r *reader) poll(ctx context.Context) {
	fetches := r.cl.PollFetches(ctx)
	fetches.EachError(func(_ string, p int32, err error) {
		var again *kgo.ErrDataLoss
		if !errors.As(err, &again) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			r.complain("partition %d: %v", p, err)
		}
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, rec := range p.Records {
			next := r.next[p.Partition]
			if rec.Offset < next {
				continue
			}
			if rec.Offset > next {
				r.complain("partition %d goes on with %d, not %d", p.Partition, rec.Offset, next)
			}
			r.next[p.Partition] = rec.Offset + 1
			r.take(rec.Value)
		}
	})
}

// take marks the number of one record. There is one lane that has any, to which numbers come in
// order: so each has the identity that belongs to it, if seq says so.
func (r *reader) take(value []byte) {
	rest, ours := bytes.CutPrefix(value, r.prefix)
	if !ours {
		if !bytes.Contains(value, []byte(`"kind":"heartbeat"`)) {
			r.complain("a foreign record: %s", value)
		}
		r.beats++
		return
	}
	end := max(bytes.IndexByte(rest, ','), 0)
	seq, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	_, name, named := bytes.Cut(rest, []byte(`"qname":"`))
	name, _, ended := bytes.Cut(name, []byte(`"`))
	n, wrong := numberOf(string(name))
	if err != nil || wrong != nil || !named || !ended || n >= r.s.sent.Load()+most || seq != n+1 {
		r.complain("a foreign record: %s", value)
		return
	}
	if r.has(n) {
		r.twice++
		return
	}
	for uint64(len(r.seen)) <= n/64 {
		r.seen = append(r.seen, 0)
	}
	r.seen[n/64] |= 1 << (n % 64)
	r.there.Add(1)
}

func (r *reader) complain(format string, args ...any) {
	if r.wrong++; r.wrong <= 10 {
		r.s.Errorf(format, args...)
	}
}
