// SPDX-License-Identifier: Apache-2.0

//go:build drills && soak

package drills

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/test/drills/result"
)

const (
	soakRate = 50_000 // messages a second

	// tick is how often messages are written: those that are due, in one write.
	tick = 2 * time.Millisecond

	// most is how many messages are written at once, when some are late.
	most = 1000

	// soakMemory is what the program may have resident with --memory 96MiB.
	soakMemory = 100 << 20

	// drain is how long a backlog may take to go.
	drain = 5 * time.Minute

	// noticed is how long a fault must last for the state to have to tell.
	noticed = 10 * time.Second
)

// soak is a process under load for a long time, with one fault after the other.
type soak struct {
	*process
	rng    *rand.Rand
	quota  *quota
	reader *reader
	begun  time.Time

	last  atomic.Pointer[report] // the newest answer
	quit  chan struct{}
	tasks sync.WaitGroup

	sent  atomic.Uint64
	gone  atomic.Bool   // nobody reads from the socket any more: it is of no use to go on
	worst time.Duration // for which a write to the socket took; of the feeder until it ends

	samples []sample // of the watcher until it ends
	deaf    int      // seconds without an answer
	tally   map[string]*tally
}

// sample is what a process was like once.
type sample struct {
	resident            uint64
	files, threads, run int
}

// tally is what came of one kind of fault.
type tally struct {
	times, seen, healed int
	detect, heal        time.Duration // sums
	worst               time.Duration // of heal
}

func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("DNSLUICE_SOAK"))
	if err != nil || length < time.Minute {
		t.Fatalf("DNSLUICE_SOAK is how long it takes, as in 30m, and a minute at least: %v", err)
	}
	seed, err := strconv.ParseUint(os.Getenv("DNSLUICE_SOAK_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("DNSLUICE_SOAK_SEED=%d", seed)
	s := &soak{rng: rand.New(rand.NewPCG(seed, 1)), quit: make(chan struct{}), quota: &quota{},
		tally: map[string]*tally{}}
	s.process = prepare(t, &rig{TB: t, wire: s.quota.wrap}, 3,
		kfake.BrokerConfigs(map[string]string{"log.segment.bytes": strconv.Itoa(4 << 20)}))
	s.process.flags = []string{"DNSLUICE_SPOOL_MAX=8GiB"}
	s.launch()
	s.asks("it runs", func(r report) bool { return r.State.Ready })
	first, err := s.ask()
	if err != nil {
		t.Fatal(err)
	}
	s.last.Store(&first)
	s.reader = newReader(s, first.Run)
	s.begun = time.Now()
	s.tasks.Go(s.reader.run)
	s.tasks.Go(s.watch)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		s.pour(length)
	}()
	s.torment(length)
	<-fed
	s.judge(length)
}

// pour writes what is due to the socket until the length is over.
func (s *soak) pour(length time.Duration) {
	conn, err := net.Dial("unix", filepath.Join(s.dir, "tap"))
	if err != nil {
		s.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(streamStart)); err != nil {
		s.Error(err)
		return
	}
	message, at := query()
	block := []byte{}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := uint64(0); ; {
		<-ticker.C
		now := time.Now()
		over := min(now.Sub(s.begun), length)
		due := min(uint64(over.Microseconds()*soakRate/1_000_000)-n, most)
		if due == 0 {
			if over == length {
				return
			}
			continue
		}
		one := s.frame(message, now)
		digits := bytes.Index(one, message) + at
		block = block[:0]
		for i := range due {
			setNumber(one[digits:], n+i)
			block = append(block, one...)
		}
		begun := time.Now()
		_ = conn.SetWriteDeadline(begun.Add(patience))
		if _, err := conn.Write(block); err != nil {
			s.Errorf("after %d messages: %v", n, err)
			s.gone.Store(true)
			return
		}
		s.worst = max(s.worst, time.Since(begun))
		n += due
		s.sent.Store(n)
	}
}

