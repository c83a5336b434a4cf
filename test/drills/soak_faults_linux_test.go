// SPDX-License-Identifier: Apache-2.0

//go:build drills && soak

package drills

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
)

// mischief is a kind of fault of a soak. begin returns what ends it.
type mischief struct {
	what  string
	want  deliver.State // that it must lead to; empty: it may pass unseen
	begin func(*soak) (undo func())
}

var mischiefs = []mischief{
	{"all brokers are away", deliver.Unreachable, func(s *soak) func() {
		away(s.rig)
		return s.heal
	}},
	{"one broker of three is away", "", func(s *soak) func() {
		p := s.p[s.rng.IntN(len(s.p))]
		p.Refuse()
		p.Break(faultproxy.RST)
		return s.heal
	}},
	{"nothing passes, with batches in flight", deliver.NoAnswer, func(s *soak) func() {
		return s.rule(faultproxy.Rule{Hold: true})
	}},
	{"brokers are far away and the link is narrow", "", func(s *soak) func() {
		return s.rule(faultproxy.Rule{Delay: s.between(50*time.Millisecond, 400*time.Millisecond),
			Rate: 100_000 + s.rng.IntN(400_000)})
	}},
	{"connections end in the middle of a frame", "", func(s *soak) func() {
		cut := faultproxy.Cut{After: 10_000 + s.rng.IntN(300_000), End: faultproxy.RST}
		return s.rule(faultproxy.Rule{Cut: &cut})
	}},
	{"leaders move", "", func(s *soak) func() {
		return s.each(200*time.Millisecond, s.c.ShufflePartitionLeaders)
	}},
	{"too few replicas are in sync", deliver.NotEnoughReplicas, refusing(kerr.NotEnoughReplicas)},
	{"batches arrive corrupted", deliver.BrokerError, refusing(kerr.CorruptMessage)},
	{"brokers fail for no reason", deliver.BrokerError, refusing(kerr.UnknownServerError)},
	{"the right to write is revoked", deliver.Unauthorized, refusing(kerr.TopicAuthorizationFailed)},
	{"batches are too large", "", func(s *soak) func() {
		limit := 30_000 + s.rng.IntN(30_000) // of some 100,000; the program believes it for minutes
		return s.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1,
			When: func(req kmsg.Request) bool { return len(batchOf(req)) > limit }}).Remove
	}},
	{"brokers forget, fence or mistake the producer", "", func(s *soak) func() {
		errs, n := []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID,
			kerr.InvalidProducerEpoch, kerr.ProducerFenced}, s.rng.IntN(4)
		return s.each(500*time.Millisecond, func() {
			n++
			s.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: errs[n%len(errs)], Count: 3})
		})
	}},
	{"a quota", "", func(s *soak) func() {
		s.quota.pause.Store(int32(s.between(200*time.Millisecond, time.Second).Milliseconds()))
		return func() { s.quota.pause.Store(0) }
	}},
}

// refusing lets brokers answer all batches with an error.
func refusing(err *kerr.Error) func(*soak) func() {
	return func(s *soak) func() {
		return s.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1}).Remove
	}
}

func (s *soak) heal() { back(s.rig) }

// rule is for the links to all brokers.
func (s *soak) rule(r faultproxy.Rule) func() {
	for _, p := range s.p {
		p.Both(r)
	}
	return s.heal
}

// each does something again and again.
func (s *soak) each(every time.Duration, do func()) (undo func()) {
	quit := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			do()
			select {
			case <-ticker.C:
			case <-quit:
				return
			}
		}
	})
	return func() {
		close(quit)
		work.Wait()
	}
}

// quota makes brokers ask for a pause after each batch, which kfake has no setting for.
type quota struct{ pause atomic.Int32 } // ms

func (q *quota) wrap(conn net.Conn) net.Conn {
	return &metered{Conn: conn, quota: q, batches: map[uint32]bool{}}
}

// metered is a connection as a broker has it. It follows the requests that are read from it, and
// changes answers to batches, each of which is one write.
type metered struct {
	net.Conn
	quota *quota

	head []byte // of a request: its size, key, version and number
	body int    // of it, still to come

	mu      sync.Mutex      // guards the following
	batches map[uint32]bool // numbers of requests with one, whose answer ends as expected here
}

// headLen is how long head is; flexible is the first version whose answer ends with the pause and
// a count of tagged fields (KIP-482).
const (
	headLen  = 4 + 2 + 2 + 4
	flexible = 9
)

// Read implements net.Conn.
func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	for b := b[:n]; len(b) > 0; {
		part := min(len(b), m.body)
		m.body -= part
		b = b[part:]
		part = min(len(b), headLen-len(m.head))
		m.head = append(m.head, b[:part]...)
		b = b[part:]
		if len(m.head) < headLen {
			break
		}
		if kmsg.Key(binary.BigEndian.Uint16(m.head[4:])) == kmsg.Produce &&
			binary.BigEndian.Uint16(m.head[6:]) >= flexible {
			m.mu.Lock()
			m.batches[binary.BigEndian.Uint32(m.head[8:])] = true
			m.mu.Unlock()
		}
		m.body = int(binary.BigEndian.Uint32(m.head)) - (headLen - 4)
		m.head = m.head[:0]
	}
	return n, err
}

// Write implements net.Conn.
func (m *metered) Write(b []byte) (int, error) {
	m.mu.Lock()
	number := binary.BigEndian.Uint32(b[4:])
	answers := m.batches[number]
	delete(m.batches, number)
	m.mu.Unlock()
	if pause := m.quota.pause.Load(); answers && pause > 0 && b[len(b)-1] == 0 {
		binary.BigEndian.PutUint32(b[len(b)-5:], uint32(pause))
	}
	return m.Conn.Write(b)
}
