// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"errors"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

func TestAnInterfaceWithoutACarrierIsNamed(t *testing.T) {
	for _, c := range []struct {
		state deliver.State
		names []string
		want  string
	}{
		{deliver.Flowing, nil, "words"},
		{deliver.Idle, []string{"eth1", "eth2"},
			"words; nothing comes from eth1, eth2, without a carrier: look at the cable, or the other end"},
		{deliver.Unreachable, []string{"eth1"}, "words"}, // first things first
	} {
		got := unplugged(deliver.Status{State: c.state, Sentence: "words"}, c.names)
		if got.State != c.state || got.Sentence != c.want {
			t.Errorf("%s: %q", got.State, got.Sentence)
		}
	}
}

// TestASensorIsWellSinceItsInterfaceIsBack goes through an outage of a capture whose delivery has
// nothing to complain of.
func TestASensorIsWellSinceItsInterfaceIsBack(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 11, 22, 12, 0, second, 0, time.UTC) }
	flows := deliver.Status{State: deliver.Flowing, Since: at(0),
		Sentence: "flowing since 2026-11-22T12:00:00Z: records are acknowledged"}
	fails := deliver.Status{State: deliver.Unreachable, Since: at(20), Sentence: "unreachable"}
	again := deliver.Status{State: deliver.Flowing, Since: at(25),
		Sentence: "flowing since 2026-11-22T12:00:25Z: records are acknowledged"}
	down := errors.New("eth0 is down")
	var o outage
	for _, step := range []struct {
		name     string
		status   deliver.Status
		err      error
		now      int
		state    deliver.State
		since    int
		sentence string
	}{
		{"before", flows, nil, 1, deliver.Flowing, 0, flows.Sentence},
		{"it begins", flows, down, 5, CaptureDown, 5, "capture_down since 2026-11-22T12:00:05Z: " +
			"eth0 is down; capture goes on by itself when it is back"},
		{"it lasts", flows, down, 7, CaptureDown, 5, "capture_down since 2026-11-22T12:00:05Z: " +
			"eth0 is down; capture goes on by itself when it is back"},
		{"it is over", flows, nil, 9, deliver.Flowing, 9,
			"flowing since 2026-11-22T12:00:09Z: records are acknowledged"},
		{"later", flows, nil, 11, deliver.Flowing, 9,
			"flowing since 2026-11-22T12:00:09Z: records are acknowledged"},
		{"delivery fails, which is said first", fails, down, 21, deliver.Unreachable, 20, "unreachable"},
		{"the interface is back, delivery is not", fails, nil, 22, deliver.Unreachable, 20, "unreachable"},
		{"delivery is well again, later than the interface", again, nil, 26, deliver.Flowing, 25, again.Sentence},
	} {
		got := o.over(step.status, step.err, at(step.now))
		if got.State != step.state || !got.Since.Equal(at(step.since)) || got.Sentence != step.sentence {
			t.Errorf("%s: %s since %s: %q", step.name, got.State, got.Since, got.Sentence)
		}
	}
}
