// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/packet"
)

func ringOf(w *writer) *ring {
	return &ring{mem: w.mem, blockSize: w.blockSize, link: packet.LinkEthernet, name: "eth0"}
}

// all reads what the ring has now, and keeps copies.
func all(r *ring) []packet.Packet {
	var got []packet.Packet
	for {
		var p packet.Packet
		for r.next(&p) {
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
		r.release()
		if !r.take() {
			return got
		}
	}
}

func TestRingGivesWhatTheKernelWrote(t *testing.T) {
	w := newWriter(4096, 4)
	w.write(frame{data: []byte("first"), time: 1_700_000_000_123_456_789})
	w.write(frame{data: []byte("cut"), length: 1500, time: 2})
	w.write(frame{data: []byte("tagged"), tag: packet.Tag{TPID: 0x88a8, TCI: 0xa005}})
	w.write(frame{data: []byte("priority"), tag: packet.Tag{TPID: 0x8100}})
	w.write(frame{data: []byte("old kernel"), tag: packet.Tag{TPID: 0xdead, TCI: 7},
		status: statusVLANValid})
	w.write(frame{data: []byte("no tag"), tag: packet.Tag{TPID: 0x8100, TCI: 7}, status: 8})
	w.write(frame{})
	w.retire()

	eth := func(data string, length int, time int64, tag packet.Tag) packet.Packet {
		return packet.Packet{Data: []byte(data), Length: length, Time: time,
			Link: packet.LinkEthernet, Tag: tag, Interface: "eth0"}
	}
	want := []packet.Packet{
		eth("first", 5, 1_700_000_000_123_456_789, packet.Tag{}),
		eth("cut", 1500, 2, packet.Tag{}),
		eth("tagged", 6, 0, packet.Tag{TPID: 0x88a8, TCI: 0xa005}),
		eth("priority", 8, 0, packet.Tag{TPID: 0x8100}),
		eth("old kernel", 10, 0, packet.Tag{TPID: 0x8100, TCI: 7}),
		eth("no tag", 6, 0, packet.Tag{}),
		eth("", 0, 0, packet.Tag{}),
	}
	if diff := cmp.Diff(want, all(ringOf(w))); diff != "" {
		t.Error(diff)
	}
}

func TestRingTurnsOverForEver(t *testing.T) {
	w := newWriter(4096, 3)
	r := ringOf(w)
	sent, got := uint32(0), uint32(0)
	for round := range 1000 {
		for range round % 40 { // up to more than a block
			w.write(frame{data: binary.BigEndian.AppendUint32(nil, sent)})
			sent++
		}
		if round%3 == 0 {
			w.retire()
		}
		for _, p := range all(r) {
			if n := binary.BigEndian.Uint32(p.Data); n != got {
				t.Fatalf("got packet %d, want %d", n, got)
			}
			got++
		}
	}
	if w.retire(); len(all(r))+int(got) != int(sent) {
		t.Errorf("got %d packets, sent %d", got, sent)
	}
	if w.stats.drops != 0 {
		t.Errorf("%d packets dropped", w.stats.drops)
	}
}

func TestRingHoldsABlockUntilItIsReleased(t *testing.T) {
	w := newWriter(4096, 2)
	r := ringOf(w)
	if r.take() {
		t.Fatal("took a block that the kernel has")
	}
	for w.stats.drops == 0 {
		w.write(frame{data: []byte("abcd")})
	}
	kept := int(w.stats.packets - w.stats.drops)
	var p packet.Packet
	if !r.take() || !r.next(&p) {
		t.Fatal("no packet")
	}
	w.write(frame{data: []byte("more")})
	if w.stats.drops != 2 || string(p.Data) != "abcd" {
		t.Errorf("the kernel wrote into our block: %d drops, %q", w.stats.drops, p.Data)
	}
	if got := 1 + len(all(r)); got != kept {
		t.Errorf("read %d packets, the kernel kept %d", got, kept)
	}
	w.write(frame{data: []byte("again")})
	w.retire()
	if got := all(r); len(got) != 1 || string(got[0].Data) != "again" {
		t.Errorf("after the ring was full: %v", got)
	}
}

func TestRingSkipsAnEmptyBlock(t *testing.T) {
	w := newWriter(4096, 2)
	w.open()
	w.retire()
	w.write(frame{data: []byte("next")})
	w.retire()
	if got := all(ringOf(w)); len(got) != 1 {
		t.Errorf("got %d packets, want 1", len(got))
	}
}

// Each case spoils a block of three packets. Nothing may be read outside the block, the walk
// ends, each packet that is not given is counted as lost, and the ring goes on.
func TestRingSurvivesHostileHeaders(t *testing.T) {
	const second = packetHeader + 96 // where the header of the second packet is
	put16, put32 := binary.NativeEndian.PutUint16, binary.NativeEndian.PutUint32
	tests := []struct {
		name        string
		spoil       func(block []byte)
		given, lost int
	}{
		{"whole", func([]byte) {}, 3, 0},
		{"first offset beyond the block", func(b []byte) { put32(b[16:], 4096) }, 0, 3},
		{"first offset before the end of the block", func(b []byte) { put32(b[16:], 4090) }, 0, 3},
		{"first offset of 32 bits", func(b []byte) { put32(b[16:], 1<<32-1) }, 0, 3},
		{"next offset zero", func(b []byte) { put32(b[second:], 0) }, 2, 1},
		{"next offset inside the header", func(b []byte) { put32(b[second:], 16) }, 2, 1},
		{"next offset beyond the block", func(b []byte) { put32(b[second:], 5000) }, 2, 1},
		{"next offset of 32 bits", func(b []byte) { put32(b[second:], 1<<32-16) }, 2, 1},
		{"mac inside the header", func(b []byte) { put16(b[second+24:], 8) }, 1, 2},
		{"mac beyond the block", func(b []byte) { put16(b[second+24:], 1<<16-1) }, 1, 2},
		{"snaplen beyond the block", func(b []byte) { put32(b[second+12:], 4096) }, 1, 2},
		{"snaplen of 32 bits", func(b []byte) { put32(b[second+12:], 1<<32-1) }, 1, 2},
		{"count of 32 bits", func(b []byte) { put32(b[12:], 1<<32-1) }, 3, 4096 / packetHeader},
		{"length shorter than what was kept", func(b []byte) { put32(b[second+16:], 1) }, 3, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWriter(4096, 2)
			for range 3 {
				w.write(frame{data: []byte("abcd")})
			}
			w.retire()
			test.spoil(w.mem[:4096])
			r := ringOf(w)
			got := all(r)
			for _, p := range got {
				if p.Length < len(p.Data) {
					t.Errorf("length %d of %d bytes", p.Length, len(p.Data))
				}
			}
			if diff := cmp.Diff([]int{test.given, test.lost},
				[]int{len(got), int(r.lost)}); diff != "" {
				t.Error(diff)
			}
			w.write(frame{data: []byte("sane")})
			w.retire()
			if got := all(r); len(got) != 1 || string(got[0].Data) != "sane" {
				t.Errorf("the block after it: %v", got)
			}
		})
	}
}

