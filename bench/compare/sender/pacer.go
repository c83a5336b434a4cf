// SPDX-License-Identifier: Apache-2.0

package sender

import "time"

const (
	// most is how many frames go out in one system call.
	most = 64
	// step is about how long it is between bursts at a rate: short, so that a ring sees traffic and
	// not heaps of it, and long enough for a sleep.
	step = 100 * time.Microsecond
	// grace is how late frames may go out. When the sender could not run for longer, the frames of
	// that time are left out: sent at once they would be a burst that no rate has.
	grace = 10 * time.Millisecond
)

// pacer says how many frames are due. Its times are since the beginning.
type pacer struct {
	rate  int // frames a second; 0 is as fast as they go
	given int // frames that were due and are sent, or left out
}

// due returns how many frames to send now, most at most. At none, wait says until when to sleep.
func (p *pacer) due(at time.Duration) int {
	if p.rate == 0 {
		return most
	}
	n := p.at(at) - p.given
	if late := n - max(p.at(grace), p.burst()); late > 0 {
		p.given, n = p.given+late, n-late
	}
	if n < p.burst() {
		return 0
	}
	n = min(n, most)
	p.given += n
	return n
}

// wait returns when the next burst is due.
func (p *pacer) wait() time.Duration {
	if p.rate == 0 {
		return 0
	}
	frames := time.Duration(p.given + p.burst())
	return (frames*time.Second + time.Duration(p.rate) - 1) / time.Duration(p.rate)
}

// at returns how many frames are due in a time.
func (p *pacer) at(t time.Duration) int { return int(t * time.Duration(p.rate) / time.Second) }

// burst is the fewest frames that are worth a system call.
func (p *pacer) burst() int { return min(max(1, p.at(step)), most) }
