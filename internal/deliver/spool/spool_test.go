// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/record"
)

func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWhatIsReleasedComesBackOldestFirstAndByteForByte(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		b, _ := r.batch(3, 900)
		b.Stamp(record.Producer{ID: 5, Epoch: 6}, 77)
		want := slices.Clone(b.Bytes())
		ref, err := r.s.Append(b)
		if err != nil {
			t.Fatal(err)
		}
		r.pool.Put(b)
		r.s.Release(ref)
		var names []string
		for range 200 { // three segments
			names = append(names, r.spill(2, 1000))
		}
		b = r.pool.TryGet()
		back, err := r.s.Next(b)
		if err != nil || !slices.Equal(b.Bytes(), want) {
			t.Errorf("the first: %v, the same bytes: %v", err, slices.Equal(b.Bytes(), want))
		}
		equal(t, "its ref", ref, back)
		r.s.Settle(back)
		equal(t, "the others", names, r.drain())
		st := r.s.Stats()
		equal(t, "settled", 403, st.Settled)
		equal(t, "left", 0, st.Records+st.Batches+st.Bytes+dropped(st))
		r.close()
	})
}

func TestWhatIsHeldIsNotHandedOut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		refs := map[string]deliver.Ref{}
		var names []string
		for range 6 {
			ref, name := r.append(1, 500)
			refs[name] = ref
			names = append(names, name)
		}
		if _, name := r.next(); name != "" {
			t.Errorf("%s is held and was handed out", name)
		}
		r.s.Release(refs[names[3]])
		r.s.Settle(refs[names[0]])
		later := r.spill(1, 500)
		r.s.Release(refs[names[1]])
		out, name := r.next()
		equal(t, "the oldest that was released", names[1], name)
		r.s.Release(out) // given back
		equal(t, "all that was released", []string{names[1], names[3], later}, r.drain())
		r.s.Settle(refs[names[2]])
		r.s.Settle(refs[names[2]]) // once more means nothing
		equal(t, "still held", 2, r.s.Stats().Records)
		balanced(t, r.s)
		r.kill()
		equal(t, "what nobody settled, and all that the cursor did not know yet",
			append(names, later), r.drain())
		r.close()
	})
}

func TestFramesSettledBeforeTheReaderComesAreNotHandedOut(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var want []string
		var held []deliver.Ref
		want = append(want, r.spill(1, 500)) // the reader stays here
		for i := range 300 {                 // over several segments
			if i%3 == 0 {
				want = append(want, r.spill(1, 500))
				continue
			}
			ref, _ := r.append(1, 500)
			held = append(held, ref)
		}
		for _, ref := range held {
			r.s.Settle(ref)
		}
		equal(t, "the others", want, r.drain())
		r.close()
		equal(t, "segments that are left", []string{}, r.disk.Segments())
	})
}

func TestACleanEndAndANewStartLoseAndRepeatNothing(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var names []string
		for range 250 {
			names = append(names, r.spill(2, 800))
		}
		for i := range 120 {
			ref, name := r.next()
			equal(t, "name", names[i], name)
			r.s.Settle(ref)
		}
		held, heldName := r.append(2, 800)
		r.close()
		equal(t, "kept at Close", 2*131, r.s.Stats().Records)
		_ = held
		r.open()
		st := r.s.Stats()
		equal(t, "recovered", 2*131, st.Recovered)
		equal(t, "waiting", 2*131, st.Records)
		ref, name := r.next()
		if !ref.Recovered || name != names[120] {
			t.Errorf("%+v %s", ref, name)
		}
		r.s.Settle(ref)
		equal(t, "the rest", append(slices.Clone(names[121:]), heldName), r.drain())
		r.close()
		equal(t, "files", []string{"cursor"}, r.disk.Names())
	})
}

func TestTheCursorIsSavedOnceASecondAndSettledSegmentsAreDeleted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 200 {
			r.spill(1, 1000)
		}
		pass(2 * time.Second)
		before := len(r.disk.Segments())
		r.drain()
		equal(t, "segments before the cursor is saved", before, len(r.disk.Segments()))
		pass(1 * time.Second)
		equal(t, "and after: the one that is appended to", 1, len(r.disk.Segments()))
		r.kill()
		equal(t, "repeated after a kill", 0, r.s.Stats().Recovered)
		r.spill(1, 1000)
		r.drain()
		pass(15 * time.Second)
		equal(t, "segments when nothing came for a while", []string{}, r.disk.Segments())
		r.spill(1, 1000)
		equal(t, "and it goes on", 1, len(r.drain()))
		r.close()
	})
}

