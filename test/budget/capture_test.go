// SPDX-License-Identifier: Apache-2.0

//go:build budget

package budget

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/dnsluice/dnsluice"
	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// recordings are those of the project's captures that look like ordinary traffic: Ethernet, mostly
// UDP, with DNSSEC, many types and some TCP.
var recordings = []string{"bind-rcodes.pcap", "bind-types.pcap", "bind-tcp.pcap",
	"dnsmasq-udp6.pcap", "dnsmasq-upstream.pcap", "edns.pcap", "knot-dnssec.pcap", "knot-udp6.pcap",
	"unbound-recursion.pcap", "unbound-udp4.pcap"}

// sample is a capture file, and how many messages it has.
type sample struct {
	file     string
	messages int
}

// repeated writes the recordings so many times into one capture. Time goes on from one to the next.
func repeated(t *testing.T, times int) sample {
	t.Helper()
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b23c4d) // nanoseconds
	head = append(head, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
	var body []byte
	for _, name := range recordings {
		body = append(body, frames(t, name)...)
	}
	const step = 100_000 // nanoseconds between packets
	out, at := head, uint64(1_769_904_000_000_000_000)
	for range times {
		for b := body; len(b) > 0; at += step {
			n := 16 + binary.LittleEndian.Uint32(b[8:])
			binary.LittleEndian.PutUint32(b, uint32(at/1e9))
			binary.LittleEndian.PutUint32(b[4:], uint32(at%1e9))
			out = append(out, b[:n]...)
			b = b[n:]
		}
	}
	s := sample{file: filepath.Join(t.TempDir(), "capture.pcap")}
	if err := os.WriteFile(s.file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := sensor.Config{Files: []string{s.file}, Ports: []uint16{53}}
	l, err := sensor.Print(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.messages = int(l.Messages)
	return s
}

// frames returns the packets of a recording as pcap records, with their times not set.
func frames(t *testing.T, name string) []byte {
	t.Helper()
	data, err := dnsluice.Captures.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	src := pcapfile.NewReader(name, bytes.NewReader(data))
	defer src.Close()
	var out []byte
	for {
		var p packet.Packet
		err := src.Next(&p)
		if errors.Is(err, capture.ErrIdle) {
			continue
		}
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Link != packet.LinkEthernet {
			t.Fatalf("%s has link type %v", name, p.Link)
		}
		out = append(out, make([]byte, 8)...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p.Data)))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p.Data)))
		out = append(out, p.Data...)
	}
}
