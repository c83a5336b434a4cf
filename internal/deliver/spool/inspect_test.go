// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/deliver/spool/spooltest"
)

// inspected is all that a Visitor was told.
type inspected struct {
	segments []spool.Segment
	batches  []string
	problems []string
}

func inspect(t *testing.T, disk *spooltest.Disk, settled bool) (in inspected) {
	t.Helper()
	if err := spool.Inspect(disk, spool.Visitor{
		Settled: settled,
		Segment: func(s spool.Segment) error { in.segments = append(in.segments, s); return nil },
		Batch: func(_ string, _ int64, sealed []byte) error {
			in.batches = append(in.batches, nameOf(t, sealed))
			return nil
		},
		Problem: func(p spool.Problem) error {
			in.problems = append(in.problems, fmt.Sprintf("%s %d %s", p.Name, p.Offset, p.What))
			return nil
		},
	}); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestInspectTellsWhatWaits(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var names []string
		for range 100 {
			names = append(names, r.spill(2, 1000))
		}
		for range 10 {
			ref, _ := r.next()
			r.s.Settle(ref)
		}
		pass(2e9)
		in := inspect(t, r.disk, false) // while it is in use
		equal(t, "batches", names[10:], in.batches)
		equal(t, "problems", nil, in.problems)
		equal(t, "all of them", names, inspect(t, r.disk, true).batches)
		r.close()
		in = inspect(t, r.disk, false)
		first := in.segments[0]
		if len(in.segments) != 2 || first.SettledFrames != 10 || first.SettledRecords != 20 ||
			!first.Sealed || first.Frames+in.segments[1].Frames != 100 || first.Last.Before(first.First) {
			t.Errorf("segments: %+v", in.segments)
		}
	})
}

func TestInspectNamesEveryByteThatIsNotAsItWas(t *testing.T) {
	virtual(t, func(t *testing.T) {
		for _, sealed := range []bool{true, false} {
			data, names := specimen(t, sealed)
			for i := range data {
				disk := spooltest.New(mib)
				bad := append([]byte(nil), data...)
				bad[i] ^= 0x40
				disk.Put(firstSegment, bad)
				in := inspect(t, disk, true)
				if len(in.problems) == 0 || !strings.HasPrefix(in.problems[0], firstSegment) {
					t.Errorf("byte %d, sealed %t: %q", i, sealed, in.problems)
				}
				if len(in.batches) > len(names) {
					t.Errorf("byte %d: %v", i, in.batches)
				}
			}
		}
	})
}

func TestInspectEndsWithTheErrorOfItsVisitor(t *testing.T) {
	virtual(t, func(t *testing.T) {
		data, _ := specimen(t, true)
		disk := spooltest.New(mib)
		disk.Put(firstSegment, data)
		disk.Put("00000000000000000002.spool", []byte("garbage"))
		disk.Put("cursor", []byte("garbage"))
		stop := errors.New("stop")
		for name, v := range map[string]spool.Visitor{
			"segment": {Segment: func(spool.Segment) error { return stop }},
			"batch":   {Batch: func(string, int64, []byte) error { return stop }},
			"problem": {Problem: func(spool.Problem) error { return stop }},
		} {
			if err := spool.Inspect(disk, v); !errors.Is(err, stop) {
				t.Errorf("%s: %v", name, err)
			}
		}
		disk.Fail(failing(spooltest.List, syscall.EIO))
		if err := spool.Inspect(disk, spool.Visitor{}); !errors.Is(err, syscall.EIO) {
			t.Errorf("a directory that cannot be listed: %v", err)
		}
	})
}

func TestADirectoryIsReadOnlyIfItIsThere(t *testing.T) {
	if _, err := spool.ReadOS(t.TempDir() + "/none"); err == nil {
		t.Error("none was read")
	}
	if _, err := spool.ReadOS("inspect_test.go"); err == nil {
		t.Error("a file was read")
	}
	if _, err := spool.ReadOS(t.TempDir()); err != nil {
		t.Error(err)
	}
}
