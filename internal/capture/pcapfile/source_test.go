// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/google/go-cmp/cmp"
)

// write puts b into a file and returns its path.
func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// manyPackets is a capture of several chunks, so that records span them, with its packets.
func manyPackets() ([]byte, []got) {
	file := fileHeader(le, magicNano, 1)
	var all []got
	for i := range 3000 {
		data := strings.Repeat(fmt.Sprint(i, "."), 1+i%100)
		file = append(file, record(le, 1, uint32(i), data)...)
		all = append(all, got{data, len(data), second + int64(i), 1, ""})
	}
	return file, all
}

func TestSplitReads(t *testing.T) {
	file, all := manyPackets()
	if len(file) < 2*chunkSize {
		t.Fatalf("only %d bytes: no record spans two chunks", len(file))
	}
	for name, r := range map[string]io.Reader{
		"whole":              bytes.NewReader(file),
		"one byte at a time": iotest.OneByteReader(bytes.NewReader(file[:40000])),
		"half of each":       iotest.HalfReader(bytes.NewReader(file)),
		"data with the end":  iotest.DataErrReader(bytes.NewReader(file)),
		"gzip, one byte":     iotest.OneByteReader(bytes.NewReader(gzipped(file))),
		"zstd, half of each": iotest.HalfReader(bytes.NewReader(zstandarded(file))),
	} {
		have, err := readAll(t, NewReader("x", r))
		want := all
		if strings.HasPrefix(name, "one byte") {
			want = all[:len(have)]
			if len(have) < 200 || err == io.EOF {
				t.Errorf("%s: %d packets, then %v", name, len(have), err)
			}
		} else if err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestGzipFilledUpWithZeros reads members that end where a block of a disk does, as gzip(1) does.
func TestGzipFilledUpWithZeros(t *testing.T) {
	file, all := manyPackets()
	half := len(file) / 2
	whole := join(gzipped(file[:half]), gzipped(nil), gzipped(file[half:]))
	for name, data := range map[string][]byte{
		"nothing behind it": whole, "a zero": join(whole, []byte{0}), "zeros": join(whole, make([]byte, 1<<17)),
	} {
		have, err := readAll(t, NewReader("x", iotest.HalfReader(bytes.NewReader(data))))
		if err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(all, have); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	const corrupt = "gzip data is corrupt: gzip: invalid header"
	for _, end := range [][]byte{{0, 1}, join(make([]byte, 512), gzipped(file)), {1, 0}} {
		have, err := readBytes(t, join(whole, end, make([]byte, 16)))
		if len(have) != len(all) || !strings.Contains(fmt.Sprint(err), corrupt) {
			t.Errorf("%x behind it: %d packets of %d, then %v", end[:2], len(have), len(all), err)
		}
	}
}

func TestReadError(t *testing.T) {
	file := join(fileHeader(le, magicMicro, 1), record(le, 1, 0, "one"))
	broken := errors.New("the disk is on fire")
	for name, r := range map[string]io.Reader{
		"behind a packet": io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken)),
		"in a packet": io.MultiReader(bytes.NewReader(file),
			strings.NewReader("xyz"), iotest.ErrReader(broken)),
	} {
		have, err := readAll(t, NewReader("x", r))
		off := 43
		if name == "in a packet" {
			off = 46
		}
		want := fmt.Sprintf("pcapfile: x: offset %d: the disk is on fire; "+
			"1 packets before it were read", off)
		if len(have) != 1 || err.Error() != want || !errors.Is(err, broken) {
			t.Errorf("%s: %d packets, then %v", name, len(have), err)
		}
	}
	_, err := readAll(t, NewReader("x", iotest.ErrReader(broken)))
	if !strings.HasPrefix(err.Error(), "pcapfile: x: offset 0: the disk is on fire; 0 packets") {
		t.Error(err)
	}
	nothing := readerFunc(func([]byte) (int, error) { return 0, nil })
	_, err = readAll(t, NewReader("x", io.MultiReader(bytes.NewReader(file), nothing)))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestIdle is the contract of capture.Source on a pipe, at every place where its bytes can stop.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := NewReader("pipe", r)
		var p packet.Packet
		dry := func(where string) {
			t.Helper()
			for i, want := range []time.Duration{0, idleWait, idleWait} {
				start := time.Now()
				err := s.Next(&p)
				if took := time.Since(start); err != capture.ErrIdle || took != want {
					t.Errorf("%s, call %d: %v after %v", where, i, err, took)
				}
			}
		}
		file := join(fileHeader(le, magicMicro, 1), record(le, 1, 0, "one"), record(le, 2, 0, "two"))
		dry("no byte")
		const magic = 6 // bytes that the reader holds until it knows the compression
		for n := magic; n < len(file); n++ {
			piece := file[n-1 : n]
			if n == magic {
				piece = file[:magic]
			}
			if _, err := w.Write(piece); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n == 43 {
				if err := s.Next(&p); err != nil || string(p.Data) != "one" {
					t.Errorf("%q, %v", p.Data, err)
				}
			}
			dry(fmt.Sprintf("%d bytes", n))
		}
		// A byte that comes while Next waits ends the wait.
		start := time.Now()
		time.AfterFunc(idleWait/2, func() { _, _ = w.Write(file[len(file)-1:]) })
		if err := s.Next(&p); err != nil || string(p.Data) != "two" || time.Since(start) != idleWait/2 {
			t.Errorf("%q, %v after %v", p.Data, err, time.Since(start))
		}
		if len(s.in.lent) != chunkSize {
			t.Errorf("short reads have made the chunks %d bytes long", len(s.in.lent))
		}
		_ = w.Close()
		synctest.Wait()
		if err := s.Next(&p); err != io.EOF {
			t.Error(err)
		}
		_ = s.Close()
	})
}

