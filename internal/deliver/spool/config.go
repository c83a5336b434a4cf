// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"fmt"
	"time"
)

// Sync says when what was written is made to survive a loss of power (fsync). Whatever the
// policy, what Append returned survives the end of the process: it is in the page cache.
type Sync uint8

// The policies.
const (
	SyncInterval Sync = iota // once a second, and when a segment is full
	SyncAlways               // before Append returns
	SyncNever                // when the kernel likes
)

var syncNames = [...]string{SyncInterval: "interval", SyncAlways: "always", SyncNever: "never"}

// String returns the word that configurations use.
func (s Sync) String() string { return syncNames[s] }

// ParseSync returns the policy of that name.
func ParseSync(name string) (Sync, error) {
	for s, n := range syncNames {
		if n == name {
			return Sync(s), nil
		}
	}
	return SyncInterval, fmt.Errorf("spool: fsync %q: choose one of %v", name, syncNames)
}

// Config is what a spool can be told.
type Config struct {
	Dir      string
	MaxBytes int64         // of all segments; 0 is 10 GiB, or half of what is free if that is less
	MinFree  int64         // left on the file system; 0 is 1 GiB, or a twentieth of it if less
	MaxAge   time.Duration // of a frame; 0 keeps them until they are settled
	Sync     Sync
	Segment  int64 // a segment is full at this size; never more than a quarter of MaxBytes
}

// DefaultConfig returns what suits most machines, without a directory.
func DefaultConfig() Config { return Config{Segment: 64 << 20} }

// The limits of Config, and the defaults of what is 0.
const (
	MinSegment = 64 << 10
	MinMax     = 4 * MinSegment

	autoMaxBytes = 10 << 30
	autoMinFree  = 1 << 30
)

// Validate names the first value that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("spool: no directory is given")
	case c.MaxBytes != 0 && c.MaxBytes < MinMax:
		return fmt.Errorf("spool: at most %d bytes: the least is %d", c.MaxBytes, MinMax)
	case c.MinFree < 0 || c.MaxAge < 0:
		return errors.New("spool: free space and age cannot be below 0")
	case c.Segment < MinSegment:
		return fmt.Errorf("spool: segments of %d bytes: the least is %d", c.Segment, MinSegment)
	case int(c.Sync) >= len(syncNames):
		return fmt.Errorf("spool: there is no fsync policy %d", c.Sync)
	}
	return nil
}

// resolve replaces what is 0 by what suits a file system with so many bytes, used of which are
// those of the segments that are there already.
func (c Config) resolve(space Space, used int64) Config {
	if c.MaxBytes == 0 {
		c.MaxBytes = autoMaxBytes
		if space.Total > 0 {
			c.MaxBytes = max(min(c.MaxBytes, (space.Free+used)/2), MinMax)
		}
	}
	if c.MinFree == 0 {
		c.MinFree = autoMinFree
		if space.Total > 0 {
			c.MinFree = min(c.MinFree, space.Total/20)
		}
	}
	c.Segment = min(c.Segment, c.MaxBytes/4)
	return c
}
