// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"cmp"

	"github.com/dnsluice/dnsluice/internal/decode/dnstap"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// dnstap reads what a server reports of itself. A frame holds a query, a response, or both; each
// is a message of its own, with its own time; where that was not told, the other's is nearer than
// the frame's, which may have waited a second in the server. The ports are not asked whether it is
// DNS.
func (d *Decoder) dnstap(p *packet.Packet) Reason {
	f := &d.tap
	if v := f.Parse(p.Data); v != dnstap.OK {
		return dnstapReasons[v]
	}
	m := &d.message
	*m = dnsmsg.Message{Questions: m.Questions[:0], RRs: m.RRs[:0],
		Transport: f.Transport, Interface: p.Interface, DNSTap: &f.Tap}
	if len(f.Query) > 0 {
		m.Time = cmp.Or(f.Tap.QueryTime, f.Tap.ResponseTime, p.Time)
		d.report(f.Query, false)
	}
	if len(f.Response) > 0 {
		m.Time = cmp.Or(f.Tap.ResponseTime, f.Tap.QueryTime, p.Time)
		d.report(f.Response, true)
	}
	m.DNSTap = nil // captured packets do not touch it
	return OK
}

// report parses one message. The server tells who asked and who answered; which of them sent the
// message is in the bit that Message.Client looks at; if that is not there, in what the server
// called it.
func (d *Decoder) report(b []byte, response bool) {
	m, f := &d.message, &d.tap
	m.Src, m.SrcPort, m.Dst, m.DstPort = f.Client, f.ClientPort, f.Server, f.ServerPort
	d.reported = response
	if len(b) >= 4 { // the flags are there
		response = b[2]>>7 != 0
	}
	if response {
		m.Src, m.SrcPort, m.Dst, m.DstPort = f.Server, f.ServerPort, f.Client, f.ClientPort
	}
	d.parse(b, len(b))
}
