// SPDX-License-Identifier: Apache-2.0

// Package deliver is stage 7 of the path: sealed batches wait, are sent, and are accounted for.
// It owns every batch from the moment a lane has filled it until its arena is free again, and
// it is the only place where data changes goroutine.
//
//	lane -> Intake -> sealing -> compressors -> queue -> a worker per partition -> Producer
//	          ^                                 |   ^               |
//	          |                         spooler v   | drainer       | refused: split, dead letters
//	          |                               Spool on disk         |
//	          +------------------ record.Pool <---------------------+
//
// With keys, a compressor takes several batches at a time, and what leaves it are parts of them,
// each for the worker of one partition; see place.go and gather.go.
//
// Both queues have room for every batch there is, so a batch handed on never waits for anybody:
// the pool alone says whether there is memory. Nothing reports to anybody either. Whatever runs
// when a broker answers counts, frees the arena, and takes the next batch.
//
// Beside the path stand two that wait for the disk, so that nobody else does (spooler.go,
// drainer.go), and one that watches whether anything gets through (supervise.go, health.go).
//
// # What is not obvious
//
//   - A sequence that a broker may have seen is never used for another batch: the broker would
//     acknowledge that one and throw it away. Whatever makes a worker give up a batch of unknown
//     outcome, be it a split, the spooler or a panic, costs it its identity.
//   - Records leave a parcel from the front, so counting them tells which frames on disk are
//     done with, however the batch was split meanwhile.
//   - A run that ends leaves of a frame that is partly done only the rest on disk. One that is
//     killed, or whose disk is full or fails, leaves all of it: it comes again, and a record that
//     was dropped of it is dropped, and counted, by both runs.
//   - The spooler owns no batch while it writes, only a copy: a worker never waits for the disk.
//   - A request that may be under way counts as sent before it is made, so that a panic in it is
//     an unknown outcome, too.
//
// A batch may be dropped here for the reasons that Reason lists, each counted in records; it is
// never dropped because of an error that is not understood.
package deliver
