// SPDX-License-Identifier: Apache-2.0

package match

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// flooder makes messages that all differ, in the memory of one.
type flooder struct {
	m *dnsmsg.Message
	n uint32
}

func newFlooder(t testing.TB, s msg) *flooder { return &flooder{m: s.build(t)} }

// next returns a message of another client with another id.
func (f *flooder) next() *dnsmsg.Message {
	f.n++
	f.set(f.n)
	return f.m
}

// set makes it the message number n.
func (f *flooder) set(n uint32) *dnsmsg.Message {
	f.m.ID = uint16(n)
	binary.BigEndian.PutUint16(f.m.Wire, f.m.ID)
	port := uint16(1024 + n>>16)
	if f.m.Response() {
		f.m.DstPort = port
	} else {
		f.m.SrcPort = port
	}
	return f.m
}

func TestAFloodStaysWithinItsMemory(t *testing.T) {
	for _, test := range []struct {
		name  string
		msg   msg
		flood uint32
	}{
		{"of unanswered queries", msg{edns: true}, 1_000_000},
		{"of large queries", msg{records: 200}, 50_000},
		{"of responses without queries", msg{response: true, records: 3}, 500_000},
		{"of queries of one port and id", msg{}, 500_000},
		{"of responses of one port and id", msg{response: true}, 500_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, flood := test.msg, test.flood
			if testing.Short() {
				flood /= 10
			}
			var messages uint64
			cfg := Config{Timeout: time.Hour, Memory: minMemory}
			m, err := New(cfg, wire.Parse, func(x *dnsmsg.Transaction) {
				messages += x.Messages()
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := m.queries.size() + m.early.size(); n > cfg.Memory || n < cfg.Memory*9/10 {
				t.Errorf("%d bytes of memory, %d were given", n, cfg.Memory)
			}
			f := newFlooder(t, s)
			one := s.id == 0 && !s.edns && s.records == 0
			m.Message(f.next())
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for n := uint32(2); n <= flood; n++ {
				if one { // the first byte of the first label
					f.m.Wire[dnsmsg.HeaderLen+1] = byte('a' + n%26)
					m.Message(f.m)
					continue
				}
				m.Message(f.next())
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
			balanced(t, m)
			m.Flush()
			balanced(t, m)
			if c := m.Counters(); messages != uint64(flood) || c.Left != uint64(flood) {
				t.Errorf("%d messages went in, %d came out: %+v", flood, messages, c)
			}
		})
	}
}

func TestTheOldestLeavesWhenMemoryIsFull(t *testing.T) {
	var left []uint16
	cfg := Config{Timeout: time.Hour, Memory: minMemory}
	m, err := New(cfg, wire.Parse, func(x *dnsmsg.Transaction) {
		if x.Kind != dnsmsg.KindQuery || x.Unpaired != dnsmsg.Full {
			t.Errorf("%s", say(x))
		}
		left = append(left, x.Query.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	f := newFlooder(t, msg{})
	for range len(m.queries.entries) + 3 {
		m.Message(f.next())
	}
	if len(left) != 3 || left[0] != 1 || left[2] != 3 {
		t.Errorf("%d left", left)
	}
	// A large one sends as many away as it needs room for: those in front have a cell each.
	large := msg{port: 9, tap: &dnsmsg.DNSTap{Extra: make([]byte, 150<<10)}}.build(t)
	room := m.queries.cells.left
	m.Message(large)
	if got, want := len(left)-3, need(size(large))-room; got != want || want < 2 {
		t.Errorf("%d left for it, want %d", got, want)
	}
	if c := m.Counters(); c.Unpaired[dnsmsg.Full] != uint64(len(left)) {
		t.Errorf("%d left, %d were counted", len(left), c.Unpaired[dnsmsg.Full])
	}
	balanced(t, m)
}

func TestWhatIsLargerThanAllMemoryPassesThrough(t *testing.T) {
	r := newRig(t, Config{Timeout: time.Second, Memory: minMemory})
	r.take(msg{id: 1})
	huge := &dnsmsg.DNSTap{Type: 5, Extra: make([]byte, minMemory)}
	r.take(msg{id: 2, tap: huge}, msg{id: 3, response: true, tap: huge})
	// 64 KB are more than the part of the memory for responses.
	r.take(msg{id: 4, response: true, records: 4080}, msg{id: 1, response: true})
	want := []string{"query q2:a.example unpaired=full", "response r3:a.example",
		"response r4:a.example", "transaction q1:a.example r1:a.example 0s"}
	if got := r.end(); len(got) != len(want) || got[0] != want[0] || got[1] != want[1] ||
		got[2] != want[2] || got[3] != want[3] {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestValidateSaysWhatCannotBe covers both ends of both values.
func TestValidateSaysWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Timeout: minTimeout, Memory: minMemory}, ""},
		{Config{Timeout: maxTimeout, Memory: maxMemory}, ""},
		{Config{Memory: minMemory}, "match: timeout: 0s is not from 10ms to 1h0m0s"},
		{Config{Timeout: maxTimeout + 1, Memory: minMemory},
			"match: timeout: 1h0m0.000000001s is not from 10ms to 1h0m0s"},
		{Config{Timeout: minTimeout}, "match: memory: 0 bytes are not from 1048576 to 1073741824"},
		{Config{Timeout: minTimeout, Memory: maxMemory + 1},
			"match: memory: 1073741825 bytes are not from 1048576 to 1073741824"},
	} {
		got := ""
		if _, err := New(c.cfg, wire.Parse, nil); c.want != "" && err != nil {
			got = err.Error()
		} else if c.want == "" {
			if err := c.cfg.Validate(); err != nil {
				got = err.Error()
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.cfg, got, c.want)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	queries, responses := newFlooder(t, msg{edns: true}), newFlooder(t, msg{response: true, records: 4})
	lone, large := newFlooder(t, msg{response: true, port: 9}), newFlooder(t, msg{records: 30})
	tap := newFlooder(t, msg{tap: fullTap()})
	cfg := Config{Timeout: time.Second, Memory: minMemory}
	m, err := New(cfg, wire.Parse, func(*dnsmsg.Transaction) {})
	if err != nil {
		t.Fatal(err)
	}
	turn := func() {
		for range 2000 {
			q := queries.next()
			m.Message(q)
			m.Message(q)
			if queries.n%3 != 0 {
				m.Message(responses.set(queries.n))
			}
			m.Message(lone.next())
			m.Message(large.next())
			m.Message(tap.next())
			queries.m.Time += 1e6
		}
		m.Turn(queries.m.Time)
	}
	turn()
	if n := testing.AllocsPerRun(10, turn); n != 0 {
		t.Errorf("%v allocations in 2,000 rounds", n)
	}
}

// BenchmarkMatch is the time of a message: queries that are answered after 256 others have come.
func BenchmarkMatch(b *testing.B) {
	const ahead = 256
	queries := newFlooder(b, msg{name: "www.mixed-Case.example", edns: true})
	responses := newFlooder(b, msg{name: "www.mixed-Case.example", response: true, edns: true, records: 2})
	m, err := New(DefaultConfig(), wire.Parse, func(*dnsmsg.Transaction) {})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n++ {
		if n%2 == 0 {
			m.Message(queries.set(n / 2))
		} else {
			m.Message(responses.set(n/2 - ahead))
		}
	}
	if c := m.Counters(); b.N > 10*ahead && c.Kinds[dnsmsg.KindTransaction] < uint64(b.N)/2-2*ahead {
		b.Errorf("they did not meet: %+v", c)
	}
}

// BenchmarkUnanswered is the time of a query when memory is full.
func BenchmarkUnanswered(b *testing.B) {
	f := newFlooder(b, msg{name: "www.mixed-Case.example", edns: true})
	m, err := New(DefaultConfig(), wire.Parse, func(*dnsmsg.Transaction) {})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Message(f.next())
	}
}

// size returns the bytes of the table's memory.
func (t *table) size() int {
	return len(t.index)*slotSize + len(t.entries)*entrySize + len(t.cells.data) +
		4*len(t.cells.next)
}
