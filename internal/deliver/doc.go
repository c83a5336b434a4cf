// SPDX-License-Identifier: Apache-2.0

// Package deliver is stage 7 of the path: sealed batches wait, are sent, and are accounted for.
// It owns every batch from the moment a lane has filled it until its arena is free again, and
// it is the only place where data changes goroutine.
//
//	lane -> Intake -> sealing -> compressors -> ready -> a worker per partition -> Producer
//	          ^                                                |
//	          +------------------ record.Pool <----------------+
//
// Both queues have room for every batch there is, so a batch handed on never waits for anybody:
// the pool alone says whether there is memory. Nothing reports to anybody either. Whatever runs
// when a broker answers counts, frees the arena, and takes the next batch.
//
// A batch may be dropped here for the reasons that Reason lists, each counted in records; it is
// never dropped because of an error that is not understood.
package deliver
