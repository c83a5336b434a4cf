// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"slices"
	"sync"

	"github.com/dnsluice/dnsluice/internal/record"
)

// share is how many live parcels are taken in a row while others, from disk, wait as well: live
// traffic has the larger share, and the disk drains all the same.
const share = 2

// queue holds the sealed parcels that wait for a worker. One that belongs to a partition waits for
// the worker of that one, the others for any.
type queue struct {
	any *shelf

	mu         sync.Mutex // guards the following, and what is on the shelves
	partitions int32      // that there are, as far as it is known
	own        map[int32]*shelf
	loaded     int32         // of own, how many have live parcels
	idles      bool          // that is at most half of the partitions
	idling     chan struct{} // closed while it is
}

// shelf is a row of parcels. Who is woken takes one, and take wakes the next.
type shelf struct {
	wake chan struct{}
	live []*parcel
	disk []*parcel // that the drainer read
	row  int       // live ones taken since the last from disk

	aside int // frames that were set aside since the last recall

	loaded bool // it is counted as such
}

func newShelf() *shelf { return &shelf{wake: make(chan struct{}, 1)} }

func newQueue() *queue {
	q := &queue{any: newShelf(), own: map[int32]*shelf{}, idling: make(chan struct{})}
	q.tally(q.any) // there is nothing
	return q
}

// of returns the shelf of the worker of a partition.
func (q *queue) of(partition int32) *shelf {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.shelf(partition)
}

// shelf is of with q.mu held.
func (q *queue) shelf(partition int32) *shelf {
	s := q.own[partition]
	if s == nil {
		s = newShelf()
		q.own[partition] = s
	}
	return s
}

// place returns where p waits. One that was given a place among another number of partitions has
// none any more: whoever takes it gives it one. q.mu is held.
func (q *queue) place(p *parcel) *shelf {
	if p.batch == nil {
		return q.any
	}
	return q.at(p.batch.Place())
}

// at returns where what has that place waits. q.mu is held.
func (q *queue) at(place record.Place) *shelf {
	if place.Of != 0 && place.Of == q.partitions && place.Partition != record.Anywhere {
		return q.shelf(place.Partition)
	}
	return q.any
}

// resize says how many partitions there are. Parcels that were given a place among another number of
// them go back to where all workers take them.
func (q *queue) resize(partitions int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.partitions == partitions {
		return
	}
	for at := range q.partitions {
		if s := q.own[at]; s != nil {
			q.any.live, q.any.disk = append(q.any.live, s.live...), append(q.any.disk, s.disk...)
			q.any.aside += s.aside
			s.live, s.disk, s.aside = nil, nil, 0
			q.tally(s)
		}
	}
	q.partitions = partitions
	q.tally(q.any)
	q.any.rouse()
}

// tally notes whether live parcels are left on the shelf. q.mu is held.
func (q *queue) tally(s *shelf) {
	loaded := len(s.live) > 0
	switch {
	case s == q.any || loaded == s.loaded:
	case loaded:
		q.loaded++
	default:
		q.loaded--
	}
	s.loaded = loaded
	idles := q.loaded <= q.partitions/2
	switch {
	case idles && !q.idles:
		close(q.idling)
	case !idles && q.idles:
		q.idling = make(chan struct{})
	}
	q.idles = idles
}

// idle returns a channel that is closed once half of the partitions, or more, have no live parcel
// that waits for their workers.
func (q *queue) idle() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idling
}

// size returns how many partitions there are.
func (q *queue) size() int32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.partitions
}

// put adds p behind the others. p.mu is held.
func (q *queue) put(p *parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.place(p)
	row := s.rowOf(p)
	*row = append(*row, p)
	q.tally(s)
	s.rouse()
}

// putBack adds p before the others: it has waited longer. p.mu is held.
func (q *queue) putBack(p *parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.place(p)
	row := s.rowOf(p)
	*row = slices.Insert(*row, 0, p)
	q.tally(s)
	s.rouse()
}

// take removes the parcel whose turn it is on the shelf; nil when none is left. The caller was woken.
func (q *queue) take(s *shelf) *parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	from := &s.live
	if len(s.live) == 0 || len(s.disk) > 0 && s.row >= share {
		from, s.row = &s.disk, 0
	} else {
		s.row++
	}
	if len(*from) == 0 {
		return nil
	}
	p := (*from)[0]
	*from = slices.Delete(*from, 0, 1)
	q.tally(s)
	s.rouse()
	return p
}

// steal removes p, and returns false when it is not there. p.mu is held.
func (q *queue) steal(p *parcel) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.place(p)
	return q.remove(s, p)
}

// setAside notes that a frame with that place was set aside.
func (q *queue) setAside(place record.Place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.at(place).aside++
}

// recall tells whether frames were set aside for a partition that is able now, or among another number
// of partitions. If so, it forgets all that were: they come again.
func (q *queue) recall(able partitions) (due bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	due = q.any.aside > 0
	for at, s := range q.own {
		due = due || s.aside > 0 && able.has(at)
	}
	if due {
		q.any.aside = 0
		for _, s := range q.own {
			s.aside = 0
		}
	}
	return due
}

// remove takes p off the shelf, and returns false when it is not there. q.mu is held.
func (q *queue) remove(s *shelf, p *parcel) bool {
	row := s.rowOf(p)
	i := slices.Index(*row, p)
	if i >= 0 {
		*row = slices.Delete(*row, i, i+1)
		q.tally(s)
	}
	return i >= 0
}

// busy tells whether a parcel waits for the shelf's worker.
func (q *queue) busy(s *shelf) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.waits()+s.aside > 0
}

// fromDisk returns how many parcels from disk wait that can be sent, and how many that cannot, for
// they belong to a partition that fails.
func (q *queue) fromDisk(able partitions) (ready, stranded int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ready = len(q.any.disk)
	for at, s := range q.own {
		if able.has(at) {
			ready += len(s.disk)
		} else {
			stranded += len(s.disk)
		}
	}
	return ready, stranded
}

// waits returns how many parcels are on the shelf. queue.mu is held, as for all of its methods.
func (s *shelf) waits() int { return len(s.live) + len(s.disk) }

func (s *shelf) rowOf(p *parcel) *[]*parcel {
	if p.origin == fromLane {
		return &s.live
	}
	return &s.disk
}

// rouse wakes one worker, if there is anything to do.
func (s *shelf) rouse() {
	if s.waits() == 0 {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // somebody is about to come
	}
}
