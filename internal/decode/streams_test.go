// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// segment is a frame with a part of a stream that begins at sequence number 1.
type segment struct {
	port  uint16 // of the client; 0 is 40000
	seq   uint32
	flags uint8
	data  string
	cut   int // bytes that the capture left out
	at    time.Duration
	vlan  uint16
}

func (s segment) packet() packet.Packet {
	if s.port == 0 {
		s.port = 40000
	}
	b := tcp(s.port, 53, s.data)
	binary.BigEndian.PutUint32(b[4:], s.seq)
	b[13] = s.flags
	p := ether(ethernet(typeIPv4, ipv4(6, b)))
	p.Data = p.Data[:len(p.Data)-s.cut]
	p.Time = int64(s.at)
	if s.vlan != 0 {
		p.Tag = packet.Tag{TPID: 0x8100, TCI: s.vlan}
	}
	return p
}

// TestReasonsOfStreams leads packets to each reason that needs more than one of them.
func TestReasonsOfStreams(t *testing.T) {
	one := prefixed(query)
	long := prefixed(string(make([]byte, 400)))
	syn := segment{flags: tcpstream.FlagSYN}
	for _, test := range []struct {
		want     Reason
		segments []segment
		carried  uint64
	}{
		{TCPDuplicate, []segment{{seq: 1, data: one}, {seq: 1, data: one}}, 1},
		{TCPRest, []segment{syn, {seq: 1, data: long[:200], cut: 100}, {seq: 201, data: long[200:]}}, 1},
		{TCPGap, []segment{syn, {seq: 2, data: "no message begins here"}}, 0},
		{TCPCut, []segment{syn, {seq: 1, data: long, cut: len(long)}}, 0},
		{TCPOverflow, overflow(), 124},
		{TCPEvicted, []segment{{seq: 1, data: one[:9]}, {port: 1, flags: tcpstream.FlagSYN}}, 0},
		{TCPExpired, []segment{
			{seq: 1, data: one[:9]}, {port: 1, flags: tcpstream.FlagSYN, at: time.Hour},
		}, 0},
		{TCPClosed, []segment{{seq: 1, data: one[:9]}, {seq: 10, flags: tcpstream.FlagFIN}}, 0},
	} {
		t.Run(test.want.String(), func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.TCP = tcpstream.Config{Streams: 1, StreamBytes: 160_000}
			d, err := New(cfg, func(*dnsmsg.Message) {})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range test.segments {
				p := s.packet()
				d.Decode(&p)
				balanced(t, d)
			}
			d.Flush()
			balanced(t, d)
			c := d.Counters()
			if c.Dropped[test.want] == 0 || c.Carried != test.carried || c.Held != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// overflow returns the beginning of a message, messages that wait for its end and take all the
// memory that a stream may have, and then more of the beginning.
func overflow() []segment {
	long := prefixed(string(make([]byte, 1998)))
	all := []segment{{flags: tcpstream.FlagSYN}, {seq: 1, data: long[:224]}}
	for i := range uint32(124) {
		all = append(all, segment{seq: 2001 + i*1000, data: prefixed(string(make([]byte, 998)))})
	}
	return append(all, segment{seq: 225, data: long[224:1224]})
}

// TestMessagesThatWaitedTravelTheirOwnWay has a message wait behind a gap until a packet of another
// stream lets time pass, and expects each of the two to keep its path.
func TestMessagesThatWaitedTravelTheirOwnWay(t *testing.T) {
	type path struct {
		Time time.Duration
		Port uint16
		VLAN uint16
		ID   uint16
	}
	var got []path
	d := newDecoder(t, func(m *dnsmsg.Message) {
		got = append(got, path{time.Duration(m.Time), m.SrcPort, m.VLAN, m.ID})
		sound(t, m)
	})
	other := prefixed("\x99\x99" + query[2:])
	for _, s := range []segment{
		{port: 1000, vlan: 7, flags: tcpstream.FlagSYN},
		{port: 1000, vlan: 7, seq: 100, data: prefixed(query), at: time.Second},
		{port: 1001, vlan: 8, seq: 1, data: other, at: time.Minute},
	} {
		p := s.packet()
		d.Decode(&p)
		balanced(t, d)
	}
	want := []path{{time.Second, 1000, 7, 0x1234}, {time.Minute, 1001, 8, 0x9999}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if c := d.Counters(); c.Carried != 2 || c.TCP.Gaps != 1 || c.TCP.GapBytes != 99 {
		t.Errorf("%+v", c)
	}
}

// TestStreamsOfDifferentNetworks sends two halves of a message in one VLAN, and others with the
// same addresses and ports in another between them.
func TestStreamsOfDifferentNetworks(t *testing.T) {
	messages := 0
	d := newDecoder(t, func(*dnsmsg.Message) { messages++ })
	one := prefixed(query)
	for _, s := range []segment{
		{vlan: 7, seq: 1, data: one[:9]}, {vlan: 8, seq: 1, data: one[:9]},
		{vlan: 7, seq: 10, data: one[9:]}, {vlan: 8, seq: 10, data: one[9:]},
	} {
		p := s.packet()
		d.Decode(&p)
	}
	if c := d.Counters(); messages != 2 || c.Carried != 4 {
		t.Errorf("%d messages, %+v", messages, c)
	}
	balanced(t, d)
}
