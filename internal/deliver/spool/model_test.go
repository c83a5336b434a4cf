// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/deliver/spool/spooltest"
)

// status is what the model knows of a batch in the life of one process.
type status int

const (
	waiting status = iota // on disk only
	held                  // appended, and in memory
	out                   // handed out
	aside                 // handed out once, and set aside
	settled
)

// model plays at random with a spool on a disk that fails at random, and knows what must be.
type model struct {
	*rig
	rng *rand.Rand

	state map[string]status      // in this process
	refs  map[string]deliver.Ref // of those held and out
	size  map[string]uint64      // records
	owed  map[string]bool        // must come, unless dropped and counted
	loose map[string]bool        // may be lost when the power fails
	fresh bool                   // no process died before this one: nothing is repeated
	ill   bool                   // the disk fails now
	stale bool                   // a sync failed: what a crash leaves is anybody's guess
	gone  uint64                 // dropped by earlier processes, since the last audit
}

func (m *model) names(want status) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.state)) {
		if m.state[name] == want {
			names = append(names, name)
		}
	}
	return names
}

func (m *model) pick(want status) (string, bool) {
	names := m.names(want)
	if len(names) == 0 {
		return "", false
	}
	return names[m.rng.IntN(len(names))], true
}

func (m *model) append() {
	if m.pool.Free() < 2 {
		return
	}
	n := 1 + m.rng.IntN(5)
	b, name := m.batch(n, 200+m.rng.IntN(6000))
	defer m.pool.Put(b)
	m.size[name] = uint64(n)
	ref, err := m.s.Append(b)
	if err != nil {
		if !m.ill && m.s.Stats().Degraded == nil {
			m.t.Errorf("append on a disk that is well: %v", err)
		}
		return
	}
	m.state[name], m.refs[name], m.owed[name] = held, ref, true
	m.loose[name] = m.cfg.Sync != spool.SyncAlways
}

func (m *model) next() bool {
	b := m.pool.TryGet()
	defer m.pool.Put(b)
	ref, err := m.s.Next(b)
	switch {
	case errors.Is(err, deliver.ErrSpoolEmpty):
		return false
	case err != nil:
		if !m.ill && m.s.Stats().Degraded == nil && !errors.Is(err, syscall.EIO) {
			m.t.Errorf("next on a disk that is well: %v", err)
		}
		return false
	}
	name := nameOf(m.t, b.Bytes())
	if uint64(ref.Records) != m.size[name] {
		m.t.Errorf("%s came with %d records, want %d", name, ref.Records, m.size[name])
	}
	if st, known := m.state[name]; known && st != waiting {
		m.t.Fatalf("%s was handed out, and is in state %d", name, st)
	}
	m.state[name], m.refs[name] = out, ref
	return true
}

func (m *model) settle(from status) {
	if name, ok := m.pick(from); ok {
		m.s.Settle(m.refs[name])
		m.state[name] = settled
		delete(m.owed, name)
	}
}

func (m *model) release(from status) {
	if name, ok := m.pick(from); ok {
		m.s.Release(m.refs[name])
		m.state[name] = waiting
	}
}

// setAside sets aside a frame that is out.
func (m *model) setAside() {
	if name, ok := m.pick(out); ok {
		m.s.SetAside(m.refs[name])
		m.state[name] = aside
	}
}

func (m *model) recall() {
	m.s.Recall()
	for _, name := range m.names(aside) {
		m.state[name] = waiting
	}
}

// reborn is the start of the next process. What was settled may come again.
func (m *model) reborn() {
	m.fresh, m.ill = false, false
	m.disk.Fail(nil)
	m.open()
	clear(m.state)
	clear(m.refs)
}

func (m *model) kill() {
	m.end(m.disk.Kill)
	m.reborn()
}

// end is the end of a process. A frame that is held and whose segment was dropped ends with it,
// and the late Close counts it.
func (m *model) end(how func()) {
	m.die(how)
	m.gone += dropped(m.s.Stats())
}

func (m *model) crash() {
	m.end(func() { m.disk.Crash(m.rng) })
	for name := range m.loose {
		if m.loose[name] || m.stale {
			delete(m.owed, name)
		}
	}
	m.reborn()
}

