// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// answering returns a step of a drill that makes brokers answer requests of a kind with an
// error, count times, or until the drill is healed with nothing.
func answering(key kmsg.Key, err *kerr.Error, count int) func(*rig) {
	return func(r *rig) {
		h := r.c.Fault(kfake.Fault{
			Keys: []kmsg.Key{key}, Err: err, Count: count, TopLevel: key == kmsg.InitProducerID,
		})
		r.Cleanup(h.Remove)
		if count < 0 {
			r.mend = h.Remove
			return
		}
		until(r, "the brokers answer with errors", func() bool { return h.Hits() >= count })
	}
}

// mended ends what answering began.
func mended(r *rig) { r.mend() }

// wired returns a step that changes the wire.
func wired(change func(*wire)) func(*rig) {
	return func(r *rig) { r.w.set(func() { change(r.w) }) }
}

// unwired makes the wire a wire again.
var unwired = wired(func(w *wire) { w.ask, w.answer, w.refusing = nil, nil, false })

// asked returns an ask that does what to requests of one kind.
func asked(key kmsg.Key, what move) func(*wire) {
	return func(w *wire) {
		w.ask = func(_ int, k kmsg.Key, _ []byte) move {
			if k == key {
				return what
			}
			return pass
		}
	}
}

// answered returns an answer that does what to, and with, answers to batches.
func answered(what move, with func(*kmsg.ProduceResponse)) func(*wire) {
	return func(w *wire) {
		w.answer = func(_ int, resp kmsg.Response) move {
			p, ok := resp.(*kmsg.ProduceResponse)
			if !ok {
				return pass
			}
			if with != nil {
				with(p)
			}
			return what
		}
	}
}

func code(e *kerr.Error) func(*kmsg.ProduceResponse) {
	return func(p *kmsg.ProduceResponse) { p.Topics[0].Partitions[0].ErrorCode = e.Code }
}

// once checks that nothing may be there twice or was dropped.
func once(r *rig, n deliver.Counters) {
	if n.Redelivered != 0 || n.Acknowledged != n.In {
		r.Errorf("%+v", n)
	}
}

// again checks that something may be there twice, and nothing was dropped.
func again(r *rig, n deliver.Counters) {
	if n.Redelivered == 0 || n.Acknowledged != n.In {
		r.Errorf("%+v", n)
	}
}

