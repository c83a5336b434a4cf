// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"time"
)

// Spool is where records wait on disk while the brokers are away.
type Spool struct {
	Dir     string        // none if empty
	Max     Size          // of all that waits; 0 is by the size of the disk
	MinFree Size          // left on the file system; 0 is by the size of the disk
	MaxAge  time.Duration // 0 keeps everything until it is delivered
	Fsync   string        // interval, always or never
	Segment Size          // of one file
}

// The words and limits of the spool.
var fsyncs = []string{"interval", "always", "never"}

const (
	minSpool   = 4 << 20
	minSegment = 64 << 10
	maxSegment = 4 << 30
)

func defaultSpool() Spool { return Spool{Fsync: fsyncs[0], Segment: 64 << 20} }

func spoolOptions(c *Config) []option {
	s := &c.Spool
	return []option{
		{key: "spool.dir", flag: "spool-dir", value: text(&s.Dir),
			help: "Folder for what cannot be delivered now. Without one it waits in memory alone."},
		{key: "spool.max", flag: "spool-max", value: size(&s.Max),
			help: "Most that may wait there; then the oldest is dropped. " +
				"0 is 10GiB, or half of what is free if that is less."},
		{key: "spool.min_free", value: size(&s.MinFree),
			help: "What is left free on that disk; the oldest is dropped for it. " +
				"0 is 1GiB, or a twentieth of the disk if that is less."},
		{key: "spool.max_age", value: duration(&s.MaxAge),
			help: "What has waited there for longer is dropped. 0 is never."},
		{key: "spool.fsync", value: text(&s.Fsync),
			help: "When it is made to survive a loss of power: interval (each second), always " +
				"(each batch) or never. It survives the end of the process in any case."},
		{key: "spool.segment", value: size(&s.Segment),
			help: "Size of one file there, and of what is dropped at a time. " +
				"At most a quarter of spool.max is used."},
	}
}

func (c Config) checkSpool(m *Mistakes) {
	s := c.Spool
	if strings.ContainsRune(s.Dir, 0) {
		m.add("spool.dir", "%q is no path", s.Dir)
	}
	switch least := max(minSpool, 4*c.Deliver.BatchSize); {
	case s.Max == 0 || c.Deliver.BatchSize > maxBatch:
	case s.Max < least:
		m.add("spool.max", "%s has no room for a few batches of %s; use %s or more", s.Max,
			c.Deliver.BatchSize, least)
	}
	if s.MinFree < 0 {
		m.add("spool.min_free", "%s is below 0", s.MinFree)
	}
	within(m, "spool.max_age", s.MaxAge, 0, 100*maxTime, formatDuration)
	m.known("spool.fsync", s.Fsync, fsyncs)
	within(m, "spool.segment", s.Segment, minSegment, maxSegment, Size.String)
}
