// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// Print writes the records of cfg.Files to w, one on a line, in the order of the files, and
// returns the ledger. It uses one lane: order matters here more than speed.
func Print(ctx context.Context, cfg Config, w io.Writer) (ledger.Ledger, error) {
	out := newLines(w)
	l, err := newLane(cfg, 0, queue(cfg.Files), out)
	if err != nil {
		return ledger.Ledger{}, err
	}
	stop := context.AfterFunc(ctx, l.drain)
	defer stop()
	err = l.run()
	if ctx.Err() != nil {
		err = errors.Join(err, errInterrupted)
	}
	t := l.count()
	return ledger.Of(t.stages(), ledger.Totals{
		Packets: t.capture.Received, Messages: t.decode.Messages,
		Records: t.records, Acknowledged: out.written, Dropped: t.records - out.written,
	}), err
}

// lineBuffer is how many bytes are written at a time.
const lineBuffer = 256 << 10

// lines is an outlet that writes records as lines.
type lines struct {
	w       io.Writer
	buf     []byte
	pending uint64 // records in buf
	written uint64
	err     error // of the first write that failed; nothing is written after it
}

func newLines(w io.Writer) *lines { return &lines{w: w, buf: make([]byte, 0, lineBuffer)} }

// Value implements outlet.
func (o *lines) Value(int64, []byte) []byte {
	if len(o.buf) >= lineBuffer/2 {
		o.flush()
	}
	return o.buf[len(o.buf):]
}

// Commit implements outlet.
func (o *lines) Commit(value []byte) {
	// Where the value was appended in place, this copies it onto itself.
	o.buf = append(append(o.buf, value...), '\n')
	o.pending++
}

// Turn implements outlet.
func (o *lines) Turn() error {
	o.flush()
	return o.err
}

// Close implements outlet.
func (o *lines) Close() error {
	o.flush()
	return o.err
}

func (o *lines) flush() {
	if len(o.buf) > 0 && o.err == nil {
		if _, err := o.w.Write(o.buf); err != nil {
			o.err = fmt.Errorf("sensor: write records: %w", err)
		} else {
			o.written += o.pending
		}
	}
	o.buf, o.pending = o.buf[:0], 0
}
