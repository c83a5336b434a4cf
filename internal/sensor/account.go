// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// sum adds up what the lanes counted.
func sum(lanes []*lane) (t tally) {
	for _, l := range lanes {
		c := l.count()
		t.capture = add(t.capture, c.capture)
		t.records += c.records
		t.decode.Packets += c.decode.Packets
		t.decode.Carried += c.decode.Carried
		t.decode.Held += c.decode.Held
		t.decode.Messages += c.decode.Messages
		for r, n := range c.decode.Dropped {
			t.decode.Dropped[r] += n
		}
		for r, n := range c.decode.Malformed {
			t.decode.Malformed[r] += n
		}
	}
	return t
}

// stages returns the lines of the ledger that belong to the lanes.
func (t tally) stages() []ledger.Stage {
	return []ledger.Stage{
		captureStage(t.capture),
		decodeStage(t.decode),
		wireStage(t.decode),
		{Stage: "encode", Unit: "records", In: t.decode.Messages, Out: t.records,
			Held: t.decode.Messages - t.records},
	}
}

func captureStage(s capture.Stats) ledger.Stage {
	dropped := s.KernelDropped + s.Discarded
	return ledger.Stage{
		Stage: "capture", Unit: "packets", In: s.Received, Out: s.Read,
		Held:    s.Received - s.Read - dropped,
		Dropped: map[string]uint64{"kernel": s.KernelDropped, "discarded": s.Discarded},
		Detail:  map[string]uint64{"bytes": s.Bytes, "reopened": s.Reopened, "frozen": s.Frozen},
	}
}

func decodeStage(c decode.Counters) ledger.Stage {
	dropped := make(map[string]uint64, len(c.Dropped))
	for r, n := range c.Dropped {
		if r := decode.Reason(r); r != decode.OK {
			dropped[r.String()] = n
		}
	}
	return ledger.Stage{Stage: "decode", Unit: "packets", In: c.Packets, Out: c.Carried,
		Held: c.Held, Dropped: dropped}
}

// wireStage is the part of decode that counts messages: a packet can carry several. It drops
// none, for a malformed message is data.
func wireStage(c decode.Counters) ledger.Stage {
	detail := make(map[string]uint64, len(c.Malformed))
	for r, n := range c.Malformed {
		if r := dnsmsg.Reason(r); r != dnsmsg.OK {
			detail["malformed."+r.String()] = n
		}
	}
	return ledger.Stage{Stage: "wire", Unit: "messages", In: c.Messages, Out: c.Messages,
		Detail: detail}
}

func deliverStage(c deliver.Counters) ledger.Stage {
	dropped := make(map[string]uint64, len(c.Dropped))
	for r, n := range c.Dropped {
		dropped[deliver.Reason(r).String()] = n
	}
	return ledger.Stage{
		Stage: "deliver", Unit: "records", In: c.In, Out: c.Acknowledged, Held: c.Held,
		Dropped: dropped,
		Detail: map[string]uint64{
			"redelivered": c.Redelivered, "redated": c.Redated, "retried": c.Retried,
			"batches": c.Batches, "bytes": c.Bytes, "failed": c.Failed,
		},
	}
}

// Ledger returns the account of the run so far. While packets move, each line adds up, and one
// line may be a turn of a lane ahead of the next; after Run they agree.
func (s *Sensor) Ledger() ledger.Ledger {
	t := sum(s.lanes)
	c := s.delivery.Counters()
	deliver := deliverStage(c)
	return ledger.Of(append(t.stages(), deliver), ledger.Totals{
		Packets: t.capture.Received, Messages: t.decode.Messages,
		Records: c.In, Acknowledged: c.Acknowledged, Dropped: deliver.DroppedSum(), Held: c.Held,
	})
}
