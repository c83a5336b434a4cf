// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture/afpacket"
	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/ops/config"
)

// The configuration says in its own words what the stages say in theirs, and imports none of them.
// So what both must agree on is held together here.

func TestTheDefaultsOfTheConfigurationAreThoseOfTheStages(t *testing.T) {
	const socket = "unix:///run/dnsluice.sock"
	cfg := config.Default()
	cfg.Match.Emit = "transactions"
	cfg.Capture.DNSTap.Listen = []string{socket}
	got, err := sensorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	store, err := spoolConfig(cfg.Spool)
	if err != nil {
		t.Fatal(err)
	}
	ring, tap, pairs := afpacket.DefaultConfig(), dnstap.DefaultConfig(), match.DefaultConfig()
	tap.Listen = socket
	streams := tcpstream.DefaultConfig()
	fragments := defrag.DefaultConfig()
	for _, c := range []struct {
		stage     string
		got, want any
	}{
		{"ports of decode", got.Ports, decode.DefaultConfig().Ports},
		{"ports of afpacket", got.Ports, ring.Ports},
		{"the ring of afpacket", got.RingSize, ring.Blocks * ring.BlockSize},
		{"promiscuous mode of afpacket", got.Promiscuous, ring.Promiscuous},
		{"dnstap", got.DNSTap, []dnstap.Config{tap}},
		{"tcpstream", got.TCP, tcpstream.Config{Bytes: streams.Bytes, Streams: streams.Streams,
			Gap: streams.Gap}},
		{"defrag", got.Defrag, defrag.Config{Bytes: fragments.Bytes, Age: fragments.Age}},
		{"match", got.Match, &pairs},
		{"deliver", got.Deliver, deliver.DefaultConfig()},
		{"spool", store, spool.DefaultConfig()},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-stage +configuration):\n%s", c.stage, diff)
		}
	}
}

func TestTheTunnelsOfTheConfigurationAreThoseOfTheDecoder(t *testing.T) {
	validate := func(name string) error {
		c := config.Default()
		c.Sensor, c.Capture.Tunnels = "ns1", []string{name}
		return c.Validate()
	}
	names := []string{"all", "ip", "erspan", "nonesuch", ""}
	for kind := range dnsmsg.NumTunnels {
		names = append(names, dnsmsg.Tunnel(kind).String())
	}
	_, known, _ := strings.Cut(validate("nonesuch").Error(), "; use ")
	for _, name := range append(names, strings.Split(known, ", ")...) {
		_, err := dnsmsg.ParseTunnels([]string{name})
		if mistake := validate(name); (err == nil) != (mistake == nil) {
			t.Errorf("%q: the decoder says %v, the configuration %v", name, err, mistake)
		}
	}
}
