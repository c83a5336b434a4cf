// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// ErrSpoolEmpty is what Spool.Next returns when no frame is left to hand out now.
var ErrSpoolEmpty = errors.New("spool: nothing waits")

// Spool keeps sealed batches on disk, each in a frame. Append is called by one goroutine, Next
// by one other, the rest by any. Only Append, Next and Close may wait for the disk.
//
// A frame that was appended is held: a copy of its batch lives in memory, and Next must not hand
// it out. Settle ends that when the batch has been delivered, Release when the copy in memory is
// gone. A frame that Next handed out is held again, until it is settled. What is still held at
// Close stays for the next start.
//
// A spool that needs room gives up its oldest frames. Records are counted as dropped when they
// are lost, and not before: a frame given up while it is held counts as settled if Settle comes,
// and as dropped if Release or Close comes instead. So at any moment
// Recovered + Appended = Settled + the sum of Dropped + Records, with Stats taken at once.
type Spool interface {
	// Append writes one sealed batch, its bytes as they are now, stamp included. After it has
	// returned, b may be changed. An error means that the batch is not on disk: the spool is
	// degraded, heals by itself, and a later Append finds out.
	Append(b *record.Batch) (Ref, error)

	// AppendRest is Append for b, what is left of the held frame of: it counts as appended by the
	// same run as that. It gives up no other frame for it, but fails when there is no room.
	AppendRest(of Ref, b *record.Batch) (Ref, error)

	// Next reads the oldest frame that is neither held nor settled into b, an empty batch. It
	// returns ErrSpoolEmpty when there is none, and another error when the disk fails now; b is
	// empty then. Frames that are corrupt are passed over and counted.
	Next(b *record.Batch) (Ref, error)

	// Settle says that the frame is done with: acknowledged, or dropped and counted elsewhere.
	Settle(ref Ref)

	// SettlePart says that of so many of its records, and not of the last of them. They are not
	// lost with the frame, but come again with it after the next start.
	SettlePart(ref Ref, records int)

	// Release says that nothing but the frame is left of the batch, and all of it: Next may hand
	// it out.
	Release(ref Ref)

	// SetAside is Release for a frame that Next must not hand out again before Recall: nobody could
	// deliver it.
	SetAside(ref Ref)

	// Recall ends that for all that were set aside. They come before all else, oldest first, and with
	// Again in their refs.
	Recall()

	// Stats also works after Close.
	Stats() SpoolStats

	// Close makes durable what was settled, and closes all files.
	Close() error
}

// Ref names one frame of a spool. The zero Ref names none.
type Ref struct {
	Segment   uint64 // from 1 on, rising
	Offset    int64  // of the frame in its segment
	Records   int
	Recovered bool // written before this opening, by an earlier run
	Again     bool // handed out before, and set aside
}

// SpoolStats is the account of a spool since its opening, in records where nothing else is said.
type SpoolStats struct {
	Records, Batches, Bytes uint64 // on disk and not settled, held ones among them
	Aside                   uint64 // of Batches, how many wait for Recall
	Segments                int
	MaxBytes                uint64    // that all segments together may have
	Free                    uint64    // bytes left on the file system, when last asked
	Oldest                  time.Time // when the oldest frame that waits was appended; zero if none

	Recovered uint64 // found at opening
	Appended  uint64
	Settled   uint64

	// Dropped is what was lost, by SpoolFull, SpoolAge and SpoolCorrupt; OwnDropped is the part
	// of it that was appended since opening.
	Dropped, OwnDropped [NumReasons]uint64

	Corrupt struct { // what was found on disk and is no whole frame
		Frames, Bytes uint64
		Records       uint64 // as far as headers could still tell
	}
	Degraded error // why the last write failed; nil when healthy
	Full     bool  // hardly any room is left: what is appended may cost the oldest frames
}
