// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"github.com/dnsluice/dnsluice/internal/decode/ip"
	"github.com/dnsluice/dnsluice/internal/decode/link"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Counters counts packets and messages since New. Packets = Carried + the sum of Dropped + Held.
type Counters struct {
	Packets uint64             // given to Decode
	Carried uint64             // of them, those that carried at least one message
	Dropped [NumReasons]uint64 // of them, those that carried none, by reason
	Held    uint64             // of them, those kept until others complete them; 0 for now

	Messages  uint64                    // emitted, malformed ones included
	Malformed [dnsmsg.NumReasons]uint64 // of them, those with a fault, by its reason
}

// Reason is why a packet carried no message. The set is closed and small, so that a reason
// indexes an array of counters.
type Reason uint8

// The reasons, from the outside of a frame inwards.
const (
	OK            Reason = iota // not dropped; its counter stays 0
	LinkTruncated               // the bytes end inside the link header
	LinkUnknown                 // a link type that this program does not read
	LinkTags                    // more VLAN tags than it follows
	NotIP                       // ARP, LLDP, MPLS and all else that is neither IPv4 nor IPv6
	IPTruncated                 // the bytes end inside the IP header
	IPHeader                    // a version or length that no IP header has
	IPExtension                 // an extension header runs past the packet, or there are too many
	Fragment                    // a part of a datagram
	NotUDPTCP                   // ICMP, a tunnel and all else that is neither UDP nor TCP
	UDPHeader                   // the bytes end inside the UDP header, or its length is below 8
	UDPEmpty                    // a datagram without payload
	TCPHeader                   // the bytes end inside the TCP header, or its length is below 20
	TCPEmpty                    // a segment without data: a handshake, an acknowledgement, a reset
	TCPPartial                  // a segment that does not hold whole messages
	Port                        // neither side has one of the ports
	NumReasons                  // how many there are; not a reason
)

var reasonNames = [NumReasons]string{
	OK:            "ok",
	LinkTruncated: "link_truncated",
	LinkUnknown:   "link_unknown",
	LinkTags:      "link_tags",
	NotIP:         "not_ip",
	IPTruncated:   "ip_truncated",
	IPHeader:      "ip_header",
	IPExtension:   "ip_extension",
	Fragment:      "fragment",
	NotUDPTCP:     "not_udp_tcp",
	UDPHeader:     "udp_header",
	UDPEmpty:      "udp_empty",
	TCPHeader:     "tcp_header",
	TCPEmpty:      "tcp_empty",
	TCPPartial:    "tcp_partial",
	Port:          "port",
}

// String returns the word that metrics and the ledger use.
func (r Reason) String() string { return reasonNames[r] }

// What the layers say, as reasons. The layers keep sets of their own, so that none of them
// imports its parent.
var (
	linkReasons = [link.NumVerdicts]Reason{
		link.Truncated:   LinkTruncated,
		link.Unknown:     LinkUnknown,
		link.TooManyTags: LinkTags,
		link.NotIP:       NotIP,
	}
	ipReasons = [ip.NumVerdicts]Reason{
		ip.Truncated: IPTruncated,
		ip.Header:    IPHeader,
		ip.Extension: IPExtension,
	}
	tcpReasons = [tcpstream.NumVerdicts]Reason{
		tcpstream.Empty:   TCPEmpty,
		tcpstream.Partial: TCPPartial,
	}
)
