// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
)

const firstSegment = "00000000000000000001.spool"

// specimen returns one small segment of three frames with 1, 2 and 3 records, and their names.
func specimen(t *testing.T, sealed bool) (data []byte, names []string) {
	t.Helper()
	r := opened(t, small())
	for i := range 3 {
		names = append(names, r.spill(i+1, 10))
	}
	if sealed {
		r.close()
	} else {
		r.die(r.disk.Kill)
	}
	data, ok := r.disk.Get(firstSegment)
	if !ok {
		t.Fatal("no segment")
	}
	return data, names
}

// examine opens a spool on damaged bytes and hands out all. What is handed out must be of names,
// in their order, and what is not must be counted.
func examine(t *testing.T, data []byte, names []string) (got []string, st deliver.SpoolStats) {
	t.Helper()
	r := newRig(t, small())
	r.disk.Put(firstSegment, data)
	r.open()
	got = r.drain()
	st = r.s.Stats()
	if st.Records != 0 || st.Batches != 0 {
		t.Errorf("%d records in %d batches are left", st.Records, st.Batches)
	}
	balanced(t, r.s)
	i := 0
	for _, name := range got {
		for i < len(names) && names[i] != name {
			i++
		}
		if i == len(names) {
			t.Fatalf("handed out %v of %v", got, names)
		}
		i++
	}
	r.spill(1, 100)
	if again := r.drain(); len(again) != 1 {
		t.Errorf("it is of no use any more: %v", again)
	}
	r.close()
	return got, st
}

// recordsOf returns how many records the named batches of the specimen have.
func recordsOf(names []string) (n uint64) {
	for _, name := range names {
		n += uint64(name[len(name)-1] - '0')
	}
	return n
}

func TestAnyBitThatFlipsCostsOneFrameAndIsCounted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		for _, sealed := range []bool{true, false} {
			data, names := specimen(t, sealed)
			for i := range data {
				bad := bytes.Clone(data)
				bad[i] ^= 1 << (i % 8)
				got, st := examine(t, bad, names)
				lost := recordsOf(names) - recordsOf(got)
				switch inSeal := sealed && i >= len(data)-68; {
				case inSeal && len(got) != 3, !inSeal && len(got) != 2:
					t.Errorf("byte %d, sealed %t: %v", i, sealed, got)
				case inSeal:
				case st.Corrupt.Frames != 1 || st.Corrupt.Bytes == 0:
					t.Errorf("byte %d, sealed %t: %+v", i, sealed, st.Corrupt)
				case st.Corrupt.Records != lost && (sealed || st.Corrupt.Records != 0 || lost != 3):
					// Of the last frame's header nothing can be known without a seal.
					t.Errorf("byte %d, sealed %t: %d records corrupt, %d lost", i, sealed,
						st.Corrupt.Records, lost)
				}
			}
		}
	})
}

func TestASegmentMayEndAnywhere(t *testing.T) {
	virtual(t, func(t *testing.T) {
		data, names := specimen(t, true)
		var ends []int // of the frames
		for at := 0; ; {
			n := bytes.Index(data[at+1:], []byte("\xd5spl"))
			if n < 0 {
				break
			}
			at += n + 1
			ends = append(ends, at)
		}
		for n := range data {
			got, st := examine(t, data[:n], names)
			whole := 0
			for _, end := range ends {
				if n >= end {
					whole++
				}
			}
			if len(got) != whole {
				t.Errorf("%d bytes: %v, want %d frames", n, got, whole)
			}
			if n > 0 && !slices.Contains(ends, n) && st.Corrupt.Bytes == 0 {
				t.Errorf("%d bytes: nothing is said of the end: %+v", n, st.Corrupt)
			}
			if cut := whole < 3 && n >= 68 && (whole == 0 || n >= ends[whole-1]+68); cut &&
				st.Corrupt.Records != uint64(whole+1) {
				t.Errorf("%d bytes: %d records of the frame that is cut off", n, st.Corrupt.Records)
			}
		}
	})
}

func TestAHoleAndGarbageAreSteppedOver(t *testing.T) {
	virtual(t, func(t *testing.T) {
		data, names := specimen(t, true)
		second := bytes.Index(data[1:], []byte("\xd5spl")) + 1
		for what, bad := range map[string][]byte{
			"zeros at the start": append(make([]byte, 100_000), data...),
			"the same bytes over and over": append(append(bytes.Clone(data[:second]),
				bytes.Repeat([]byte("\xd5spl"), 50_000)...), data[second:]...),
			"garbage behind the seal": append(bytes.Clone(data), "garbage"...),
			"a frame twice":           append(bytes.Clone(data[:second]), data...),
		} {
			got, st := examine(t, bad, append(names[:1:1], names...))
			if !slices.Equal(got[len(got)-3:], names) {
				t.Errorf("%s: %v", what, got)
			}
			if what != "a frame twice" && st.Corrupt.Bytes == 0 {
				t.Errorf("%s: not counted", what)
			}
		}
	})
}

