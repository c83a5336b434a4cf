// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"sync"
	"time"
)

const (
	// limitMemory is for how long a refused size is believed: a limit can be raised again, and to try
	// costs one batch that is split.
	limitMemory = time.Minute
	// leastAim is the least size of a batch that lanes aim at, whatever is refused.
	leastAim = 16 << 10
)

// limit is how large a batch may be, as far as brokers have told by refusing one.
type limit struct {
	most int // bytes of records in a batch, as configured

	mu      sync.Mutex // guards the following
	refused int        // least size, as sent, that was too large; 0 when none is known
	aim     int        // bytes of records in a batch, so that it is not
	since   time.Time  // when either changed last
}

func newLimit(most int) *limit { return &limit{most: most, aim: most} }

// tooLarge notes that a batch of size bytes was refused; raw are its bytes before compression, 0
// when unknown. Lanes then aim at half of that, which is what it was split into.
func (l *limit) tooLarge(size, raw int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == 0 || size < l.refused {
		l.refused = size
	}
	if raw > 0 {
		l.aim = max(min(l.aim, raw/2), leastAim)
	}
	l.since = now
}

// refuses tells whether a batch of size bytes would be refused, for all that is known.
func (l *limit) refuses(size int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.age(now)
	return l.refused > 0 && size >= l.refused
}

// target returns how many bytes of records a batch should have.
func (l *limit) target(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.age(now)
	return l.aim
}

// age forgets what was refused long ago, and tries a larger size. l.mu is held.
func (l *limit) age(now time.Time) {
	if l.aim == l.most && l.refused == 0 || now.Sub(l.since) < limitMemory {
		return
	}
	l.refused, l.aim, l.since = 0, min(2*l.aim, l.most), now
}
