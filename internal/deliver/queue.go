// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"slices"
	"sync"
)

// share is how many live parcels are taken in a row while others, from disk, wait as well: live
// traffic has the larger share, and the disk drains all the same.
const share = 2

// queue holds the sealed parcels that wait for a worker. A worker receives a token from waiting
// and then calls take; so it can wait for something else at the same time.
type queue struct {
	waiting chan struct{} // one token for each parcel; room for all there are

	mu   sync.Mutex // guards the following
	live []*parcel
	disk []*parcel // that the drainer read
	row  int       // live ones taken since the last from disk
}

func newQueue(batches int) *queue { return &queue{waiting: make(chan struct{}, batches)} }

// put adds p behind the others. p.mu is held.
func (q *queue) put(p *parcel) {
	q.mu.Lock()
	if p.origin == fromLane {
		q.live = append(q.live, p)
	} else {
		q.disk = append(q.disk, p)
	}
	q.mu.Unlock()
	q.waiting <- struct{}{}
}

// putBack adds p before the others: it has waited longer. p.mu is held.
func (q *queue) putBack(p *parcel) {
	q.mu.Lock()
	if p.origin == fromLane {
		q.live = slices.Insert(q.live, 0, p)
	} else {
		q.disk = slices.Insert(q.disk, 0, p)
	}
	q.mu.Unlock()
	q.waiting <- struct{}{}
}

// take removes the parcel whose turn it is. The caller has received a token.
func (q *queue) take() *parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	from := &q.live
	if len(q.live) == 0 || len(q.disk) > 0 && q.row >= share {
		from, q.row = &q.disk, 0
	} else {
		q.row++
	}
	p := (*from)[0]
	*from = slices.Delete(*from, 0, 1)
	return p
}

// steal removes p, and returns false when it is not there or about to be taken.
func (q *queue) steal(p *parcel) bool {
	select {
	case <-q.waiting:
	default: // nothing here that is not about to be taken
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.live, p); i >= 0 {
		q.live = slices.Delete(q.live, i, i+1)
		return true
	}
	q.waiting <- struct{}{}
	return false
}

// busy tells whether a parcel waits.
func (q *queue) busy() bool { return len(q.waiting) > 0 }

// fromDisk returns how many parcels from disk wait.
func (q *queue) fromDisk() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.disk)
}
