// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// fields appends integers, each in its own width.
func fields(o byteOrder, values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case uint8:
			b = append(b, v)
		case uint16:
			b = o.AppendUint16(b, v)
		case uint32:
			b = o.AppendUint32(b, v)
		case uint64:
			b = o.AppendUint64(b, v)
		case string:
			b = append(b, v...)
		}
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// fileHeader is that of pcap version 2.4.
func fileHeader(o byteOrder, magic, link uint32) []byte {
	return fields(o, magic, uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), link)
}

// record is one of pcap, whole.
func record(o byteOrder, sec, frac uint32, data string) []byte {
	return fields(o, sec, frac, uint32(len(data)), uint32(len(data)), data)
}

// block is one of pcapng, its body padded.
func block(o byteOrder, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	total := uint32(len(body) + 12)
	return join(fields(o, kind, total), body, fields(o, total))
}

func sectionBlock(o byteOrder, options ...[]byte) []byte {
	return block(o, blockSection, join(fields(o, uint32(byteOrderMagic), uint16(1), uint16(0),
		^uint64(0)), join(options...)))
}

func interfaceBlock(o byteOrder, link uint16, snaplen uint32, options ...[]byte) []byte {
	return block(o, blockInterface, join(fields(o, link, uint16(0), snaplen), join(options...)))
}

func option(o byteOrder, code uint16, value string) []byte {
	b := fields(o, code, uint16(len(value)), value)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func enhancedBlock(o byteOrder, id uint32, units uint64, data string) []byte {
	n := uint32(len(data))
	return block(o, blockEnhanced, fields(o, id, uint32(units>>32), uint32(units), n, n, data))
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // to memory: cannot fail
	_ = w.Close()
	return out.Bytes()
}

func zstandarded(b []byte) []byte {
	w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<16))
	return w.EncodeAll(b, nil)
}

// got is a packet that outlives the lease of its bytes.
type got struct {
	Data      string
	Length    int
	Time      int64
	Link      packet.LinkType
	Interface string
}

// next calls s until it is not idle.
func next(s *Source, p *packet.Packet) error {
	for {
		if err := s.Next(p); err != capture.ErrIdle {
			return err
		}
	}
}

// readAll reads s to its end, proves what every end has in common, and closes it.
func readAll(t testing.TB, s *Source) ([]got, error) {
	t.Helper()
	var all []got
	var p packet.Packet
	var err error
	bytes := uint64(0)
	for {
		p = packet.Packet{Tag: packet.Tag{TPID: 1}, Interface: "stale"}
		if err = next(s, &p); err != nil {
			break
		}
		if len(p.Data) > maxPacket || p.Length < len(p.Data) || p.Tag != (packet.Tag{}) {
			t.Fatalf("packet %d: %d bytes of %d, tag %v", len(all), len(p.Data), p.Length, p.Tag)
		}
		bytes += uint64(len(p.Data))
		all = append(all, got{string(p.Data), p.Length, p.Time, p.Link, p.Interface})
	}
	if again := s.Next(&p); again != err {
		t.Errorf("the end is not the end: %v, then %v", err, again)
	}
	if closed := s.Close(); closed != nil {
		t.Errorf("Close: %v", closed)
	}
	n := uint64(len(all))
	if st := s.Stats(); st != (capture.Stats{Received: n, Read: n, Bytes: bytes}) {
		t.Errorf("%d packets of %d bytes, but Stats %+v", n, bytes, st)
	}
	return all, err
}

func readBytes(t testing.TB, b []byte) ([]got, error) {
	t.Helper()
	return readAll(t, NewReader("x", bytes.NewReader(b)))
}

// whole is readBytes for a capture without fault.
func whole(t testing.TB, b []byte) []got {
	t.Helper()
	all, err := readBytes(t, b)
	if !errors.Is(err, io.EOF) {
		t.Errorf("after %d packets: %v", len(all), err)
	}
	return all
}
