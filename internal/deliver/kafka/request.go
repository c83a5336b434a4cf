// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceRequest is a request for some batches, each of which can be revoked. The client returns
// from a request when its context ends, while a goroutine of its own may yet be about to write it.
// An arena can be reused by then, so the client must not read its batch any more.
//
// It also knows which batches were ever written, which no error of the client tells.
type produceRequest struct {
	*kmsg.ProduceRequest
	ctx    context.Context // ends when nobody waits for the answer any more
	cancel context.CancelFunc

	mu    sync.Mutex      // guards the following, and the batches while they are written
	parts map[int32]*part // by partition, those that were not revoked
}

func (c *Client) produceRequest() *produceRequest {
	r := &produceRequest{ProduceRequest: c.emptyRequest(), parts: map[int32]*part{}}
	// It has no time of its own: the client bounds how long it waits for each step, and each caller
	// how long for the whole. So none of them ends the time of the others.
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// emptyRequest returns a request for the topic, without a batch.
func (c *Client) emptyRequest() *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = c.cfg.Acks.wire()
	req.TimeoutMillis = int32((c.cfg.RequestTimeout * 2 / 3).Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = c.cfg.Topic
	if id := c.topicID.Load(); id != nil {
		t.TopicID = *id
	}
	req.Topics = append(req.Topics, t)
	return req
}

// addBatch puts a batch into a request.
func addBatch(req *kmsg.ProduceRequest, partition int32, batch []byte) {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t := &req.Topics[0]
	t.Partitions = append(t.Partitions, p)
}

// AppendTo implements kmsg.Request: the client calls it when it writes the request, and again when
// it could not write any of it. What was revoked is left out. If nothing is left, there is no topic
// either; the broker answers that, and nobody listens.
func (r *produceRequest) AppendTo(dst []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.parts) == 0 {
		r.Topics = nil
		return r.ProduceRequest.AppendTo(dst)
	}
	r.Topics[0].Partitions = r.Topics[0].Partitions[:0]
	for _, p := range r.parts {
		addBatch(r.ProduceRequest, p.partition, p.batch)
		p.written = true
	}
	return r.ProduceRequest.AppendTo(dst)
}

// revoke makes sure that the batch of p is not read any more, and tells whether it ever was.
func (r *produceRequest) revoke(p *part) (written bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.parts, p.partition)
	if len(r.parts) == 0 {
		r.cancel()
	}
	return p.written
}

// end makes sure that no batch is read any more, and returns the parts that were not revoked.
func (r *produceRequest) end() map[int32]*part {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel()
	parts := r.parts
	r.parts = nil
	return parts
}
