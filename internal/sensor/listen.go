// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"errors"
	"io"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/afpacket"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// Heard is what Listen saw.
type Heard struct{ Packets, Queries, Responses uint64 }

// listenRing is the ring of Listen, in blocks: it reads at once, and may miss packets.
const listenRing = 8

// Listen captures on the one interface of cfg until it has seen a query and a response, or until
// ctx ends, which is no error. It delivers nothing, and takes nothing from a sensor on the same
// interface.
func Listen(ctx context.Context, cfg Config) (Heard, error) {
	ring := ringConfig(cfg, cfg.Interfaces[0])
	ring.Lanes, ring.Blocks = 1, listenRing
	g, err := afpacket.NewGroup(ring)
	if err != nil {
		return Heard{}, err
	}
	if err := g.Open(); err != nil {
		return Heard{}, err
	}
	heard, err := hear(ctx, g.Lane(0), cfg.Ports)
	return heard, errors.Join(err, g.Close())
}

// hear is Listen on any source. The source returns ErrIdle now and then, so ctx is seen.
func hear(ctx context.Context, src capture.Source, ports []uint16) (h Heard, err error) {
	decoder, err := decode.New(decode.Config{Ports: ports}, func(m *dnsmsg.Message) {
		switch {
		case len(m.Wire) < dnsmsg.HeaderLen: // it does not say which it is
		case m.Response():
			h.Responses++
		default:
			h.Queries++
		}
	})
	if err != nil {
		return h, err
	}
	var p packet.Packet
	for ctx.Err() == nil && (h.Queries == 0 || h.Responses == 0) {
		switch err := src.Next(&p); err {
		case nil:
			h.Packets++
			decoder.Decode(&p)
		case capture.ErrIdle:
		case io.EOF:
			return h, nil
		default:
			return h, err
		}
	}
	return h, nil
}
