// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// withLetters makes a delivery keep dead letters, and returns the file.
func withLetters(t *testing.T) (path string, change func(*Config)) {
	path = filepath.Join(t.TempDir(), "dead-letter.jsonl")
	return path, func(c *Config) { c.DeadLetter = path }
}

// readLetters returns what is in the file.
func readLetters(t *testing.T, path string) (letters []deadLetter) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l deadLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		letters = append(letters, l)
	}
	return letters
}

func TestABatchThatIsTooLargeIsSplitAndNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 8)
		r.c.limit = 70_000
		r.run()
		in := r.d.FileIntake(r.hard)
		for range 10 {
			r.fill(in, 500, 1000)
			in.Flush()
			time.Sleep(time.Second) // virtual
		}
		r.c.mu.Lock()
		first := r.c.requests
		r.c.mu.Unlock()
		for range 10 {
			r.fill(in, 500, 1000)
			in.Turn()
			time.Sleep(time.Second) // virtual
		}
		n := r.finish(in)
		r.check(n)
		if n.Acknowledged != 10_000 || n.Redelivered != 0 || n.Split == 0 {
			t.Errorf("%+v", n)
		}
		if n.Failed > 6 {
			t.Errorf("%d refusals in %d requests, then %d: the limit was not remembered",
				n.Failed, first, r.c.requests)
		}
	})
}

func TestALimitThatWasRaisedAgainIsFoundOut(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLimit(800_000)
	l.tooLarge(100_000, 800_000, now)
	l.tooLarge(50_000, 400_000, now)
	if got := l.target(now); got != 200_000 || !l.refuses(50_000, now) || l.refuses(49_999, now) {
		t.Errorf("aims at %d", got)
	}
	now = now.Add(limitMemory)
	if got := l.target(now); got != 400_000 || l.refuses(1<<30, now) {
		t.Errorf("aims at %d", got)
	}
	now = now.Add(limitMemory)
	if got := l.target(now); got != 800_000 {
		t.Errorf("aims at %d", got)
	}
	now = now.Add(limitMemory)
	if got := l.target(now); got != 800_000 {
		t.Errorf("aims at %d, more than there may be", got)
	}
}

func TestTheGuiltyRecordGoesToTheDeadLettersAndItsNeighboursArrive(t *testing.T) {
	path, letters := withLetters(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 8, letters)
		r.c.poison = map[uint64]bool{0: true, 333: true, 334: true, 999: true}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 1000)
		n := r.finish(in)
		r.check(n)
		got := r.c.received()
		if n.Acknowledged != 996 || n.Dropped[RejectedByBroker] != 4 || len(got) != 996 {
			t.Errorf("%+v, %d arrived", n, len(got))
		}
		if n.DeadLetters != 4 || n.Redelivered != 0 || r.c.requests > 90 {
			t.Errorf("%+v, %d requests", n, r.c.requests)
		}
	})
	all := readLetters(t, path)
	if len(all) != 4 {
		t.Fatalf("%d letters", len(all))
	}
	for i, want := range []byte{0, 333 & 255, 334 & 255, 999 & 255} {
		l := all[i]
		if len(l.Base64) != 8 || l.Base64[7] != want || l.Reason != "rejected" ||
			!strings.Contains(l.Error, "INVALID_RECORD") || l.Partition < 0 || l.Time.IsZero() {
			t.Errorf("letter %d: %+v", i, l)
		}
	}
}

func TestASingleRecordThatIsTooLargeGoesToTheDeadLetters(t *testing.T) {
	path, letters := withLetters(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 8, letters)
		r.c.limit = 3000
		r.run()
		in := r.d.LiveIntake()
		r.fill(in, 3, 1000)
		r.fill(in, 1, 5000)
		r.fill(in, 3, 1000)
		in.Commit(append(in.Value(0, nil), make([]byte, 1_000_000)...)) // which no batch holds
		r.next++
		n := r.finish(in)
		if n.Acknowledged != 6 || n.Dropped[TooLarge] != 2 || n.DeadLetters != 2 {
			t.Errorf("%+v", n)
		}
		if s := r.d.Status(); s.State != RejectedState || !strings.Contains(s.LastError, "TOO_LARGE") {
			t.Errorf("%+v", s)
		}
	})
	if all := readLetters(t, path); len(all) != 2 || len(all[0].Base64)+len(all[1].Base64) != 1_005_008 {
		t.Errorf("%d letters", len(all))
	}
}

