// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// wide returns a rig with keys and so many partitions that it takes four batches to have some for
// each.
func wide(t *testing.T, changes ...func(*Config)) *rig {
	return newRig(t, 128, 16, append(changes, keyed, func(c *Config) {
		c.Codec, c.BatchSize = record.Snappy, MinBatchSize
	})...)
}

func TestFullBatchesAreSealedTogetherWhileTheWorkersAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wide(t)
		r.c.delay = 50 * time.Millisecond
		r.run()
		in := r.d.FileIntake(r.hard)
		r.fill(in, 50_000, 400)
		n := r.finish(in)
		r.check(n)
		r.inOrder()
		// One full batch has a dozen for each.
		if each := n.Acknowledged / n.Batches; n.Acknowledged != r.next || each < 30 {
			t.Errorf("%d records to a batch: %+v", each, n)
		}
	})
}

func TestWhatWouldWaitForTheWorkersIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wide(t)
		r.c.delay = 40 * time.Millisecond
		r.run()
		in := r.d.FileIntake(r.hard)
		for range 50 { // one at a time, so that a compressor has nothing else to take
			r.fill(in, 1000, 400)
			in.Flush()
			time.Sleep(12 * time.Millisecond) // virtual
		}
		n := r.finish(in)
		r.check(n)
		r.inOrder()
		// One batch has eight for each.
		if each := n.Acknowledged / n.Batches; n.Acknowledged != r.next || each < 16 {
			t.Errorf("%d records to a batch: %+v", each, n)
		}
	})
}

func TestABatchThatCanBeSentWaitsForNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wide(t)
		r.run()
		in := r.d.LiveIntake()
		for range 3 {
			r.fill(in, 1000, 400)
			in.Flush()
			synctest.Wait()
			if got := len(r.c.received()); got != int(r.next) {
				t.Errorf("%d of %d arrived at once", got, r.next)
			}
		}
		stuck := true // most of the partitions
		r.c.onProduce = func(p int32) outcome { return outcome{appended: true, silent: stuck && p >= 32} }
		for range 4 {
			r.fill(in, 1000, 400)
			in.Flush()
			time.Sleep(patientGathering) // virtual
			synctest.Wait()
			got := r.c.received()
			for v := range r.next {
				key := keyOf(v)
				if key != nil && record.Partition(key, 128) < 32 && got[v] == 0 {
					t.Fatalf("%d of %d did not arrive though its partition is well", v, r.next)
				}
			}
		}
		r.c.mu.Lock()
		stuck = false
		r.c.mu.Unlock()
		r.check(r.finish(in))
	})
}

func TestBatchesThatDoNotFitIntoOneArenaAreSealedByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wide(t)
		r.c.delay = 50 * time.Millisecond
		r.run()
		in := r.d.FileIntake(r.hard)
		r.fill(in, 15_000, 400) // which compress well
		noise := rand.NewChaCha8([32]byte{})
		value := make([]byte, 400)
		for range 15_000 {
			noise.Read(value)
			v := append(in.Value(time.Now().UnixNano(), keyOf(r.next)), value...)
			in.Commit(binary.BigEndian.AppendUint64(v, r.next))
			r.next++
		}
		n := r.finish(in)
		r.check(n)
		r.inOrder()
		if n.Acknowledged != r.next {
			t.Errorf("%d put, %+v", r.next, n)
		}
	})
}

func TestWhatIsToBeOnDiskIsNotGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySpool(t)
		r := wide(t, func(c *Config) { c.Spool, c.Durable = s, true })
		r.answer(outcome{silent: true})
		r.run()
		in := r.d.LiveIntake()
		for range 4 {
			r.fill(in, 1000, 400)
			in.Flush()
			synctest.Wait()
			if got := s.Stats().Records; got != r.next {
				t.Errorf("%d of %d are on disk at once", got, r.next)
			}
		}
		r.answer(fine)
		r.check(r.finish(in))
	})
}

func TestAGroupGrowsWhileThatPays(t *testing.T) {
	for name, c := range map[string]struct {
		partitions int32
		n, raw     int
		ratio      float64
		want       bool
	}{
		"parts are small":           {256, 3, 1_650_000, 0.2, true},
		"parts are large enough":    {64, 2, 1_100_000, 0.2, false},
		"few partitions":            {16, 1, 550_000, 0.2, false},
		"they do not compress":      {256, 1, 550_000, 1, false},
		"they fill the arena":       {256, 3, 1_650_000, 0.3, false},
		"a third of memory":         {256, 5, 5000, 0.2, false},
		"partitions are not known":  {0, 1, 1000, 0.2, false},
		"batches that are not full": {256, 4, 4000, 0.2, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := wide(t)
			r.d.queue.resize(c.partitions)
			if got := r.d.gains(&sealer{ratio: c.ratio}, c.n, c.raw); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	r := newRig(t, 256, 16)
	r.d.queue.resize(256)
	if r.d.gains(&sealer{ratio: 0.2}, 1, 1000) {
		t.Error("without keys")
	}
}

// TestAGroupIsAsLargeAsItsLargestBatch is about what lanes learn when a broker refuses a part.
func TestAGroupIsAsLargeAsItsLargestBatch(t *testing.T) {
	r := wide(t)
	if err := r.d.prepare(); err != nil {
		t.Fatal(err)
	}
	in := r.d.FileIntake(t.Context())
	var group []*parcel
	for _, n := range []int{1, 500, 50} {
		r.fill(in, n, 400)
		in.Flush()
		group = append(group, <-r.d.sealing[1%len(r.d.sealing)]) // one compressor on one core
	}
	want := group[1].raw
	if !r.d.unite(r.d.compressors[0], group, 128) {
		t.Fatal("they were not united")
	}
	if p := group[0]; p.raw != want || p.batch.Total() != 551 || len(r.d.parcels) != 1 {
		t.Errorf("%d bytes, want %d; %d records; %d parcels", p.raw, want, p.batch.Total(),
			len(r.d.parcels))
	}
}

func TestTheQueueKnowsWhetherMostWorkersAreIdle(t *testing.T) {
	q := newQueue()
	parcelOf := func(partition int32, origin origin) *parcel {
		b := record.NewPool(1, 1000).TryGet()
		b.SetPlace(record.Place{Partition: partition, Of: q.size()})
		return &parcel{batch: b, origin: origin}
	}
	check := func(what string, want bool) {
		t.Helper()
		idle := false
		select {
		case <-q.idle():
			idle = true
		default: // not closed
		}
		if idle != want {
			t.Errorf("%s: idle %v, want %v", what, idle, want)
		}
	}
	check("nothing is known", true)
	q.resize(4)
	check("nothing waits", true)
	for range 5 {
		q.put(parcelOf(0, fromLane))
		q.put(parcelOf(record.Anywhere, fromLane))
		q.put(parcelOf(3, fromDisk))
	}
	q.put(parcelOf(1, fromLane))
	check("two of four", true)
	p := parcelOf(2, fromLane)
	q.put(p)
	check("three of four", false)
	before := q.idle()
	q.take(q.of(1))
	check("one was taken", true)
	select {
	case <-before:
	default:
		t.Error("who waits is not told")
	}
	q.putBack(parcelOf(1, fromLane))
	check("it was put back", false)
	q.steal(p)
	check("another was stolen", true)
	q.put(p)
	q.resize(8)
	check("there are more partitions", true)
}
