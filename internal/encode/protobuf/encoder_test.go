// SPDX-License-Identifier: Apache-2.0

package protobuf_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/internal/encode/protobuf"
)

func TestEveryHeaderTypeAndClassIsShown(t *testing.T) {
	p := reader(t)
	one, other := protobuf.New(lane3), json.New(lane3)
	var a, b []byte
	check := func(wire []byte) {
		m := message(wire, nil)
		a, b = one.Append(a[:0], 1, m), other.Append(b[:0], 1, m)
		same(t, p, a, b)
	}
	for flags := 0; flags < 1<<16; flags += 16 { // the response codes have a loop of their own
		check(encodetest.Header(uint16(flags), 0, 0, 0, 0))
	}
	for rcode := range 1 << 12 {
		check(encodetest.Header(uint16(0x8000|rcode&15), 0, 0, 0, 1, encodetest.OPT(
			"\x04\xd0"+string([]byte{byte(rcode >> 4)})+"\x00\x00\x00")))
	}
	for v := range uint16(512) {
		for _, far := range []uint16{0, 32768, 65024} {
			for _, pair := range [][2]uint16{{far + v, 1}, {1, far + v}} {
				fixed := binary.BigEndian.AppendUint16(nil, pair[0])
				fixed = binary.BigEndian.AppendUint16(fixed, pair[1])
				check(encodetest.Header(encodetest.Response, 1, 1, 0, 0, "\x00"+string(fixed),
					encodetest.Record("\x01a\x00", pair[0], pair[1], "\x00")))
			}
		}
	}
}

// TestOwnersThatMoveAreCopiedFromWhereTheyWent has records that are too long for a length of one
// byte, so that the owner within moves after it was written, and others of the same owner.
func TestOwnersThatMoveAreCopiedFromWhereTheyWent(t *testing.T) {
	p := reader(t)
	name := "\x07example\x03com\x00"
	rr := func(owner string, size int) string {
		return encodetest.Record(owner, 10, 1, string(make([]byte, size)))
	}
	for size := range 150 {
		m := message(encodetest.Header(encodetest.Response, 0, 4, 0, 0, rr(name, size),
			rr("\xc0\x0c", 1), rr("\xc0\x0c", 9000), rr("\xc0\x0c", size)), nil)
		got := same(t, p, protobuf.New(lane3).Append(nil, 1, m), json.New(lane3).Append(nil, 1, m))
		if n := len(got["answers"].([]any)); n != 4 {
			t.Fatalf("%d answers", n)
		}
	}
}

func TestAnIdentityOfAnyBytes(t *testing.T) {
	p := reader(t)
	m := message(encodetest.Header(0, 0, 0, 0, 0), nil)
	for _, id := range []encode.Identity{{}, {Sensor: "a \"b\" \\ é \x00 <&>\xff\xfe𝄞", Run: "r\"un", Lane: 300},
		{Sensor: string(bytes.Repeat([]byte("é"), 200)), Run: "r", Lane: 1}} {
		same(t, p, protobuf.New(id).Append(nil, 1<<64-1, m), json.New(id).Append(nil, 1<<64-1, m))
	}
}

func TestInterfacesAndTransportsAlternate(t *testing.T) {
	p := reader(t)
	one, other := protobuf.New(lane3), json.New(lane3)
	for i := range 12 {
		m := message(encodetest.Header(0, 0, 0, 0, 0), func(m *dnsmsg.Message) {
			m.Interface, m.Transport = []string{"", "eth0", "\xff"}[i%3], dnsmsg.Transport(i%2)
		})
		same(t, p, one.Append(nil, 1, m), other.Append(nil, 1, m))
	}
}

func TestAValueIsTheSameWhateverItIsAppendedTo(t *testing.T) {
	enc := protobuf.New(lane3)
	for _, s := range encodetest.Samples(t) {
		m := message(s.Wire, s.Change)
		want := enc.Append(nil, 42, m)
		for _, f := range encodetest.Floods()[:2] {
			enc.Append(nil, 1, message(f.Wire, nil)) // leaves no trace
		}
		for _, dst := range [][]byte{
			[]byte("before"), make([]byte, 100), make([]byte, 7, 300), make([]byte, 9, 1<<16),
		} {
			had := string(dst)
			if got := string(enc.Append(dst, 42, m)); got != had+string(want) {
				t.Errorf("%s: after %d bytes of %d: %x", s.Name, len(dst), cap(dst), got)
			}
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	enc, dst := protobuf.New(lane3), make([]byte, 0, 1<<20)
	var all []*dnsmsg.Message
	for _, s := range encodetest.Samples(t) {
		all = append(all, message(s.Wire, s.Change))
	}
	for _, f := range encodetest.Floods() {
		all = append(all, message(f.Wire, func(m *dnsmsg.Message) { m.Interface = "eth1" }))
	}
	pairs := encodetest.Pairs()
	if n := testing.AllocsPerRun(2, func() {
		for _, m := range all {
			enc.Append(dst, 1, m)
		}
		for _, x := range pairs {
			enc.AppendTransaction(dst, 1, x)
		}
	}); n != 0 {
		t.Errorf("%v allocations in %d messages", n, len(all))
	}
}

func FuzzAppend(f *testing.F) {
	for _, s := range encodetest.Samples(f) {
		f.Add(s.Wire, false, int64(0), "eth0")
	}
	for _, l := range encodetest.Floods() {
		f.Add(l.Wire[:min(len(l.Wire), 2000)], true, int64(-1), "\"\xff")
	}
	p := reader(f)
	f.Fuzz(func(t *testing.T, b []byte, cut bool, nanos int64, name string) {
		if len(b) > 1<<16 || len(name) > 1<<10 {
			return
		}
		m := message(b, func(m *dnsmsg.Message) {
			m.Time, m.Interface, m.Cut = nanos, name, cut
			m.Size += len(name)
		})
		one, other := protobuf.New(lane3), json.New(lane3)
		v := one.Append(nil, 1, m)
		same(t, p, v, other.Append(nil, 1, m))
		if again := one.Append(v, 1, m); !bytes.Equal(again[len(v):], v) {
			t.Errorf("not the same twice:\n%x\n%x", v, again[len(v):])
		}
		x := dnsmsg.Transaction{Kind: dnsmsg.KindTransaction, Query: m, Response: m,
			Latency: nanos & (1<<63 - 1), Retransmits: uint32(len(b))}
		same(t, p, one.AppendTransaction(nil, 1, &x), other.AppendTransaction(nil, 1, &x))
	})
}