// Whatever was sent before may be there, so its halves may be there twice: they must be counted,
// and must not use a sequence that may be taken. The broker refuses a batch that it already has.
func TestTheHalvesOfABatchOfUnknownOutcomeGetANewIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		requests := 0
		r.c.onProduce = func(int32) outcome {
			if requests++; requests == 1 {
				return outcome{appended: true, err: cut}
			}
			r.c.limit = 300
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		r.fill(in, 20, 10)
		n := r.finish(in)
		r.check(n)
		for v, times := range r.c.received() {
			if times != 2 {
				t.Errorf("record %d is there %d times", v, times)
			}
		}
		if n.Acknowledged != 20 || n.Redelivered != 20 || r.c.nextID != 2 {
			t.Errorf("%+v, %d identities", n, r.c.nextID)
		}
	})
}

func TestASplitBatchThatCannotBeDeliveredGoesToDiskInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withSpool(t, 1, 8)
		r.c.limit = 3000
		requests := 0
		r.c.onProduce = func(int32) outcome {
			if requests++; requests > 6 { // some parts are through
				return outcome{err: cut, appended: requests == 7}
			}
			return fine
		}
		r.run()
		in := r.d.LiveIntake()
		r.fill(in, 20, 1000)
		in.Flush()
		time.Sleep(30 * time.Second) // virtual
		n := r.d.Counters()
		if n.Acknowledged == 0 || n.Held == 0 || s.Stats().Records < n.Held {
			t.Errorf("%+v, %+v", n, s.Stats())
		}
		in.Close()
		r.d.Finish()
		r.cancel()
		<-r.done
		n = r.settled()
		if st := s.balanced(); st.Records != n.Spooled || n.Spooled+n.Acknowledged != 20 {
			t.Errorf("%+v, %+v", n, st)
		}
		next := r.restart(s.reopen())
		n2 := next.finish(next.d.FileIntake(next.hard))
		twice := 0
		for _, times := range next.c.received() {
			twice += times - 1
		}
		if len(next.c.received()) != 20 || twice > int(n2.Redelivered) || n2.Replayed != n.Spooled {
			t.Errorf("%d arrived, %d twice, %+v", len(next.c.received()), twice, n2)
		}
	})
}

func TestTheDeadLetterFileIsBoundedAndNeverBlocks(t *testing.T) {
	path, letters := withLetters(t)
	for range 2 { // the second run finds it full
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1, 8, letters, func(c *Config) { c.DeadLetterMax = 1000 })
			r.c.onProduce = func(int32) outcome {
				return outcome{err: &Fault{State: RejectedState, Verdict: Rejected, Reason: RejectedByBroker, Err: errDisk}}
			}
			r.run()
			in := r.d.LiveIntake()
			r.put(in, 100)
			n := r.finish(in)
			if n.Dropped[RejectedByBroker] != 100 || n.DeadLetters > 10 {
				t.Errorf("%+v", n)
			}
		})
		info, err := os.Stat(path)
		if err != nil || info.Size() > 1000 || info.Size() < 700 {
			t.Errorf("%d bytes: %v", info.Size(), err)
		}
	}
	l := newDeadLetters(path, 1<<40, quiet)
	for range 100 { // nobody writes
		l.put(deadLetter{}, make([]byte, 100_000))
	}
	if l.size > deadLetterQueue || len(l.lines) == 0 {
		t.Errorf("%d bytes wait", l.size)
	}
}

