// SPDX-License-Identifier: Apache-2.0

// Package pcapfile is stage 1 of the path for capture files: pcap and pcapng, plain or compressed
// with gzip, zstd, xz or lz4, told apart by content and never by name, from a file, a named pipe,
// standard input or any reader. It owns the bytes it lends, the file handle, and one goroutine that
// reads ahead into a fixed ring of buffers, so that a file larger than memory works and a silent
// pipe does not stop the lane. It drops nothing: a capture that is cut or corrupt gives every packet
// that is whole, then an error that says where.
package pcapfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
)

// maxPacket is the most that one packet may hold: MAXIMUM_SNAPLEN of tcpdump, and also what
// Wireshark allows. A greater length in a file is damage, and must not become an allocation.
// The file's own snapshot length is no bound: there are writers that exceed it.
const maxPacket = 256 << 10

// Source reads one capture. It holds no file, memory or goroutine before the first Next.
type Source struct {
	name   string    // how errors call the capture
	path   string    // what the first Next opens; unused when reader is given
	reader io.Reader // given to NewReader

	in     *stream // nil before the first Next
	format format  // nil until the first bytes have told
	final  error   // what every further Next returns; nil while there is more

	draining atomic.Bool
	tally    tally // of what Next has given
}

var _ capture.Source = (*Source)(nil)

// format is one file format, behind its first bytes. Its errors begin with the offset; Source adds
// the name and how much was read.
type format interface {
	// next fills p, or returns capture.ErrIdle, io.EOF or a final error, and can be called again
	// after ErrIdle wherever in a record the bytes ended.
	next(in *stream, p *packet.Packet) error
}

// refusal is an error about the capture as a whole, for which an offset would say nothing.
type refusal string

// Error returns the text.
func (r refusal) Error() string { return string(r) }

// New returns the source of the capture file at path; "-" is standard input. It opens nothing:
// the first Next does. Check says beforehand whether that can work.
func New(path string) *Source {
	if path == "-" {
		return NewReader("standard input", os.Stdin)
	}
	return &Source{name: path, path: path}
}

// NewReader returns the source of the capture that r holds. Name stands for it in errors. Close
// does not close r, and a Read of r that blocks at that moment is left to return by itself.
func NewReader(name string, r io.Reader) *Source {
	return &Source{name: name, reader: r}
}

// Check says whether the file is there, may be read, and is no directory. It may be called at any
// time before the first Next, keeps nothing open and does not block; a pipe is not opened, because
// closing it again would end its writer.
func (s *Source) Check() error {
	if s.reader != nil {
		return nil
	}
	if err := check(s.path); err != nil {
		return fmt.Errorf("pcapfile: %w", err)
	}
	return nil
}

// Next implements capture.Source. A packet's bytes are borrowed until the next call. Interface is
// the if_name of pcapng, and empty for pcap; Time is 0 for a simple packet block, which has none.
// A regular file is never dry, only slow: Next waits for it the usual time before ErrIdle.
func (s *Source) Next(p *packet.Packet) error {
	if s.final != nil {
		return s.final
	}
	if s.draining.Load() {
		s.tally.tell()
		return io.EOF
	}
	if s.format == nil {
		if err := s.start(); err != nil {
			return s.end(err)
		}
	}
	if err := s.format.next(s.in, p); err != nil {
		return s.end(err)
	}
	s.tally.count(p)
	return nil
}

// start opens the capture, once, and finds its format. It is called again after ErrIdle.
func (s *Source) start() error {
	if s.in == nil {
		in, err := s.open()
		if err != nil {
			return err
		}
		s.in = in
	}
	f, err := identify(s.in)
	if err != nil {
		return err
	}
	s.format = f
	return nil
}

// end makes err the answer of every further call, unless it is ErrIdle.
func (s *Source) end(err error) error {
	s.tally.tell()
	_, whole := err.(refusal)
	var path *os.PathError
	switch {
	case err == capture.ErrIdle:
		return err
	case err == io.EOF:
		s.final = io.EOF
	case whole:
		s.final = fmt.Errorf("pcapfile: %s: %w", s.name, err)
	case s.in == nil && errors.As(err, &path): // it names the file itself
		s.final = fmt.Errorf("pcapfile: %w", err)
	default:
		s.final = fmt.Errorf("pcapfile: %s: %w; %d packets before it were read",
			s.name, err, s.Stats().Read)
	}
	return s.final
}

// Drain implements capture.Source. What a file holds beyond the last packet given is not read.
func (s *Source) Drain() { s.draining.Store(true) }

// Stats implements capture.Source. A packet counts as received when Next has given it, so that
// nothing waits in the source and nothing is discarded. While Next goes on giving packets, up to 255
// of them are not counted yet.
func (s *Source) Stats() capture.Stats {
	read, bytes := s.tally.told()
	return capture.Stats{Received: read, Read: read, Bytes: bytes}
}

// Close implements capture.Source. It closes the file that Next opened and waits for the goroutine
// that reads it. Next returns os.ErrClosed from then on. A second Close does nothing.
func (s *Source) Close() error {
	if errors.Is(s.final, os.ErrClosed) {
		return nil
	}
	s.tally.tell()
	s.final = fmt.Errorf("pcapfile: %s: %w", s.name, os.ErrClosed)
	if s.in == nil {
		return nil
	}
	in := s.in
	s.in, s.format = nil, nil
	if err := in.close(); err != nil {
		return fmt.Errorf("pcapfile: %w", err)
	}
	return nil
}
