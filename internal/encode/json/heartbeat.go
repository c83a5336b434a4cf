// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/internal/encode"
)

// timeLayout is that of all times: RFC 3339 with nanoseconds.
const timeLayout = `"2006-01-02T15:04:05.000000000Z"`

// AppendHeartbeat implements encode.Encoder.
func (e *Encoder) AppendHeartbeat(dst []byte, seq uint64, h *encode.Heartbeat) []byte {
	dst = appendUint(e.prefix.Append(dst), seq)
	dst = appendMoment(append(dst, keyTs...), h.Time)
	dst = append(dst, keyKind+`"heartbeat"`+keyHeartbeat+`{`+keyHeartbeatLast...)
	dst = strconv.AppendBool(dst, h.Last)
	dst = appendUint(append(dst, keyHeartbeatIntervalMs...), uint64(h.Interval.Milliseconds()))
	dst = appendQuoted(append(dst, keyHeartbeatState...), h.State)
	dst = appendMoment(append(dst, keyHeartbeatSince...), h.Since)
	dst = appendTotals(dst, h.Totals)
	if len(h.Drops) > 0 {
		dst = appendDrops(dst, h.Drops)
	}
	dst = appendLanes(dst, h.Lanes)
	if h.Spool != nil {
		dst = append(dst, keyHeartbeatSpool+`{`+keySpoolRecords...)
		dst = appendUint(dst, h.Spool.Records)
		dst = appendUint(append(dst, keySpoolDropped...), h.Spool.Dropped)
		dst = append(dst, '}')
	}
	if h.TopicID != "" {
		dst = appendQuoted(append(dst, keyHeartbeatTopicId...), h.TopicID)
	}
	if len(h.Reached) > 0 {
		dst = appendReached(dst, h.Reached)
	}
	if h.Settled > 0 {
		dst = appendUint(append(dst, keyHeartbeatSettled...), h.Settled)
	}
	return append(dst, `}}`...)
}

func appendMoment(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, timeLayout) }

func appendTotals(dst []byte, t encode.Totals) []byte {
	for _, f := range []struct {
		key string
		n   uint64
	}{
		{keyHeartbeatPackets, t.Packets}, {keyHeartbeatMessages, t.Messages},
		{keyHeartbeatRecords, t.Records}, {keyHeartbeatAcknowledged, t.Acknowledged},
		{keyHeartbeatSpooled, t.Spooled}, {keyHeartbeatDropped, t.Dropped},
		{keyHeartbeatHeld, t.Held},
	} {
		dst = appendUint(append(dst, f.key...), f.n)
	}
	return dst
}

func appendDrops(dst []byte, drops []encode.Drop) []byte {
	dst = append(dst, keyHeartbeatDrops+`[`...)
	for i, d := range drops {
		dst = append(dst, separator(i)+`{`+keyDropsStage...)
		dst = appendQuoted(dst, d.Stage)
		dst = appendQuoted(append(dst, keyDropsReason...), d.Reason)
		dst = appendUint(append(dst, keyDropsCount...), d.Count)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendLanes(dst []byte, lanes []encode.Lane) []byte {
	dst = append(dst, keyHeartbeatLanes+`[`...)
	for i, l := range lanes {
		dst = append(dst, separator(i)+`{`+keyLanesLane...)
		dst = appendUint(dst, l.Lane)
		dst = appendUint(append(dst, keyLanesSeq...), l.Seq)
		dst = appendUint(append(dst, keyLanesDropped...), l.Dropped)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendReached(dst []byte, reached []encode.Reached) []byte {
	dst = append(dst, keyHeartbeatReached+`[`...)
	for i, r := range reached {
		dst = append(dst, separator(i)+`{`+keyReachedPartition...)
		dst = appendUint(dst, r.Partition)
		dst = appendUint(append(dst, keyReachedEnd...), r.End)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// separator stands before the element i of an array.
func separator(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}
