// SPDX-License-Identifier: Apache-2.0

// Package afpacket is a source of stage 1: it captures live on a Linux interface through
// AF_PACKET sockets, in pure Go.
//
// A Group is one interface, a Source is one lane of it. Each Source owns a socket and the
// TPACKET_V3 ring that the kernel fills for it; the sockets of a Group share one fanout group,
// where a classic BPF program gives both directions of a flow and all fragments of a datagram to
// the same lane. Another one lets only DNS into the ring, so that nothing else costs memory or
// time.
//
// What may be lost, and where it is counted: packets that find the ring full (KernelDropped) and
// packets that are still in the ring when the source is closed or when its interface has gone
// (Discarded).
//
// Tunnels are let through when they are asked for, whatever is in them: the filter does not look
// inside, decode does. What chooses the lane does look inside, see demux.
//
// The kernel reassembles IPv4 fragments before the programs see them, unless they are behind a tag
// or in a tunnel; a datagram of which a fragment never arrives is forgotten there and is in no
// counter, and so is one with more than 64 fragments of the same source between its own
// (ipfrag_max_dist). It does so in one place for all fanout groups of a network namespace: when two
// groups see the same fragments, of two sensors on one interface or of two interfaces that a packet
// crosses, only one gets the datagram. It does not reassemble IPv6, whose fragments come to the
// lane of their query as they are.
package afpacket
