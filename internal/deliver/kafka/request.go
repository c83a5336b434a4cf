// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceRequest is a request for one batch that can be revoked. The client returns from a
// request when its context ends, while a goroutine of its own may yet be about to write it. The
// batch's arena can be reused by then, so the client must not read it any more.
//
// It also knows whether the batch was ever written, which no error of the client tells.
type produceRequest struct {
	*kmsg.ProduceRequest

	mu      sync.Mutex // guards the following, and the batch while it is written
	written bool
	revoked bool
}

func (c *Client) produceRequest(partition int32, batch []byte) *produceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = c.cfg.Acks.wire()
	req.TimeoutMillis = int32((c.cfg.RequestTimeout * 2 / 3).Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = c.cfg.Topic
	if id := c.topicID.Load(); id != nil {
		t.TopicID = *id
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return &produceRequest{ProduceRequest: req}
}

// AppendTo implements kmsg.Request: the client calls it when it writes the request. A revoked
// request is written without any topic; the broker answers it, and nobody listens.
func (r *produceRequest) AppendTo(dst []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revoked {
		r.Topics = nil
	} else {
		r.written = true
	}
	return r.ProduceRequest.AppendTo(dst)
}

// revoke makes sure that the batch is not read any more, and tells whether it ever was.
func (r *produceRequest) revoke() (written bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked = true
	return r.written
}
