// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"fmt"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// Mode is what is promised of a record.
type Mode uint8

// The modes.
const (
	AtLeastOnce Mode = iota // sent again until it is acknowledged, and kept on disk meanwhile
	AtMostOnce              // sent once, and never kept on disk
)

var modeNames = [...]string{AtLeastOnce: "at-least-once", AtMostOnce: "at-most-once"}

// String returns the name that configurations use.
func (m Mode) String() string { return modeNames[m] }

// ParseMode returns the mode of that name.
func ParseMode(name string) (Mode, error) {
	for m, n := range modeNames {
		if n == name {
			return Mode(m), nil
		}
	}
	return AtLeastOnce, fmt.Errorf("deliver: delivery %q: choose %s or %s",
		name, AtLeastOnce, AtMostOnce)
}

// Config is what delivery can be told.
type Config struct {
	Codec           record.Codec
	BatchSize       int           // bytes of records in a batch, before compression
	Linger          time.Duration // how long an open batch waits for more records
	RequestTimeout  time.Duration // of every request to the cluster
	MetadataMaxAge  time.Duration // how old the knowledge of leaders may become
	BackoffMin      time.Duration // the first pause after a failure; it doubles
	BackoffMax      time.Duration // up to this
	TimestampMaxAge time.Duration // what is older gets the time of now for Kafka; 0 never

	// Keyed says that records have keys, and go to the partitions that their keys say. Without it
	// a batch goes to any.
	Keyed bool

	Mode        Mode
	Unconfirmed bool // what the producer has sent counts as delivered, and no broker has said so

	Spool      Spool         // where batches wait on disk; nil keeps them in memory alone
	SpoolAfter time.Duration // how long a batch waits for its acknowledgement before it is written
	Durable    bool          // write each batch to the spool before it is sent

	Cluster      Cluster       // opens what replaces a producer that is stuck; nil keeps the first
	RecycleAfter time.Duration // without progress, while a probe succeeds

	DeadLetter    string // file for records that no broker takes; empty only counts them
	DeadLetterMax int64  // bytes that it may have
}

// DefaultConfig returns what suits most clusters. 900 kB is below the 1 MB that brokers take by
// default even for records that do not compress.
func DefaultConfig() Config {
	return Config{
		Codec:           record.Snappy,
		BatchSize:       900_000,
		Linger:          100 * time.Millisecond,
		RequestTimeout:  10 * time.Second,
		MetadataMaxAge:  time.Minute,
		BackoffMin:      100 * time.Millisecond,
		BackoffMax:      5 * time.Second,
		TimestampMaxAge: 24 * time.Hour,
		SpoolAfter:      2 * time.Second,
		RecycleAfter:    2 * time.Minute,
		DeadLetterMax:   64 << 20,
	}
}

// MinBatchSize is the smallest batch that holds any record an encoder may write.
const MinBatchSize = 600_000

// Validate names the first value that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Codec < record.None || c.Codec > record.Zstd:
		return fmt.Errorf("deliver: there is no codec %d", c.Codec)
	case c.Mode > AtMostOnce:
		return fmt.Errorf("deliver: there is no mode %d", c.Mode)
	case c.BatchSize < MinBatchSize:
		return fmt.Errorf("deliver: batch size of %d bytes: the least is %d, room for the largest "+
			"record", c.BatchSize, MinBatchSize)
	case c.Linger < 0 || c.RequestTimeout <= 0 || c.MetadataMaxAge <= 0:
		return errors.New("deliver: request timeout and metadata age must be above 0, linger not below")
	case c.BackoffMin <= 0 || c.BackoffMax < c.BackoffMin:
		return errors.New("deliver: the pauses must be above 0, the longest not below the first")
	case c.SpoolAfter <= 0 || c.RecycleAfter <= 0 || c.DeadLetterMax < 0:
		return errors.New("deliver: spool after and recycle after must be above 0, " +
			"the size of the dead-letter file not below")
	case c.Mode == AtMostOnce && (c.Spool != nil || c.Durable):
		return errors.New("deliver: at-most-once keeps nothing on disk: leave out the spool, " +
			"or deliver at-least-once")
	case c.Durable && c.Spool == nil:
		return errors.New("deliver: durable needs a spool: name its directory with --spool-dir")
	}
	return nil
}

// Spare returns how many arenas delivery has besides the pool: each compressor one, and with keys,
// to sort records by partition, two more each, and as many again for what comes back from disk.
func (c Config) Spare() int {
	if !c.Keyed {
		return Compressors()
	}
	return 3*Compressors() + 4
}

// Reserved returns how many batches of the pool delivery keeps for itself: with a spool one to
// read into, so that a full pool cannot keep the disk from draining, and one to write from.
func (c Config) Reserved() int {
	if c.Spool == nil {
		return 0
	}
	return 2
}
