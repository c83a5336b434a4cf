// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The link type of the capture: Ethernet (LINKTYPE_ETHERNET).
const linkEthernet = 1

// pcapHeader returns the header of a pcap file of Ethernet frames, with time stamps in
// microseconds, little endian.
func pcapHeader() []byte {
	h := make([]byte, 24)
	binary.LittleEndian.PutUint32(h, 0xa1b2c3d4)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], 65535)
	binary.LittleEndian.PutUint32(h[20:], linkEthernet)
	return h
}

// pcapPacket returns the n-th packet of the capture as it stands in the file, seen at that time.
// Even ones are queries, odd ones the responses to the query before. The same n is the same
// packet, but for its time.
func pcapPacket(n int, at time.Time) []byte {
	frame := dnsFrame(n)
	p := make([]byte, 16, 16+len(frame))
	binary.LittleEndian.PutUint32(p, uint32(at.Unix()))
	binary.LittleEndian.PutUint32(p[4:], uint32(at.Nanosecond()/1000))
	binary.LittleEndian.PutUint32(p[8:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(p[12:], uint32(len(frame)))
	return append(p, frame...)
}

// dnsFrame returns an Ethernet frame with IPv4 (RFC 791), UDP (RFC 768) and DNS (RFC 1035).
func dnsFrame(n int) []byte {
	pair, response := n/2, n%2 == 1
	client := [4]byte{10, byte(pair >> 16), byte(pair >> 8), byte(pair)}
	server := [4]byte{192, 0, 2, 53}
	src, dst, from, to := client, server, uint16(1024+pair%60000), uint16(53)
	if response {
		src, dst, from, to = dst, src, to, from
	}
	dns := message(pair, response)
	udp := 8 + len(dns)

	f := make([]byte, 14, 14+20+udp)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0})
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+udp))
	binary.BigEndian.PutUint16(ip[4:], uint16(n))
	ip = append(append(ip, src[:]...), dst[:]...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	f = append(f, ip...)
	f = binary.BigEndian.AppendUint16(f, from)
	f = binary.BigEndian.AppendUint16(f, to)
	f = binary.BigEndian.AppendUint16(f, uint16(udp))
	f = binary.BigEndian.AppendUint16(f, 0) // none, which IPv4 allows
	return append(f, dns...)
}

// message returns a query for the address of a host, or the response to it.
func message(pair int, response bool) []byte {
	flags, answers := uint16(0x0100), uint16(0)
	if response {
		flags, answers = 0x8180, 1
	}
	var m []byte
	for _, v := range []uint16{uint16(pair), flags, 1, answers, 0, 0} {
		m = binary.BigEndian.AppendUint16(m, v)
	}
	for _, label := range []string{fmt.Sprintf("host-%d", pair), "customers", "example"} {
		m = append(append(m, byte(len(label))), label...)
	}
	m = append(m, 0, 0, 1, 0, 1) // the root; A, IN
	if response {
		m = append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4) // the name above; TTL 300
		m = append(m, 198, 51, byte(pair>>8), byte(pair))
	}
	return m
}

// checksum is that of the IPv4 header (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