func TestALetterKeepsAValueAsItIs(t *testing.T) {
	path, _ := withLetters(t)
	l := newDeadLetters(path, 1<<20, quiet)
	l.put(deadLetter{Reason: "rejected"}, []byte(`{"qname":"<a&b>","id":1}`))
	l.close()
	l.run()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"value":{"qname":"<a&b>","id":1}`) || l.count() != 1 {
		t.Errorf("%s: %v", text, err)
	}
}

func TestADeadLetterFileThatCannotBeOpenedLosesOnlyLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 8, func(c *Config) { c.DeadLetter = "/nowhere/at/all" })
		r.c.poison = map[uint64]bool{5: true}
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 10)
		if n := r.finish(in); n.Acknowledged != 9 || n.Dropped[RejectedByBroker] != 1 || n.DeadLetters != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// What a topic allows (message.timestamp.before.max.ms) may be less than what the sensor does.
func TestABatchIsMovedToNowWhenABrokerRefusesItsTimeStamps(t *testing.T) {
	for name, ages := range map[string][]time.Duration{
		"all alike":  {2 * time.Hour},
		"far apart":  {2 * time.Hour, 0},
		"old behind": {0, 2 * time.Hour, 20 * time.Minute, 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, 8)
				r.c.keeps = time.Hour
				r.run()
				in := r.d.LiveIntake()
				for i := range 64 {
					v := in.Value(time.Now().Add(-ages[i%len(ages)]).UnixNano(), nil)
					in.Commit(binary.BigEndian.AppendUint64(v, r.next))
					r.next++
				}
				n := r.finish(in)
				r.check(n)
				if n.Acknowledged != 64 || n.Redated < 64 || n.Redelivered != 0 || n.DeadLetters != 0 {
					t.Errorf("%+v", n)
				}
				if len(ages) == 1 && (n.Redated != 64 || n.Split != 0) {
					t.Errorf("moved at once: %+v", n)
				}
			})
		})
	}
}

// The clock of the sensor, or of the broker, is two hours wrong, and later right.
func TestRecordsWaitWhileClocksDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 8)
		r.c.behind = 2 * time.Hour
		r.run()
		in := r.d.LiveIntake()
		r.put(in, 100)
		in.Flush()
		time.Sleep(time.Minute) // virtual
		n := r.d.Counters()
		if n.Held != 100 || n.Acknowledged != 0 || n.Redated > 1000 {
			t.Errorf("%+v", n)
		}
		s := r.d.Status()
		if s.State != ClockWrong || !strings.Contains(s.LastError, "INVALID_TIMESTAMP") {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		r.c.behind = 0
		r.c.mu.Unlock()
		time.Sleep(6 * time.Second) // virtual
		if n := r.d.Counters(); n.Held != 0 {
			t.Errorf("%+v", n)
		}
		n = r.finish(in)
		r.check(n)
		if n.Acknowledged != 100 || n.Redelivered != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// refusing is a rig of one partition that refuses the first n records.
func refusing(t *testing.T, n uint64) *rig {
	r := newRig(t, 1, 8)
	r.c.poison = map[uint64]bool{}
	for v := range n {
		r.c.poison[v] = true
	}
	r.run()
	return r
}

// A topic may refuse all records by mistake, as when it is compacted and they have no keys.
func TestATopicThatTakesNothingCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := refusing(t, 1000)
		in := r.d.LiveIntake()
		r.put(in, 1000)
		in.Flush()
		time.Sleep(time.Minute)                                          // virtual
		most := fewRefusals + 7 + uint64(time.Minute/r.d.cfg.BackoffMax) // 7 while the pauses grow
		n := r.d.Counters()
		lost := n.Dropped[RejectedByBroker]
		if lost < fewRefusals || lost > most || n.Acknowledged != 0 {
			t.Errorf("%+v", n)
		}
		if s := r.d.Status(); s.State != RejectedState {
			t.Errorf("%+v", s)
		}
		r.c.mu.Lock()
		r.c.poison = nil
		r.c.mu.Unlock()
		time.Sleep(r.d.cfg.BackoffMax) // virtual
		n = r.finish(in)
		r.check(n)
		if n.Dropped[RejectedByBroker] > most || n.Acknowledged < 1000-most {
			t.Errorf("%+v", n)
		}
	})
}

func TestARunOverFilesIntoATopicThatTakesNothingFailsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := refusing(t, 1000)
		in := r.d.FileIntake(r.hard)
		r.put(in, 1000)
		began := time.Now()
		n := r.finish(in)
		if took := time.Since(began); n.Dropped[RejectedByBroker] != 1000 || took > time.Second {
			t.Errorf("after %v: %+v", took, n)
		}
	})
}
