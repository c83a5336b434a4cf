// SPDX-License-Identifier: Apache-2.0

// Package dnstap is stage 1 of the path for name servers that report their own messages
// (https://dnstap.info). A Source is a socket to which any number of servers connect, up to a
// limit; they speak Frame Streams, in one direction or with its handshake, over a unix socket,
// TCP or TLS. Each data frame becomes a packet of packet.LinkDNSTap; the stage decode reads what
// is in it.
//
// A Source owns the socket, the connections, a goroutine and one buffer for each of them, and the
// bytes it lends. It drops nothing: when the lane is slow, it reads slower, and the senders' own
// queues fill. There they drop and count for themselves, which is how dnstap is made to work: a
// name server never waits for whoever listens.
package dnstap