// watch asks again and again, and takes a sample each second.
func (s *soak) watch() {
	next := time.Now()
	for {
		select {
		case <-s.quit:
			return
		case <-time.After(100 * time.Millisecond):
		}
		r, err := s.ask()
		if err == nil {
			s.last.Store(&r)
		}
		if time.Now().Before(next) {
			continue
		}
		next = next.Add(time.Second)
		switch {
		case err != nil:
			s.deaf++
			continue
		case !r.Ledger.Balanced || r.Ledger.Dropped > 0:
			s.Errorf("after %v: %+v", time.Since(s.begun), r.Ledger)
		}
		if over := int(time.Since(s.begun).Seconds()); over%30 == 0 {
			s.Logf("%4d s: %s, %d sent, %d read back, %d on disk, %d MiB", over, r.State.Name,
				s.sent.Load(), s.reader.there.Load(), r.Detail.Delivery.Spool.Records, s.resident()>>20)
		}
		s.samples = append(s.samples, sample{s.resident(), s.files(),
			int(status(s, s.cmd.Process.Pid, "Threads")), r.Detail.Process.Goroutines})
	}
}

func (s *soak) resident() uint64 { return status(s, s.cmd.Process.Pid, "VmRSS") << 10 }

// files returns how many files a process has open.
func (s *soak) files() int {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.Error(err)
	}
	return len(all)
}

// calm tells whether records get through and none wait on disk.
func (s *soak) calm() bool {
	r := s.last.Load()
	return r.State.Ready && r.Detail.Delivery.Spool.Records == 0
}

// wait waits for what is to happen, and returns false when it did not in time.
func (s *soak) wait(limit time.Duration, happened func() bool) bool {
	over := time.After(limit)
	for !happened() {
		select {
		case <-over:
			return false
		case <-time.After(20 * time.Millisecond):
		}
		if s.gone.Load() {
			return false
		}
	}
	return true
}

func (s *soak) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(most-least)))
}