func (m *model) sicken() {
	ops := []spooltest.Op{spooltest.Create, spooltest.Write, spooltest.Sync, spooltest.Rename,
		spooltest.Remove, spooltest.SyncDir, spooltest.Read, spooltest.Open}
	op := ops[m.rng.IntN(len(ops))]
	errno := []error{syscall.EIO, syscall.EROFS, syscall.ENOSPC}[m.rng.IntN(3)]
	share := m.rng.Float64()
	dice := rand.New(rand.NewPCG(m.rng.Uint64(), 0))
	m.ill = true
	m.stale = m.stale || op == spooltest.Sync || op == spooltest.SyncDir
	m.disk.Fail(func(o spooltest.Op, _ string) error {
		if o == op && dice.Float64() < share {
			return errno
		}
		return nil
	})
}

func (m *model) heal() {
	m.disk.Fail(nil)
	m.ill = false
	pass(12 * time.Second)
	if d := m.s.Stats().Degraded; d != nil {
		m.t.Errorf("not healed: %v", d)
	}
	for name := range m.loose {
		m.loose[name] = false // synced by now
	}
}

// audit empties the spool and compares it with what must have been in it.
func (m *model) audit() {
	m.heal()
	m.recall()
	for m.pickAll(held, m.release) || m.pickAll(out, m.settle) || m.next() {
	}
	st := m.s.Stats()
	if st.Records != 0 || st.Batches != 0 || st.Bytes != 0 {
		m.t.Errorf("%d records in %d batches, %d bytes, are left", st.Records, st.Batches, st.Bytes)
	}
	balanced(m.t, m.s)
	lost := uint64(0)
	for name := range m.owed {
		lost += m.size[name]
		delete(m.owed, name)
	}
	// What was repeated, and dropped as well, is counted and not missed.
	if d := dropped(st) + m.gone; lost > d || m.fresh && lost != d {
		m.t.Errorf("%d records did not come, %d are counted as dropped: %v", lost, d, st.Dropped)
	}
	m.kill()
	m.gone = 0 // all of that is accounted for
}

// pickAll does do for all in the state, and tells whether there were any.
func (m *model) pickAll(st status, do func(status)) bool {
	n := len(m.names(st))
	for range n {
		do(st)
	}
	return n > 0
}

func TestModel(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			virtual(t, func(t *testing.T) { play(t, uint64(seed)) })
		})
	}
}

func play(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	cfg := small()
	cfg.MaxBytes = int64(4+rng.IntN(30)) * spool.MinSegment
	cfg.Sync = spool.Sync(rng.IntN(3))
	m := &model{rig: opened(t, cfg), rng: rng, fresh: true, state: map[string]status{},
		refs: map[string]deliver.Ref{}, size: map[string]uint64{}, owed: map[string]bool{},
		loose: map[string]bool{}}
	m.stale = cfg.Sync == spool.SyncNever
	steady := rng.IntN(3) == 0 // a disk that never fails, and a process that never dies
	for range 1000 {
		switch n := rng.IntN(1000); {
		case n < 300:
			m.append()
		case n < 500:
			m.release(held)
		case n < 570:
			m.settle(held)
		case n < 720:
			m.next()
		case n < 850:
			m.settle(out)
		case n < 865:
			m.release(out)
		case n < 880:
			m.setAside()
		case n < 882:
			m.recall()
		case n < 960:
			pass(time.Duration(rng.IntN(1500)) * time.Millisecond)
		case steady:
		case n < 975:
			m.sicken()
		case n < 988:
			m.heal()
		case n < 991:
			m.kill()
		case n < 994:
			m.crash()
		case n < 996:
			m.audit()
		}
		balanced(t, m.s)
		if used := m.disk.Used(); used > cfg.MaxBytes*5/4+mib {
			t.Fatalf("%d bytes on disk, at most %d", used, cfg.MaxBytes)
		}
		if m.disk.Opened() > 4 {
			t.Fatalf("%d files are open", m.disk.Opened())
		}
		if t.Failed() {
			return
		}
	}
	m.audit()
	m.s.Close()
}
