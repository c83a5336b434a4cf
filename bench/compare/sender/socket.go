// SPDX-License-Identifier: Apache-2.0

package sender

import (
	"fmt"
	"net"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2), padded as in C.
type mmsghdr struct {
	unix.Msghdr
	sent uint32
}

// socket sends the frames in turn.
type socket struct {
	fd     int
	frames frames
	// heads are made once, one for each frame, so that sending is one system call and nothing else.
	heads []mmsghdr
	next  int
}

func open(device string, f frames) (*socket, error) {
	if err := Up(device); err != nil {
		return nil, err
	}
	nic, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("sender: interface %s: %w", device, err)
	}
	// Protocol 0: it receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sender: open %s: %w", device, err)
	}
	s := &socket{fd: fd, frames: f, heads: make([]mmsghdr, len(f.data))}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: nic.Index}); err != nil {
		s.close()
		return nil, fmt.Errorf("sender: bind to %s: %w", device, err)
	}
	vectors := make([]unix.Iovec, len(f.data))
	for i, data := range f.data {
		vectors[i].Base = &data[0]
		vectors[i].SetLen(len(data))
		s.heads[i].Iov = &vectors[i]
		s.heads[i].SetIovlen(1)
	}
	return s, nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// send sends as asked, on a thread of its own whose sleeps end in time.
func (s *socket) send(req Request) (Reply, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may otherwise prolong each sleep by 50 µs, half a step (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return Reply{}, fmt.Errorf("sender: timer slack: %w", err)
	}
	var r Reply
	p := pacer{rate: req.Rate}
	begun := time.Now()
	for at := time.Duration(0); at < req.For; at = time.Since(begun) {
		n := p.due(at)
		if n == 0 {
			left := unix.NsecToTimespec(int64(p.wait() - at))
			if err := unix.Nanosleep(&left, nil); err != nil && err != unix.EINTR {
				return r, fmt.Errorf("sender: sleep: %w", err)
			}
			continue
		}
		for n > 0 {
			sent, messages, err := s.batch(n)
			if err != nil {
				return r, err
			}
			r.Packets, r.Messages, n = r.Packets+int64(sent), r.Messages+int64(messages), n-sent
		}
	}
	r.Took = time.Since(begun)
	return r, nil
}

// batch sends up to n frames, and returns how many, and how many messages are in them. It blocks
// while the kernel has no room.
func (s *socket) batch(n int) (sent, messages int, err error) {
	n = min(n, len(s.heads)-s.next)
	for {
		count, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.heads[s.next])), uintptr(n), 0, 0, 0)
		switch errno {
		case 0:
			sent = int(count)
			messages = s.frames.before[s.next+sent] - s.frames.before[s.next]
			if s.next = (s.next + sent) % len(s.heads); s.next == 0 {
				s.frames.renew()
			}
			return sent, messages, nil
		case unix.EINTR, unix.ENOBUFS: // the latter: the other end's queue is full for a moment
		default:
			return 0, 0, fmt.Errorf("sender: send: %w", errno)
		}
	}
}