// torment does one fault after the other, all kinds in turn and each turn in another order.
func (s *soak) torment(length time.Duration) {
	end, longest := s.begun.Add(length), min(40*time.Second, length/10)
	s.wait(5*time.Second, s.gone.Load)
	var deck []mischief
	for !s.gone.Load() {
		if len(deck) == 0 {
			deck = slices.Clone(mischiefs)
			s.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		long := s.between(longest/20, longest/3)
		if s.rng.IntN(4) == 0 {
			long = s.between(longest/3, longest)
		}
		if time.Until(end) < long+10*time.Second {
			break
		}
		s.inflict(deck[0], long)
		deck = deck[1:]
		s.wait(s.between(2*time.Second, 8*time.Second), s.gone.Load)
	}
	s.wait(time.Until(end), s.gone.Load)
}

// inflict does one fault for a while. Every other time it waits until it is got over.
func (s *soak) inflict(m mischief, long time.Duration) {
	t := s.tally[m.what]
	if t == nil {
		t = &tally{}
		s.tally[m.what] = t
	}
	t.times++
	before := s.last.Load().State
	begun := time.Now()
	undo := m.begin(s)
	seen := func() bool {
		now := s.last.Load().State
		return now.Name == string(m.want) || m.want == "" && before.Ready && !now.Ready
	}
	if s.wait(long, seen) {
		t.seen++
		t.detect += time.Since(begun)
	} else if m.want != "" && long > noticed {
		s.Errorf("%s for %v, and the state is %s", m.what, long, s.last.Load().State.Name)
	}
	s.wait(long-time.Since(begun), s.gone.Load)
	s.Logf("%4d s: %s for %v, %s", int(begun.Sub(s.begun).Seconds()), m.what,
		long.Round(100*time.Millisecond), s.last.Load().State.Name)
	undo()
	healed := time.Now()
	if s.rng.IntN(2) == 0 {
		return // the next one comes before this is got over
	}
	s.wait(300*time.Millisecond, s.gone.Load) // until an answer is of a time after
	if !s.wait(drain, s.calm) {
		s.Errorf("%v after %s: %+v", drain, m.what, s.last.Load())
		return
	}
	t.healed++
	t.heal += time.Since(healed)
	t.worst = max(t.worst, time.Since(healed))
}

// judge is the oracle.
func (s *soak) judge(length time.Duration) {
	s.Helper()
	sent := s.sent.Load()
	ended := time.Now()
	s.asksFor(drain, "all is delivered", func(r report) bool {
		waits := r.Ledger.Held + r.Ledger.Spooled + r.Detail.Delivery.Spool.Records
		return r.Ledger.Records >= sent && waits == 0
	})
	heal := time.Since(ended)
	if !s.wait(patience, func() bool { return s.reader.there.Load() >= sent }) {
		s.Errorf("%d of %d are there", s.reader.there.Load(), sent)
	}
	close(s.quit)
	s.tasks.Wait()
	fresh := s.samples[min(5, len(s.samples)-1)]
	if !s.wait(2*patience, func() bool { return s.files() <= fresh.files }) {
		s.Errorf("%d files are open, and %d at the start", s.files(), fresh.files)
	}
	last, err := s.ask()
	if err != nil || last.Ledger.Dropped > 0 || !last.Ledger.Balanced {
		s.Errorf("%v %+v", err, last.Ledger)
	}
	high := resident(s, s.cmd.Process.Pid)
	s.terminate()
	s.reader.finish(sent)
	if want := uint64(length.Seconds() * soakRate); sent < want*99/100 {
		s.Errorf("%d were sent, of %d", sent, want)
	}
	if s.worst > stall {
		s.Errorf("a write to the socket took %v", s.worst)
	}
	if s.deaf > len(s.samples)/100 {
		s.Errorf("it did not answer %d times of %d", s.deaf, s.deaf+len(s.samples))
	}
	middle, third := s.flat(high)
	s.print()
	faults := 0
	for _, t := range s.tally {
		faults += t.times
	}
	summary := fmt.Sprintf("%v at %d messages a second with %d faults: %d MiB resident at most, %d "+
		"in the middle and %d in the last third", length, soakRate, faults, high>>20, middle>>20, third>>20)
	s.Logf("%s; %d sent, %d there, %d twice; the longest write took %v, all was there %v after",
		summary, sent, s.reader.there.Load(), s.reader.twice, s.worst, heal.Round(time.Millisecond))
	result.Write(s, result.Result{Drill: 40, What: summary, Broker: "fake", In: sent,
		Lost: sent - s.reader.there.Load(), Duplicated: s.reader.twice, Heal: heal})
}

// flat demands that memory does not grow, and returns its medians in the middle and the last third.
func (s *soak) flat(high uint64) (middle, last uint64) {
	s.Helper()
	if high > soakMemory {
		s.Errorf("%d MiB resident with --memory 96MiB", high>>20)
	}
	n := len(s.samples) / 3
	median := func(part []sample) uint64 {
		var all []uint64
		for _, s := range part {
			all = append(all, s.resident)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	middle, last = median(s.samples[n:2*n]), median(s.samples[2*n:])
	if last > middle*11/10 {
		s.Errorf("%d MiB resident in the last third, %d in the middle one", last>>20, middle>>20)
	}
	return middle, last
}

// print shows what came of each kind of fault, and the extremes of the samples.
func (s *soak) print() {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\ttimes\tseen\tdetect, mean\thealed\theal, mean\tworst")
	mean := func(sum time.Duration, n int) string {
		if n == 0 {
			return "-"
		}
		return (sum / time.Duration(n)).Round(time.Millisecond).String()
	}
	for _, m := range mischiefs {
		t := s.tally[m.what]
		if t == nil {
			t = &tally{}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%s\t%s\n", m.what, t.times, t.seen, mean(t.detect, t.seen),
			t.healed, mean(t.heal, t.healed), mean(t.worst, min(t.healed, 1)))
	}
	_ = w.Flush()
	var all, first sample
	for i, a := range s.samples {
		all = sample{max(all.resident, a.resident), max(all.files, a.files), max(all.threads, a.threads),
			max(all.run, a.run)}
		if i == 5 {
			first = a
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Logf("\n%sat most %d MiB, %d files, %d threads, %d goroutines; after 5 s %d MiB, %d, %d, %d; "+
		"the test has %d MiB of its own", out.String(), all.resident>>20, all.files, all.threads, all.run,
		first.resident>>20, first.files, first.threads, first.run, m.Sys>>20)
}
