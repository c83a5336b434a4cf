// SPDX-License-Identifier: Apache-2.0

package match

// clock turns the times of packets, which come from files and from clocks that are set, into a
// time that never goes back. Only differences of its time mean anything.
type clock struct {
	now     int64 // this time, nanoseconds; wraps, so compare differences
	packet  int64 // the latest time of a packet
	started bool
	step    int64 // a packet this much older than the latest is no reordering: the clock was set

	turned int64 // when turn was called last; 0 when a packet came since
}

// maxIdle is the most that one turn adds. An idle source gives the lane its turn every 50 ms or
// so; if it took longer the process stood still, and the answers may be waiting to be read.
const maxIdle = 1e9

// at tells the clock the time of a packet.
func (c *clock) at(t int64) {
	c.turned = 0
	switch d := t - c.packet; {
	case !c.started:
		c.started, c.packet = true, t
	case d > 0:
		// No one waits longer than step, so there is nothing to learn from more. That also keeps
		// a packet with an absurd time from doing harm beyond the end of those that wait now.
		c.now += min(d, c.step)
		c.packet = t
	case d < -c.step:
		c.packet = t
	}
}

// turn tells the clock that no packet was there at t, on any clock that runs evenly. Time that
// passes between two turns passes here. It is the latest packet's time that moves along, so that
// the same time is not added again with the next packet.
func (c *clock) turn(t int64) {
	if c.turned != 0 && t > c.turned {
		d := min(t-c.turned, maxIdle)
		c.now += d
		c.packet += d
	}
	c.turned = t
}
