// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// The search for the highest rate without loss.
const (
	// searchTop is more than any sender reaches.
	searchTop = 2_000_000
	// searchStep is how near the limits must come: one part in so many, or so many packets a second.
	searchStep, searchLeast = 20, 5000
	// searchAgain is the least that is tried at the top of a second search.
	searchAgain = 50_000
	// reached is the part of a rate that a sender must reach for the rate to count as tried.
	reached = 0.97
)

// sustained is the highest rate that was tried without loss.
type sustained struct {
	rate int
	// bySender tells that the sender reached no more, and the sensor might.
	bySender bool
	above    string // what was lost at the lowest rate that was too high
}

// next returns where to begin a search after one that has found this: a sensor that loses at a
// tenth of what the sender can does not become ten times as fast.
func (s sustained) next() int {
	if s.bySender {
		return searchTop
	}
	return min(max(2*s.rate, searchAgain), searchTop)
}

// search halves the rates between none and top. A trial returns the rate that the sender reached,
// and what was lost, or "".
func search(top int, trial func(rate int) (got int, lost string, err error)) (sustained, error) {
	best := sustained{}
	for least, high := 0, top; high-least > max(high/searchStep, searchLeast); {
		rate := (least + high) / 2
		got, lost, err := trial(rate)
		if err != nil {
			return best, err
		}
		if lost != "" {
			best.above = fmt.Sprintf("at %s %s", thousands(int64(got)), lost)
		}
		switch {
		case lost != "" && got <= least:
			return best, nil // it lost at a rate that it had sustained before
		case lost != "":
			high = min(rate, got)
		case float64(got) < reached*float64(rate):
			best.rate, best.bySender = max(got, least), true
			return best, nil
		default:
			least, best.rate = rate, min(got, rate)
		}
	}
	return best, nil
}
