// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// sum adds up what the lanes counted.
func sum(lanes []*lane) (t tally) {
	for _, l := range lanes {
		t.add(l.count())
	}
	return t
}

// stages returns the lines of the ledger that belong to the lanes.
func (t tally) stages() []ledger.Stage {
	stages := []ledger.Stage{captureStage(t.capture), decodeStage(t.decode), wireStage(t.decode)}
	in := t.decode.Messages
	if t.matching {
		stages = append(stages, matchStage(t.match))
		in = t.match.Transactions
	}
	return append(stages, ledger.Stage{Stage: "encode", Unit: "records", In: in, Out: t.records,
		Held: in - t.records})
}

func captureStage(s capture.Stats) ledger.Stage {
	dropped := s.KernelDropped + s.Discarded
	detail := map[string]uint64{"bytes": s.Bytes, "reopened": s.Reopened, "frozen": s.Frozen}
	if s.Connections > 0 {
		detail["connections"] = s.Connections
		for e, n := range s.Ended {
			detail["ended."+capture.End(e).String()] = n
		}
	}
	return ledger.Stage{
		Stage: "capture", Unit: "packets", In: s.Received, Out: s.Read,
		Held:    s.Received - s.Read - dropped,
		Dropped: map[string]uint64{"kernel": s.KernelDropped, "discarded": s.Discarded},
		Detail:  detail,
	}
}

func decodeStage(c decode.Counters) ledger.Stage {
	dropped := make(map[string]uint64, len(c.Dropped))
	for r, n := range c.Dropped {
		if r := decode.Reason(r); r != decode.OK {
			dropped[r.String()] = n
		}
	}
	detail := map[string]uint64{
		"fragments.completed":  c.Fragments.Completed,
		"fragments.duplicated": c.Fragments.Duplicated,
		"fragments.overlapped": c.Fragments.Overlapped,
		"tcp.overlaps":         c.TCP.Overlaps,
		"tcp.gaps":             c.TCP.Gaps,
		"tcp.gap_bytes":        c.TCP.GapBytes,
		"tcp.resyncs":          c.TCP.Resyncs,
		"tcp.forgot":           c.TCP.Forgot,
		"tcp.streams":          c.TCP.Streams,
	}
	for k, n := range c.Tunnels {
		if k := dnsmsg.Tunnel(k); k != dnsmsg.NoTunnel {
			detail["tunnel."+k.String()] = n
		}
	}
	return ledger.Stage{Stage: "decode", Unit: "packets", In: c.Packets, Out: c.Carried,
		Held: c.Held, Dropped: dropped, Detail: detail}
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

// matchStage counts messages, those that left in the same record as others included. How many
// records there are of each kind stands beside.
func matchStage(c match.Counters) ledger.Stage {
	detail := map[string]uint64{
		"retransmits": c.Retransmits, "reordered": c.Reordered, "reversed": c.Reversed,
		"retries": c.Retries,
	}
	for k, n := range c.Kinds {
		detail["kind."+dnsmsg.Kind(k).String()] = n
	}
	for u, n := range c.Unpaired {
		if u := dnsmsg.Unpaired(u); u != dnsmsg.Paired {
			detail["unpaired."+u.String()] = n
		}
	}
	return ledger.Stage{Stage: "match", Unit: "messages", In: c.Messages, Out: c.Left,
		Held: c.Held, Detail: detail}
}

func deliverStage(c deliver.Counters) ledger.Stage {
	dropped := make(map[string]uint64, len(c.Dropped))
	for r, n := range c.Dropped {
		dropped[deliver.Reason(r).String()] = n
	}
	return ledger.Stage{
		Stage: "deliver", Unit: "records", In: c.In, Out: c.Acknowledged,
		Held:    c.Held + c.Spooled, // in memory, and on disk
		Dropped: dropped,
		Detail: map[string]uint64{
			"redelivered": c.Redelivered, "redated": c.Redated, "retried": c.Retried,
			"batches": c.Batches, "bytes": c.Bytes, "failed": c.Failed, "split": c.Split,
			"replayed": c.Replayed, "replay_dropped": c.ReplayDropped,
			"recycled": c.Recycled, "panics": c.Panics, "dead_letters": c.DeadLetters,
		},
	}
}

// spoolStages returns the line of the spool, if there is one. What it drops of this run is in the
// line of deliver, too.
func spoolStages(spool deliver.Spool) []ledger.Stage {
	if spool == nil {
		return nil
	}
	s := spool.Stats()
	dropped := make(map[string]uint64)
	for _, why := range []deliver.Reason{deliver.SpoolFull, deliver.SpoolAge, deliver.SpoolCorrupt} {
		dropped[why.String()] = s.Dropped[why]
	}
	return []ledger.Stage{{
		Stage: "spool", Unit: "records", In: s.Recovered + s.Appended, Out: s.Settled,
		Held: s.Records, Dropped: dropped,
		Detail: map[string]uint64{
			"recovered": s.Recovered, "corrupt_frames": s.Corrupt.Frames,
			"corrupt_bytes": s.Corrupt.Bytes, "corrupt_records": s.Corrupt.Records,
		},
	}}
}

// Ledger returns the account of the run so far. While packets move, each line adds up, and one
// line may be a turn of a lane ahead of the next; after Run they agree.
func (s *Sensor) Ledger() ledger.Ledger {
	t := sum(s.lanes)
	c := s.delivery.Counters()
	deliver := deliverStage(c)
	stages := append(t.stages(), s.heart.stages()...)
	stages = append(append(stages, deliver), spoolStages(s.cfg.Deliver.Spool)...)
	return ledger.Of(stages, ledger.Totals{
		Packets: t.capture.Received, Messages: t.decode.Messages, Records: c.In,
		Acknowledged: c.Acknowledged, Spooled: c.Spooled, Dropped: deliver.DroppedSum(), Held: c.Held,
	})
}
