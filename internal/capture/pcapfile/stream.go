// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"fmt"
	"io"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
)

const (
	chunkSize = 256 << 10
	chunks    = 4 // in the ring: one is parsed, the others are filled meanwhile

	idleWait = 50 * time.Millisecond // what capture.Source allows before ErrIdle
)

// chunk is what one Read gave, and the error that came with it, if any.
type chunk struct {
	data []byte
	err  error
}

// stream is the uncompressed capture as a sequence of bytes. A goroutine reads into the chunks of
// the ring; the lane parses records where they lie. Only a record that spans chunks is copied.
//
// The two sides share the channels and nothing else. A chunk is owned by whoever took it off its
// channel last, and goes back only when the lane asks for the next one: by then the lease of the
// last packet has ended.
type stream struct {
	full chan chunk    // read, in order; never blocks the reader: room for the ring and an error
	free chan []byte   // to be read into; nil for a chunk that was not needed so far
	stop chan struct{} // closed to call the reader off
	done chan struct{} // closed when the reader has returned

	file    io.Closer // what unblocks the reader and is ours to close; nil if there is none
	patient bool      // a regular file: give it time before saying that it is dry

	// The following belong to the lane.
	lent  []byte // the chunk to give back
	rest  []byte // what peek can give of it as it lies; empty while carry is not
	carry []byte // the start of a record that began in an earlier chunk; else empty
	after []byte // what is left of the chunk behind carry; empty while carry is
	off   int64  // offset in the capture of the first byte that was not consumed
	err   error  // what follows the chunk; nil while the reader goes on
	idle  bool   // the last answer was ErrIdle, and no byte came since
	timer *time.Timer
}

// newStream starts the reader of src. To end it, call close.
func newStream(src io.Reader) *stream {
	in := &stream{
		full:  make(chan chunk, chunks+1),
		free:  make(chan []byte, chunks),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
		timer: time.NewTimer(idleWait),
	}
	in.timer.Stop()
	for range chunks {
		in.free <- nil
	}
	go in.fill(src)
	return in
}

// fill is the reader: it reads src to its end or until stop.
func (in *stream) fill(src io.Reader) {
	defer close(in.done)
	dec, err := decompress(src)
	if err != nil {
		in.full <- chunk{err: err}
		return
	}
	defer dec.close()
	for empty := 0; ; {
		var buf []byte
		select {
		case buf = <-in.free:
		case <-in.stop:
			return
		}
		if buf == nil {
			buf = make([]byte, chunkSize)
		}
		// A chunk is handed over after every Read, full or not: the next Read may block for hours,
		// and what a live pipe has given must not wait for it.
		n, err := dec.Read(buf)
		if empty++; n > 0 {
			empty = 0
		}
		if empty == 100 { // as bufio does it: a reader that gives nothing for ever is broken
			err = io.ErrNoProgress
		}
		if n == 0 && err == nil {
			in.free <- buf
			continue
		}
		in.full <- chunk{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// close calls the reader off. It waits only when closing the file ends a Read that blocks; any
// other reader returns when its Read does.
func (in *stream) close() error {
	close(in.stop)
	if in.file == nil {
		return nil
	}
	err := in.file.Close()
	<-in.done
	return err
}

// peek returns the next n bytes and maybe more, without consuming them. They are borrowed until the
// next peek or discard. The last peek before consume must ask for as many bytes as that, and no
// earlier one for more. It does not cut what it returns to n, to be small enough for inlining.
func (in *stream) peek(n int) ([]byte, error) {
	if len(in.rest) >= n {
		return in.rest, nil
	}
	return in.gather(n)
}

// gather is peek across chunks. When it fails, carry holds all bytes that there are.
func (in *stream) gather(n int) ([]byte, error) {
	if len(in.carry) == 0 {
		in.rest, in.after = nil, in.rest
	}
	for len(in.carry) < n {
		if len(in.after) == 0 {
			more, err := in.refill()
			if err != nil {
				return nil, err
			}
			in.after = more
		}
		if cap(in.carry) < n {
			in.carry = append(make([]byte, 0, max(n, 2*cap(in.carry))), in.carry...)
		}
		take := min(n-len(in.carry), len(in.after))
		in.carry = append(in.carry, in.after[:take]...)
		in.after = in.after[take:]
	}
	return in.carry, nil
}

// next returns the next n bytes and goes past them. They are borrowed until the next call. When it
// fails it has gone past none.
func (in *stream) next(n int) ([]byte, error) {
	if b := in.rest; len(b) >= n {
		in.rest = b[n:]
		in.off += int64(n)
		return b[:n:n], nil
	}
	b, err := in.gather(n)
	if err != nil {
		return nil, err
	}
	in.consume(n)
	return b[:n:n], nil
}

// consume goes past the n bytes that peek has returned last, which stay as they are until then.
func (in *stream) consume(n int) {
	in.off += int64(n)
	if len(in.carry) > 0 {
		in.carry, in.rest, in.after = in.carry[:0], in.after, nil
		return
	}
	in.rest = in.rest[n:]
}

// discard goes past at most n bytes that nobody looked at, and returns how many of them it did.
func (in *stream) discard(n int64) (int64, error) {
	if len(in.rest) == 0 {
		more, err := in.refill()
		if err != nil {
			return 0, err
		}
		in.rest = more
	}
	n = min(n, int64(len(in.rest)))
	in.rest = in.rest[n:]
	in.off += n
	return n, nil
}

// refill returns the next chunk; nothing is left of the one before. Between two answers of ErrIdle
// it waits at most once: each wait follows such an answer, or is the first of a patient stream.
func (in *stream) refill() ([]byte, error) {
	if in.err != nil {
		return nil, in.err
	}
	if in.lent != nil {
		in.free <- in.lent
		in.lent = nil
	}
	select {
	case c := <-in.full:
		return in.accept(c)
	default: // dry, which is no loss: nothing is dropped here
	}
	if in.idle || in.patient {
		in.timer.Reset(idleWait)
		select {
		case c := <-in.full:
			in.timer.Stop()
			return in.accept(c)
		case <-in.timer.C:
		}
	}
	in.idle = true
	return nil, capture.ErrIdle
}

// accept makes c the current chunk.
func (in *stream) accept(c chunk) ([]byte, error) {
	in.idle = false
	in.err = c.err
	if len(c.data) == 0 {
		return nil, c.err
	}
	in.lent = c.data[:cap(c.data)]
	return c.data, nil
}

// lack turns the error of peek(n) into one that says what is missing of the n bytes of what.
func (in *stream) lack(err error, what string, n int) error {
	if err == io.EOF {
		return cutShort(in.off, what, int64(n), int64(len(in.carry)))
	}
	return in.fault(err)
}

// boundary is lack where a record begins, and where the capture may therefore end.
func (in *stream) boundary(err error, what string, n int) error {
	if err == io.EOF && len(in.carry) == 0 {
		return io.EOF
	}
	return in.lack(err, what, n)
}

// fault adds to an error of reading where the bytes end. It leaves alone nil, ErrIdle and what
// concerns the whole capture.
func (in *stream) fault(err error) error {
	if _, whole := err.(refusal); whole || err == nil || err == capture.ErrIdle {
		return err
	}
	return fmt.Errorf("offset %d: %w", in.off+int64(len(in.carry)), err)
}

// cutShort is the error of a capture that ends inside what began at off.
func cutShort(off int64, what string, n, have int64) error {
	return fmt.Errorf("offset %d: %s of %d bytes is cut after %d: the capture was not closed properly",
		off, what, n, have)
}
