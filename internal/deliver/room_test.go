// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeToFullIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		s.stats.MaxBytes, s.stats.Free = 1_000_000, 2_000_000
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 120)
		st := r.d.Status().Spool
		rate := float64(st.Bytes) / 118
		if want := float64(1_000_000-st.Bytes) / rate; st.FullIn < 0.8*want || st.FullIn > 1.2*want {
			t.Errorf("full in %.0f s, want about %.0f", st.FullIn, want)
		}
		r.answer(fine)
		r.check(r.finish(in))
	})
}

func TestASpoolThatDrainsHasNoTimeToFull(t *testing.T) {
	var g growth
	now := time.Now()
	second := func(bytes uint64) float64 {
		now = now.Add(time.Second)
		g.sample(bytes, now)
		return g.status(SpoolStats{Bytes: bytes, MaxBytes: 1 << 20, Free: 1 << 20}).FullIn
	}
	for i := range uint64(40) {
		second(1000 * i)
	}
	if full := second(30_000); full == 0 {
		t.Error("a segment that was dropped for room counts as the end of the outage")
	}
	second(30_000)
	second(29_000)
	second(28_000)
	if full := second(27_000); full != 0 {
		t.Errorf("full in %.0f s, while it drains", full)
	}
	for i := range uint64(40) {
		second(27_000 + 1000*i)
	}
	if full := second(0); full != 0 {
		t.Errorf("full in %.0f s, and it is empty", full)
	}
}

func TestARoomThatIsNotThereIsToldWithWhatIsBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 12)
		s.set(func(s *memorySpool) { s.fail = errors.New("no space left on device") })
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 6)
		st := r.d.Status()
		if st.State != DiskFull || !slices.Equal(st.Behind, []State{Unreachable}) ||
			!strings.Contains(st.Sentence, advice[Unreachable]) {
			t.Errorf("%+v", st)
		}
		r.stream(in, 30)
		st = r.d.Status()
		if st.State != Dropping || !slices.Equal(st.Behind, []State{DiskFull, Unreachable}) ||
			!strings.Contains(st.Sentence, advice[DiskFull]) {
			t.Errorf("%+v", st)
		}
		s.set(func(s *memorySpool) { s.fail = nil })
		r.answer(fine)
		time.Sleep(time.Minute) // virtual
		if st = r.d.Status(); len(st.Behind) != 0 {
			t.Errorf("%+v", st)
		}
		r.check(r.finish(in))
	})
}

func TestTheStateIsDroppingAsLongAsTheSpoolIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		r.answer(outcome{err: refused})
		r.run()
		in := r.d.LiveIntake()
		r.stream(in, 30)
		if st := r.d.Status(); st.State != Unreachable {
			t.Errorf("%+v", st)
		}
		s.set(func(s *memorySpool) { s.most = len(s.frames) })
		for range 10 {
			r.stream(in, 1)
			for range 60 { // a frame is dropped each minute
				time.Sleep(time.Second) // virtual
				synctest.Wait()         // or the frame goes between the two looks
				if st := r.d.Status(); s.Stats().Dropped[SpoolFull] > 0 && st.State != Dropping {
					t.Fatalf("%+v", st)
				}
			}
		}
		s.set(func(s *memorySpool) { s.tight = true }) // which is nothing to a spool that is empty
		r.answer(fine)
		time.Sleep(time.Minute) // virtual
		if st := r.d.Status(); st.State != Idle {
			t.Errorf("%+v", st)
		}
		if n := r.finish(in); n.Dropped[SpoolFull] == 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestWhatIsLostOnDiskIsNotSaidToHaveHadNoRoom(t *testing.T) {
	for reason, want := range map[Reason]string{
		SpoolCorrupt: "cannot be read back whole", SpoolAge: "spool.max_age", SpoolFull: "no room left",
	} {
		synctest.Test(t, func(t *testing.T) {
			r, s := withSpool(t, 1, 8)
			s.stats.Dropped[reason] = 7
			if st := r.d.Status(); st.State != Dropping || !strings.Contains(st.Sentence, want) {
				t.Errorf("%v: %+v", reason, st)
			}
		})
	}
}
