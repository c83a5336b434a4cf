// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
)

// Shape says what a capture holds. What is 0 is as it is at a resolver. What is not is exact, and
// all else stays the same: so captures that differ in one number show what that number costs.
type Shape struct {
	Seed     uint64
	Messages int
	Clients  int // that ask in turn
	Names    int // that are asked for in turn, all of the same length
	Streams  int // TCP connections that are open at a time; all messages go over them
	Open     int // queries over UDP that wait for their responses at a time
}

// MaxShape is the most of anything but messages.
const MaxShape = 1_000_000

// perConnection is how many queries a connection of Shape.Streams carries. It does not depend on
// how many are open, and so neither does the number of packets.
const perConnection = 2

// Validate returns an error that says which number cannot be, or nil.
func (s Shape) Validate() error {
	if s.Messages < 1 {
		return fmt.Errorf("traffic: %d messages: there must be one at least", s.Messages)
	}
	for _, f := range []struct {
		name       string
		value, per int
	}{
		{"clients", s.Clients, 2}, {"names", s.Names, 2},
		{"streams", s.Streams, 2 * perConnection}, {"open", s.Open, 2},
	} {
		if f.value < 0 || f.value > MaxShape || f.value > 0 && f.value*f.per > s.Messages {
			return fmt.Errorf("traffic: %s: %d are not from 1 to %d, with %d messages for each",
				f.name, f.value, MaxShape, f.per)
		}
	}
	if s.Streams > 0 && s.Open > 0 {
		return fmt.Errorf("traffic: streams, and open: what is open goes over UDP")
	}
	return nil
}

// inTurn returns numbers below n for successive turns: each once, in no order that a cache could
// guess, and then again. The factor is a prime above MaxShape, so it has no divisor with n.
func inTurn(turn uint64, n int) uint64 { return turn * 15_485_863 % uint64(n) }

// client returns who asks next, and whether over IPv6 for certain.
func (g *generator) client() (number uint32, six bool) {
	if g.shape.Clients == 0 {
		return g.r.Uint32N(clients), false
	}
	number = uint32(inTurn(g.asked, g.shape.Clients))
	return number, number%(1000/shareIPv6) == 0
}

// numbered returns the name of a number: always as long, and like no other.
func numbered(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n*0x9e3779b97f4a7c15) // odd, so no two numbers become one
	text := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
	return "www." + text + ".com"
}

// pace is the time from one query to the next, in microseconds, where nothing is left to chance.
const pace = 2e6 / perSecond

// exchange is a query that waits for its response.
type exchange struct {
	f flow
	q asked
}

// delayed makes a query, and the response to the one that has waited longest if enough wait.
func (g *generator) delayed() {
	g.now += pace
	if g.left > len(g.wait) {
		e := exchange{g.endpoints(), g.ask()}
		g.datagram(g.now, e.f, g.query(e.q))
		g.wait = append(g.wait, e)
	}
	if g.left > 0 && (len(g.wait) >= g.shape.Open || g.left <= len(g.wait)) {
		e := g.wait[0]
		g.wait = g.wait[1:]
		g.datagram(g.now+pace/2, e.f.reverse(), g.response(e.q))
	}
}

// streams opens as many connections as are to be open, uses them in turn, and closes them all.
func (g *generator) streams() {
	all := make([]connection, min(g.shape.Streams, (g.left+1)/2))
	step := func(c *connection, do func(*connection)) {
		g.now += pace
		c.at = g.now
		do(c)
		g.out.settle(g.now)
	}
	for i := range all {
		all[i] = g.connection(g.now, 1, g.endpoints())
		step(&all[i], g.open)
	}
	for range perConnection {
		for i := range all {
			if g.left > 0 {
				step(&all[i], func(c *connection) { g.exchange(c, g.ask()) })
			}
		}
	}
	for i := range all {
		step(&all[i], g.close)
	}
}
