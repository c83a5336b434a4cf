// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"io"
)

// sortWindow is how long a packet can come after one that was made later: longer than the longest
// conversation, so that the file is in the order of time.
const sortWindow = 2_000_000 // microseconds

type framed struct {
	at   uint64 // microseconds since 1970
	turn uint64 // of making: packets of the same microsecond keep their order
	data []byte
}

type queue []framed

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].turn < q[j].turn
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(framed)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	f := (*q)[last]
	(*q)[last] = framed{}
	*q = (*q)[:last]
	return f
}

// file writes packets as a pcap file in the order of their times.
type file struct {
	w       *bufio.Writer
	waiting queue
	turn    uint64
	packets int
	bytes   int64
}

func newFile(w io.Writer) *file {
	f := &file{w: bufio.NewWriterSize(w, 1<<20)}
	head := make([]byte, 24)
	binary.LittleEndian.PutUint32(head, 0xa1b2c3d4) // microseconds
	binary.LittleEndian.PutUint16(head[4:], 2)
	binary.LittleEndian.PutUint16(head[6:], 4)
	binary.LittleEndian.PutUint32(head[16:], 65_535)
	binary.LittleEndian.PutUint32(head[20:], 1) // Ethernet
	f.write(head)
	return f
}

// add takes a frame, which it keeps, and writes those that no later one can come before.
func (f *file) add(at uint64, data []byte) {
	f.turn++
	heap.Push(&f.waiting, framed{at, f.turn, data})
}

// settle writes all packets from before now less the window.
func (f *file) settle(now uint64) {
	for len(f.waiting) > 0 && f.waiting[0].at+sortWindow < now {
		f.next()
	}
}

func (f *file) next() {
	p := heap.Pop(&f.waiting).(framed)
	var head [16]byte
	binary.LittleEndian.PutUint32(head[:], uint32(p.at/1e6))
	binary.LittleEndian.PutUint32(head[4:], uint32(p.at%1e6))
	binary.LittleEndian.PutUint32(head[8:], uint32(len(p.data)))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(p.data)))
	f.write(head[:])
	f.write(p.data)
	f.packets++
}

// write leaves errors to Flush, which reports the first.
func (f *file) write(b []byte) {
	n, _ := f.w.Write(b)
	f.bytes += int64(n)
}

// close writes what is left and returns the first error of all writes.
func (f *file) close() error {
	for len(f.waiting) > 0 {
		f.next()
	}
	return f.w.Flush()
}