func TestAHealthySensorWithDurableBatchesRepeatsLittleAfterAKill(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 500 {
			ref, _ := r.append(1, 1000)
			r.s.Settle(ref)
			pass(20 * time.Millisecond)
		}
		r.kill()
		if n := r.s.Stats().Recovered; n > 51 {
			t.Errorf("%d repeated, which is more than those of one second", n)
		}
		r.close()
	})
}

func TestAFullSpoolDropsItsOldestSegmentsAndCountsExactly(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var names []string
		var held deliver.Ref
		for i := range 2500 { // of 1 MiB
			if i == 7 { // stays in memory, its frame goes
				held, _ = r.append(1, 1000)
				continue
			}
			names = append(names, r.spill(1, 1000))
			if i == 30 {
				for range 5 { // settled frames are not lost
					ref, _ := r.next()
					r.s.Settle(ref)
				}
			}
			if used := r.disk.Used(); used > r.cfg.MaxBytes {
				t.Fatalf("%d bytes on disk, at most %d", used, r.cfg.MaxBytes)
			}
		}
		st := r.s.Stats()
		left := r.drain()
		equal(t, "what is left is the newest", names[len(names)-len(left):], left)
		equal(t, "dropped", uint64(len(names)-5-len(left)), st.Dropped[deliver.SpoolFull])
		equal(t, "of this run", st.Dropped, st.OwnDropped)
		balanced(t, r.s)
		r.s.Release(held) // now it is lost as well
		equal(t, "dropped", st.Dropped[deliver.SpoolFull]+1, r.s.Stats().Dropped[deliver.SpoolFull])
		r.close()
	})
}

func TestAFrameOfADroppedSegmentThatIsSettledWasNotLost(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		held, _ := r.append(3, 1000)
		other, _ := r.append(4, 1000)
		for range 2500 {
			r.spill(1, 1000)
		}
		before := r.s.Stats()
		r.s.Settle(held)
		after := r.s.Stats()
		equal(t, "settled", 3, after.Settled)
		equal(t, "dropped", dropped(before), dropped(after))
		balanced(t, r.s)
		_ = other
		r.close()
		equal(t, "dropped when nobody can settle it any more", dropped(before)+4, dropped(r.s.Stats()))
	})
}

func TestWhatIsTooOldIsDropped(t *testing.T) {
	virtual(t, func(t *testing.T) {
		cfg := small()
		cfg.MaxAge = time.Hour
		r := opened(t, cfg)
		r.spill(5, 1000)
		pass(50 * time.Minute)
		r.spill(7, 1000)
		r.kill() // age outlives a process
		pass(11 * time.Minute)
		st := r.s.Stats()
		equal(t, "dropped by age", 5, st.Dropped[deliver.SpoolAge])
		equal(t, "waiting", 7, st.Records)
		equal(t, "of this run", 0, st.OwnDropped[deliver.SpoolAge])
		pass(time.Hour)
		equal(t, "dropped by age", 12, r.s.Stats().Dropped[deliver.SpoolAge])
		r.spill(1, 1000)
		pass(2 * time.Hour) // the segment that is appended to is none the better
		equal(t, "dropped by age", 13, r.s.Stats().Dropped[deliver.SpoolAge])
		equal(t, "segments", []string{}, r.disk.Segments())
		r.close()
	})
}

func TestTheOldestFrameThatWaitsIsTold(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		equal(t, "of an empty spool", time.Time{}, r.s.Stats().Oldest)
		start := time.Now()
		r.spill(1, 500)
		pass(time.Minute)
		r.spill(1, 500)
		equal(t, "the first", time.Duration(0), r.s.Stats().Oldest.Sub(start))
		r.drain()
		equal(t, "none", time.Time{}, r.s.Stats().Oldest)
		pass(time.Second)
		again := time.Now()
		r.spill(1, 500) // into the same segment
		pass(time.Minute)
		r.spill(1, 500)
		equal(t, "the first of a second backlog", time.Duration(0), r.s.Stats().Oldest.Sub(again))
		r.drain()
		equal(t, "none of it", time.Time{}, r.s.Stats().Oldest)
		r.close()
	})
}

