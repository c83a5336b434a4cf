// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// step is how often packets are put on the wire.
const step = 10 * time.Millisecond

// run is the comparison.
type run struct {
	options
	counter           counter
	sniffer, dnsluice *child
	http              string // of dnsluice
	began             time.Time
	cpu               map[*child]time.Duration // at the last line
	silent            time.Time                // since when the sniffer's topic has not grown; zero while it does
	before            uint64                   // records of the sniffer at the last line
}

func compare(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.length+75*time.Second)
	defer cancel()
	r := &run{options: o, cpu: map[*child]time.Duration{}}
	defer r.close()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.preface()
	if err := r.packets(ctx); err != nil {
		return err
	}
	return r.conclude(ctx)
}

// start starts the broker and both programs.
func (r *run) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, brokers, err := startBroker(ctx, self)
	if err != nil {
		return err
	}
	if r.counter, err = newCounter(brokers); err != nil {
		return err
	}
	if r.http, err = freeAddress(ctx); err != nil {
		return err
	}
	if r.sniffer, err = startCapture(ctx, partSniffer, self, "-brokers", brokers, "-topic", topicSniffer,
		"-channel", strconv.Itoa(r.sizes.channel), "-queue", strconv.Itoa(r.sizes.queue),
		"-reports", strconv.Itoa(r.sizes.reports), partSniffer); err != nil {
		return err
	}
	r.dnsluice, err = startCapture(ctx, "dnsluice", r.options.dnsluice, "run", "--read", "-",
		"--brokers", brokers, "--topic", topicDnsluice, "--sensor", "incident", "--http", r.http)
	return err
}

// close ends the client of the counter, if there is one yet. The processes end with the context.
func (r *run) close() {
	if r.counter.c != nil {
		if err := r.counter.c.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "incident: close the counter:", err)
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (r *run) preface() {
	fmt.Printf(`The incident, side by side: the same %d packets a second, the same broker, a topic each.

sniffer   confluent-kafka-go, whose delivery reports are read once and then no more
dnsluice  with its defaults, but without heartbeat records, so that topics compare

The queues of the sniffer are made small so that it shows within a minute: %s messages
in the channel to the client, %s in its queue, %s in the channel of reports. With
its defaults queue and reports hold %s, at 300 messages a second those of an hour.

          |            sniffer              |            dnsluice
 time  on the wire | delivered  RSS MiB  CPU %% | delivered  RSS MiB  CPU %%
`, r.rate, number(r.sizes.channel), number(r.sizes.queue), number(r.sizes.reports), number(original.queue+original.reports))
}

// packets puts packets on the wire for both, and prints a line now and then.
func (r *run) packets(ctx context.Context) error {
	tick := time.NewTicker(step)
	defer tick.Stop()
	r.began = time.Now()
	next, n := r.every, 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
		now := time.Now()
		since := now.Sub(r.began)
		// As many as are due, so that a tick that came late is made up for.
		var block []byte
		first := n
		for due := int(since.Seconds() * float64(r.rate)); n < due; n++ {
			block = append(block, pcapPacket(n, now)...)
		}
		if n > first {
			r.sniffer.take(block, n-first)
			r.dnsluice.take(block, n-first)
		}
		if since >= next {
			next += r.every
			if err := r.line(since, n); err != nil {
				return err
			}
		}
		if since >= r.length {
			return nil
		}
	}
}

// line prints where both are.
func (r *run) line(since time.Duration, n int) error {
	fmt.Printf("%4.0fs %12s |", since.Seconds(), number(n))
	for _, c := range []*child{r.sniffer, r.dnsluice} {
		records, err := r.counter.records(c.name)
		if err != nil {
			return err
		}
		if !c.alive() {
			return fmt.Errorf("%s ended: %v: %s", c.name, c.err, strings.Join(c.out.lines(), "; "))
		}
		u, err := c.usage()
		if err != nil {
			return err
		}
		percent := 100 * (u.cpu - r.cpu[c]).Seconds() / r.every.Seconds()
		r.cpu[c] = u.cpu
		end := " |"
		if c == r.dnsluice {
			end = "\n"
		} else {
			r.notice(records)
		}
		fmt.Printf(" %9s %8.1f %6.1f%s", number(int(records)), float64(u.rss)/(1<<20), percent, end)
	}
	return nil
}

// notice notes since when the sniffer has delivered nothing.
func (r *run) notice(records uint64) {
	switch {
	case records != r.before:
		r.silent = time.Time{}
	case r.silent.IsZero():
		r.silent = time.Now().Add(-r.every)
	}
	r.before = records
}

// conclude asks both what they have to say, ends them, and counts.
func (r *run) conclude(ctx context.Context) error {
	fmt.Printf("\nWhat each says about it, while it runs:\n\n")
	fmt.Printf("sniffer: %s, %d established TCP connections; nothing delivered for %s; all that it logged:\n",
		state(r.sniffer.cmd.Process.Pid), established(r.sniffer.cmd.Process.Pid), r.silence())
	indent(r.sniffer.out.lines())
	why, err := r.why(ctx)
	fmt.Printf("\ndnsluice why (%s):\n", err)
	indent(why)

	close(r.sniffer.feed)
	close(r.dnsluice.feed)
	ends := map[*child]string{r.dnsluice: r.dnsluice.end(15 * time.Second), r.sniffer: r.sniffer.end(5 * time.Second)}
	fmt.Printf("\nAt the end of the capture:\n\n%-9s %11s %11s %10s  %s\n", "", "on the wire", "delivered", "lost", "the process")
	lost := map[*child]int{}
	for _, c := range []*child{r.sniffer, r.dnsluice} {
		records, err := r.counter.records(c.name)
		if err != nil {
			return err
		}
		offered := int(c.offered.Load())
		lost[c] = offered - int(records)
		fmt.Printf("%-9s %11s %11s %10s  %s\n", c.name, number(offered), number(int(records)), number(lost[c]), ends[c])
	}
	fmt.Printf("\nOf the sniffer's, %s were lost on the wire while it did not read.\n", number(int(r.sniffer.missed.Load())))
	switch {
	case lost[r.dnsluice] != 0:
		return errors.New("dnsluice did not deliver everything")
	case lost[r.sniffer] == 0:
		return errors.New("the sniffer did not get stuck: make its queues smaller, or the time longer")
	}
	return nil
}

func (r *run) silence() time.Duration {
	if r.silent.IsZero() {
		return 0
	}
	return time.Since(r.silent).Round(time.Second)
}

// why asks dnsluice, as an operator would.
func (r *run) why(ctx context.Context) (said []string, status string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, r.options.dnsluice, "why", "--http", r.http).CombinedOutput()
	status = "exit status 0"
	if err != nil {
		status = err.Error()
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), status
}

func indent(lines []string) {
	for _, l := range lines {
		fmt.Println("    " + l)
	}
}

// number writes n as people read it: 1,000,000.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
