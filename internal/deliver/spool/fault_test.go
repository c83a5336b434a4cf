// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/deliver/spool/spooltest"
)

// tryAppend appends a batch of n records and releases it, or returns why it cannot.
func (r *rig) tryAppend(n, size int) (string, error) {
	b, name := r.batch(n, size)
	defer r.pool.Put(b)
	ref, err := r.s.Append(b)
	if err == nil {
		r.s.Release(ref)
	}
	return name, err
}

// failing makes the operations of that kind fail on segments.
func failing(op spooltest.Op, err error) func(spooltest.Op, string) error {
	return func(o spooltest.Op, name string) error {
		if o == op {
			return err
		}
		return nil
	}
}

func TestADiskThatFailsDegradesTheSpoolAndItHeals(t *testing.T) {
	for _, c := range []struct {
		name string
		op   spooltest.Op
		err  error
		sync spool.Sync
	}{
		{"writes fail", spooltest.Write, syscall.EIO, spool.SyncInterval},
		{"read-only, seen by a write", spooltest.Write, syscall.EROFS, spool.SyncInterval},
		{"read-only, seen by a new file", spooltest.Create, syscall.EROFS, spool.SyncInterval},
		{"no more files", spooltest.Create, syscall.EMFILE, spool.SyncNever},
		{"each sync fails", spooltest.Sync, syscall.EIO, spool.SyncAlways},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				cfg := small()
				cfg.Sync = c.sync
				r := opened(t, cfg)
				var want []string
				if c.op != spooltest.Create {
					want = append(want, r.spill(2, 1000))
				}
				r.disk.Fail(failing(c.op, c.err))
				_, err := r.tryAppend(2, 1000)
				if !errors.Is(err, c.err) {
					t.Fatalf("append: %v", err)
				}
				if d := r.s.Stats().Degraded; !errors.Is(d, c.err) {
					t.Errorf("degraded: %v", d)
				}
				pass(25 * time.Second)
				calls := 0
				r.disk.Fail(func(o spooltest.Op, name string) error {
					if strings.HasSuffix(name, ".spool") {
						calls++
					}
					return failing(c.op, c.err)(o, name)
				})
				if _, err := r.tryAppend(2, 1000); !errors.Is(err, c.err) || calls != 0 {
					t.Errorf("an append that cannot succeed: %v, and %d calls to the disk", err, calls)
				}
				equal(t, "what is there is handed out meanwhile", want, r.drain())
				r.disk.Fail(nil)
				pass(11 * time.Second)
				if d := r.s.Stats().Degraded; d != nil {
					t.Errorf("not healed: %v", d)
				}
				healed := r.spill(2, 1000)
				balanced(t, r.s)
				r.kill()
				if got := r.drain(); !slices.Equal(got, []string{healed}) {
					t.Errorf("after a restart: %v", got)
				}
				r.close()
			})
		})
	}
}

func TestAFailedSyncEndsTheSegmentAndIsNeverRepeated(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		first := r.spill(1, 1000)
		syncs := map[string]int{}
		r.disk.Fail(func(op spooltest.Op, name string) error {
			if op == spooltest.Sync && strings.HasSuffix(name, ".spool") {
				syncs[name]++
				if name == firstSegment {
					return syscall.EIO
				}
			}
			return nil
		})
		pass(3 * time.Second)
		if d := r.s.Stats().Degraded; d != nil {
			t.Errorf("the rest of the disk is well: %v", d)
		}
		second := r.spill(1, 1000)
		pass(3 * time.Second)
		equal(t, "segments", 2, len(r.disk.Segments()))
		equal(t, "handed out", []string{first, second}, r.drain())
		r.close()
		equal(t, "syncs", map[string]int{firstSegment: 1, "00000000000000000002.spool": 2}, syncs)
	})
}

func TestAFailedSyncOnADiskThatFailsAltogetherDegrades(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(1, 1000)
		r.disk.Fail(failing(spooltest.Sync, syscall.EIO))
		pass(2 * time.Second)
		if d := r.s.Stats().Degraded; !errors.Is(d, syscall.EIO) {
			t.Errorf("degraded: %v", d)
		}
		r.disk.Fail(nil)
		pass(11 * time.Second)
		if d := r.s.Stats().Degraded; d != nil {
			t.Errorf("not healed: %v", d)
		}
		r.close()
	})
}

