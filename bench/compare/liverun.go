// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/sender"
)

// liveResult is one run of one sensor on an interface.
type liveResult struct {
	result         // wall is how long frames were sent
	sent     int64 // packets that got to the sensor's interface
	messages int64 // DNS messages in them
	kernel   int64 // packets that the kernel dropped for want of room, or unknown
	missing  int64 // records that had not arrived limits.late after the last frame
}

// unknown is what a sensor does not say.
const unknown = -1

// lost returns the share of messages of which no record arrived. What is late from before can make
// it less than nothing.
func (r liveResult) lost() float64 {
	return max(0, float64(r.messages-r.arrived)/float64(max(1, r.messages)))
}

// A rate is sustained if its records have arrived so soon after the last frame: what waits in a
// ring or a queue for longer is not taken at that rate. The others send what they hold once a second.
const late = 1500 * time.Millisecond

// tolerated is the part of the messages that may be missing: of connections that are still open
// when the frames end, some sensors make no records yet.
const tolerated = 1e-4

// loss says what is wrong with a rate, or "".
func (r liveResult) loss() string {
	switch {
	case r.kernel > 0:
		return fmt.Sprintf("the kernel dropped %s of %s packets", thousands(r.kernel), thousands(r.sent))
	case float64(r.missing) > tolerated*float64(r.messages):
		return thousands(r.missing) + " records did not arrive in time" + prefixed(": ", r.note)
	}
	return ""
}

// stage is where runs on an interface take place: a broker and a sender, on processors of theirs.
type stage struct {
	dir    string
	broker string
	source *source
	limits limits
	// cpus are those that the sensor may use, all if there are none.
	cpus []int
}

// one runs one sensor, and once more if that fails: of hundreds of runs one may, and all others
// would be lost with it.
func (st stage) one(ctx context.Context, s sensor, req sender.Request) (liveResult, error) {
	r, err := st.once(ctx, s, req)
	if err == nil || ctx.Err() != nil {
		return r, err
	}
	fmt.Fprintf(os.Stderr, "once more: %v\n", err)
	return st.once(ctx, s, req)
}

// once runs one sensor in a folder, and into a topic, of its own.
func (st stage) once(ctx context.Context, s sensor, req sender.Request) (r liveResult, err error) {
	err = inFolder(st.dir, func(dir string) error {
		j := job{device: nearEnd, dir: dir, broker: st.broker, topic: filepath.Base(dir)}
		return intoTopic(ctx, j, partitions, func(count count) (err error) {
			r, err = st.run(ctx, s, j, count, req)
			return err
		})
	})
	if err != nil {
		return r, fmt.Errorf("%s at %s: %w", s.name(), rateName(req.Rate), err)
	}
	return r, nil
}

func (st stage) run(ctx context.Context, s sensor, j job, arrived count, req sender.Request) (
	r liveResult, err error) {
	if s.prepare != nil {
		if _, err := s.prepare(j); err != nil {
			return r, err
		}
	}
	var c *child
	if err := pinned(st.cpus, func() (err error) {
		c, err = start(ctx, s, j, st.limits.patience)
		return err
	}); err != nil {
		return r, err
	}
	defer c.stop()
	f := flight{child: c, arrived: arrived, limits: st.limits}
	if err := f.warm(ctx, st.source); err != nil {
		return r, err
	}
	before, startup := f.seen, spent(c.cmd.Process.Pid)
	if !s.accounts {
		droppedFor(c.cmd.Process.Pid) // so far: the count begins anew
	}
	if err := f.load(st.source, req, &r); err != nil {
		return r, err
	}
	if err := f.rest(ctx, before+r.messages, st.limits.quiet, st.limits.late); err != nil {
		return r, err
	}
	r.missing = max(0, before+r.messages-f.seen)
	if r.kernel = unknown; !s.accounts {
		r.kernel = droppedFor(c.cmd.Process.Pid)
	}
	if r.note = c.gone(); r.note == "" {
		c.stop()
	}
	// Some deliver what they hold when they are asked to end.
	if err := f.rest(ctx, before+r.messages, settled, st.limits.run); err != nil {
		return r, err
	}
	r.arrived = f.seen - before
	if r.usage, err = c.usage(); err != nil {
		return r, err
	}
	r.usage.cpu -= startup
	a, told, err := readAccount(j)
	if told {
		r.kernel = a.kernel
		if a.elsewhere != "" {
			r.note = strings.TrimPrefix(r.note+"; "+a.elsewhere, "; ")
		}
	}
	return r, err
}

// flight follows one run.
type flight struct {
	child   *child
	arrived count
	limits  limits
	seen    int64
}

// The frames that show that a sensor is at work: few, so that none is lost.
const warmRate, warmFor = 2000, 100 * time.Millisecond

// errDeaf is of a sensor of which nothing arrives.
var errDeaf = errors.New("nothing arrived of what was sent to see that it works")

// warm has frames sent until a record of them arrives, and waits for the rest.
func (f *flight) warm(ctx context.Context, s *source) error {
	sent := int64(0)
	for begun := time.Now(); f.seen == 0; {
		if words := f.child.gone(); words != "" {
			return errors.New(words)
		}
		if time.Since(begun) > f.limits.run {
			return fmt.Errorf("%w: %s", errDeaf, f.child.lastWords())
		}
		reply, err := s.send(sender.Request{Rate: warmRate, For: warmFor})
		if err != nil {
			return err
		}
		sent += reply.Messages
		if err := f.look(ctx); err != nil {
			return err
		}
	}
	return f.rest(ctx, sent, late, f.limits.run) // what came before it listened does not arrive
}

// load has the frames of the run sent, and checks that all of them got to the sensor's interface.
func (f *flight) load(s *source, req sender.Request, r *liveResult) error {
	before, err := received(nearEnd)
	if err != nil {
		return err
	}
	reply, err := s.send(req)
	if err != nil {
		return err
	}
	after, err := received(nearEnd)
	if err != nil {
		return err
	}
	r.sent, r.messages, r.wall = after-before, reply.Messages, reply.Took
	if r.sent != reply.Packets {
		return fmt.Errorf("%d packets were sent and %d got to the sensor's interface: "+
			"what a sensor lost cannot be told", reply.Packets, r.sent)
	}
	return nil
}

// rest waits until as many records have arrived, or none for so long, or until the deadline.
func (f *flight) rest(ctx context.Context, enough int64, quiet, deadline time.Duration) error {
	begun := time.Now()
	for still := begun; f.seen < enough && time.Since(still) < quiet &&
		time.Since(begun) < deadline; {
		before := f.seen
		if err := f.look(ctx); err != nil {
			return err
		}
		if f.seen > before {
			still = time.Now()
		}
	}
	return nil
}

// look waits for a moment and counts.
func (f *flight) look(ctx context.Context) (err error) {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.limits.look):
	}
	f.seen, err = f.arrived(ctx)
	return err
}

// gone returns the last words of a child that has ended, or "".
func (c *child) gone() string {
	select {
	case <-c.ended:
		return fmt.Sprintf("ended: %v: %s", c.cmd.ProcessState, c.lastWords())
	default:
		return ""
	}
}

// spent returns the processor time of a process that runs, in hundredths of a second, and nothing
// of one that has ended.
func spent(pid int) time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	return spentOf(string(text))
}

// spentOf reads proc_pid_stat(5): utime and stime are fields 14 and 15, in ticks, of which Linux
// shows 100 a second on all that it runs on today. The second field is in parentheses and may hold
// anything.
func spentOf(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	ticks := time.Duration(0)
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100)
}
