// SPDX-License-Identifier: Apache-2.0

package match

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/decode/wire"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// FuzzMatch gives one matcher any messages, one after the other: state is carried along. Each is
// preceded by a byte that says how it travelled, eight of its time, and two of its length.
func FuzzMatch(f *testing.F) {
	add := func(messages ...msg) {
		var b []byte
		for _, s := range messages {
			m := s.build(f)
			b = binary.BigEndian.AppendUint64(append(b, byte(m.Transport)), uint64(m.Time))
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(m.Wire))), m.Wire...)
		}
		f.Add(b)
	}
	add(msg{edns: true}, msg{response: true, records: 2, edns: true})
	add(msg{name: "a b c"}, msg{}, msg{}, msg{at: 6 * second, response: true})
	add(msg{response: true}, msg{}, msg{name: "-"}, msg{name: "-", response: true, fault: true})
	add(msg{transport: dnsmsg.TCP}, msg{flags: dnsmsg.FlagTC, response: true}, msg{typ: typeMX})
	var in *dnsmsg.Message
	m, err := New(Config{Timeout: second, Memory: minMemory}, wire.Parse, func(x *dnsmsg.Transaction) {
		for _, out := range []*dnsmsg.Message{x.Query, x.Response} {
			if out != nil && out != in {
				wanted := *out
				wanted.Questions, wanted.RRs = nil, nil
				wire.Parse(&wanted)
				if diff := cmp.Diff(&wanted, out, sameMessage); diff != "" {
					f.Errorf("what waited is read otherwise (-decode +match):\n%s", diff)
				}
			}
		}
		if x.Main() == nil || x.Latency < 0 || x.Kind >= dnsmsg.NumKinds {
			f.Errorf("a transaction of %+v", x)
		}
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 11 {
			n := min(int(binary.BigEndian.Uint16(data[9:])), len(data)-11)
			in = &dnsmsg.Message{
				Time: int64(binary.BigEndian.Uint64(data[1:])), Src: clientAddr, Dst: serverAddr,
				SrcPort: 4000, DstPort: 53, Transport: dnsmsg.Transport(data[0] & 1),
				Wire: data[11 : 11+n : 11+n], Size: n,
			}
			if data[0]&2 != 0 {
				in.Src, in.Dst, in.SrcPort, in.DstPort = in.Dst, in.Src, in.DstPort, in.SrcPort
			}
			data = data[11+n:]
			wire.Parse(in)
			m.Message(in)
			balanced(t, m)
		}
	})
}
