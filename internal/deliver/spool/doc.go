// SPDX-License-Identifier: Apache-2.0

// Package spool keeps sealed record batches on disk while they cannot be delivered. It is part of
// stage 7: deliver decides what goes to disk and when it comes back, the spool owns the files of
// one directory. It drops the oldest segment when it is full, or too old if there is a limit, and
// what it cannot read back whole; each is counted in records, exactly.
//
//	<dir>/00000000000000000001.spool    a segment: frames, and a seal when it is full
//	<dir>/00000000000000000002.spool    ... the last one is appended to
//	<dir>/cursor                        how far each segment is settled: a hint (cursor.go)
//	<dir>/quarantine/                   files that have a segment's name and are none; bounded
//
// # A segment
//
//	+---------+---------+---- - - - ----+---------+------+
//	| frame 0 | frame 1 |               | frame n | seal |
//	+---------+---------+---- - - - ----+---------+------+
//
// A frame is a header and the sealed batch, byte for byte as a broker would have got it. A seal is
// a header alone. There is no header of the file, and no index: a frame needs nothing but itself
// to be read, so a damaged byte costs the frame that it is in and no other.
//
//	     0       1       2       3       4       5       6       7
//	 0 | magic d5 73 70 6c             |version| kind  | header length |
//	 8 | payload length                | records                       |
//	16 | id of the segment, random, in all its headers                 |
//	24 | frames before this one        | CRC-32C of the payload        |
//	32 | records before this frame                                     |
//	40 | when the first frame was appended, ms since the Unix epoch    |
//	48 | when the last frame was appended                              |
//	56 | 0                                                             |
//	64 | CRC-32C of 0-63               | 68: the payload ...
//
// All numbers are little endian. The version is 1. Kind 1 is a batch, whose first and last frame
// is itself; kind 2 is the seal: payload and records are 0, what is "before" is all there is.
// Of every version, magic, version and header length are where they are here, and the CRC ends
// the header.
//
//   - "Before" makes a gap countable: the next header that is whole tells what was lost.
//   - The random id keeps what looks like a frame inside a payload, or in a block of the disk that
//     belonged to a deleted file, from becoming one when a header is damaged and the next one is
//     searched for: nobody on the wire knows it.
//   - The seal makes a start quick, for it counts the segment; it is no promise that what is
//     before it can be read. A frame is checked when it is handed out.
//
// # What a crash leaves
//
// The process is killed: all that Append returned is in the page cache and is found. The frame that
// was being written may be cut off; its header tells how many records it was to have, and it is
// counted as corrupt. There is no seal, so the segment is walked through, header by header. It is
// never appended to again: each start that appends begins a segment, and what the end of a
// killed one looks like is of no interest to anybody.
//
// The power fails: the same, and what was appended since the last sync may be gone, or be there in
// part, in any order. What is not whole is skipped: the next frame is found by its magic and its
// CRC. With Config.Sync always, nothing that Append returned is lost.
//
// A batch was settled and the cursor not yet saved: it is delivered again, with the same identity
// of its records. The cursor is saved at most once a second.
//
// # Assumptions, and what is accepted
//
//   - A rename within the directory is atomic, and fsync does what it says, or fails.
//   - One spool per directory (flock). On a file system without locks, and on systems other than
//     Linux, nobody watches over that.
//   - MaxBytes counts the bytes of files, not blocks or directories. Quarantine may have an eighth
//     of it besides.
//   - Loss by age or for room is by whole segments.
//   - A disk that neither answers nor fails makes Append, Next and Close wait as long.
package spool