func TestAFailedSyncWithAlwaysIsRepairedInAnotherSegment(t *testing.T) {
	virtual(t, func(t *testing.T) {
		cfg := small()
		cfg.Sync = spool.SyncAlways
		r := opened(t, cfg)
		a := r.spill(1, 1000)
		r.disk.Fail(func(op spooltest.Op, name string) error {
			if op == spooltest.Sync && name == firstSegment {
				return syscall.EIO
			}
			return nil
		})
		b := r.spill(1, 1000)
		c := r.spill(1, 1000)
		r.kill()
		equal(t, "each once", []string{a, b, c}, r.drain())
		r.close()
	})
}

func TestAFullDiskDropsTheOldestSegmentOnceThenDegradesAndHeals(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var names []string
		for range 180 { // three segments
			names = append(names, r.spill(1, 1000))
		}
		before := len(r.disk.Segments())
		r.disk.Resize(r.disk.Used() + 300)
		// The file system says that there is room; the write says that there is not.
		name, err := r.tryAppend(1, 1000)
		if err != nil {
			t.Fatalf("after the oldest was dropped there was room: %v", err)
		}
		names = append(names, name)
		st := r.s.Stats()
		equal(t, "segments", before-1, len(r.disk.Segments()))
		lost := st.Dropped[deliver.SpoolFull]
		if lost == 0 || st.Degraded != nil {
			t.Errorf("%d dropped, degraded: %v", lost, st.Degraded)
		}
		// Now nothing helps.
		r.disk.Fail(failing(spooltest.Write, syscall.ENOSPC))
		_, err = r.tryAppend(1, 1000)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append: %v", err)
		}
		after := r.s.Stats()
		equal(t, "segments", before-2, len(r.disk.Segments()))
		pass(time.Minute)
		equal(t, "nothing more is dropped in vain", dropped(after), dropped(r.s.Stats()))
		r.disk.Fail(nil)
		r.disk.Resize(64 * mib)
		pass(11 * time.Second)
		names = append(names, r.spill(1, 1000))
		got := r.drain()
		equal(t, "handed out", names[len(names)-len(got):], got)
		equal(t, "lost", uint64(len(names)-len(got)), dropped(r.s.Stats()))
		r.close()
	})
}

func TestSpaceIsLeftForOthers(t *testing.T) {
	virtual(t, func(t *testing.T) {
		cfg := small()
		cfg.MinFree = 2 * mib
		r := newRig(t, cfg)
		r.disk.Resize(3 * mib)
		r.open()
		for range 180 {
			r.spill(1, 1000)
		}
		used := r.disk.Used()
		r.disk.Put("somebody's", make([]byte, mib-used-20_000)) // 20 kB are left for us
		for range 60 {
			r.spill(1, 1000)
		}
		if free := 3*mib - r.disk.Used(); free < 2*mib {
			t.Errorf("%d bytes are free", free)
		}
		lost := dropped(r.s.Stats())
		if lost < 40 || lost > 80 {
			t.Errorf("%d dropped: not one segment", lost)
		}
		r.disk.Put("somebody's", make([]byte, 2*mib)) // whatever we drop, it is not enough
		if _, err := r.tryAppend(1, 1000); err == nil {
			t.Error("it was taken")
		}
		equal(t, "nothing is dropped in vain", lost, dropped(r.s.Stats()))
		if r.s.Stats().Degraded == nil {
			t.Error("not degraded")
		}
		pass(30 * time.Second)
		if r.s.Stats().Degraded == nil {
			t.Error("healed, and it cannot")
		}
		r.disk.Put("somebody's", nil)
		pass(11 * time.Second)
		r.spill(1, 1000)
		balanced(t, r.s)
		if got := r.s.Stats().Free; got == 0 {
			t.Error("free is not told")
		}
		r.close()
	})
}

