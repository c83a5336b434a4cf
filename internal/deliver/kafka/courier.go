// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

const (
	// inFlight is how many requests to a node may wait for their answers. It is what the Java
	// client has (max.in.flight.requests.per.connection). With no more partitions than that at a
	// node, no batch ever waits for another.
	inFlight = 5
	// fullLoad is how many bytes of batches go into a request that has more than one: again what
	// the Java client has (max.request.size). The client keeps a buffer of that size.
	fullLoad = 1 << 20
)

// courier carries batches to one node. While fewer than inFlight requests are on their way, a batch
// leaves at once. The others wait until one of these returns, and leave together, as parts of one
// request: a request costs much more than a part, and with keys and many partitions a batch is but
// a few records. Nobody waits for a request to become fuller.
//
// A partition has one worker and that has one batch: so little can wait, and a partition whose
// answers are late occupies one request.
type courier struct {
	client *Client
	node   int32

	mu      sync.Mutex // guards the following; taken before that of a request
	flying  int        // requests on their way, each with a goroutine that ends when nothing waits
	waiting []*part    // in the order that they came
}

// part is what one call of Produce is about.
type part struct {
	partition int32
	batch     []byte     // borrowed from the caller until it has an outcome or withdraws
	width     int64      // how many offsets it takes
	outcome   chan error // has room for it, so that nobody waits for one who went away

	req     *produceRequest // that it is in; nil while it waits. Guarded by courier.mu
	written bool            // or about to be. Guarded by produceRequest.mu

	answer  *kmsg.ProduceResponseTopicPartition // one that is about its partition
	answers int                                 // how many are
}

// errPaused is the outcome of a part that was about to leave when the node asked for a pause.
var errPaused = errors.New("the broker wants a pause")

// courier returns the one for node.
func (c *Client) courier(node int32) *courier {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.couriers[node]
	if to == nil {
		to = &courier{client: c, node: node}
		c.couriers[node] = to
	}
	return to
}

// carry brings a batch to the node and returns what became of it. It is not read any more then.
func (c *courier) carry(ctx context.Context, partition int32, batch []byte) error {
	p := &part{partition: partition, batch: batch, width: width(batch), outcome: make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, p)
	if c.flying < inFlight {
		c.flying++
		go c.fly()
	}
	c.mu.Unlock()
	select {
	case err := <-p.outcome:
		return err
	case <-ctx.Done():
		return c.lost(p, ctx.Err(), c.withdraw(p))
	}
}

// withdraw makes sure that the batch of p is not read any more, and tells whether it was written.
func (c *courier) withdraw(p *part) (written bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.req != nil {
		return p.req.revoke(p)
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(other *part) bool { return other == p })
	return false
}

// fly makes requests one after the other, until nothing waits. When the client is closed, they fail
// at once.
func (c *courier) fly() {
	for req := c.load(); req != nil; req = c.load() {
		resp, err := c.client.cl.Broker(int(c.node)).Request(req.ctx, req)
		c.settle(req, resp, err)
	}
}

// load puts what waits into a request, and returns nil when nothing does. What does not fit waits
// on, as does a second batch for one partition, from a worker of a topic that is gone: which of two
// a broker would take, nobody knows.
func (c *courier) load() *produceRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.link.pause(c.node) > 0 {
		for _, p := range c.waiting {
			p.outcome <- errPaused
		}
		c.waiting = nil
	}
	if len(c.waiting) == 0 {
		c.flying--
		return nil
	}
	req, size := c.client.produceRequest(), 0
	c.waiting = slices.DeleteFunc(c.waiting, func(p *part) bool {
		if size > 0 && size+len(p.batch) > fullLoad || req.parts[p.partition] != nil {
			return false
		}
		req.parts[p.partition], p.req = p, req
		size += len(p.batch)
		return true
	})
	return req
}

// settle gives each part that still waits for it its outcome: that of the request, or what the
// answer says about its partition.
func (c *courier) settle(req *produceRequest, resp kmsg.Response, err error) {
	parts := req.end()
	if err != nil {
		for _, p := range parts {
			p.outcome <- c.lost(p, err, p.written)
		}
		return
	}
	if r, ok := resp.(*kmsg.ProduceResponse); ok && len(r.Topics) == 1 {
		for i, a := range r.Topics[0].Partitions {
			if p := parts[a.Partition]; p != nil {
				p.answer = &r.Topics[0].Partitions[i]
				p.answers++
			}
		}
	}
	for _, p := range parts {
		p.outcome <- c.answered(p)
	}
}

// answered is the outcome of a part of a request that was answered.
func (c *courier) answered(p *part) error {
	if p.answers != 1 {
		return &deliver.Fault{State: deliver.BrokerError, Verdict: deliver.Unknown, Where: c.where(p),
			Err: errors.New("the answer is not about the batch that was sent")}
	}
	a := p.answer
	if a.ErrorCode == 0 || a.ErrorCode == kerr.DuplicateSequenceNumber.Code {
		c.client.reached(p)
		return nil // a duplicate is there already: that is what was wanted
	}
	f := codeFault(a.ErrorCode, c.where(p))
	if a.ErrorMessage != nil {
		f.Err = fmt.Errorf("%w: %s", f.Err, *a.ErrorMessage)
	}
	return f
}

// lost is the outcome of a part without an answer.
func (c *courier) lost(p *part, err error, written bool) error {
	verdict := deliver.Unsent
	if written {
		verdict = deliver.Unknown
	}
	return c.client.brokerFault(c.node, err, verdict, c.where(p))
}

func (c *courier) where(p *part) string { return where(c.node, p.partition) }

func where(node, partition int32) string {
	return fmt.Sprintf("broker %d, partition %d", node, partition)
}
