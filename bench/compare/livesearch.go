// SPDX-License-Identifier: Apache-2.0

package main

// The search for the highest rate without loss.
const (
	// searchTop is more than any sender reaches.
	searchTop = 2_000_000
	// searchStep is how near the limits must come: one part in so many, or so many packets a second.
	searchStep, searchLeast = 20, 5000
	// reached is the part of a rate that a sender must reach for the rate to count as tried.
	reached = 0.97
)

// sustained is the highest rate that was tried without loss.
type sustained struct {
	rate int
	// bySender tells that the sender reached no more, and the sensor might.
	bySender bool
}

// search halves the rates between none and top. A trial returns the rate that the sender reached,
// and whether every record arrived.
func search(top int, trial func(rate int) (got int, whole bool, err error)) (sustained, error) {
	best := sustained{}
	for least, high := 0, top; high-least > max(high/searchStep, searchLeast); {
		rate := (least + high) / 2
		got, whole, err := trial(rate)
		switch {
		case err != nil:
			return best, err
		case !whole && got <= least:
			return best, nil // it lost at a rate that it had sustained before
		case !whole:
			high = min(rate, got)
		case float64(got) < reached*float64(rate):
			return sustained{rate: max(got, least), bySender: true}, nil
		default:
			least, best.rate = rate, min(got, rate)
		}
	}
	return best, nil
}
