// SPDX-License-Identifier: Apache-2.0

// Command incident shows the incident that dnsluice exists for: a program that sniffs DNS and
// never reads the delivery reports of its Kafka client but the first, and dnsluice, side by side,
// on the same packets and the same broker. It prints what each delivered over time, the memory
// of each, and what each has to say about it, and ends by itself within two minutes.
//
// It is a module of its own, for the client is a C library, and dnsluice has none.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// The parts of the program, each a process of its own.
const (
	partBroker  = "broker"
	partSniffer = "sniffer"
)

// options are the flags.
type options struct {
	dnsluice string
	length   time.Duration
	every    time.Duration
	rate     int
	sizes    sizes

	brokers, topic string // of the part
}

func main() {
	var o options
	flag.StringVar(&o.dnsluice, "dnsluice", "bin/dnsluice", "The program to compare with.")
	flag.DurationVar(&o.length, "for", 45*time.Second, "How long packets come.")
	flag.DurationVar(&o.every, "every", 3*time.Second, "How often a line is printed.")
	flag.IntVar(&o.rate, "rate", 3000, "Packets a second.")
	flag.IntVar(&o.sizes.channel, "channel", 5_000, "go.produce.channel.size of the sniffer.")
	flag.IntVar(&o.sizes.queue, "queue", 15_000, "queue.buffering.max.messages of the sniffer.")
	flag.IntVar(&o.sizes.reports, "reports", 40_000, "go.events.channel.size of the sniffer.")
	flag.StringVar(&o.brokers, "brokers", "", "Of the part sniffer.")
	flag.StringVar(&o.topic, "topic", "", "Of the part sniffer.")
	flag.Parse()

	// The kernel kills the children when the thread that started them ends (PR_SET_PDEATHSIG):
	// that must be the one that ends last.
	runtime.LockOSThread()
	if err := part(flag.Arg(0), o); err != nil {
		fmt.Fprintln(os.Stderr, "incident:", err)
		os.Exit(1)
	}
}

func part(name string, o options) error {
	switch name {
	case "":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return compare(ctx, o)
	case partBroker:
		return broker()
	case partSniffer:
		return sniff(o.brokers, o.topic, o.sizes, os.Stdin)
	}
	return fmt.Errorf("there is no part %q", name)
}