func TestWhatLooksLikeAFrameInsideAPayloadIsNone(t *testing.T) {
	virtual(t, func(t *testing.T) {
		inner, _ := specimen(t, true) // of another segment, as an attacker may know it
		r := opened(t, small())
		b := r.pool.TryGet()
		b.Commit(append(b.Value(1), inner...))
		r.pack.Seal(b)
		ref, err := r.s.Append(b)
		if err != nil {
			t.Fatal(err)
		}
		r.pool.Put(b)
		r.s.Release(ref)
		last := r.spill(1, 100)
		r.close()
		data, _ := r.disk.Get(firstSegment)
		data[20] ^= 1 // the header of the outer frame
		r.disk.Put(firstSegment, data)
		r.open()
		equal(t, "handed out", []string{last}, r.drain())
		r.close()
	})
}

func TestForeignFilesAreSetAside(t *testing.T) {
	virtual(t, func(t *testing.T) {
		future, names := specimen(t, true)
		future = bytes.Clone(future)
		setVersion(future, 2)
		r := newRig(t, small())
		good, _ := specimen(t, true)
		r.disk.Put("00000000000000000002.spool", good)
		r.disk.Put("00000000000000000003.spool", []byte("not a segment at all"))
		r.disk.Put("00000000000000000004.spool", nil)
		r.disk.Put("00000000000000000005.spool", future)
		r.disk.Put("00000000000000000006.spool", make([]byte, 200_000))
		r.disk.Put("99999999999999999999.spool", []byte("a number that is too large"))
		r.disk.Put("0007.spool", []byte("no segment's name"))
		r.disk.Put("dead-letter.jsonl", []byte("{}"))
		r.open()
		equal(t, "handed out", names, r.drain())
		st := r.s.Stats()
		equal(t, "bytes set aside", uint64(20+len(future)+200_000), st.Corrupt.Bytes)
		r.spill(1, 10)
		if _, ok := r.disk.Get("00000000000000000007.spool"); !ok {
			t.Errorf("the next segment has not the next number: %v", r.disk.Names())
		}
		r.drain()
		r.close()
		// 200 kB are more than the eighth of 1 MiB that quarantine may have.
		equal(t, "files", []string{"0007.spool", "99999999999999999999.spool", "cursor",
			"dead-letter.jsonl"}, r.disk.Names())
	})
}

func TestQuarantineIsBoundedAndKeepsTheNewest(t *testing.T) {
	virtual(t, func(t *testing.T) {
		future, names := specimen(t, true)
		setVersion(future, 9)
		r := newRig(t, small())
		for i := range 80 {
			r.disk.Put(fmt.Sprintf("%020d.spool", i+1), future)
		}
		r.disk.Put("quarantine/"+fmt.Sprintf("%020d.spool", 80), []byte("there already"))
		r.open()
		r.close()
		aside := slices.DeleteFunc(r.disk.Names(), func(n string) bool {
			return !strings.HasPrefix(n, "quarantine/")
		})
		if len(aside) != 64 || aside[63] != "quarantine/00000000000000000080.spool.1" {
			t.Errorf("%d files, the last is %s", len(aside), aside[len(aside)-1])
		}
		_ = names
	})
}

func TestAForeignDirectoryOrPipeIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "00000000000000000003.spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "00000000000000000004.spool"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := small()
	cfg.Dir = dir
	s, err := spool.Open(cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00000000000000000003.spool", "00000000000000000004.spool"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestACursorIsOnlyAHint(t *testing.T) {
	virtual(t, func(t *testing.T) {
		const n = 150 // of which 100 are settled
		r := opened(t, small())
		var names []string
		for range n {
			names = append(names, r.spill(1, 1000))
		}
		for range 100 {
			ref, _ := r.next()
			r.s.Settle(ref)
		}
		r.close()
		whole := map[string][]byte{}
		for _, name := range r.disk.Names() {
			whole[name], _ = r.disk.Get(name)
		}
		cursor := string(whole["cursor"])
		other := newRig(t, small())
		other.open()
		other.spill(1, 1000)
		ref, _ := other.next()
		other.s.Settle(ref)
		other.spill(1, 1000)
		other.close()
		foreign, _ := other.disk.Get("cursor")

		for what, change := range map[string]struct {
			cursor []byte
			exact  bool // nothing is repeated
		}{
			"as it was":                  {[]byte(cursor), true},
			"missing":                    {nil, false},
			"empty":                      {[]byte{}, false},
			"cut":                        {[]byte(cursor[:len(cursor)/2]), false},
			"garbage":                    {bytes.Repeat([]byte("\x00\xff9"), 5000), false},
			"of another spool":           {foreign, false},
			"with a digit changed":       {[]byte(cursor[:30] + "7" + cursor[31:]), false},
			"of a time before the spool": {spool.FormatCursor(), false},
			"about segments that come later": {spool.FormatCursor(
				spool.Mark{Number: 1000, ID: 1, Offset: 1 << 40}), false},
			"about these segments, with other ids": {spool.FormatCursor(
				spool.Mark{Number: 1, ID: 1, Offset: 1 << 40}, spool.Mark{Number: 2, ID: 1, Offset: 1 << 40},
				spool.Mark{Number: 3, ID: 1, Offset: 1 << 40}), false},
		} {
			r := newRig(t, small())
			for name, data := range whole {
				r.disk.Put(name, data)
			}
			if change.cursor == nil {
				if err := r.disk.Remove("cursor"); err != nil {
					t.Fatal(err)
				}
			} else {
				r.disk.Put("cursor", change.cursor)
			}
			r.open()
			got := r.drain()
			if len(got) < 50 || !slices.Equal(got[len(got)-50:], names[100:]) {
				t.Errorf("%s: handed out %d, not all that was owed", what, len(got))
			}
			if change.exact != (len(got) == 50) {
				t.Errorf("%s: %d handed out", what, len(got))
			}
			r.close()
		}
	})
}

