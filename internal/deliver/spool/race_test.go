// SPDX-License-Identifier: Apache-2.0

package spool_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// TestAllAtOnce appends, reads, settles and asks at the same time, in a spool that is too small,
// so that segments are dropped while they are read.
func TestAllAtOnce(t *testing.T) {
	const batches = 3000
	cfg := small()
	cfg.MaxBytes = 256 << 10
	r := opened(t, cfg)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		var held []deliver.Ref
		for i := range batches {
			ref, _ := r.append(1, 1000)
			if i%7 == 0 {
				held = append(held, ref)
				continue
			}
			r.s.Release(ref)
		}
		for i, ref := range held {
			if i%2 == 0 {
				r.s.Settle(ref)
			} else {
				r.s.Release(ref)
			}
		}
	})
	seen := map[string]bool{}
	wg.Go(func() {
		for ended := false; ; {
			b := r.pool.TryGet()
			ref, err := r.s.Next(b)
			if errors.Is(err, deliver.ErrSpoolEmpty) {
				r.pool.Put(b)
				if ended {
					return
				}
				select {
				case <-done:
					ended = true // and look once more
				default:
				}
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			name := nameOf(t, b.Bytes())
			if seen[name] {
				t.Errorf("%s was handed out twice", name)
			}
			seen[name] = true
			r.pool.Put(b)
			balanced(t, r.s)
			r.s.Settle(ref)
		}
	})
	wg.Wait()
	st := r.s.Stats()
	settled := uint64(len(seen) + (batches+6)/7/2 + (batches+6)/7%2)
	if st.Records != 0 || st.Settled != settled || dropped(st) != batches-settled {
		t.Errorf("%d left, %d settled of %d, %d dropped", st.Records, st.Settled, settled, dropped(st))
	}
	r.close()
}
