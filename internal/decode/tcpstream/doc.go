// SPDX-License-Identifier: Apache-2.0

// Package tcpstream finds the DNS messages in TCP segments: each is preceded by its length in two
// bytes (RFC 1035, section 4.2.2; RFC 7766, section 8). It is the last layer of stage 2 before
// the messages.
//
// A stream is one direction of one connection; the two directions know nothing of each other. A
// message that lies whole in a segment in order is emitted from the packet's own bytes. What is
// kept is the message that is not complete yet, and the segments that wait for one before them:
// never a message that is complete, so a zone transfer of any length streams through.
//
// It owns one block of memory for each of streams, waiting streams and cells of bytes, made when
// first needed and never grown. When one is full, the stream that has waited longest makes room.
// It may drop packets for one of its Verdicts, each counted: a packet is carried when a byte of
// it is in a message emitted, held while that is open, and dropped when it is settled otherwise.
//
// It invents nothing: where the edges of messages are not known, because the beginning of the
// stream or a segment was not captured, a message must look like one before it is emitted.
package tcpstream
