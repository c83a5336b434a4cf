// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// reach remembers where in the topic the newest acknowledged record of each partition is. It
// outlives a client, for what was acknowledged to one stays where it is. It knows all or nothing:
// who is told of a partition too little would take what is missing there for lost.
type reach struct {
	mu    sync.Mutex // guards the following
	topic [16]byte
	ends  map[int32]int64 // behind the newest record; nowhere when that is not known
	blind bool            // a batch was acknowledged by a broker that has no ids for topics
}

// nowhere is the end of a partition in which something was acknowledged without its offset.
const nowhere int64 = -1

// mostEnds is of how many partitions is told: a heartbeat must fit into a record.
const mostEnds = 4096

// note notes that a partition of the topic has acknowledged what ends before end.
func (r *reach) note(topic [16]byte, partition int32, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case topic == [16]byte{}:
		r.blind = true
		return
	case topic != r.topic: // another one of the same name, which has nothing of what the first had
		r.topic, r.ends = topic, map[int32]int64{}
	}
	if end != nowhere { // the answers of two connections may pass each other
		end = max(end, r.ends[partition])
	}
	r.ends[partition] = end
}

// known returns what is known, the partitions in their order.
func (r *reach) known() deliver.Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blind || r.ends == nil || len(r.ends) > mostEnds {
		return deliver.Reach{}
	}
	out := deliver.Reach{Topic: topicID(r.topic)}
	for _, partition := range slices.SortedFunc(maps.Keys(r.ends), cmp.Compare[int32]) {
		if r.ends[partition] == nowhere {
			return deliver.Reach{}
		}
		out.Ends = append(out.Ends, deliver.End{Partition: partition, Offset: r.ends[partition]})
	}
	return out
}

// topicID writes the id of a topic as Kafka's own tools do.
func topicID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// lastDelta is where the header of a batch says how many offsets its last record is behind its
// first (the record batch of the protocol guide).
const lastDelta = 23

// width returns how many offsets a batch takes; 0 when it is none.
func width(batch []byte) int64 {
	if len(batch) < lastDelta+4 {
		return 0
	}
	return int64(binary.BigEndian.Uint32(batch[lastDelta:])) + 1
}

// reached notes where the batch of an acknowledged part is. A leader that was not waited for by its
// replicas may lose what it has acknowledged, and give the offset away again.
func (c *Client) reached(p *part) {
	if c.cfg.Acks != AcksAll {
		return
	}
	var topic [16]byte
	if id := c.topicID.Load(); id != nil {
		topic = *id
	}
	end := nowhere
	if first := p.answer.BaseOffset; first >= 0 && p.width > 0 && p.answer.ErrorCode == 0 {
		end = first + p.width
	}
	c.reach.note(topic, p.partition, end)
}

// Reach implements deliver.Reacher.
func (c *Client) Reach() deliver.Reach { return c.reach.known() }
