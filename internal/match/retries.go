// SPDX-License-Identifier: Apache-2.0

package match

import (
	"sync"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Retries remembers truncated responses over UDP for the queries over TCP that repeat them. It
// may be used from any goroutine, and is used so seldom that a lock does no harm.
//
// It holds no message, so it may forget: a note takes the place of another by chance. A lane that
// is ahead of the one with the UDP response misses it, too.
type Retries struct {
	keys keys // of all lanes, since they meet here

	mu    sync.Mutex // guards the following
	notes [maxNotes]note
}

// maxNotes is a power of two. At 1,000 truncated responses a second, which is a lot, one note
// in 400 is overwritten before a client has had 10 ms to ask again.
const maxNotes = 1 << 12

// note is one truncated response.
type note struct {
	key  uint64
	time int64 // of the response's packet
	id   uint16
	port uint16 // of the client
}

// NewRetries returns one that remembers nothing yet.
func NewRetries() *Retries { return &Retries{keys: newKeys()} }

// note remembers the truncated response m.
func (r *Retries) note(key uint64, m *dnsmsg.Message) {
	_, port := m.Client()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes[key%maxNotes] = note{key: key, time: m.Time, id: m.ID, port: port}
}

// take returns what a query over TCP at the time t repeats, if that is not older than window. The
// next query does not get it again.
func (r *Retries) take(key uint64, t, window int64) dnsmsg.Retry {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &r.notes[key%maxNotes]
	after := t - n.time
	if n.key != key || after < 0 || after > window {
		return dnsmsg.Retry{}
	}
	retry := dnsmsg.Retry{ID: n.id, Port: n.port, After: max(after, 1)}
	*n = note{}
	return retry
}
