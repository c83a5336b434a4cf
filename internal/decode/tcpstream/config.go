// SPDX-License-Identifier: Apache-2.0

package tcpstream

import (
	"fmt"
	"time"
)

// Config bounds what the streams of one lane may cost. A field that is 0 has its default.
type Config struct {
	Bytes       int           // memory for all: the table, bytes that wait, and scratch
	Streams     int           // how many streams are remembered; each direction is one
	StreamBytes int           // memory for the bytes that one stream makes wait
	Gap         time.Duration // how long later bytes wait for those before them, packet time
	Message     time.Duration // how long a message may take to become whole, packet time
	Idle        time.Duration // how long a stream without packets is remembered, packet time
}

// DefaultConfig returns bounds for some 8,000 connections at a time. Gap is longer than the first
// two retransmission time-outs of most systems (RFC 6298, section 2). Idle is longer than servers
// keep a silent connection (RFC 7766, section 6.2.3); what is forgotten too early is taken up again
// at the next message.
func DefaultConfig() Config {
	return Config{
		Bytes: 4 << 20, Streams: 16 << 10, StreamBytes: 256 << 10,
		Gap: 2 * time.Second, Message: 30 * time.Second, Idle: 5 * time.Minute,
	}
}

// withDefaults returns c with each 0 replaced.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	for _, f := range []struct{ value, other *int }{
		{&c.Bytes, &d.Bytes}, {&c.Streams, &d.Streams}, {&c.StreamBytes, &d.StreamBytes},
	} {
		if *f.value == 0 {
			*f.value = *f.other
		}
	}
	for _, f := range []struct{ value, other *time.Duration }{
		{&c.Gap, &d.Gap}, {&c.Message, &d.Message}, {&c.Idle, &d.Idle},
	} {
		if *f.value == 0 {
			*f.value = *f.other
		}
	}
	return c
}

// Memory returns the bytes that streams with c may take, with the defaults in the place of zeros.
func (c Config) Memory() int { return c.withDefaults().Bytes }

// Validate returns an error that says which value cannot be used, or nil.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Streams < 1 || c.Streams > 1<<24:
		return fmt.Errorf("tcpstream: streams: %d is not from 1 to %d", c.Streams, 1<<24)
	case c.StreamBytes < minStreamBytes:
		return fmt.Errorf("tcpstream: stream bytes: %d cannot hold one message; give at least %d",
			c.StreamBytes, minStreamBytes)
	case c.Bytes < c.table()+c.StreamBytes*2:
		return fmt.Errorf("tcpstream: bytes: %d cannot hold %d streams and twice the bytes of one; "+
			"give at least %d", c.Bytes, c.Streams, c.table()+c.StreamBytes*2)
	case c.Gap < 0 || c.Message < 0 || c.Idle < 0:
		return fmt.Errorf("tcpstream: a time below 0: gap %v, message %v, idle %v",
			c.Gap, c.Message, c.Idle)
	}
	return nil
}

// How the memory is divided.
const (
	// minStreamBytes is one message of the largest size and as much again for what is out of order.
	minStreamBytes = 2 * (maxMessage/cellData + 1) * cellBytes

	// cellsPerHold is how many cells there are for each stream that may wait: one for the many that
	// wait for a few bytes, more for the few that wait for many.
	cellsPerHold = 4
)

// table returns the bytes that do not depend on what waits.
func (c Config) table() int {
	return (1+c.Streams)*streamBytes + buckets(c.Streams)*4 + 2*maxMessage + holdBytes + cellBytes
}

// holds returns how many streams may wait.
func (c Config) holds() int {
	return (c.Bytes - c.table()) / (holdBytes + cellsPerHold*cellBytes)
}

// buckets returns the size of the hash table for n streams: the power of two from n on.
func buckets(n int) int {
	b := 1
	for b < n {
		b *= 2
	}
	return b
}