func TestWhatCannotBeReadIsTriedForAMinuteAndThenSkipped(t *testing.T) {
	for _, c := range []struct {
		name string
		op   spooltest.Op
		lost int // of the 60 and some of the first segment
	}{
		{"its blocks", spooltest.Read, 0}, {"its file", spooltest.Open, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				r := opened(t, small())
				for range 150 {
					r.spill(1, 1000)
				}
				first, _ := r.next()
				r.s.Settle(first)
				r.kill() // nothing is open
				r.disk.Fail(func(op spooltest.Op, name string) error {
					if op == c.op && name == firstSegment {
						return syscall.EIO
					}
					return nil
				})
				b := r.pool.TryGet()
				start := time.Now()
				for range 200 {
					if _, err := r.s.Next(b); err == nil {
						break
					} else if !errors.Is(err, syscall.EIO) {
						t.Fatal(err)
					}
					pass(time.Second)
				}
				if after := time.Since(start); after < 45*time.Second || after > 75*time.Second {
					t.Errorf("given up after %s", after)
				}
				if name := nameOf(t, b.Bytes()); name < "b000050" {
					t.Errorf("handed out %s", name)
				}
				r.drain()
				st := r.s.Stats()
				if st.Dropped[deliver.SpoolCorrupt] < 40 || st.Corrupt.Records != dropped(st) {
					t.Errorf("%+v", st)
				}
				balanced(t, r.s)
				r.close()
				if c.op == spooltest.Open && !slices.Contains(r.disk.Names(), "quarantine/"+firstSegment) {
					t.Errorf("the file is not kept: %v", r.disk.Names())
				}
			})
		})
	}
}

func TestADiskThatReadsAgainLosesNothing(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var names []string
		for range 10 {
			names = append(names, r.spill(1, 1000))
		}
		r.disk.Fail(failing(spooltest.Read, syscall.EIO))
		b := r.pool.TryGet()
		for range 20 {
			if _, err := r.s.Next(b); err == nil || b.Records() != 0 {
				t.Fatalf("%v, %d records", err, b.Records())
			}
			pass(time.Second)
		}
		r.pool.Put(b)
		r.disk.Fail(nil)
		pass(10 * time.Second)
		equal(t, "handed out", names, r.drain())
		r.close()
	})
}

func TestADirectoryThatFailsAtTheStartIsNoReasonNotToStart(t *testing.T) {
	for _, op := range []spooltest.Op{spooltest.List, spooltest.Open, spooltest.Read, spooltest.Create,
		spooltest.Remove, spooltest.Rename, spooltest.Sync, spooltest.Write} {
		t.Run(string(op), func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				r := opened(t, small())
				var names []string
				for range 100 {
					names = append(names, r.spill(1, 1000))
				}
				r.close()
				r.disk.Put("00000000000000000099.spool", []byte("garbage"))
				r.disk.Fail(failing(op, syscall.EIO))
				r.open()
				pass(5 * time.Second)
				r.disk.Fail(nil)
				pass(11 * time.Second)
				if d := r.s.Stats().Degraded; d != nil {
					t.Errorf("not healed: %v", d)
				}
				names = append(names, r.spill(1, 1000))
				got := r.drain()
				r.close()
				r.open() // what could not be read then is read now
				got = append(got, r.drain()...)
				slices.Sort(got)
				equal(t, "handed out", names, got)
				r.close()
			})
		})
	}
}

func TestAFileThatCannotBeDeletedIsTriedAgain(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 200 {
			r.spill(1, 1000)
		}
		r.drain()
		r.disk.Fail(failing(spooltest.Remove, syscall.EACCES))
		pass(5 * time.Second)
		if n := len(r.disk.Segments()); n < 3 {
			t.Fatalf("%d segments", n)
		}
		r.disk.Fail(nil)
		pass(20 * time.Second)
		equal(t, "segments", []string{}, r.disk.Segments())
		r.close()
	})
}

func TestACursorThatCannotBeSavedKeepsNothingOnDisk(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 200 {
			r.spill(1, 1000)
		}
		r.disk.Fail(func(op spooltest.Op, name string) error {
			if strings.HasPrefix(name, "cursor") && op == spooltest.Create {
				return syscall.ENOSPC
			}
			return nil
		})
		r.drain()
		pass(20 * time.Second)
		equal(t, "segments", []string{}, r.disk.Segments())
		r.disk.Fail(nil)
		r.close()
	})
}

func TestFilesAndMemoryDoNotGrowWithTheBacklog(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 2000 {
			r.spill(1, 1000)
			if n := spool.Entries(r.s); n > 1 {
				t.Fatalf("%d entries for frames that nobody holds", n)
			}
		}
		for i := range 500 {
			ref, _ := r.next()
			if i%2 == 0 {
				r.s.Settle(ref)
			} else {
				r.s.Release(ref)
			}
		}
		if n := r.disk.Opened(); n > 2 {
			t.Errorf("%d files are open", n)
		}
		r.drain()
		r.close()
		equal(t, "open at the end", 0, r.disk.Opened())
	})
}