var drills = []drill{
	{name: "all is well", brokers: 3, after: func(r *rig, n deliver.Counters) {
		once(r, n)
		if n.Failed+n.Retried != 0 {
			r.Errorf("%+v", n)
		}
	}},
	{name: "leaders move again and again", brokers: 3, fault: func(r *rig) {
		for range 25 {
			r.c.ShufflePartitionLeaders()
			r.acknowledged(3)
		}
	}, after: once},
	{name: "a broker leaves and another comes", brokers: 3, fault: func(r *rig) {
		if err := r.c.RemoveNode(1); err != nil {
			r.Fatal(err)
		}
		r.w.down(1)
		r.acknowledged(20)
		if _, _, err := r.c.AddNode(3, 0); err != nil {
			r.Fatal(err)
		}
		r.acknowledged(20)
	}, after: once},
	{name: "one of three brokers is away", brokers: 3, fault: func(r *rig) {
		if err := r.c.MoveTopicPartition(topic, 2, 0); err != nil {
			r.Fatal(err)
		}
		r.w.down(0)
		until(r, "failures", func() bool { return r.d.Counters().Failed > 3 })
	}, heal: func(r *rig) { r.w.up(r, 0) }, after: once},
	{name: "all brokers are away and come back", brokers: 3,
		fault: func(r *rig) { r.w.down(r.w.nodes()...) }, want: deliver.Unreachable,
		heal: func(r *rig) { r.w.up(r, r.w.nodes()...) }, after: once},
	{name: "no broker is there at the start",
		start: func(r *rig) { r.w.down(0) }, want: deliver.Unreachable,
		heal: func(r *rig) { r.w.up(r, 0) }, after: once},
	{name: "a load balancer takes connections and closes them",
		fault: func(r *rig) { r.w.set(func() { r.w.refusing = true }); r.w.down(0); r.w.up(r, 0) },
		want:  deliver.Unreachable, heal: unwired, after: once},
	{name: "the topic is missing at the start", partitions: -1, want: deliver.TopicMissing,
		heal: func(r *rig) {
			if err := r.c.CreateTopic(topic, 4, nil); err != nil {
				r.Fatal(err)
			}
		}, after: once},
	{name: "the topic is deleted and made anew",
		fault: func(r *rig) {
			r.drain()
			r.before = r.readBack()
			if err := r.c.DeleteTopic(topic); err != nil {
				r.Fatal(err)
			}
			r.pause.Unlock()
		}, want: deliver.TopicMissing,
		heal: func(r *rig) {
			if err := r.c.CreateTopic(topic, 4, nil); err != nil {
				r.Fatal(err)
			}
		}, after: again},
	{name: "a topic of fewer partitions takes the place of another",
		fault: func(r *rig) {
			r.drain()
			r.before = r.readBack()
			if err := r.c.DeleteTopic(topic); err != nil {
				r.Fatal(err)
			}
			if err := r.c.CreateTopic(topic, 2, nil); err != nil {
				r.Fatal(err)
			}
			r.pause.Unlock()
			until(r, "it is seen", func() bool { return r.d.Status().Partitions == 2 })
		}},
	{name: "partitions are added",
		fault: func(r *rig) {
			req := kmsg.NewPtrCreatePartitionsRequest()
			p := kmsg.NewCreatePartitionsRequestTopic()
			p.Topic, p.Count = topic, 12
			req.Topics = append(req.Topics, p)
			if _, err := req.RequestWith(r.Context(), r.cl.cl); err != nil {
				r.Fatal(err)
			}
			until(r, "all are used", func() bool {
				used := 0
				for _, p := range r.c.PartitionInfos(topic) {
					if p.HighWatermark > 0 {
						used++
					}
				}
				return used == 12
			})
		}, after: once},
	{name: "no partition has a leader",
		fault: wired(func(w *wire) {
			w.answer = func(_ int, resp kmsg.Response) move {
				if m, ok := resp.(*kmsg.MetadataResponse); ok {
					for i := range m.Topics {
						for j := range m.Topics[i].Partitions {
							m.Topics[i].Partitions[j].Leader = -1
						}
					}
				}
				return pass
			}
		}), want: deliver.NoLeaderState, heal: unwired, after: once},
	{name: "sequences are out of order", fault: answering(kmsg.Produce, kerr.OutOfOrderSequenceNumber, 8),
		after: once},
	{name: "producers are forgotten", fault: answering(kmsg.Produce, kerr.UnknownProducerID, 8),
		after: once},
	{name: "producers are fenced until somebody looks",
		fault: answering(kmsg.Produce, kerr.InvalidProducerEpoch, -1),
		want:  deliver.BrokerError, heal: mended, after: once},
	{name: "too few replicas are in sync",
		fault: answering(kmsg.Produce, kerr.NotEnoughReplicas, -1),
		want:  deliver.NotEnoughReplicas, heal: mended, after: once},
	{name: "too few replicas are in sync after the append",
		fault: answering(kmsg.Produce, kerr.NotEnoughReplicasAfterAppend, -1),
		want:  deliver.NotEnoughReplicas, heal: mended, after: once},
	{name: "replicas do not follow in time",
		fault: answering(kmsg.Produce, kerr.RequestTimedOut, -1),
		want:  deliver.NoAnswer, heal: mended, after: once},
	{name: "the leader moves after the append",
		fault: wired(answered(pass, code(kerr.NotLeaderForPartition))),
		want:  deliver.NoLeaderState, heal: unwired, after: once},
	{name: "the partition leaves the broker after the append",
		fault: wired(answered(pass, code(kerr.UnknownTopicOrPartition))),
		want:  deliver.TopicMissing, heal: unwired, after: once},
	{name: "the right to write is revoked",
		fault: answering(kmsg.Produce, kerr.TopicAuthorizationFailed, -1),
		want:  deliver.Unauthorized, heal: mended, after: once},
	{name: "the right to see the topic is revoked",
		fault: answering(kmsg.Metadata, kerr.TopicAuthorizationFailed, -1), heal: mended,
		after: once},
	{name: "identities are refused once", start: func(r *rig) {
		r.c.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, TopLevel: true,
		})
	}, after: func(r *rig, n deliver.Counters) {
		once(r, n)
		if n.Failed != 1 {
			r.Errorf("%+v", n)
		}
	}},
	{name: "identities are refused until the right is granted",
		start: answering(kmsg.InitProducerID, kerr.ClusterAuthorizationFailed, -1),
		want:  deliver.Unauthorized, heal: mended, after: once},
	{name: "batches arrive corrupted",
		fault: answering(kmsg.Produce, kerr.CorruptMessage, -1),
		want:  deliver.BrokerError, heal: mended, after: once},
	{name: "an error that nobody knows",
		fault: wired(answered(pass, code(&kerr.Error{Code: 12345}))),
		want:  deliver.BrokerError, heal: unwired, after: once},
	{name: "batches are too large", fault: answering(kmsg.Produce, kerr.MessageTooLarge, 3),
		after: func(r *rig, n deliver.Counters) {
			if n.Split == 0 || n.Redelivered != 0 || n.Acknowledged+n.Dropped[deliver.TooLarge] != n.In {
				r.Errorf("%+v", n)
			}
		}},
	{name: "batches are too large after they were appended",
		fault: func(r *rig) {
			wired(answered(cut, nil))(r)
			r.state(deliver.Unreachable)
			h := r.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: 4})
			unwired(r)
			until(r, "batches are refused", func() bool { return h.Hits() == 4 })
		},
		after: func(r *rig, n deliver.Counters) { // a batch of one record may be among the four
			if n.Split == 0 || n.Redelivered == 0 || n.Acknowledged+n.Dropped[deliver.TooLarge] != n.In {
				r.Errorf("%+v", n)
			}
		}},
	{name: "brokers are slow", fault: wired(func(w *wire) {
		answered(pass, func(*kmsg.ProduceResponse) { <-time.After(20 * time.Millisecond) })(w)
	}), want: deliver.Flowing, heal: unwired, after: once},
	{name: "brokers take batches and never answer",
		fault: wired(asked(kmsg.Produce, hang)),
		want:  deliver.NoAnswer, heal: unwired, after: once},
	{name: "brokers append batches and the answers are lost",
		fault: wired(answered(hang, nil)), want: deliver.NoAnswer, heal: unwired, after: once},
	{name: "connections are cut before the append",
		fault: wired(asked(kmsg.Produce, cut)),
		want:  deliver.Unreachable, heal: unwired, after: once},
	{name: "connections are cut after the append", brokers: 3,
		fault: wired(answered(cut, nil)), want: deliver.Unreachable, heal: unwired, after: once},
	{name: "connections are cut in the middle of answers",
		fault: wired(answered(half, nil)), want: deliver.Unreachable, heal: unwired, after: once},
	{name: "brokers do not answer anything",
		fault: wired(func(w *wire) { w.ask = func(int, kmsg.Key, []byte) move { return hang } }),
		want:  deliver.NoAnswer, heal: unwired, after: once},
}

func TestDrills(t *testing.T) {
	for _, d := range drills {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.run(t)
		})
	}
}
