// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	stdjson "encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/schema"
)

// TestAHeartbeatSaysAllThatItKnows reads the heartbeats by names alone.
func TestAHeartbeatSaysAllThatItKnows(t *testing.T) {
	for _, h := range encodetest.Heartbeats() {
		v := json.New(lane3).AppendHeartbeat([]byte("before "), 42, &h.Heartbeat)
		if err := ordered(v[len("before "):], schema.OfHeartbeats); err != nil {
			t.Fatalf("%s: %v: %s", h.Name, err, v)
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
				TopicID      string `json:"topic_id"`
				Reached      []encode.Reached
				Settled      uint64
			}
		}
		if err := stdjson.Unmarshal(v[len("before "):], &got); err != nil {
			t.Fatal(err)
		}
		b := got.Heartbeat
		if got.Kind != "heartbeat" || got.Seq != 42 || got.Lane != 3 || got.Sensor != lane3.Sensor {
			t.Errorf("%s: it names itself %+v", h.Name, got)
		}
		back := encode.Heartbeat{Time: got.TS, Interval: time.Duration(b.IntervalMs) * time.Millisecond,
			Last: b.Last, State: b.State, Since: b.Since, Drops: b.Drops, Lanes: b.Lanes,
			TopicID: b.TopicID, Reached: b.Reached, Settled: b.Settled,
			Totals: encode.Totals{Packets: b.Packets, Messages: b.Messages, Records: b.Records,
				Acknowledged: b.Acknowledged, Spooled: b.Spooled, Dropped: b.Dropped, Held: b.Held}}
		if b.Spool != nil {
			back.Spool = &encode.Spool{Records: b.Spool.Records, Dropped: b.Spool.Dropped}
		}
		if diff := cmp.Diff(h.Heartbeat, back); diff != "" {
			t.Errorf("%s: %s", h.Name, diff)
		}
	}
}
