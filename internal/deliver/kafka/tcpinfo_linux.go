// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpStates are the names of tcpi_state (include/net/tcp_states.h), which counts from 1.
var tcpStates = [...]string{
	"unknown", "established", "syn_sent", "syn_recv", "fin_wait_1", "fin_wait_2", "time_wait",
	"closed", "close_wait", "last_ack", "listen", "closing", "new_syn_recv",
}

// kernelOf asks the kernel about a connection. It does not block.
func kernelOf(c net.Conn) (*Kernel, error) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("not a socket of this kernel")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("the socket is closed: %w", err)
	}
	var (
		info   *unix.TCPInfo
		queued int
		failed error
	)
	err = raw.Control(func(fd uintptr) {
		if info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); failed != nil {
			failed = fmt.Errorf("TCP_INFO: %w", failed)
			return
		}
		// SIOCOUTQ (linux/sockios.h) is TIOCOUTQ. Without it there is only a number of segments.
		if queued, failed = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); failed != nil {
			failed = fmt.Errorf("SIOCOUTQ: %w", failed)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	state := tcpStates[0]
	if int(info.State) < len(tcpStates) {
		state = tcpStates[info.State]
	}
	ms := func(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
	return &Kernel{
		State: state, Queued: uint64(max(0, queued)), NotSent: uint64(info.Notsent_bytes),
		UnackedSegments: info.Unacked, Retransmits: info.Retransmits,
		TotalRetransmits: info.Total_retrans, RTT: time.Duration(info.Rtt) * time.Microsecond,
		SinceSent: ms(info.Last_data_sent), SinceReceived: ms(info.Last_data_recv),
		SinceAck: ms(info.Last_ack_recv),
	}, nil
}
