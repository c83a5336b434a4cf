// SPDX-License-Identifier: Apache-2.0

// Command compare runs dnsluice and other DNS sensors over the same capture, in turns, and says
// what each cost and how many of its records arrived.
//
// It makes the capture, starts a broker in a process of its own, and starts each sensor as a child
// of its own, so that the processor time and memory that the kernel reports for the child are the
// sensor's alone. Records are counted where they arrive: the growth of a topic's end offsets, or
// the lines of a file. Nothing leaves this machine: brokers must be on a loopback address.
//
// A comparison needs the programs: -dnsluice, and any of -dnsmonster, -dnscollector and -sketch.
// The program says of each which version it is, read from the binary itself.
//
// As compare curves it measures dnsluice alone: what it costs as there are more clients, names,
// partitions, connections or queries that wait, as a table and as a plot.
//
// As compare lanes it measures what a second lane on a second core adds.
//
// As compare profile it takes the profile that dnsluice is built with.
//
// "compare live" does the same on an interface: the frames of such a capture come over a pair of
// interfaces, at rates, and what the kernel dropped is told as well.
package main
