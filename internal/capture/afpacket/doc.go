// SPDX-License-Identifier: Apache-2.0

// Package afpacket is a source of stage 1: it captures live on a Linux interface through
// AF_PACKET sockets, in pure Go.
//
// A Group is one interface, a Source is one lane of it. Each Source owns a socket and the
// TPACKET_V3 ring that the kernel fills for it; the sockets of a Group share one fanout group,
// which gives both directions of a flow to the same lane. A classic BPF program lets only DNS
// into the ring, so that nothing else costs memory or time.
//
// What may be lost, and where it is counted: packets that find the ring full (KernelDropped) and
// packets that are still in the ring when the source is closed or when its interface has gone
// (Discarded).
//
// Tunnels are let through when they are asked for, whatever is in them: the filter does not look
// inside, decode does. The hash of the fanout sees the outer header of a tunnel over UDP, and where
// its sender chooses the source port by the flow, the two directions can be on two lanes.
//
// The kernel reassembles IPv4 fragments before the filter sees them; a datagram of which a
// fragment never arrives is forgotten there and is in no counter. It does so in one place for all
// fanout groups of a network namespace: when two groups see the same fragments, of two sensors
// on one interface or of two interfaces that a packet crosses, only one gets the datagram. It
// does not reassemble IPv6. Fragments of IPv6 stay together on one lane, but as their ports are
// unknown to the hash it need not be the lane of their query.
package afpacket
