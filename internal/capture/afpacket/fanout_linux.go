// SPDX-License-Identifier: Apache-2.0

package afpacket

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// fanoutIgnoreOutgoing is PACKET_FANOUT_FLAG_IGNORE_OUTGOING. Kernels before 5.10 do not know it
// and do not mind.
const fanoutIgnoreOutgoing = unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING

// fanout is what the lanes of one interface know of their fanout group. A single lane has a
// group as well, since only a group reassembles fragments.
//
// The kernel's group belongs to a device, not to a name, and dies with its last socket. So an
// interface that was deleted and made again gets a new group while other lanes still hold
// sockets of the old one.
type fanout struct {
	mu      sync.Mutex  // guards the following, and membership.open
	current *membership // the newest; nil before the first socket
}

// membership is one fanout group of the kernel.
type membership struct {
	fanout *fanout
	id     int
	open   int // sockets in it
}

// join puts a bound socket into the group of its device, or into a new one whose number the
// kernel chooses so that no other process has it. demux is what chooses the lane of a packet.
func (f *fanout) join(fd int, nic nic, demux []bpf.RawInstruction) (*membership, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// No rollover to another lane when a ring is full: it would part what belongs together.
	mode := unix.PACKET_FANOUT_CBPF | unix.PACKET_FANOUT_FLAG_DEFRAG
	if nic.loopback {
		// The filter rejects outgoing packets of loopback, but reassembly comes before the
		// filter and would mix the fragments going out with their copies coming in.
		mode |= fanoutIgnoreOutgoing
	}
	if m := f.current; m != nil && m.open > 0 {
		err := setFanout(fd, mode, m.id)
		if err == nil {
			m.open++
			return m, nil
		}
		if !errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("afpacket: share %s between lanes: %w", nic.name, err)
		}
		// The group is of a device that has gone.
	}
	id, err := newFanout(fd, mode)
	if err == nil {
		// Until then lane 0 gets all packets; its filter rejects them still.
		err = attach(fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, demux)
	}
	if err != nil {
		return nil, fmt.Errorf("afpacket: share %s between lanes: %w", nic.name, err)
	}
	f.current = &membership{fanout: f, id: id, open: 1}
	return f.current, nil
}

// leave is called when a socket that joined is closed.
func (m *membership) leave() {
	m.fanout.mu.Lock()
	defer m.fanout.mu.Unlock()
	m.open--
}

func setFanout(fd, mode, id int) error {
	return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, id|mode<<16)
}

// newFanout puts fd alone into a new group and returns its number. A kernel that does not know
// the flag takes it for granted, gives number 0 to everyone who asks, and leaves the flag
// standing: two sensors would share the packets without a word, so it is refused.
func newFanout(fd, mode int) (int, error) {
	if err := setFanout(fd, mode|unix.PACKET_FANOUT_FLAG_UNIQUEID, 0); err != nil {
		return 0, err
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, err
	}
	if got>>16&unix.PACKET_FANOUT_FLAG_UNIQUEID != 0 {
		return 0, errors.New("the kernel chooses no fanout group: Linux 4.12 or later is needed")
	}
	return got & 0xffff, nil
}