// TestTrickle proves that bytes that come one by one do not keep Next beyond its time.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := NewReader("pipe", r)
		go func() {
			for _, b := range join(fileHeader(le, magicMicro, 1), record(le, 1, 0, "one")) {
				<-time.After(idleWait * 4 / 5)
				_, _ = w.Write([]byte{b})
			}
			_ = w.Close()
		}()
		var p packet.Packet
		for err, packets := error(nil), 0; err != io.EOF; {
			start := time.Now()
			if err = s.Next(&p); err == nil {
				packets++
			}
			if took := time.Since(start); took > idleWait {
				t.Errorf("Next took %v", took)
			}
			if err == io.EOF && packets != 1 {
				t.Errorf("%d packets", packets)
			}
		}
		_ = s.Close()
	})
}

// TestPatient proves that a regular file that is slow is given time before it is called dry.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := NewReader("pipe", r)
		var p packet.Packet
		if err := s.Next(&p); err != capture.ErrIdle {
			t.Fatal(err)
		}
		_, _ = w.Write(join(fileHeader(le, magicMicro, 1), record(le, 1, 0, "one")))
		synctest.Wait()
		s.in.patient = true
		if err := s.Next(&p); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := s.Next(&p); err != capture.ErrIdle || time.Since(start) != idleWait {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		_ = w.Close()
		_ = s.Close()
	})
}

// TestCloseWhileBlocked proves that a reader that blocks, as standard input does, holds nobody up.
func TestCloseWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := NewReader("pipe", r)
		var p packet.Packet
		if err := s.Next(&p); err != capture.ErrIdle {
			t.Fatal(err)
		}
		synctest.Wait()
		start, done := time.Now(), s.in.done
		if err := s.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := s.Next(&p); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		_ = w.Close()
		<-done
	})
}

func TestFile(t *testing.T) {
	file, all := manyPackets()
	path := write(t, gzipped(file)) // its name says nothing of gzip
	s := New(path)
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	have, err := readAll(t, s)
	if diff := cmp.Diff(all, have); diff != "" || err != io.EOF {
		t.Error(err, diff)
	}
}

func TestCloseReleasesTheFile(t *testing.T) {
	file, _ := manyPackets()
	s := New(write(t, join(file, file)))
	var p packet.Packet
	if err := next(s, &p); err != nil {
		t.Fatal(err)
	}
	opened, done := s.in.file.(*os.File), s.in.done
	if !s.in.patient {
		t.Error("a regular file is called dry at once")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-done:
	default:
		t.Error("the reader goes on")
	}
	if _, err := opened.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file: %v", err)
	}
	if err := s.Next(&p); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	want := capture.Stats{Received: 1, Read: 1, Bytes: uint64(len(p.Data))}
	if diff := cmp.Diff(want, s.Stats()); diff != "" {
		t.Error(diff)
	}
}

func TestCloseWithoutNext(t *testing.T) {
	s := New("nowhere")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(capture.Stats{}, s.Stats()); diff != "" {
		t.Error(diff)
	}
}

func TestDrain(t *testing.T) {
	file, _ := manyPackets()
	s := New(write(t, file))
	var p packet.Packet
	if err := next(s, &p); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.Drain()
		if err := s.Next(&p); err != io.EOF {
			t.Errorf("after Drain: %v", err)
		}
	}
	if st := s.Stats(); st.Read != 1 {
		t.Errorf("%+v", st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "a.pcap")
	s := New(missing)
	want := fmt.Sprintf("pcapfile: stat %s: no such file or directory", missing)
	for _, err := range []error{s.Check(), s.Next(new(packet.Packet)), s.Next(new(packet.Packet))} {
		if !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	s = New(dir)
	want = fmt.Sprintf("pcapfile: read %s: is a directory", dir)
	for _, err := range []error{s.Check(), s.Next(new(packet.Packet))} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestStandardInput(t *testing.T) {
	s := New("-")
	if s.reader != os.Stdin || s.name != "standard input" || s.Check() != nil {
		t.Errorf("%+v", s)
	}
}
