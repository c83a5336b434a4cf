// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"encoding/binary"
	"time"

	"github.com/dnsluice/dnsluice/internal/encode"
)

// AppendHeartbeat implements encode.Encoder.
func (e *Encoder) AppendHeartbeat(dst []byte, seq uint64, h *encode.Heartbeat) []byte {
	dst = appendUint(append(append(dst, e.prefix...), tagSeq...), seq)
	dst = appendMoment(append(dst, tagTs...), h.Time)
	dst = appendText(append(dst, tagKind...), "heartbeat")
	dst, at := open(dst, tagHeartbeat)
	if h.Last {
		dst = append(dst, tagHeartbeatLast+yes...)
	}
	dst = appendUint(append(dst, tagHeartbeatIntervalMs...), uint64(h.Interval.Milliseconds()))
	dst = appendText(append(dst, tagHeartbeatState...), h.State)
	dst = appendMoment(append(dst, tagHeartbeatSince...), h.Since)
	dst = appendTotals(dst, h.Totals)
	for _, d := range h.Drops {
		opened, at := open(dst, tagHeartbeatDrops)
		dst = appendText(append(opened, tagDropsStage...), d.Stage)
		dst = appendText(append(dst, tagDropsReason...), d.Reason)
		dst = seal(appendUint(append(dst, tagDropsCount...), d.Count), at)
	}
	for _, l := range h.Lanes {
		opened, at := open(dst, tagHeartbeatLanes)
		dst = appendUint(append(opened, tagLanesLane...), l.Lane)
		dst = appendUint(append(dst, tagLanesSeq...), l.Seq)
		dst = seal(appendUint(append(dst, tagLanesDropped...), l.Dropped), at)
	}
	if h.Spool != nil {
		opened, at := open(dst, tagHeartbeatSpool)
		dst = appendUint(append(opened, tagSpoolRecords...), h.Spool.Records)
		dst = seal(appendUint(append(dst, tagSpoolDropped...), h.Spool.Dropped), at)
	}
	if h.TopicID != "" {
		dst = appendText(append(dst, tagHeartbeatTopicId...), h.TopicID)
	}
	for _, r := range h.Reached {
		opened, at := open(dst, tagHeartbeatReached)
		dst = appendUint(append(opened, tagReachedPartition...), r.Partition)
		dst = seal(appendUint(append(dst, tagReachedEnd...), r.End), at)
	}
	if h.Settled > 0 {
		dst = appendUint(append(dst, tagHeartbeatSettled...), h.Settled)
	}
	return seal(dst, at)
}

func appendMoment(dst []byte, t time.Time) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(t.UnixNano()))
}

func appendTotals(dst []byte, t encode.Totals) []byte {
	dst = appendUint(append(dst, tagHeartbeatPackets...), t.Packets)
	dst = appendUint(append(dst, tagHeartbeatMessages...), t.Messages)
	dst = appendUint(append(dst, tagHeartbeatRecords...), t.Records)
	dst = appendUint(append(dst, tagHeartbeatAcknowledged...), t.Acknowledged)
	dst = appendUint(append(dst, tagHeartbeatSpooled...), t.Spooled)
	dst = appendUint(append(dst, tagHeartbeatDropped...), t.Dropped)
	return appendUint(append(dst, tagHeartbeatHeld...), t.Held)
}
