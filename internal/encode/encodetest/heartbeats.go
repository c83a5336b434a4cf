// SPDX-License-Identifier: Apache-2.0

package encodetest

import (
	"time"

	"github.com/dnsluice/dnsluice/internal/encode"
)

// Pulse is a heartbeat and its name.
type Pulse struct {
	Name string
	encode.Heartbeat
}

// Heartbeats are one with as little as can be and one with everything.
func Heartbeats() []Pulse {
	at := time.Date(2026, 11, 22, 19, 0, 10, 5, time.UTC)
	quiet := encode.Heartbeat{
		Time: at, Interval: 10 * time.Second, State: "idle", Since: at.Add(-time.Second),
		Lanes: []encode.Lane{{Lane: 0}, {Lane: 1, Seq: 42}},
	}
	last := quiet
	last.Last, last.State = true, "dropping"
	last.Totals = encode.Totals{Packets: 1 << 53, Messages: 2, Records: 3, Acknowledged: 4,
		Spooled: 5, Dropped: 6, Held: 7}
	last.Drops = []encode.Drop{{Stage: "capture", Reason: "kernel", Count: 8},
		{Stage: "deliver", Reason: "memory_full", Count: 6}}
	last.Lanes = []encode.Lane{{Lane: 0, Seq: 100_000_000, Dropped: 6}, {Lane: 1, Seq: 42}}
	last.Spool = &encode.Spool{Records: 5, Dropped: 9}
	last.Settled = 41
	last.TopicID = "AAECAwQFBgcICQoLDA0ODw"
	last.Reached = []encode.Reached{{Partition: 0, End: 1 << 40}, {Partition: 11, End: 1}}
	return []Pulse{{"heartbeat: a quiet link", quiet}, {"heartbeat: the last, with everything", last}}
}
