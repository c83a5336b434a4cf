// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// timed notes how much time each request is given.
type timed struct {
	Producer
	mu    sync.Mutex // guards the following
	given []time.Duration
}

func (c *timed) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	until, _ := ctx.Deadline()
	c.mu.Lock()
	c.given = append(c.given, time.Until(until))
	c.mu.Unlock()
	return c.Producer.Produce(ctx, node, partition, batch)
}

// A worker does not make a context for each request, and yet each has its time: nearly all of it,
// and the whole once one has failed.
func TestEveryRequestHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		requests := 0
		r.c.onProduce = func(int32) outcome {
			if requests++; requests == 20 {
				return outcome{err: &Fault{State: Unreachable, Verdict: Unknown, Err: errors.New("cut")}}
			}
			return fine
		}
		c := &timed{Producer: r.d.producer}
		r.d.producer = c
		r.run()
		in := r.d.LiveIntake()
		for range 40 {
			r.put(in, 10)
			time.Sleep(r.d.cfg.RequestTimeout / 20) // virtual
			r.put(in, 0)
		}
		r.check(r.finish(in))
		whole := r.d.cfg.RequestTimeout
		for i, given := range c.given {
			if given > whole || given < whole*7/8 || i == 20 && given != whole {
				t.Errorf("request %d of %d was given %v of %v", i+1, len(c.given), given, whole)
			}
		}
	})
}