func FuzzRingBlock(f *testing.F) {
	w := newWriter(4096, 2)
	w.write(frame{data: query4(), tag: packet.Tag{TPID: 0x8100, TCI: 5}})
	w.write(frame{data: []byte("cut"), length: 1500})
	w.retire()
	f.Add(bytes.Clone(w.mem[:512]))
	f.Fuzz(func(t *testing.T, block []byte) {
		mem := make([]byte, 2*4096)
		copy(mem[:4096], block)
		atomic.StoreUint32(status(mem), statusUser)
		r := &ring{mem: mem, blockSize: 4096}
		if n := len(all(r)); n > 4096/packetHeader {
			t.Errorf("%d packets in a block of 4096 bytes", n)
		}
	})
}

func BenchmarkRing(b *testing.B) {
	w := newWriter(128<<10, 2)
	data := query4(make([]byte, 60)...)
	for w.at == 0 {
		w.write(frame{data: data})
	}
	s := &Source{cfg: DefaultConfig()}
	s.ring = ring{mem: w.mem[:w.blockSize], blockSize: w.blockSize, name: "eth0"}
	var p packet.Packet
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Next(&p); err != nil {
			// The ring has this one block only: the kernel hands it over again.
			s.dry = false
			atomic.StoreUint32(status(w.mem), statusUser)
		}
	}
}
