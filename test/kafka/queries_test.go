// SPDX-License-Identifier: Apache-2.0

//go:build kafka

package kafka

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// queries is a name server that reports numbered queries by dnstap, at an even pace; the number
// is the name that is asked for. It notes for how long the sensor ever kept it waiting.
type queries struct {
	conn net.Conn
	gap  time.Duration
	quit chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex // guards the following
	rest  bool       // nobody asks
	large bool       // the next one is a large response
	sent  uint64
	worst time.Duration // that a report took to write
	err   error
}

// dial connects to the sensor's socket and begins to report.
func dial(t *testing.T, socket string, rate int) *queries {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	q := &queries{conn: conn, gap: time.Second / time.Duration(rate), quit: make(chan struct{})}
	t.Cleanup(func() { // a sensor that takes nothing must not keep the test from its end
		_ = conn.Close()
		q.end()
	})
	// Frame Streams in one direction: a frame of length 0, then START (2) without fields.
	if _, err := conn.Write([]byte("\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x02")); err != nil {
		t.Fatal(err)
	}
	q.done.Go(q.run)
	return q
}

// run reports what is due, every few milliseconds.
func (q *queries) run() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for due := time.Now(); ; {
		select {
		case <-q.quit:
			return
		case <-tick.C:
		}
		for now := time.Now(); due.Before(now); due = due.Add(q.gap) {
			if !q.report() {
				return
			}
		}
	}
}

// report writes one report, unless nobody asks, and returns false when it cannot.
func (q *queries) report() bool {
	q.mu.Lock()
	rest, n, large := q.rest, q.sent, q.large
	q.large = large && rest
	q.mu.Unlock()
	if rest {
		return true
	}
	began := time.Now()
	_, err := q.conn.Write(reported(message(n, large), large))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.worst = max(q.worst, time.Since(began))
	if err != nil {
		q.err = err
		return false
	}
	q.sent++
	return true
}

// end stops the reports. What was reported stays.
func (q *queries) end() {
	q.mu.Lock()
	select {
	case <-q.quit:
	default: // for the first time
		close(q.quit)
	}
	q.mu.Unlock()
	q.done.Wait()
}

// pause lets nobody ask until resume.
func (q *queries) pause() { q.set(func() { q.rest = true }) }

func (q *queries) resume() { q.set(func() { q.rest = false }) }

// poison makes the next report one of a response whose record has kilobytes that do not compress.
func (q *queries) poison() { q.set(func() { q.large = true }) }

func (q *queries) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
}

// account returns how many queries were reported, for how long a report ever took, and why there are
// no more.
func (q *queries) account() (sent uint64, stall time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent, q.worst, q.err
}

// reported puts a message into dnstap and that into a frame. Of dnstap.proto: 15 is the type, 14
// the message; in it 1 is its type (5 a query of a client, 6 the response), 10 and 14 what was on
// the wire.
func reported(message []byte, response bool) []byte {
	kind, field := byte(5), byte(10<<3|2)
	if response {
		kind, field = 6, 14<<3|2
	}
	inner := append([]byte{1 << 3, kind, field}, binary.AppendUvarint(nil, uint64(len(message)))...)
	inner = append(inner, message...)
	outer := append([]byte{15 << 3, 1, 14<<3 | 2}, binary.AppendUvarint(nil, uint64(len(inner)))...)
	outer = append(outer, inner...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(outer))), outer...)
}

// suffix ends the name of each query, behind its number.
const suffix = ".drill"

// message returns the query for number n in DNS's own format (RFC 1035, section 4.1), or a
// response to it with 4 kB of text.
func message(n uint64, large bool) []byte {
	name := fmt.Sprintf("\x09%09d\x05drill\x00", n)
	id := binary.BigEndian.AppendUint16(nil, uint16(n))
	if !large {
		return append(id, "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"+name+"\x00\x01\x00\x01"...)
	}
	var text []byte
	for range 16 {
		text = append(text, 250)
		for range 250 {
			text = append(text, byte('!'+rand.IntN('~'-'!')))
		}
	}
	answer := append(id, "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"+name+"\x00\x10\x00\x01"+
		"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c"...)
	answer = binary.BigEndian.AppendUint16(answer, uint16(len(text)))
	return append(answer, text...)
}
