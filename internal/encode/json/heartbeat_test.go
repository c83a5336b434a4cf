// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	stdjson "encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/schema"
)

// pulse is a heartbeat and its name.
type pulse struct {
	name string
	encode.Heartbeat
}

func heartbeats() []pulse {
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
	return []pulse{{"heartbeat: a quiet link", quiet}, {"heartbeat: the last, with everything", last}}
}

// TestAHeartbeatSaysAllThatItKnows reads the heartbeats by names alone.
func TestAHeartbeatSaysAllThatItKnows(t *testing.T) {
	for _, h := range heartbeats() {
		v := json.New(lane3).AppendHeartbeat([]byte("before "), 42, &h.Heartbeat)
		if err := ordered(v[len("before "):], schema.OfHeartbeats); err != nil {
			t.Fatalf("%s: %v: %s", h.name, err, v)
		}
		type spool struct{ Records, Dropped uint64 }
		var got struct {
			V, Lane, Seq      uint64
			Sensor, Run, Kind string
			TS                time.Time
			Heartbeat         struct {
				Last         bool
				IntervalMs   int64 `json:"interval_ms"`
				State        string
				Since        time.Time
				Packets      uint64
				Messages     uint64
				Records      uint64
				Acknowledged uint64
				Spooled      uint64
				Dropped      uint64
				Held         uint64
				Drops        []encode.Drop
				Lanes        []encode.Lane
				Spool        *spool
			}
		}
		if err := stdjson.Unmarshal(v[len("before "):], &got); err != nil {
			t.Fatal(err)
		}
		b := got.Heartbeat
		if got.Kind != "heartbeat" || got.Seq != 42 || got.Lane != 3 || got.Sensor != lane3.Sensor {
			t.Errorf("%s: it names itself %+v", h.name, got)
		}
		back := encode.Heartbeat{Time: got.TS, Interval: time.Duration(b.IntervalMs) * time.Millisecond,
			Last: b.Last, State: b.State, Since: b.Since, Drops: b.Drops, Lanes: b.Lanes,
			Totals: encode.Totals{Packets: b.Packets, Messages: b.Messages, Records: b.Records,
				Acknowledged: b.Acknowledged, Spooled: b.Spooled, Dropped: b.Dropped, Held: b.Held}}
		if b.Spool != nil {
			back.Spool = &encode.Spool{Records: b.Spool.Records, Dropped: b.Spool.Dropped}
		}
		if diff := cmp.Diff(h.Heartbeat, back); diff != "" {
			t.Errorf("%s: %s", h.name, diff)
		}
	}
}
