// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/test/drills/result"
)

// safe is how many records of its run a process says nobody can take away any more: brokers have
// acknowledged them or they are on disk. With durable, those on disk are in memory as well, where
// the ledger counts them as held, and each was on disk before it was acknowledged.
func (r report) safe() uint64 {
	written := uint64(0)
	for _, s := range r.Ledger.Stages {
		if s.Stage == "spool" {
			written = s.In - s.Detail["recovered"]
		}
	}
	return max(written, r.Ledger.Acknowledged+r.Ledger.Spooled)
}

// life is one of a process that was killed.
type life struct {
	report           // the last that it said of itself, if it came to that
	end    time.Time // of the kill
}

// live lets a process run for a while and kills it, whatever it is doing: nobody waits for the
// answer that it may be giving.
func (p *process) live(while time.Duration) (l life) {
	p.Helper()
	over := time.After(while)
	answers := make(chan report)
	quit := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		defer close(answers)
		for {
			if r, err := p.ask(); err == nil {
				answers <- r
			}
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	for l.end.IsZero() {
		select {
		case l.report = <-answers:
		case <-over:
			l.end = p.kill()
		}
	}
	close(quit)
	for r := range answers { // it was given before the kill
		l.report = r
	}
	asking.Wait()
	if l.Ledger.Dropped > 0 {
		p.Errorf("a run dropped records: %+v", l.report)
	}
	return l
}

// safe compares the topic with what each life said was safe: what brokers had acknowledged, and
// what was on disk. All of that is there, exactly, and no identity stands for two queries. It
// returns how many that were.
func (p *process) safe(records []sent, lives []life) (said uint64) {
	p.Helper()
	there := map[string]uint64{}
	names := make(map[identity]string, len(records))
	for _, r := range records {
		id := identity{r.Run, r.Lane, r.Seq}
		switch name, known := names[id]; {
		case !known:
			names[id] = r.QName
			there[r.Run]++
		case name != r.QName:
			p.Errorf("%+v is %s and %s", id, name, r.QName)
		}
	}
	for i, l := range lives {
		if there[l.Run] < l.safe() {
			p.Errorf("life %d: %d records are there, and it said that %d are safe: %+v", i,
				there[l.Run], l.safe(), l.report)
		}
		said += l.safe()
	}
	return said
}

// slack is for the machine, which has more to do than this. It is for the second check alone: when
// something was sent says little about when it was taken from the socket.
const slack = 800 * time.Millisecond

// startup is about how long the program takes from its start until it delivers.
const startup = 80 * time.Millisecond

func TestDrillKill(t *testing.T) {
	kills, longest := 12, 1200*time.Millisecond
	if !testing.Short() {
		kills, longest = 100, 2*time.Second // 200 with both ways
	}
	for _, c := range []struct {
		what   string
		env    []string
		window time.Duration
	}{
		{"in memory alone for 100 ms", []string{"DNSLUICE_DELIVER_SPOOL_AFTER=100ms"},
			120*time.Millisecond + slack},
		{"durable", []string{"DNSLUICE_DELIVER_DURABLE=true", "DNSLUICE_DELIVER_SPOOL_AFTER=1m"},
			20*time.Millisecond + slack},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			p := newProcess(t, c.env...)
			p.feed(1000)
			var lives []life
			for i := range kills {
				p.launch()
				limit := longest
				switch i % 4 { // healthy, then an outage, then it starts, then it drains
				case 1:
					away(p.rig)
				case 2:
					limit = startup
				case 3:
					back(p.rig)
				}
				lives = append(lives, p.live(time.Duration(rng.Int64N(int64(limit)))))
			}
			back(p.rig)
			p.launch()
			n := p.count()
			until(p, "more were sent", patience, func() bool { return p.count() > n+500 })
			p.rest()
			heal := p.drained()
			p.terminate()
			records := p.records()
			said := p.safe(records, lives)
			f := p.settles(records, lives, c.window)
			n = len(p.sent)
			lost := uint64(n) - f.there
			t.Logf("%d kills, %d records sent, %d said to be safe, %d lost in the windows",
				kills, n, said, lost)
			if said < uint64(n)/4 {
				t.Errorf("of %d records, %d were said to be safe: the drill was none", n, said)
			}
			result.Write(t, result.Result{Drill: 25, What: fmt.Sprintf("%d times kill -9: healthy, in an "+
				"outage, while it starts, while it drains; %s; all %d records are there that were said to be "+
				"acknowledged or on disk", kills, c.what, said), Broker: "fake", In: uint64(n),
				Lost: lost, Duplicated: f.duplicated, Heal: heal})
		})
	}
}
