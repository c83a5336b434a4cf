// SPDX-License-Identifier: Apache-2.0

package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// TestARetryOnAnotherLaneIsLinked has the truncated answer on one lane, and the query over TCP on
// one that shares its Retries and on one that does not.
func TestARetryOnAnotherLaneIsLinked(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Retries = NewRetries()
	udp, tcp, stranger := newRig(t, cfg), newRig(t, cfg), newRig(t, DefaultConfig())
	udp.take(msg{id: 5, at: second}, msg{id: 5, at: second, response: true, flags: dnsmsg.FlagTC})
	for _, r := range []*rig{stranger, tcp} {
		r.take(msg{id: 6, at: second + ms, transport: dnsmsg.TCP},
			msg{id: 6, at: second + ms, transport: dnsmsg.TCP, response: true})
	}
	got := append(stranger.end(), tcp.end()...)
	want := []string{"transaction q6:a.example r6:a.example 0s",
		"transaction q6:a.example r6:a.example 0s retry=5/4000/1ms"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("transactions (-want +got):\n%s", diff)
	}
	if a, b := stranger.Counters().Retries, tcp.Counters().Retries; a != 0 || b != 1 {
		t.Errorf("%d and %d links were counted, want 0 and 1", a, b)
	}
}

func TestCountersOfLanesAddUp(t *testing.T) {
	a, b := newRig(t, DefaultConfig()), newRig(t, DefaultConfig())
	a.take(msg{}, msg{}, msg{response: true}, msg{id: 1})
	b.take(msg{response: true, at: 5}, msg{at: 9}, msg{to: "ff02::fb"})
	sum := a.Counters()
	sum.Add(b.Counters())
	want := Counters{
		Messages: 7, Left: 6, Held: 1, Transactions: 3, Retransmits: 1, Reordered: 1, Reversed: 1,
	}
	want.Kinds[dnsmsg.KindTransaction], want.Kinds[dnsmsg.KindQuery] = 2, 1
	want.Unpaired[dnsmsg.Paired], want.Unpaired[dnsmsg.Multicast] = 2, 1
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}
