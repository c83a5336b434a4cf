// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// frame is what the writer puts into a ring.
type frame struct {
	data   []byte
	length int // on the wire; that of data when 0
	time   int64
	tag    packet.Tag
	status uint32 // in place of that of tag when not 0
}

// writer fills a ring as tpacket_rcv of Linux does: packets of 16-byte alignment into the block
// that is open, which goes to the reader when it is full or when retire is called. When the next
// block is not the kernel's, packets are dropped and counted.
type writer struct {
	mem       []byte
	blockSize int

	at     int // start of the open block
	used   int // bytes of it; 0 when none is open
	count  uint32
	frozen bool // the ring is full, and that was counted

	stats statistics
}

func newWriter(blockSize, blocks int) *writer {
	return &writer{mem: make([]byte, blockSize*blocks), blockSize: blockSize}
}

func (w *writer) block() []byte { return w.mem[w.at : w.at+w.blockSize] }

// write puts f into the ring or drops it.
func (w *writer) write(f frame) {
	const mac = 82 // Ethernet's, with the IP header behind it on a boundary of 16 bytes
	need := (mac + len(f.data) + 15) &^ 15
	w.stats.packets++
	if w.used > 0 && w.used+need > w.blockSize {
		w.retire()
	}
	if w.used == 0 && !w.open() {
		w.stats.drops++
		return
	}
	h := w.block()[w.used:]
	ne := binary.NativeEndian
	if f.length == 0 {
		f.length = len(f.data)
	}
	if f.status == 0 && f.tag.TPID != 0 {
		f.status = statusVLANValid | statusVLANTPIDValid
	}
	ne.PutUint32(h[0:], uint32(need))
	ne.PutUint32(h[4:], uint32(f.time/1e9))
	ne.PutUint32(h[8:], uint32(f.time%1e9))
	ne.PutUint32(h[12:], uint32(len(f.data)))
	ne.PutUint32(h[16:], uint32(f.length))
	ne.PutUint32(h[20:], f.status)
	ne.PutUint16(h[24:], mac)
	ne.PutUint16(h[26:], mac+14)
	ne.PutUint32(h[32:], uint32(f.tag.TCI))
	ne.PutUint16(h[36:], f.tag.TPID)
	copy(h[mac:], f.data)
	w.used += need
	w.count++
}

func (w *writer) open() bool {
	b := w.block()
	if atomic.LoadUint32(status(b)) != statusKernel {
		if !w.frozen {
			w.frozen = true
			w.stats.freezes++
		}
		return false
	}
	for i := range b[packetHeader:] {
		b[packetHeader+i] = 0xee // poison: what was borrowed from this block is no longer valid
	}
	w.frozen, w.used, w.count = false, packetHeader, 0
	return true
}

// retire hands the open block over, as the kernel's timer does.
func (w *writer) retire() {
	if w.used == 0 {
		return
	}
	b := w.block()
	ne := binary.NativeEndian
	ne.PutUint32(b[blockCount:], w.count)
	ne.PutUint32(b[blockFirst:], packetHeader)
	// The kernel ends the chain with a step of 0.
	for off, i := uint32(packetHeader), uint32(1); i <= w.count; i++ {
		step := ne.Uint32(b[off:])
		if i == w.count {
			ne.PutUint32(b[off:], 0)
		}
		off += step
	}
	atomic.StoreUint32(status(b), statusUser)
	w.used = 0
	w.at = (w.at + w.blockSize) % len(w.mem)
}

// double is a kernel with one socket at a time, for the tests of Source. Its clock is that of
// the test's bubble.
type double struct {
	mu      sync.Mutex // guards the following
	err     error      // of open
	opening func()     // called in open when not nil
	opens   int
	writer  *writer
	state   linkState
	waitErr error
	deaf    bool // reject was called
	closed  bool
	cfg     Config
}

func (d *double) open() (opened, error) {
	if d.opening != nil {
		d.opening()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opens++
	if d.err != nil {
		return opened{}, d.err
	}
	d.writer = newWriter(d.cfg.BlockSize, d.cfg.Blocks)
	d.state, d.deaf, d.closed = linkUp, false, false
	return opened{socket: d, mem: d.writer.mem, link: packet.LinkEthernet}, nil
}

func (d *double) carrier() bool { return true }

// wait is poll: the retire timer runs while nobody looks.
func (d *double) wait(limit time.Duration) (linkState, error) {
	time.Sleep(min(limit, d.cfg.RetireTimeout))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writer != nil {
		d.writer.retire()
	}
	return d.state, d.waitErr
}

func (d *double) statistics() statistics {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.writer.stats
	d.writer.stats = statistics{}
	return st
}

func (d *double) reject() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deaf = true
	return nil
}

func (d *double) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for i := range d.writer.mem {
		d.writer.mem[i] = 0xee // the mapping is gone
	}
	return nil
}

// send writes frames unless the socket rejects them.
func (d *double) send(frames ...frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range frames {
		if !d.deaf && d.state == linkUp {
			d.writer.write(f)
		}
	}
}

func (d *double) set(change func(*double)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}