func TestSyncPolicies(t *testing.T) {
	for policy, want := range map[spool.Sync]int{
		spool.SyncInterval: 1, spool.SyncAlways: 10, spool.SyncNever: 0,
	} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				cfg := small()
				cfg.Sync = policy
				r := opened(t, cfg)
				before := r.disk.Syncs()
				for range 10 {
					r.spill(1, 1000)
				}
				pass(1500 * time.Millisecond) // nothing is settled: the cursor has nothing to say
				equal(t, "syncs", want, r.disk.Syncs()-before-1)
				r.close()
			})
		})
	}
}

// blackout is a loss of power after which nothing is left that was not synced.
func (r *rig) blackout() {
	r.t.Helper()
	r.die(func() { r.disk.Crash(nil) })
	r.open()
}

func TestWhatIsSyncedSurvivesALossOfPower(t *testing.T) {
	for name, c := range map[string]struct {
		sync spool.Sync
		do   func(r *rig)
		lost bool
	}{
		"always": {spool.SyncAlways, func(*rig) {}, false},
		"interval, after a second": {spool.SyncInterval, func(*rig) {
			pass(1100 * time.Millisecond)
		}, false},
		"interval, at once":            {spool.SyncInterval, func(*rig) {}, true},
		"never":                        {spool.SyncNever, func(*rig) { pass(time.Minute) }, true},
		"after the process was killed": {spool.SyncInterval, func(r *rig) { r.kill() }, false},
		"after the segment was ended well": {spool.SyncInterval, func(r *rig) {
			r.close()
			r.open()
		}, false},
		"after a write to its segment failed": {spool.SyncInterval, func(r *rig) {
			r.disk.Fail(failing(spooltest.Write, syscall.EIO))
			if _, err := r.tryAppend(1, 1000); err == nil {
				r.t.Error("a write did not fail")
			}
			r.disk.Fail(nil)
			pass(1100 * time.Millisecond)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				cfg := small()
				cfg.Sync = c.sync
				r := opened(t, cfg)
				want := []string{r.spill(1, 1000), r.spill(1, 1000)}
				if c.lost {
					want = nil
				}
				c.do(r)
				r.blackout()
				equal(t, "handed out", want, r.drain())
				r.close()
			})
		})
	}
}

func TestASegmentIsDeletedAfterTheCursorThatCoversItIsDurable(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		for range 200 {
			r.spill(1, 1000)
		}
		r.drain()
		var order []string
		r.disk.Fail(func(op spooltest.Op, name string) error {
			if op == spooltest.Rename || op == spooltest.SyncDir ||
				op == spooltest.Remove && name == firstSegment {
				order = append(order, string(op))
			}
			return nil
		})
		pass(1100 * time.Millisecond)
		equal(t, "order", []string{"rename", "sync directory", "remove"}, order)
		r.disk.Fail(nil)
		r.blackout() // the files are there again, and known to be settled
		equal(t, "repeated", 0, r.s.Stats().Recovered)
		r.close()
	})
}

func TestACursorThatCannotBeWrittenIsToldOnceUntilItCan(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := newRig(t, small())
		var log bytes.Buffer
		var err error
		if r.s, err = spool.OpenDir(r.cfg, r.disk, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		for outage := 1; outage <= 2; outage++ {
			r.disk.Fail(func(_ spooltest.Op, name string) error {
				if strings.HasPrefix(name, "cursor") {
					return syscall.EROFS
				}
				return nil
			})
			r.spill(1, 1000)
			r.spill(1, 1000)
			ref, _ := r.next() // the other one stays: there is something to save
			r.s.Settle(ref)
			pass(time.Minute)
			if n := strings.Count(log.String(), "the cursor is not saved"); n != outage {
				t.Errorf("told %d times in %d outages:\n%s", n, outage, log.String())
			}
			r.disk.Fail(nil)
			pass(5 * time.Second)
		}
		r.close()
	})
}

func TestARestThatIsNotWrittenIsNoHarmToWhatFollows(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		r.spill(10, 1000)
		first, _ := r.next()
		rest, _ := r.batch(6, 1000)
		r.disk.Fail(failing(spooltest.Write, syscall.ENOSPC))
		_, err := r.s.AppendRest(first, rest)
		r.disk.Fail(nil)
		r.pool.Put(rest)
		if err == nil || r.s.Stats().Degraded != nil {
			t.Errorf("%v, degraded: %v", err, r.s.Stats().Degraded)
		}
		name := r.spill(10, 1000)
		_, got := r.next()
		equal(t, "what was appended behind it", name, got)
	})
}
