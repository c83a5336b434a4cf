// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode/json"
)

func TestEveryFlagIsShownAsItIs(t *testing.T) {
	enc, dst := json.New(lane3), []byte(nil)
	for flags := range 1 << 16 {
		m := message(header(uint16(flags), 0, 0, 0, 0), nil)
		dst = enc.Append(dst[:0], 1, m)
		bit := func(f uint16) bool { return m.Flags&f != 0 }
		want := fmt.Sprintf(`"opcode":"%s","rcode":"%s",`+
			`"aa":%t,"tc":%t,"rd":%t,"ra":%t,"ad":%t,"cd":%t,"size":12}`,
			dnsmsg.OpcodeName(m.Opcode()), dnsmsg.AppendRcode(nil, m.Rcode()),
			bit(dnsmsg.FlagAA), bit(dnsmsg.FlagTC), bit(dnsmsg.FlagRD),
			bit(dnsmsg.FlagRA), bit(dnsmsg.FlagAD), bit(dnsmsg.FlagCD))
		if !bytes.HasSuffix(dst, []byte(want)) {
			t.Fatalf("flags %#x: %s\nwant %s", flags, dst, want)
		}
	}
}

func TestEveryResponseCodeOfEDNSIsShown(t *testing.T) {
	for rcode := range 1 << 12 {
		m := message(header(uint16(0x8000|rcode&15), 0, 0, 0, 1,
			opt("\x04\xd0"+string([]byte{byte(rcode >> 4)})+"\x00\x00\x00")), nil)
		want := fmt.Sprintf(`"rcode":"%s",`, dnsmsg.AppendRcode(nil, uint16(rcode)))
		if v := value(m); !bytes.Contains(v, []byte(want)) {
			t.Fatalf("%d: %s", rcode, v)
		}
	}
}

func TestEveryTypeAndClassIsShown(t *testing.T) {
	check := func(rrtype, class uint16) {
		fixed := binary.BigEndian.AppendUint16(nil, rrtype)
		fixed = binary.BigEndian.AppendUint16(fixed, class)
		m := message(header(aResponse, 1, 1, 0, 0, "\x00"+string(fixed),
			record("\x01a\x00", rrtype, class, "\x00")), nil)
		sound(t, value(m), m)
	}
	for v := range uint16(512) {
		for _, far := range []uint16{0, 32768, 65024} {
			check(far+v, 1)
			check(1, far+v)
		}
	}
}

func TestDataOfAThatIsNoAddressIsEscaped(t *testing.T) {
	for _, rr := range []string{
		record("\x01a\x00", 1, 3, "\x03a.b\x00\x00\x07"), // of Chaosnet: a name and a number
		record("\x01a\x00", 1, 1, "short"),
	} {
		m := message(header(aResponse, 0, 1, 0, 0, rr), nil)
		sound(t, value(m), m)
	}
}

func TestTimesFollowEachOtherInAnyOrder(t *testing.T) {
	enc := json.New(lane3)
	for _, nanos := range []int64{-1, 0, 1, 999_999_999, 1_000_000_000, -1_000_000_000, -1_000_000_001,
		1790000000_000000000, 1790000000_999999999, 1790000001_100000000, 951868799_999999999} {
		m := message(header(0, 0, 0, 0, 0), func(m *dnsmsg.Message) { m.Time = nanos })
		want := `"ts":"` + time.Unix(0, nanos).UTC().Format("2006-01-02T15:04:05.000000000Z") + `"`
		if v := enc.Append(nil, 1, m); !bytes.Contains(v, []byte(want)) {
			t.Errorf("%s is not in %s", want, v)
		}
	}
}

func TestInterfacesAndTransportsAlternate(t *testing.T) {
	enc := json.New(lane3)
	for i := range 12 {
		name := []string{"", "eth0", `"`}[i%3]
		m := message(header(0, 0, 0, 0, 0), func(m *dnsmsg.Message) {
			m.Interface, m.Transport = name, dnsmsg.Transport(i%2)
		})
		want := fmt.Sprintf(`"transport":"%s",`, m.Transport)
		if name != "" {
			want += fmt.Sprintf(`"interface":%q,`, name)
		}
		if v := enc.Append(nil, 1, m); !bytes.Contains(v, []byte(want+`"id":`)) {
			t.Errorf("%s is not in %s", want, v)
		}
	}
}

func TestAValueIsTheSameWhateverItIsAppendedTo(t *testing.T) {
	enc := json.New(lane3)
	for _, s := range samples(t) {
		m := message(s.Wire, s.Change)
		want := enc.Append(nil, 42, m)
		for _, dst := range [][]byte{
			[]byte("before"), make([]byte, 100), make([]byte, 7, 300), make([]byte, 9, 1<<16),
		} {
			had := string(dst)
			got := string(enc.Append(dst, 42, m))
			if got != had+string(want) {
				t.Errorf("%s: after %d bytes of %d: %s", s.Name, len(dst), cap(dst), got)
			}
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	enc, dst := json.New(lane3), make([]byte, 0, 1<<20)
	var all []*dnsmsg.Message
	for _, s := range samples(t) {
		all = append(all, message(s.Wire, s.Change))
	}
	for _, f := range floods() {
		all = append(all, message(f.Wire, func(m *dnsmsg.Message) { m.Interface = "eth1" }))
	}
	if n := testing.AllocsPerRun(2, func() {
		for _, m := range all {
			enc.Append(dst, 1, m)
		}
	}); n != 0 {
		t.Errorf("%v allocations in %d messages", n, len(all))
	}
}

func FuzzAppend(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.Wire, false, int64(0), "eth0")
	}
	for _, l := range floods() {
		f.Add(l.Wire[:min(len(l.Wire), 2000)], true, int64(-1), "\"\xff")
	}
	f.Fuzz(func(t *testing.T, b []byte, cut bool, nanos int64, name string) {
		m := message(b, func(m *dnsmsg.Message) {
			m.Time, m.Interface, m.Cut = nanos, name, cut
			m.Size += len(name)
		})
		if len(b) > 1<<16 || len(name) > 1<<10 {
			return
		}
		enc := json.New(lane3)
		v := enc.Append(nil, 1, m)
		sound(t, v, m)
		if again := enc.Append(v, 1, m); !bytes.Equal(again[len(v):], v) {
			t.Errorf("not the same twice:\n%s\n%s", v, again[len(v):])
		}
	})
}
