// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
)

func TestHearingEndsAsSoonAsBothDirectionsWereHeard(t *testing.T) {
	h, err := hear(t.Context(), pcapfile.New("../../testdata/bind-types.pcap"), []uint16{53})
	if err != nil || h.Queries == 0 || h.Responses == 0 || h.Packets > 10 {
		t.Errorf("%+v, %v", h, err)
	}
	h, err = hear(t.Context(), pcapfile.New("../../testdata/bind-types.pcap"), []uint16{5353})
	if err != nil || h.Queries+h.Responses != 0 || h.Packets < 100 {
		t.Errorf("on another port: %+v, %v", h, err)
	}
	if _, err := hear(t.Context(), pcapfile.New("nonesuch.pcap"), []uint16{53}); err == nil {
		t.Error("a source that fails is no error")
	}
}

func TestHearingEndsWithItsTimeOnAQuietLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		h, err := hear(ctx, &dripping{}, []uint16{53})
		if took := time.Since(start); err != nil || h != (Heard{}) || took > 6*time.Second {
			t.Errorf("%+v, %v, after %s", h, err, took)
		}
	})
}

func TestACanaryIsTheOnlyHeartbeatOfASensorOfItsOwn(t *testing.T) {
	var got struct {
		V, Lane, Seq      int
		Sensor, Run, Kind string
		Heartbeat         struct {
			Last  bool
			State string
		}
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	value, err := Canary("json", "ns1", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(value, &got); err != nil {
		t.Fatal(err)
	}
	if value, err := Canary("protobuf", "ns1", now); err != nil || value[0] == '{' {
		t.Errorf("in Protobuf it is %q, %v", value, err)
	}
	if got.V != 1 || got.Seq != 1 || got.Sensor != "ns1/canary" || got.Run != RunID(now) ||
		got.Kind != "heartbeat" || !got.Heartbeat.Last || got.Heartbeat.State != CanaryState {
		t.Errorf("%+v", got)
	}
}