func TestASecondProcessIsToldSo(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.Dir = dir
	s, err := spool.Open(cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(cfg, discard()); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("the second: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = spool.Open(cfg, discard()); err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p := record.NewPool(1, 1000)
	b := p.TryGet()
	if _, err := s.Append(b); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if _, err := s.Next(b); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after Close: %v", err)
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*spool.Config){
		"no directory":     func(c *spool.Config) { c.Dir = "" },
		"a bound too low":  func(c *spool.Config) { c.MaxBytes = 1 },
		"a negative space": func(c *spool.Config) { c.MinFree = -1 },
		"a negative age":   func(c *spool.Config) { c.MaxAge = -1 },
		"tiny segments":    func(c *spool.Config) { c.Segment = 1 },
		"no such policy":   func(c *spool.Config) { c.Sync = 9 },
	} {
		c := small()
		c.Dir = t.TempDir()
		spoil(&c)
		if _, err := spool.Open(c, discard()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := small()
	c.Dir = file
	if _, err := spool.Open(c, discard()); err == nil {
		t.Error("a file was taken for a directory")
	}
	for _, s := range []spool.Sync{spool.SyncInterval, spool.SyncAlways, spool.SyncNever} {
		if got, err := spool.ParseSync(s.String()); got != s || err != nil {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if _, err := spool.ParseSync("sometimes"); err == nil {
		t.Error("sometimes was taken")
	}
}

func TestABatchLargerThanTheSpoolIsRefusedAndNothingIsDroppedForIt(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(1, 1000)
		p := record.NewPool(1, 4*mib)
		b := p.TryGet()
		b.Commit(append(b.Value(1), make([]byte, 2*mib)...))
		r.pack.Seal(b)
		if _, err := r.s.Append(b); err == nil {
			t.Error("it was taken")
		}
		if st := r.s.Stats(); st.Records != 1 || st.Degraded != nil {
			t.Errorf("%+v", st)
		}
		r.close()
	})
}

func TestABatchOfALargerPoolIsHandedOutAllTheSame(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		name := r.spill(10, 18_000)
		r.close()
		r.pool = record.NewPool(1, 1000) // batch_size was made smaller
		r.open()
		equal(t, "handed out", []string{name}, r.drain())
		r.close()
	})
}

func TestWhatWasSettledOfAFrameIsNotLostWithIt(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		held, _ := r.append(10, 1000)
		r.s.SettlePart(held, 4)
		equal(t, "on disk", 6, r.s.Stats().Records)
		for range 2500 {
			r.spill(1, 1000)
		}
		balanced(t, r.s)
		before := r.s.Stats()
		r.close()
		equal(t, "dropped", dropped(before)+6, dropped(r.s.Stats()))
	})
}

func TestTheRestOfAFrameIsOfTheSameRunAndCostsNoOther(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(10, 1000)
		r.close()
		r.open()
		first, _ := r.next()
		rest, name := r.batch(6, 1000)
		r.s.SettlePart(first, 4)
		ref, err := r.s.AppendRest(first, rest)
		r.pool.Put(rest)
		if err != nil || !ref.Recovered {
			t.Fatalf("%+v: %v", ref, err)
		}
		r.s.Settle(first)
		balanced(t, r.s)
		r.close()
		r.open()
		equal(t, "what the next run finds", 6, r.s.Stats().Recovered)
		first, got := r.next()
		equal(t, "its name", name, got)
		for range 2500 {
			r.spill(1, 1000)
		}
		before := r.s.Stats()
		rest, _ = r.batch(5, 20_000)
		for range 10 { // more than one segment may have room for
			_, err = r.s.AppendRest(first, rest)
		}
		r.pool.Put(rest)
		after := r.s.Stats()
		if err == nil || after.Degraded != nil {
			t.Errorf("appended to a full spool: %v, %v", err, after.Degraded)
		}
		equal(t, "dropped for it", dropped(before), dropped(after))
		r.close()
		after = r.s.Stats()
		equal(t, "dropped of this run", dropped(after)-6, after.OwnDropped[deliver.SpoolFull])
	})
}

func TestASpoolThatDropsIsFullAllTheTime(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for i := range 2500 {
			r.spill(1, 1000)
			st := r.s.Stats()
			if dropped(st) > 0 && !st.Full || i < 500 && st.Full {
				t.Fatalf("after %d frames, with %d dropped: full is %v", i, dropped(st), st.Full)
			}
		}
		for range 400 {
			ref, _ := r.next()
			r.s.Settle(ref)
		}
		pass(2 * time.Second)
		equal(t, "full after it has drained", false, r.s.Stats().Full)
		r.close()
	})
}

func TestSegmentsThatAreDroppedOneAfterTheOtherAreToldOnceAMinute(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := newRig(t, small())
		var said bytes.Buffer
		s, err := spool.OpenDir(r.cfg, r.disk, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		r.s = s
		for range 9000 {
			r.spill(1, 1000)
			pass(20 * time.Millisecond)
		}
		r.close()
		told := uint64(0)
		lines := strings.Split(said.String(), "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return !strings.Contains(l, "segments are dropped") })
		for _, line := range lines {
			var n uint64
			if _, err := fmt.Sscanf(line[strings.Index(line, " records="):], " records=%d", &n); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			told += n
		}
		lost := s.Stats().Dropped[deliver.SpoolFull]
		if len(lines) != 3 || told > lost || told < lost/2 {
			t.Errorf("%d records of %d that were dropped are told in\n%s", told, lost, strings.Join(lines, "\n"))
		}
	})
}
