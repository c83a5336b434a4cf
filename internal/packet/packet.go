// SPDX-License-Identifier: Apache-2.0

// Package packet is the first noun of the path: one frame as a source captured it.
package packet

import "strconv"

// LinkType says what the first byte of a frame is. The values are the LINKTYPE_ numbers of
// capture files (https://www.tcpdump.org/linktypes.html), which a live source uses as well.
type LinkType uint16

// The link types that capture files and rings hand to decode.
const (
	LinkNull     LinkType = 0   // BSD loopback: a protocol family in the byte order of the writer
	LinkEthernet LinkType = 1   // Ethernet II and 802.3
	LinkRawBSD   LinkType = 12  // raw IP, as DLT_RAW of most systems leaks into files
	LinkRawOBSD  LinkType = 14  // raw IP, as DLT_RAW of OpenBSD leaks into files
	LinkRaw      LinkType = 101 // raw IP, version 4 or 6
	LinkLoop     LinkType = 108 // OpenBSD loopback: a protocol family in network byte order
	LinkSLL      LinkType = 113 // Linux cooked capture, version 1
	LinkIPv4     LinkType = 228 // raw IPv4
	LinkIPv6     LinkType = 229 // raw IPv6
	LinkSLL2     LinkType = 276 // Linux cooked capture, version 2

	// LinkDNSTap is no LINKTYPE_ but our own: no frame, but what one dnstap frame holds.
	LinkDNSTap LinkType = 0xffff
)

// The link types that are found in files only.
const (
	LinkPPP         LinkType = 9   // PPP, or Cisco HDLC
	LinkFDDI        LinkType = 10  // FDDI
	LinkPPPSerial   LinkType = 50  // PPP or Cisco HDLC, with their addresses
	LinkPPPEther    LinkType = 51  // PPPoE
	LinkHDLC        LinkType = 104 // Cisco HDLC, or PPP
	Link80211       LinkType = 105 // 802.11
	LinkPrism       LinkType = 119 // 802.11 behind a Prism header
	LinkRadiotap    LinkType = 127 // 802.11 behind a radiotap header
	LinkARCNETLinux LinkType = 129 // ARCNET as Linux captures it
	LinkUser2       LinkType = 149 // private; Darwin puts PKTAP in it
	LinkAVS         LinkType = 163 // 802.11 behind an AVS header
	LinkPPI         LinkType = 192 // Per-Packet Information, which tells the link type
	LinkPPPWithDir  LinkType = 204 // PPP behind a byte for the direction
	LinkMPLS        LinkType = 219 // MPLS
	LinkNFLOG       LinkType = 239 // packets that netfilter logged
	LinkPKTAP       LinkType = 258 // PKTAP of Darwin, which tells the link type
)

// String returns the tcpdump.org name of the types above and the number of all others.
func (t LinkType) String() string {
	switch t {
	case LinkNull:
		return "NULL"
	case LinkEthernet:
		return "ETHERNET"
	case LinkRaw, LinkRawBSD, LinkRawOBSD:
		return "RAW"
	case LinkLoop:
		return "LOOP"
	case LinkSLL:
		return "LINUX_SLL"
	case LinkIPv4:
		return "IPV4"
	case LinkIPv6:
		return "IPV6"
	case LinkSLL2:
		return "LINUX_SLL2"
	case LinkDNSTap:
		return "DNSTAP"
	}
	return "LINKTYPE_" + strconv.Itoa(int(t))
}

// Tag is an 802.1Q tag that the kernel took out of the frame before a ring showed it.
// The zero Tag means that none was taken out.
type Tag struct {
	TPID uint16 // 0x8100 (802.1Q) or 0x88a8 (802.1ad); 0 when there is no tag
	TCI  uint16 // priority (3 bits), drop eligible (1 bit), VLAN id (12 bits)
}

// MaxTime bounds Time on either side, at 1823 and 2116. What a source says beyond it is damage, and
// within it the stages may add any wait to a time, and take one time from another.
const MaxTime = 1 << 62

// Packet is one captured frame. A source fills it, decode reads it; nobody keeps it.
type Packet struct {
	Data      []byte // the captured bytes, borrowed until the next call on the source
	Length    int    // bytes on the wire; more than len(Data) when the snapshot length cut the frame
	Time      int64  // when it was captured, nanoseconds since the Unix epoch, within MaxTime
	Link      LinkType
	Tag       Tag    // the tag the kernel took out, outermost of the frame
	Interface string // name of the interface, empty when the source does not know it
}
