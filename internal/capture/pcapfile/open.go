// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	inputSize = 64 << 10 // what a decompressor reads at a time

	// maxWindow bounds the memory that a zstd frame or an xz file may ask for. It holds every level
	// of zstd but --ultra -21 and -22, and --long up to 25; every level of xz but -9.
	maxWindow = 32 << 20
)

// open starts the stream of the reader or of the file.
func (s *Source) open() (*stream, error) {
	if s.reader != nil {
		in := newStream(s.reader)
		in.patient = regular(s.reader) // standard input may be one
		return in, nil
	}
	info, err := stat(s.path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeNamedPipe != 0 {
		return openPipe(s.path)
	}
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	in := newStream(file)
	in.file, in.patient = file, regular(file)
	return in, nil
}

// stat is os.Stat, for what can be a capture.
func stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: syscall.EISDIR}
	}
	return info, err
}

// check is Source.Check.
func check(path string) error {
	info, err := stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// regular tells whether r is a regular file, which always has its bytes.
func regular(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// pipe waits for the first writer of a named pipe. It is opened without blocking, since a blocked
// open cannot be called off; and a pipe that nobody has opened for writing reads as io.EOF. So does
// one whose writer left without a byte: that one is waited out too.
type pipe struct {
	file *os.File
	stop chan struct{}
	fed  bool // a byte has come, so io.EOF is one
}

func openPipe(path string) (*stream, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	p := &pipe{file: file, stop: make(chan struct{})}
	in := newStream(p)
	in.file = p
	return in, nil
}

// Read implements io.Reader.
func (p *pipe) Read(b []byte) (int, error) {
	for {
		n, err := p.file.Read(b)
		p.fed = p.fed || n > 0
		if err != io.EOF || p.fed {
			return n, err
		}
		select {
		case <-p.stop:
			return 0, os.ErrClosed
		case <-time.After(idleWait):
		}
	}
}

// Close implements io.Closer and ends a Read that blocks.
func (p *pipe) Close() error {
	close(p.stop)
	return p.file.Close()
}

// decoder is the uncompressed capture.
type decoder struct {
	io.Reader
	codec string // empty when the capture is not compressed
	close func()
}

// Read implements io.Reader and says in its errors that it was the compressed data that failed.
func (d decoder) Read(b []byte) (int, error) {
	n, err := d.Reader.Read(b)
	return n, explain(d.codec, err)
}

// decompress finds out by its first bytes how src is compressed. It blocks until they are there.
func decompress(src io.Reader) (decoder, error) {
	in := bufio.NewReaderSize(src, inputSize)
	head, err := in.Peek(6)
	if err != nil && err != io.EOF {
		return decoder{}, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952, section 2.3.1
		dec, err := newMembers(in)
		return decoder{dec, "gzip", func() {}}, explain("gzip", err)
	case zstandard(head):
		// One decoder runs in the calling goroutine; more would be goroutines of their own.
		// For a stream, the most memory means the greatest window.
		dec, err := zstd.NewReader(in,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return decoder{}, explain("zstd", err)
		}
		return decoder{dec, "zstd", dec.Close}, nil
	case bytes.HasPrefix(head, []byte(xzMagic)):
		dec, err := newXZ(in)
		return decoder{dec, "xz", func() {}}, explain("xz", err)
	case bytes.HasPrefix(head, []byte{0x04, 0x22, 0x4d, 0x18}):
		dec := lz4.NewReader(in) // its blocks have at most 4 MiB
		err := dec.Apply(lz4.ConcurrencyOption(1))
		return decoder{dec, "lz4", func() {}}, explain("lz4", err)
	case bytes.HasPrefix(head, []byte("BZh")):
		return decoder{}, refusal("it is compressed with bzip2, which is not read here: " +
			"bzip2 -dc FILE | dnsluice read -")
	}
	return decoder{in, "", func() {}}, nil
}

// zstandard tells whether head begins a zstd frame or a skippable one (RFC 8878, sections 3.1.1
// and 3.1.2), which some writers put first.
func zstandard(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18"
}

// explain says what is wrong with compressed data, and leaves other errors as they are.
func explain(codec string, err error) error {
	if err == nil || err == io.EOF || codec == "" {
		return err // before path, which is an allocation, for each Read that goes well
	}
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the %s data is cut: the file was not written to its end", codec)
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("the zstd window is more than %d MiB: "+
			"zstd --long=31 -dc FILE | dnsluice read -", maxWindow>>20)
	case errors.Is(err, errDictionary) || errors.Is(err, errFilter):
		return fmt.Errorf("%w: xz -dc FILE | dnsluice read -", err)
	}
	return fmt.Errorf("the %s data is corrupt: %w", codec, err)
}
