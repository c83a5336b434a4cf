// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/record"
)

// A batch that a broker refuses for good, because it is too large or because of a record in it,
// is split in two, and its halves in two, until what is left is taken, or is a single record.
// That one goes to the dead-letter file. Splitting takes nothing but time: the halves live in the
// arena of the batch.

// splitting is the splitter that all workers share. It has some MiB of its own from the first use
// on, which most sensors never see.
type splitting struct {
	d *Delivery

	mu       sync.Mutex // guards the following
	splitter *record.Splitter
}

// use calls f with the splitter.
func (s *splitting) use(f func(*record.Splitter) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.splitter == nil {
		var err error
		if s.splitter, err = record.NewSplitter(s.d.cfg.Codec, s.d.pool); err != nil {
			return err
		}
	}
	return f(s.splitter)
}

// split splits the current part of p. p.mu is held.
func (d *Delivery) split(p *parcel) error {
	err := d.splitting.use(func(s *record.Splitter) error { return s.Split(p.batch) })
	if err == nil {
		p.raw /= 2
		d.count(func(c *Counters) { c.Split++ })
	}
	return err
}

// fit splits a parcel that would be refused, for all that is known, before it is sent.
func (w *worker) fit() {
	p := w.parcel
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.batch != nil && !p.sent && p.batch.Records() > 1 &&
		w.d.limit.refuses(p.batch.Size(), time.Now()) {
		if err := w.d.split(p); err != nil {
			return // the broker will say what it thinks
		}
		w.stamped = false
	}
}

// refused splits what a broker does not take, or drops it when it is a single record. It returns
// false when nothing is left of the parcel.
//
// The sequence of a batch that was refused at the first attempt is free, for a broker appends all
// of a batch or nothing: the first half is sent under it. But one that was sent before, with no
// answer, may be there all the same: brokers look at the size before they look for a repetition.
// Its sequence would then be taken, and another batch of as many records under it would be
// acknowledged and thrown away. So the worker takes a new identity, and the halves, which may be
// there twice, are counted as redelivered.
func (w *worker) refused(fault *Fault) (keep bool) {
	w.d.refusal(fault)
	switch w.divide(fault) {
	case taken:
		w.lose()
		return false
	case divided:
		return true
	}
	w.refusals++
	return w.d.drop(w.parcel, fault.Reason)
}

// fewRefusals is how many records in a row may be dropped at once. Where none is taken between more
// of them, it is not the records that are wrong but what the topic asks of them: compacted by mistake
// it takes none without a key. Then there is a pause after each, so that the others wait, in memory
// or on disk, until somebody has looked.
const fewRefusals = 16

// spurned tells whether the partition refuses so much that the others should wait. A run over files
// is not to wait for somebody: it fails, and can be made again.
func (w *worker) spurned() bool { return w.refusals > fewRefusals && w.d.live.Load() }

// untimely says what is to be done about a batch that was refused for its time stamps. They are no
// reason to drop a record: the time of its packet is in its value. So it is sent again with the time
// of now, under its sequence, for if it is there by an attempt without an answer it is a repetition
// still. Its records are apart as before: if it is refused once more, it is split. A single record
// of now is refused only where clocks disagree, or the topic allows next to nothing, and waits.
func (w *worker) untimely(fault *Fault) (f *Fault, again bool) {
	p := w.parcel
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil { // the spooler was faster, as the next attempt finds out
		return fault, true
	}
	w.stamped = false
	switch {
	case !p.moved:
		w.d.refusal(fault)
		w.d.count(func(c *Counters) { c.Failed++; c.Redated += uint64(p.batch.Records()) })
		p.moved = true
		return fault, true
	case p.batch.Records() == 1:
		fault = &Fault{State: ClockWrong, Verdict: Unsent, Where: fault.Where, Err: fault.Err}
	}
	return fault, false
}

// division is what became of a batch that was refused.
type division uint8

const (
	buried  division = iota // it is to be dropped
	divided                 // it is two now
	taken                   // the spooler was faster
)

func (w *worker) divide(fault *Fault) division {
	p := w.parcel
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch == nil {
		return taken
	}
	sent, records := p.sent, uint64(p.batch.Records())
	w.identified, w.stamped = w.identified && !sent, false
	if fault.Reason == TooLarge {
		w.d.limit.tooLarge(p.batch.Size(), p.raw, time.Now())
	}
	err := record.ErrSingle
	if records > 1 {
		err = w.d.split(p)
	}
	if err != nil {
		w.bury(p.batch, fault, err)
		return buried
	}
	if p.sent, p.moved = false, false; sent {
		w.d.count(func(c *Counters) { c.Redelivered += records })
	}
	return divided
}

// bury writes the single record that b holds to the dead-letter file. why is why b was not split.
func (w *worker) bury(b *record.Batch, fault *Fault, why error) {
	var value []byte
	err := why
	if b.Records() == 1 {
		err = w.d.splitting.use(func(s *record.Splitter) (err error) {
			value, err = s.Single(b)
			return err
		})
	}
	if err != nil {
		w.d.log.Error("deliver: records were refused for good and cannot be told apart; they are dropped",
			"partition", w.partition, "records", b.Records(), "refusal", fault.Error(), "error", err)
		return
	}
	w.d.letters.put(deadLetter{
		Reason: fault.Reason.String(), Error: fault.Error(), Partition: w.partition,
	}, value)
}
