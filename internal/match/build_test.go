// SPDX-License-Identifier: Apache-2.0

package match

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

var (
	clientAddr = netip.MustParseAddr("192.0.2.1")
	serverAddr = netip.MustParseAddr("2001:db8::53")
)

// msg describes a message in a test. Its zero value is a query for a.example, type A, with id 0.
type msg struct {
	at        time.Duration // since the epoch
	response  bool
	id        uint16
	name      string // "" is a.example, "-" is no question, several are parted by spaces
	typ       uint16 // 0 is A
	port      uint16 // of the client; 0 is 4000
	server    string // "" is serverAddr
	to        string // where it goes, if not to the other side
	transport dnsmsg.Transport
	flags     uint16 // besides QR; with the opcode
	edns      bool
	fault     bool // cuts the last byte off
	records   int
	tap       *dnsmsg.DNSTap
}

func (s msg) build(t testing.TB) *dnsmsg.Message {
	t.Helper()
	flags := s.flags
	if s.response {
		flags |= dnsmsg.FlagQR
	}
	names := strings.Fields(s.name)
	switch s.name {
	case "":
		names = []string{"a.example"}
	case "-":
		names = nil
	}
	var b []byte
	for _, n := range []uint16{s.id, flags, uint16(len(names)), uint16(s.records), 0, 0} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	for _, name := range names {
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		b = binary.BigEndian.AppendUint16(append(b, 0), max(s.typ, 1))
		b = append(b, 0, 1)
	}
	for i := range s.records { // A records of the first name
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, byte(i))
	}
	if s.edns {
		b[11]++
		b = append(b, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)
	}
	if s.fault {
		b = b[:len(b)-1]
	}
	server := serverAddr
	if s.server != "" {
		server = netip.MustParseAddr(s.server)
	}
	port := s.port
	if port == 0 {
		port = 4000
	}
	m := &dnsmsg.Message{
		Time: int64(s.at), Src: clientAddr, SrcPort: port, Dst: server, DstPort: 53,
		Transport: s.transport, Interface: "eth0", VLAN: 7, Wire: b, Size: len(b), DNSTap: s.tap,
	}
	if s.response {
		m.Src, m.Dst, m.SrcPort, m.DstPort = m.Dst, m.Src, m.DstPort, m.SrcPort
	}
	if s.to != "" {
		m.Dst = netip.MustParseAddr(s.to)
	}
	wire.Parse(m)
	return m
}

// rig is a matcher whose transactions are written down.
type rig struct {
	*Matcher
	t   testing.TB
	got []string
}

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t}
	var err error
	r.Matcher, err = New(cfg, wire.Parse, func(x *dnsmsg.Transaction) { r.got = append(r.got, say(x)) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// take gives messages to the matcher and checks the law after each.
func (r *rig) take(messages ...msg) {
	r.t.Helper()
	for _, s := range messages {
		r.Message(s.build(r.t))
		balanced(r.t, r.Matcher)
	}
}

// end flushes, checks that nothing is left, and returns what was emitted.
func (r *rig) end() []string {
	r.t.Helper()
	r.Flush()
	balanced(r.t, r.Matcher)
	if n := r.Counters().Held; n != 0 {
		r.t.Errorf("%d messages are held after Flush", n)
	}
	return r.got
}

// balanced checks the law of the counters, and the tables against each other.
func balanced(t testing.TB, m *Matcher) {
	t.Helper()
	c := m.Counters()
	var kinds uint64
	for _, n := range c.Kinds {
		kinds += n
	}
	if c.Messages != c.Left+c.Held || c.Transactions != kinds {
		t.Fatalf("the counters do not add up: %+v", c)
	}
	if n := uint64(m.queries.count + m.early.count); n > c.Held {
		t.Fatalf("%d messages wait, %d are held", n, c.Held)
	}
}

// say writes a transaction as a line: its kind, its messages, and what is said of them.
func say(x *dnsmsg.Transaction) string {
	parts := []string{x.Kind.String()}
	for _, m := range []*dnsmsg.Message{x.Query, x.Response} {
		if m == nil {
			continue
		}
		letter := "q"
		if m.Response() {
			letter = "r"
		}
		name := "-"
		if len(m.Questions) > 0 {
			text, _ := dnsmsg.AppendQName(nil, m.Wire, int(m.Questions[0].Name))
			name = string(text)
		}
		parts = append(parts, fmt.Sprintf("%s%d:%s", letter, m.ID, name))
	}
	if x.Kind == dnsmsg.KindTransaction || x.Latency != 0 {
		parts = append(parts, time.Duration(x.Latency).String())
	}
	if x.Retransmits > 0 {
		parts = append(parts, fmt.Sprintf("retransmits=%d", x.Retransmits))
	}
	if x.Reversed {
		parts = append(parts, "reversed")
	}
	if x.Unpaired != dnsmsg.Paired {
		parts = append(parts, "unpaired="+x.Unpaired.String())
	}
	if x.Retry.After > 0 {
		parts = append(parts, fmt.Sprintf("retry=%d/%d/%s", x.Retry.ID, x.Retry.Port,
			time.Duration(x.Retry.After)))
	}
	return strings.Join(parts, " ")
}
