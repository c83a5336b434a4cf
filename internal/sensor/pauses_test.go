// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// pausing gives its packets with a pause before each but the first, as a pipe whose writer is slow.
type pausing struct {
	packets []packet.Packet
	pause   time.Duration
	given   int
	since   time.Time // the last packet
}

// Next implements capture.Source.
func (p *pausing) Next(to *packet.Packet) error {
	switch {
	case p.given == len(p.packets):
		return io.EOF
	case p.given > 0 && time.Since(p.since) < p.pause:
		time.Sleep(50 * time.Millisecond) // virtual
		return capture.ErrIdle
	}
	*to = p.packets[p.given]
	p.given++
	p.since = time.Now()
	return nil
}

// Drain implements capture.Source.
func (*pausing) Drain() {}

// Stats implements capture.Source.
func (*pausing) Stats() capture.Stats { return capture.Stats{} }

// Close implements capture.Source.
func (*pausing) Close() error { return nil }

// firstPackets returns the first n packets of a capture.
func firstPackets(t *testing.T, file string, n int) (all []packet.Packet) {
	t.Helper()
	src := pcapfile.New(file)
	defer src.Close()
	for len(all) < n {
		var p packet.Packet
		switch err := src.Next(&p); err {
		case nil:
			p.Data = bytes.Clone(p.Data)
			all = append(all, p)
		case capture.ErrIdle:
		default:
			t.Fatal(err)
		}
	}
	return all
}

// TestAPauseIsTimeOnlyWhereItIsLive leaves a query and its answer apart for longer than the timeout,
// which is no time at all by their stamps.
func TestAPauseIsTimeOnlyWhereItIsLive(t *testing.T) {
	pair := firstPackets(t, own(t, "knot-udp6.pcap")[0], 2)
	matching := match.DefaultConfig()
	cfg := settings()
	cfg.Match = &matching
	live := cfg
	live.Endless = true
	tap := cfg
	tap.DNSTap = []dnstap.Config{dnstap.DefaultConfig()}
	for _, c := range []struct {
		name string
		cfg  Config
		want map[string]uint64
	}{
		{"a file or a pipe", cfg, map[string]uint64{"transaction": 1}},
		{"an interface", live, map[string]uint64{"unanswered": 1, "response": 1}},
		{"a socket", tap, map[string]uint64{"unanswered": 1, "response": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				src := &pausing{packets: pair, pause: 2 * matching.Timeout}
				l, err := newLane(c.cfg, 0, one(src), newLines(&out))
				if err != nil {
					t.Fatal(err)
				}
				if err := l.run(); err != nil {
					t.Fatal(err)
				}
				kinds := map[string]uint64{}
				inRecords(t, &out, kinds)
				if diff := cmp.Diff(c.want, kinds); diff != "" {
					t.Errorf("records by kind (-want +got):\n%s", diff)
				}
			})
		})
	}
}
