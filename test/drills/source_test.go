// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// numberLen is how many digits the number of a query has in its name.
const numberLen = 12

// domain follows the number in the name of a query.
const domain = ".drill.test"

// query returns a DNS query for a number and where the digits of the number are in it.
func query() (message []byte, digits int) {
	message = []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, numberLen}
	digits = len(message)
	message = append(message, make([]byte, numberLen)...)
	message = append(message, "\x05drill\x04test\x00\x00\x01\x00\x01"...)
	return message, digits
}

// setNumber writes n in decimal digits.
func setNumber(digits []byte, n uint64) {
	for i := numberLen - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
}

// numberOf is the number in the name of a query.
func numberOf(qname string) (uint64, error) {
	if len(qname) != numberLen+len(domain) || qname[numberLen:] != domain {
		return 0, fmt.Errorf("the name %q was never asked for", qname)
	}
	return strconv.ParseUint(qname[:numberLen], 10, 64)
}

// ipv4 puts a message into a UDP datagram to port 53 from 192.0.2.lane, without a checksum of UDP.
func ipv4(lane int, message []byte) []byte {
	b := make([]byte, 28, 28+len(message))
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(message)))
	copy(b[12:], []byte{192, 0, 2, byte(lane), 198, 51, 100, 53})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum&0xffff+sum>>16))
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], 53)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(message)))
	return append(b, message...)
}

// flow is a capture that gives numbered queries at a steady rate, without end. It notices when
// nobody comes for the next one.
type flow struct {
	frame, digits []byte

	given atomic.Uint64 // the numbers 0 to given-1 are out
	first uint64        // the number that this source began with
	ahead atomic.Int64  // how far its clock is ahead of that of the machine, ns
	worst atomic.Int64  // longest time, ns, that its reader was away

	mu      sync.Mutex // guards the following
	rate    float64    // queries per second
	owed    float64    // queries that are due by now
	counted time.Time  // as of when

	left    time.Time // when the reader went with a packet; the reader's
	idle    bool      // the reader's
	drained chan struct{}
	once    sync.Once
}

func newFlow(lane int, rate float64) *flow {
	message, digits := query()
	f := &flow{frame: ipv4(lane, message), rate: rate, drained: make(chan struct{})}
	f.digits = f.frame[28+digits:][:numberLen]
	return f
}

// set changes the rate.
func (f *flow) set(rate float64) {
	f.due()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
	if rate == 0 {
		f.owed = 0
	}
}

// due tells whether a query is, and takes it.
func (f *flow) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.counted.IsZero() {
		f.owed += now.Sub(f.counted).Seconds() * f.rate
	}
	f.counted = now
	return f.owed >= 1
}

// Next implements capture.Source.
func (f *flow) Next(p *packet.Packet) error {
	if !f.left.IsZero() {
		if away := int64(time.Since(f.left)); away > f.worst.Load() {
			f.worst.Store(away)
		}
	}
	defer func() { f.left = time.Now() }()
	select {
	case <-f.drained:
		return io.EOF
	default:
	}
	if !f.due() {
		if !f.idle {
			f.idle = true
			return capture.ErrIdle
		}
		select {
		case <-f.drained:
			return io.EOF
		case <-time.After(2 * time.Millisecond):
		}
		if !f.due() {
			return capture.ErrIdle
		}
	}
	f.mu.Lock()
	f.owed--
	f.mu.Unlock()
	f.idle = false
	setNumber(f.digits, f.given.Add(1)-1)
	*p = packet.Packet{Data: f.frame, Length: len(f.frame), Link: packet.LinkRaw,
		Time: time.Now().UnixNano() + f.ahead.Load()}
	return nil
}

// Drain implements capture.Source.
func (f *flow) Drain() { f.once.Do(func() { close(f.drained) }) }

// Stats implements capture.Source.
func (f *flow) Stats() capture.Stats {
	n := f.given.Load() - f.first
	return capture.Stats{Received: n, Read: n, Bytes: n * uint64(len(f.frame))}
}

// Close implements capture.Source.
func (f *flow) Close() error { return nil }
