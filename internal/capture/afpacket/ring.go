// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"github.com/dnsluice/dnsluice/internal/packet"
)

// A ring is a row of blocks of one size, which the kernel fills in turn (linux/if_packet.h, all
// numbers in the byte order of the machine):
//
//	block   0 version | 4 offset_to_priv | 8 block_status | 12 num_pkts
//	       16 offset_to_first_pkt | 20 blk_len | 24 seq_num (8) | 32 ts_first (8) | 40 ts_last (8)
//	packet  0 tp_next_offset | 4 tp_sec | 8 tp_nsec | 12 tp_snaplen | 16 tp_len | 20 tp_status
//	       24 tp_mac (2) | 26 tp_net (2) | 28 tp_rxhash | 32 tp_vlan_tci | 36 tp_vlan_tpid (2)
//
// tp_next_offset and tp_mac count from the start of the packet's header; that of the last packet
// of a block has a tp_next_offset of 0.
const (
	blockStatus = 8
	blockCount  = 12
	blockFirst  = 16

	packetHeader = 48 // sizeof(struct tpacket3_hdr), and of a block's header as well

	statusKernel        = 0      // TP_STATUS_KERNEL: the block is the kernel's
	statusUser          = 1 << 0 // TP_STATUS_USER: the block is ours
	statusVLANValid     = 1 << 4 // TP_STATUS_VLAN_VALID
	statusVLANTPIDValid = 1 << 6 // TP_STATUS_VLAN_TPID_VALID
)

// ring reads the blocks that the kernel hands over, in place. The zero ring is always empty.
// It belongs to one goroutine; the kernel is at the other end of each block's status word.
type ring struct {
	mem       []byte // shared with the kernel
	blockSize int
	link      packet.LinkType
	name      string

	block []byte // the block that is ours; nil when none is
	at    int    // where in mem it starts, or where the next block that will be ours starts
	off   uint64 // of the next packet's header in block
	left  uint32 // packets of block that are still to be read
	lost  uint64 // packets that the kernel wrote but whose headers make no sense
}

// status is the word through which block changes hands. The kernel writes it after the packets
// with a barrier between, so it is read and written atomically: no read of a packet may move
// before the load that gave us the block, nor behind the store that gives it back.
func status(block []byte) *uint32 {
	return (*uint32)(unsafe.Pointer(&block[blockStatus]))
}

// take makes the next block ours if the kernel has handed it over. None may be ours before.
func (r *ring) take() bool {
	if r.mem == nil {
		return false
	}
	block := r.mem[r.at : r.at+r.blockSize : r.at+r.blockSize]
	if atomic.LoadUint32(status(block))&statusUser == 0 {
		return false
	}
	r.block = block
	r.left = binary.NativeEndian.Uint32(block[blockCount:])
	r.off = uint64(binary.NativeEndian.Uint32(block[blockFirst:]))
	return true
}

// release gives the block, if one is ours, back to the kernel; what it held must not be touched
// any more. It must be called before waiting: while the last block filled is not given back,
// poll(2) says that there is something to read.
func (r *ring) release() {
	if r.block == nil {
		return
	}
	atomic.StoreUint32(status(r.block), statusKernel)
	r.block, r.left = nil, 0
	if r.at += r.blockSize; r.at == len(r.mem) {
		r.at = 0
	}
}

// next fills p with the next packet of the block and tells whether there was one. It reads
// nothing outside the block, whatever the headers say, and as each step advances by at least one
// header it ends.
func (r *ring) next(p *packet.Packet) bool {
	if r.left == 0 {
		return false
	}
	size := uint64(len(r.block))
	if r.off > size-packetHeader {
		return r.spoiled()
	}
	h := (*[packetHeader]byte)(r.block[r.off:])
	start := r.off + uint64(binary.NativeEndian.Uint16(h[24:]))
	snaplen := uint64(binary.NativeEndian.Uint32(h[12:]))
	if start < r.off+packetHeader || start+snaplen > size {
		return r.spoiled()
	}
	p.Data = r.block[start : start+snaplen : start+snaplen]
	p.Length = max(int(binary.NativeEndian.Uint32(h[16:])), int(snaplen))
	p.Time = int64(binary.NativeEndian.Uint32(h[4:]))*1e9 +
		int64(binary.NativeEndian.Uint32(h[8:]))
	p.Link, p.Interface = r.link, r.name
	p.Tag = packet.Tag{}
	if st := binary.NativeEndian.Uint32(h[20:]); st&statusVLANValid != 0 {
		p.Tag = packet.Tag{TPID: ether8021, TCI: uint16(binary.NativeEndian.Uint32(h[32:]))}
		if st&statusVLANTPIDValid != 0 {
			p.Tag.TPID = binary.NativeEndian.Uint16(h[36:])
		}
	}

	r.left--
	step := uint64(binary.NativeEndian.Uint32(h[0:]))
	if step < packetHeader {
		step = size // right for the last packet; for any other it leads to spoiled
	}
	r.off += step
	return true
}

// spoiled gives up the rest of a block. Only a broken kernel gets here. What the block claims to
// hold is believed as far as it could hold it.
func (r *ring) spoiled() bool {
	r.lost += min(uint64(r.left), uint64(len(r.block)/packetHeader))
	r.left = 0
	return false
}
