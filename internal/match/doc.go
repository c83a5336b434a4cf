// SPDX-License-Identifier: Apache-2.0

// Package match is stage 3 of the path: a query meets its response. Messages go in, transactions
// come out: pairs, and what has found no partner. It stands on the path only when transactions
// are wanted.
//
// A response belongs to a query when addresses, ports, transport, id, opcode and all of the
// question are the same, the name in any case. So what is spoofed with a wrong port, id or
// question is a response alone, and the query goes on waiting. The rest of the rules:
//
//   - The oldest query takes the response. The first response closes the transaction: further
//     ones (a duplicate, the rest of a zone transfer) are responses alone.
//   - A query with the same bytes as one that waits is a retransmission of it. One with the same
//     question but other bytes waits beside it.
//   - A response without any question (errors, UPDATE) takes a query without one, or else the
//     only query that waits on those addresses, ports and id.
//   - A malformed response takes its query if its question can be read, and the pair is
//     malformed: to call the query unanswered would be wrong. A malformed query is passed on.
//   - A query is unanswered when its timeout has passed. One that leaves earlier, for want of memory
//     or at the end of the run, is a query alone: nobody knows what came of it.
//   - What goes to a multicast address is passed on: anyone may answer, or none.
//   - A response over UDP that comes before its query waits a moment for it, since mirror ports
//     and receive queues change the order of packets that are close.
//   - A query over TCP soon after a truncated response over UDP, with the same addresses and
//     question, carries a link to it.
//
// It owns copies of the messages that wait, in memory that New allocates and nothing enlarges.
// It drops nothing: when that memory is full the oldest leaves early and says so.
//
// VLAN, tunnel and interface are not compared: mirrors that tag each direction differently are
// common. Where a mirror shows a packet twice, the copy of a query counts as retransmission.
package match
