// SPDX-License-Identifier: Apache-2.0

package traffic

import "encoding/binary"

// connection is a TCP connection, each packet of which is a step later than the one before.
type connection struct {
	flow         flow // from the client
	mine, theirs uint32
	at, step     uint64 // microseconds
}

func (g *generator) connection(at, step uint64, f flow) connection {
	return connection{flow: f, mine: g.r.Uint32(), theirs: g.r.Uint32(), at: at, step: step}
}

// send makes a segment of the client's, or of the server's if it goes back.
func (g *generator) send(c *connection, f flow, flags byte, payload []byte) {
	seq, ack := &c.mine, &c.theirs
	if f != c.flow {
		seq, ack = ack, seq
	}
	s := segment{flags: flags, seq: *seq}
	if flags&tcpACK != 0 {
		s.ack = *ack
	}
	g.out.add(c.at, f.tcp(s, payload))
	c.at += c.step
	*seq += uint32(len(payload))
	if flags&(tcpSYN|tcpFIN) != 0 {
		*seq++ // each counts as a byte (RFC 9293 section 3.4)
	}
}

func (g *generator) open(c *connection) {
	g.send(c, c.flow, tcpSYN, nil)
	g.send(c, c.flow.reverse(), tcpSYN|tcpACK, nil)
	g.send(c, c.flow, tcpACK, nil)
}

// exchange makes a query and its response, or a query alone if no more is left to make.
func (g *generator) exchange(c *connection, q asked) {
	g.message(c, c.flow, g.query(q))
	if g.left > 0 {
		g.message(c, c.flow.reverse(), g.response(q))
	}
}

// message makes a segment with a message and its length before it (RFC 1035 section 4.2.2).
func (g *generator) message(c *connection, f flow, b []byte) {
	b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	g.send(c, f, tcpPSH|tcpACK, b)
	g.sent(f)
	g.m.TCP++
}

func (g *generator) close(c *connection) {
	g.send(c, c.flow, tcpFIN|tcpACK, nil)
	g.send(c, c.flow.reverse(), tcpFIN|tcpACK, nil)
	g.send(c, c.flow, tcpACK, nil)
}

// stream makes a connection with one query and one response, from its beginning to its end, so
// that a program that joins streams can forget it.
func (g *generator) stream(at uint64, f flow, q asked) {
	c := g.connection(at, 300, f)
	g.open(&c)
	g.exchange(&c, q)
	g.close(&c)
}
