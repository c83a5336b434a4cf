// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture/dnstap"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

// shelf is a cluster that takes everything.
type shelf struct{}

func (shelf) Leaders(context.Context) ([]int32, error)            { return []int32{1}, nil }
func (shelf) Identity(context.Context) (record.Producer, error)   { return record.Producer{}, nil }
func (shelf) Produce(context.Context, int32, int32, []byte) error { return nil }
func (shelf) Close()                                              {}

// reports returns what a name server writes that reports n queries in one direction.
func reports(n int) string {
	frame := func(b string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + b
	}
	// START without fields; and frames with field 14, message, in which field 10 is the query.
	query := "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"
	field := "\x52" + string(rune(len(query))) + query
	return "\x00\x00\x00\x00" + frame("\x00\x00\x00\x02") +
		strings.Repeat(frame("\x72"+string(rune(len(field)))+field), n)
}

// TestDNSTapIsDeliveredAndAccountedFor lets two name servers report, and ends the sensor while they
// are connected.
func TestDNSTapIsDeliveredAndAccountedFor(t *testing.T) {
	const each = 1000
	cfg := Config{Sensor: "s", Run: "r", Lanes: 1, Ports: []uint16{53}, Memory: 96 << 20,
		Deliver: deliver.DefaultConfig(), Grace: time.Minute}
	for _, name := range []string{"a", "b"} {
		socket := dnstap.DefaultConfig()
		socket.Listen = "unix://" + filepath.Join(t.TempDir(), name)
		cfg.DNSTap = append(cfg.DNSTap, socket)
	}
	s, err := New(cfg, shelf{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	for _, socket := range cfg.DNSTap {
		c, err := net.Dial("unix", strings.TrimPrefix(socket.Listen, "unix://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// It fits into the socket, so it is there before anybody reads.
		if _, err := c.Write([]byte(reports(each))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for limit := time.Now().Add(time.Minute); s.Ledger().Packets < 2*each; runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatalf("ledger %+v", s.Ledger())
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	l := s.Ledger()
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	lanes := s.Lanes()
	if len(lanes) != 2 || lanes[1].Received != each {
		t.Fatalf("lanes %+v", lanes)
	}
	for i, socket := range cfg.DNSTap {
		if lanes[i].Interface != socket.Listen {
			t.Errorf("lane %d of %s is called %q", i, socket.Listen, lanes[i].Interface)
		}
	}
	detail := l.Stages[0].Detail
	if l.Packets != 2*each || l.Records != 2*each || l.Acknowledged != 2*each ||
		detail["connections"] != 2 || detail["ended.drained"] != 2 {
		t.Errorf("ledger %+v", l)
	}
}

func TestDNSTapExcludesFiles(t *testing.T) {
	cfg := Config{Files: []string{"a.pcap"}, DNSTap: []dnstap.Config{dnstap.DefaultConfig()}}
	if _, err := New(cfg, shelf{}, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "give one kind") {
		t.Error(err)
	}
}
