// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"context"
	"runtime/debug"
)

// keep runs f until it returns. A panic is a mistake in this program, and costs one batch a
// pause at most: f is run again, and the mistake is counted and logged.
//
// The goroutine is watched: f finds its Pulse in its context.
func (d *Delivery) keep(ctx context.Context, what string, f func(context.Context)) {
	p := d.pulses.begin(what, d.cfg.patience())
	defer d.pulses.end(p)
	ctx = context.WithValue(ctx, pulseKey{}, p)
	pause := backoff{min: d.cfg.BackoffMin, max: d.cfg.BackoffMax}
	for !d.survives(what, func() { f(ctx) }) && sleep(ctx, pause.next()) {
	}
}

// survives calls f and tells whether it returned.
func (d *Delivery) survives(what string, f func()) (returned bool) {
	defer func() {
		if returned {
			return
		}
		cause := recover()
		d.count(func(c *Counters) { c.Panics++ })
		d.log.Error("deliver: a mistake in dnsluice: the "+what+" is started again",
			"panic", cause, "stack", string(debug.Stack()))
	}()
	f()
	return true
}