func TestACursorThatPointsIntoAFrameIsNotFollowed(t *testing.T) {
	virtual(t, func(t *testing.T) {
		data, names := specimen(t, true)
		id := spool.ID(data)
		for at := int64(1); at < int64(len(data)); at += 7 {
			r := newRig(t, small())
			r.disk.Put(firstSegment, data)
			r.disk.Put("cursor", spool.FormatCursor(spool.Mark{Number: 1, ID: id, Offset: at}))
			r.open()
			if got := r.drain(); at < int64(len(data)-68) && !bytes.HasPrefix(data[at:], []byte("\xd5spl")) {
				equal(t, fmt.Sprint("handed out with the cursor at ", at), names, got)
			}
			r.close()
		}
	})
}

func TestASegmentThatSomebodyDeletesIsCounted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		r := opened(t, small())
		var names []string
		for range 150 {
			names = append(names, r.spill(1, 1000))
		}
		segments := r.disk.Segments()
		last := len(segments) - 1 // is appended to
		for _, i := range []int{1, last} {
			if err := r.disk.Remove(segments[i]); err != nil {
				t.Fatal(err)
			}
		}
		got := r.drain()
		st := r.s.Stats()
		equal(t, "lost", uint64(150-len(got)), st.Dropped[deliver.SpoolCorrupt])
		if len(got) < 50 || !slices.Equal(got, names[:len(got)]) {
			t.Errorf("handed out %v", got)
		}
		// What comes after goes into another file, one that has a name.
		next := r.spill(1, 1000)
		r.kill()
		if got := r.drain(); !slices.Contains(got, next) {
			t.Errorf("%s was appended to a file that is gone: %v", next, got)
		}
		r.close()
	})
}

func FuzzRecovery(f *testing.F) {
	for _, sealed := range []bool{true, false} {
		r := seedOf(f, sealed)
		f.Add(r, []byte{}, false)
		f.Add(r, spool.FormatCursor(spool.Mark{Number: 1, ID: spool.ID(r), Offset: 200}), true)
		f.Add(r, spool.FormatCursor(
			spool.Mark{Number: 1, ID: spool.ID(r), Offset: int64(len(r)), Kept: []int64{0}}), true)
	}
	f.Add([]byte("\xd5spl"), []byte("dnsluice spool cursor 1\n"), true)
	whole := seedOf(f, true)
	id := spool.ID(whole)
	f.Fuzz(func(t *testing.T, data, cursor []byte, fix bool) {
		if fix { // get past the checksums
			data = spool.FixHeaders(data)
		}
		r := newRig(t, small())
		r.disk.Put(firstSegment, data)
		r.disk.Put("cursor", cursor)
		r.open()
		b := r.pool.TryGet()
		for n := 0; ; n++ {
			ref, err := r.s.Next(b)
			if err != nil {
				break
			}
			if ref.Recovered != true || n > len(data)/100 {
				t.Fatalf("frame %d: %+v", n, ref)
			}
			r.s.Settle(ref)
			r.pool.Put(b)
			b = r.pool.TryGet()
		}
		if st := r.s.Stats(); st.Records != 0 {
			t.Errorf("%d records are left", st.Records)
		}
		r.close()
		if !fix && bytes.HasPrefix(data, whole) && spool.ID(data) == id && dropped(r.s.Stats()) > 6 {
			t.Error("a whole segment was lost")
		}
		if err := spool.Inspect(r.disk, spool.Visitor{Settled: true,
			Segment: func(spool.Segment) error { return nil },
			Batch:   func(string, int64, []byte) error { return nil },
			Problem: func(spool.Problem) error { return nil },
		}); err != nil {
			t.Errorf("inspect: %v", err)
		}
	})
}
