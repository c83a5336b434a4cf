// SPDX-License-Identifier: Apache-2.0

package sender

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// The headers that the frames of the capture have, and no others: see package traffic.
const (
	fileHead, packetHead            = 24, 16 // of a pcap file
	littleMicroseconds       uint32 = 0xa1b2c3d4
	etherLen, ip4Len, ip6Len        = 14, 20, 40
	tcpLen, tcpSumAt                = 20, 16
	etherIP4, etherIP6              = 0x0800, 0x86dd
	protoTCP, protoUDP              = 6, 17
	protoAtIP4, protoAtIP6          = 9, 6
)

// frames are those of a capture, in its order.
type frames struct {
	data [][]byte
	// before[i] is how many DNS messages the frames before i hold; one more than there are frames.
	before []int
	// tcp are the TCP headers in data, and what follows each.
	tcp [][]byte
}

// load reads a capture that package traffic has made.
func load(path string) (frames, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return frames{}, fmt.Errorf("sender: %w", err)
	}
	f, err := parse(data)
	if err != nil {
		return frames{}, fmt.Errorf("sender: %s: %w", path, err)
	}
	return f, nil
}

// parse keeps data: the frames lie in it.
func parse(data []byte) (frames, error) {
	if len(data) < fileHead || binary.LittleEndian.Uint32(data) != littleMicroseconds {
		return frames{}, errors.New("not a pcap file of this program's making")
	}
	f := frames{before: []int{0}}
	messages := 0
	for rest := data[fileHead:]; len(rest) > 0; {
		if len(rest) < packetHead {
			return frames{}, errors.New("the file ends within a packet")
		}
		n := int(binary.LittleEndian.Uint32(rest[8:]))
		rest = rest[packetHead:]
		if n > len(rest) {
			return frames{}, errors.New("the file ends within a packet")
		}
		frame := rest[:n]
		rest = rest[n:]
		if transport, proto := split(frame); proto == protoUDP {
			messages++
		} else if proto == protoTCP {
			f.tcp = append(f.tcp, transport)
			if len(transport) > tcpLen { // each message over TCP is a segment
				messages++
			}
		}
		f.data = append(f.data, frame)
		f.before = append(f.before, messages)
	}
	if messages == 0 {
		return frames{}, errors.New("there is no DNS message in it")
	}
	return f, nil
}

// split returns what follows the IP header of a frame, and its protocol; nothing if it is cut off.
func split(frame []byte) (transport []byte, proto byte) {
	if len(frame) < etherLen {
		return nil, 0
	}
	ip, head, protoAt := frame[etherLen:], ip4Len, protoAtIP4
	switch binary.BigEndian.Uint16(frame[etherLen-2:]) {
	case etherIP4:
	case etherIP6:
		head, protoAt = ip6Len, protoAtIP6
	default:
		return nil, 0
	}
	if len(ip) < head {
		return nil, 0
	}
	transport = ip[head:]
	if ip[protoAt] == protoTCP && len(transport) < tcpLen {
		return nil, 0
	}
	return transport, ip[protoAt]
}

// The ports of clients in the capture, and a step that comes to each of them before it comes to
// one again.
const firstPort, ports, portStep = 1024, 64_000, 7919

// renew moves all TCP connections to other ports of their clients. The same connection once more,
// moments after its end, would be taken for a retransmission.
func (f *frames) renew() {
	for _, tcp := range f.tcp {
		at := 0
		if binary.BigEndian.Uint16(tcp) == 53 {
			at = 2
		}
		old := binary.BigEndian.Uint16(tcp[at:])
		changed := uint16(firstPort + (int(old)-firstPort+portStep)%ports)
		binary.BigEndian.PutUint16(tcp[at:], changed)
		// RFC 1624 section 3: HC' = ~(~HC + ~m + m').
		sum := uint32(^binary.BigEndian.Uint16(tcp[tcpSumAt:])) + uint32(^old) + uint32(changed)
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(tcp[tcpSumAt:], ^uint16(sum>>16+sum))
	}
}
