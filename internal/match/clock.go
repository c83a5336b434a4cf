// SPDX-License-Identifier: Apache-2.0

package match

// clock turns the times of packets, which come from files and from clocks that are set, into a
// time that never goes back. Only differences of its time mean anything.
//
// It knows two clocks that packets may be stamped by: interfaces whose clocks differ take turns in a
// file, and now and then a packet has no time, or an absurd one. With one alone, each return from
// such a packet would be a leap, by which all that waits seems to have waited too long.
type clock struct {
	now     int64 // this time, nanoseconds; wraps, so compare differences
	latest  stamps
	before  stamps // the other clock: that of the packets before a leap
	started bool
	leapt   bool  // there is another clock
	step    int64 // packets this far apart are no reordering: they are of two clocks

	turned int64 // when turn was called last; 0 when a packet came since
}

// stamps is what is known of a clock that packets are stamped by.
type stamps struct {
	packet int64 // its latest time
	ahead  int64 // of it, this clock's time; wraps
}

// maxIdle is the most that one turn adds. An idle source gives the lane its turn every 50 ms or
// so; if it took longer the process stood still, and the answers may be waiting to be read.
const maxIdle = 1e9

// at tells the clock the time of a packet.
func (c *clock) at(t int64) {
	c.turned = 0
	d := t - c.latest.packet
	if d > c.step || d < -c.step || !c.started {
		d = c.leap(t, d)
	}
	if d <= 0 {
		return
	}
	c.latest.packet = t
	if now := t + c.latest.ahead; now-c.now > 0 { // else the other clock has brought it there
		c.now = now
	}
}

// leap finds the clock of a packet that is d, a step or more, from the latest, and returns how far it
// is from the latest of its own.
func (c *clock) leap(t, d int64) int64 {
	if back := t - c.before.packet; c.leapt && back >= -c.step && back <= c.step {
		c.latest, c.before = c.before, c.latest
		if now := c.latest.packet + c.latest.ahead; c.now-now > c.step {
			c.latest.ahead += c.now - now // it stood still, as between two files with an older one
		}
		return back
	}
	if c.started && d > 0 {
		// No one waits longer than step, so there is nothing to learn from more. That also keeps
		// a packet with an absurd time from doing harm beyond the end of those that wait now.
		c.now += c.step
		c.latest.ahead += c.step
	}
	c.before, c.leapt = c.latest, c.started
	c.latest, c.started = stamps{packet: t, ahead: c.now - t}, true
	return 0
}

// turn tells the clock that no packet was there at t, on any clock that runs evenly. Time that
// passes between two turns passes here. It is the latest packet's time that moves along, so that
// the same time is not added again with the next packet.
func (c *clock) turn(t int64) {
	if c.turned != 0 && t > c.turned {
		d := min(t-c.turned, maxIdle)
		c.now += d
		c.latest.packet += d
	}
	c.turned = t
}
