// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/decode"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// turnEvery is how many packets a lane takes before it looks at the clock. It also looks whenever
// its source is idle.
const turnEvery = 256

// outlet is where a lane puts its records: a deliver.Intake, or standard output.
type outlet interface {
	// Value returns an empty slice for the encoder to append to, or nil when the record is
	// dropped and counted. t is the packet's time in nanoseconds since the Unix epoch. key is
	// the record's, borrowed until Commit, or nil.
	Value(t int64, key []byte) []byte
	// Commit makes what was appended to that slice the next record.
	Commit(value []byte)
	// Turn is called every few hundred packets and whenever the source is idle. An error means
	// that nothing more can be put here; Close says why.
	Turn() error
	// Close hands on what is left, and returns the first error there was.
	Close() error
}

// lane leads packets from its sources to its outlet, in one goroutine, one stage after the
// other. It shares nothing until a full batch leaves it.
type lane struct {
	sources iter.Seq[capture.Source]
	decoder *decode.Decoder
	matcher *match.Matcher // nil when messages are delivered as they come
	live    bool           // packets come as they are sent, so that time passes with none as well
	encoder encode.Encoder
	key     keyer
	out     outlet

	packet packet.Packet
	seq    uint64 // of the last record; records that were dropped have one, too

	mu       sync.Mutex // guards the following
	tally    tally
	source   capture.Source // being read; nil before the first and after the last
	draining bool
}

// tally is what a lane publishes at each turn, between two packets: so its numbers belong
// together.
type tally struct {
	capture capture.Stats // of the sources that are closed
	decode  decode.Counters
	match   match.Counters
	records uint64

	matching bool // there is a matcher, and its counters mean something
}

// add adds the tally of another lane.
func (t *tally) add(o tally) {
	t.capture.Add(o.capture)
	t.decode.Add(o.decode)
	t.match.Add(o.match)
	t.records += o.records
	t.matching = t.matching || o.matching
}

// run reads all sources to their ends. A source that fails does not keep the lane from reading
// the others; the errors of all are returned together.
func (l *lane) run() error {
	var errs []error
	for src := range l.sources {
		begun := l.begin(src)
		if begun {
			errs = append(errs, l.read(src))
		}
		errs = append(errs, l.end(src)) // also of one that captured and was never read
		if !begun {
			break
		}
	}
	l.decoder.Flush() // which may call message
	if l.matcher != nil {
		l.matcher.Flush()
	}
	l.publish()
	return errors.Join(append(errs, l.out.Close())...)
}

// read is the life of a packet.
func (l *lane) read(src capture.Source) error {
	for n := 1; ; n++ {
		switch err := src.Next(&l.packet); err {
		case nil:
			l.decoder.Decode(&l.packet) // which calls message
			if n%turnEvery != 0 {
				continue
			}
		case capture.ErrIdle:
			// A file that is slow, and a pipe whose writer pauses, may have the answer in what
			// comes next: there only packets tell the time.
			if l.matcher != nil && l.live {
				l.matcher.Turn(time.Now().UnixNano())
			}
		case io.EOF:
			return nil
		default:
			return err
		}
		if l.turn() != nil {
			l.drain() // no other source is begun, and Close says why
			return nil
		}
	}
}

// message takes a message from the decoder to the outlet, or to the matcher on the way. The stages
// to come, filter and enrich, have their calls here and in transaction, in this order.
func (l *lane) message(m *dnsmsg.Message) {
	if l.matcher != nil {
		l.matcher.Message(m) // which calls transaction
		return
	}
	l.seq++
	if value := l.out.Value(m.Time, l.key.of(m, m)); value != nil {
		l.out.Commit(l.encoder.Append(value, l.seq, m))
	}
}

// transaction takes a transaction from the matcher to the outlet.
func (l *lane) transaction(t *dnsmsg.Transaction) {
	l.seq++
	if value := l.out.Value(t.Main().Time, l.key.of(t.Main(), t.Asked())); value != nil {
		l.out.Commit(l.encoder.AppendTransaction(value, l.seq, t))
	}
}

func (l *lane) turn() error {
	l.publish()
	return l.out.Turn()
}

func (l *lane) publish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.decode, l.tally.records = l.decoder.Counters(), l.seq
	if l.matcher != nil {
		l.tally.match = l.matcher.Counters()
	}
}

// begin makes src the current source. It returns false when the lane is to end.
func (l *lane) begin(src capture.Source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return false
	}
	l.source = src
	return true
}

// end closes src and adds what it counted to the tally.
func (l *lane) end(src capture.Source) error {
	err := src.Close()
	l.publish()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.capture.Add(src.Stats())
	l.source = nil
	return err
}

// drain stops the admission of packets; run ends when those that are there are through.
func (l *lane) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	if l.source != nil {
		l.source.Drain()
	}
}

// count returns the tally so far, with the current source in it.
func (l *lane) count() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tally
	if l.source != nil {
		t.capture.Add(l.source.Stats())
	}
	return t
}
