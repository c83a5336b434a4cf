// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"sync"
	"time"
)

// topic is what is known of the leaders of the partitions. One goroutine asks the cluster; the
// workers wait here. That makes one prober, however many partitions stand still.
type topic struct {
	kick chan struct{} // asks for news; one wish is enough

	mu      sync.Mutex // guards the following
	leaders []int32
	since   []uint64      // for each partition, the answer that it appeared with
	news    uint64        // counts the answers
	changed chan struct{} // closed at the next answer
}

func newTopic() *topic {
	return &topic{kick: make(chan struct{}, 1), changed: make(chan struct{})}
}

// look returns the leader of the partition that appeared with the answer since, whether it still
// exists, and the number of the answer that says so with a channel that is closed at the next.
// A partition that went and came back is another one, with a worker of its own.
func (t *topic) look(partition int32, since uint64) (leader int32, exists bool, news uint64, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(partition) >= len(t.leaders) || t.since[partition] != since {
		return NoLeader, false, t.news, t.changed
	}
	return t.leaders[partition], true, t.news, t.changed
}

// update makes leaders the news, wakes all who wait, and returns how many there were before and
// the number of the news.
func (t *topic) update(leaders []int32) (before int, news uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before = len(t.leaders)
	t.leaders = leaders
	t.news++
	t.since = t.since[:min(before, len(leaders))]
	for len(t.since) < len(leaders) {
		t.since = append(t.since, t.news)
	}
	close(t.changed)
	t.changed = make(chan struct{})
	return before, t.news
}

// ask wishes for news.
func (t *topic) ask() {
	select {
	case t.kick <- struct{}{}:
	default: // somebody wished already
	}
}

// newer waits until there is an answer after the one numbered news. It returns false when ctx
// ends first.
func (t *topic) newer(ctx context.Context, news uint64) bool {
	pulse := pulseOf(ctx)
	pulse.Wait()
	defer pulse.Turn()
	for {
		t.mu.Lock()
		now, changed := t.news, t.changed
		t.mu.Unlock()
		if now > news {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// all returns the leader of each partition.
func (t *topic) all() []int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaders // replaced, never changed
}

// partitions returns how many there are and how many of them have no leader.
func (t *topic) partitions() (all, leaderless int) {
	leaders := t.all()
	for _, l := range leaders {
		if l == NoLeader {
			leaderless++
		}
	}
	return len(leaders), leaderless
}

// watch keeps the topic up to date until ctx ends, and starts a worker for each partition that
// appears. A worker whose partition disappears ends by itself.
func (d *Delivery) watch(ctx context.Context, workers interface{ Go(func()) }) {
	pause := backoff{min: d.cfg.BackoffMin, max: d.cfg.BackoffMax}
	for {
		leaders, err := d.lookUp(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.unreached(asFault(err))
			if !sleep(ctx, pause.next()) {
				return
			}
			continue
		}
		d.queue.resize(int32(len(leaders))) // first: who sees a leader sees where keys belong
		before, news := d.topic.update(leaders)
		for p := before; p < len(leaders); p++ {
			workers.Go(func() { newWorker(d, int32(p), news).run(ctx) })
		}
		d.reached()
		pause.reset()
		// Not more often than this, whatever goes wrong with the partitions.
		if !sleep(ctx, d.cfg.BackoffMin) || !d.untilNewsAreDue(ctx) {
			return
		}
	}
}

func (d *Delivery) lookUp(ctx context.Context) ([]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.RequestTimeout)
	defer cancel()
	return d.current().Leaders(ctx)
}

// untilNewsAreDue waits for a wish, for the age of the last answer, or, while partitions have
// no leader, for the longest pause. It returns false when ctx ends.
func (d *Delivery) untilNewsAreDue(ctx context.Context) bool {
	due := d.cfg.MetadataMaxAge
	if _, leaderless := d.topic.partitions(); leaderless > 0 {
		due = d.cfg.BackoffMax
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	pulse := pulseOf(ctx)
	pulse.Wait()
	defer pulse.Turn()
	select {
	case <-d.topic.kick:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// reached notes that the cluster answered. If no partition has a leader, that is why nothing is
// delivered, and no worker will say so: all of them wait.
func (d *Delivery) reached() {
	if all, leaderless := d.topic.partitions(); leaderless == all {
		d.unreached(&Fault{State: NoLeaderState, Err: errNoLeaders})
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.health.reached() {
		d.log.Info("deliver: the topic is reachable")
	}
}

// backoff counts pauses that double.
type backoff struct{ min, max, last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(b.min, 2*b.last), b.max)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }

// sleep waits for the pause and returns false when ctx ends first.
func sleep(ctx context.Context, pause time.Duration) bool { return doze(ctx, pause, nil) }

// doze is sleep that a kick ends early. No pause needs no timer.
func doze(ctx context.Context, pause time.Duration, kick <-chan struct{}) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	pulse := pulseOf(ctx)
	pulse.Wait()
	defer pulse.Turn()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-kick:
		return true
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
